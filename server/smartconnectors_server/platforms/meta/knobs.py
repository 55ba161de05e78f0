"""What the caller wants of a bid, in Meta's terms, whatever the campaign is like. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from smartconnectors.meta.v1 import meta_service_pb2 as pb
from smartconnectors_server.call import Priced, Source
from smartconnectors_server.connector import Stated, by_roas
from smartconnectors_server.errors import InvalidBid
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms.meta import minor_units
from smartconnectors_server.platforms.meta.state import ROAS_SCALE

MIN_ROAS = "LOWEST_COST_WITH_MIN_ROAS"
BID_CAP = "LOWEST_COST_WITH_BID_CAP"
COST_CAP = "COST_CAP"
WITHOUT_CAP = "LOWEST_COST_WITHOUT_CAP"
VALUE = "VALUE"

LEAST_ROAS_FLOOR = 100
LARGEST_ROAS_FLOOR = 10_000_000

_MAX_ID_CHARS = 20
STRATEGIES = {"min_roas": MIN_ROAS, "bid_cap": BID_CAP, "cost_cap": COST_CAP}
"""Knob -> strategy; a bid that names no knob is one by the first."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the caller wants.

    Attributes:
        knob: the member of the request's `oneof knob`.
        strategy: Meta's name of it.
        roas_floor: for `min_roas`: the least ROAS times 10,000; else 0.
        bid_amount: for the caps: minor units; else 0.
        goal: the optimization goal to set; empty: the ad set keeps its own.
    """

    knob: str
    strategy: str
    roas_floor: int = 0
    bid_amount: int = 0
    goal: str = ""

    @property
    def value(self) -> int:
        """The floor or the amount, whichever is set."""
        return self.roas_floor or self.bid_amount


def check_id(field: str, entity_id: str) -> str:
    """The id, when it is one of Meta's. Raises InvalidBid naming `field`."""
    if not (entity_id.isascii() and entity_id.isdigit() and len(entity_id) <= _MAX_ID_CHARS):
        raise InvalidBid.of(field, "digits only, as Meta writes its ids")
    return entity_id


def intent_of(request: pb.PlaceBidRequest, priced: Priced) -> Intent:
    """What is wanted. Raises InvalidBid naming the field that makes it impossible."""
    check_id("bid.campaign_id", request.bid.campaign_id)
    minor_units.check("bid.currency_code", priced.currency_code)
    if request.ad_set_id:
        check_id("ad_set_id", request.ad_set_id)
    knob = request.WhichOneof("knob") or "min_roas"
    strategy = STRATEGIES[knob]
    if knob == "min_roas":
        return Intent(knob, strategy, roas_floor=_roas_floor_of(request, priced), goal=VALUE)
    goal = getattr(request, knob).optimization_goal
    if goal == VALUE:
        raise _cap_on_value(knob)
    return Intent(knob, strategy, bid_amount=_bid_amount_of(priced), goal=goal)


def check_goal(intent: Intent, present_goal: str) -> None:
    """Raises InvalidBid when the strategy does not go with the goal that the ad set will have."""
    if intent.knob != "min_roas" and (intent.goal or present_goal) == VALUE:
        raise _cap_on_value(intent.knob)


def _cap_on_value(knob: str) -> InvalidBid:
    return InvalidBid.of(
        f"{knob}.optimization_goal",
        "Meta takes a cap with goals such as OFFSITE_CONVERSIONS, not with VALUE; bid on value "
        "with min_roas",
    )


def stated_of(request: pb.PlaceBidRequest) -> Stated:
    """What the request says of its setting in money, beside `bid_micros`."""
    knob = request.min_roas
    if (request.WhichOneof("knob") or "min_roas") != "min_roas" or not knob.HasField("roas"):
        return Stated()  # the setting is the bid, or follows from it
    return by_roas(
        "min_roas.roas",
        round(knob.roas * ROAS_SCALE),
        scale=ROAS_SCALE,
        ltv_micros=request.bid.predicted_ltv_micros,
    )


def _roas_floor_of(request: pb.PlaceBidRequest, priced: Priced) -> int:
    """The explicit ROAS, or LTV / bid, times 10,000 and rounded. A price of our own is another one
    than the caller's, so it has a ROAS of its own, where there is an LTV for it.
    """
    own_price = priced.source is Source.FALLBACK and priced.ltv_micros > 0
    if request.min_roas.HasField("roas") and not own_price:
        return _checked_floor("min_roas.roas", round(request.min_roas.roas * ROAS_SCALE))
    if priced.ltv_micros <= 0:
        raise InvalidBid.of(
            "bid.predicted_ltv_micros", "a ROAS is LTV / bid: give a predicted LTV or a ROAS"
        )
    if priced.bid_micros <= 0:
        raise InvalidBid.of("bid.bid_micros", "above 0")
    doubled = 2 * priced.ltv_micros * ROAS_SCALE
    floor = (doubled + priced.bid_micros) // (2 * priced.bid_micros)
    return _checked_floor("bid.predicted_ltv_micros", floor)


def _checked_floor(field: str, floor: int) -> int:
    if not LEAST_ROAS_FLOOR <= floor <= LARGEST_ROAS_FLOOR:
        raise InvalidBid.of(
            field, f"makes a ROAS of {floor / ROAS_SCALE:.12g}; Meta takes 0.01 to 1000"
        )
    return floor


def _bid_amount_of(priced: Priced) -> int:
    """The bid in minor units of its currency, exactly."""
    unit_micros = minor_units.unit_micros(priced.currency_code)
    unit = format_amount(unit_micros, priced.currency_code)
    if priced.source is Source.FALLBACK:
        # A price of our own may be cut: less is set than what is held.
        amount = priced.bid_micros // unit_micros
        if amount == 0:
            raise InvalidBid.of("bid.bid_micros", f"the heuristic's price is below {unit}")
        return amount
    return exact_units("bid.bid_micros", priced.bid_micros, priced.currency_code)


def exact_units(field: str, micros: int, currency_code: str) -> int:
    """An amount in minor units. Raises InvalidBid naming `field` when it is finer than one."""
    units = minor_units.from_micros(micros, currency_code)
    if micros <= 0 or units is None:
        unit_micros = minor_units.unit_micros(currency_code)
        unit = format_amount(unit_micros, currency_code)
        raise InvalidBid.of(field, f"a multiple of {unit} ({unit_micros} micros)")
    return units
