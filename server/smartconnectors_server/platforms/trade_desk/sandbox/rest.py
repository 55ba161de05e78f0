"""REST v3 as the sandbox speaks it: what it answers to a request, and what that changes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.platforms.trade_desk import amounts
from smartconnectors_server.platforms.trade_desk.sandbox import changes
from smartconnectors_server.platforms.trade_desk.sandbox.accounts import (
    EXTRA_CAMPAIGNS_FROM,
    account,
)
from smartconnectors_server.platforms.trade_desk.sandbox.my_reports import KIND
from smartconnectors_server.platforms.trade_desk.sandbox.refusals import Refused, invalid
from smartconnectors_server.platforms.trade_desk.sandbox_access import (
    SANDBOX_LOGIN,
    SANDBOX_PASSWORD,
    SANDBOX_TOKEN,
)

Entity = dict[str, Any]

_ID_FIELDS = {
    "advertiser": "AdvertiserId",
    "campaign": "CampaignId",
    "adgroup": "AdGroupId",
    "creative": "CreativeId",
}
_QUERIES = {
    ("campaign", "advertiser"): "AdvertiserId",
    ("adgroup", "advertiser"): "AdvertiserId",
    ("adgroup", "campaign"): "CampaignId",
    ("creative", "advertiser"): "AdvertiserId",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A request's method and path, with what was an id in it taken out.

    `name` is what the journal and faults call it, for example `GET /v3/adgroup/{id}`.
    """

    name: str
    kind: str = ""
    entity_id: str = ""
    parent: str = ""
    changes: bool = False


def route_of(method: str, path: str) -> Route:
    """Where a request goes. Raises Refused with 404 when nowhere."""
    parts = path.strip("/").split("/")
    match (method, parts):
        case ("POST", ["v3", "authentication"]):
            return Route("POST /v3/authentication", "authentication")
        case ("POST", ["v3", "myreports", "reportexecution", "query", "advertisers"]):
            return Route("POST /v3/myreports/reportexecution/query/advertisers", KIND)
        case ("GET", ["reports", name]) if name.endswith(".csv"):
            return Route("GET /reports/{id}", KIND, name.removesuffix(".csv"))
        case ("GET", ["v3", kind, entity_id]) if kind in _ID_FIELDS:
            return Route(f"GET /v3/{kind}/{{id}}", kind, entity_id)
        case ("POST", ["v3", kind, "query", parent]) if (kind, parent) in _QUERIES:
            return Route(f"POST /v3/{kind}/query/{parent}", kind, parent=parent)
        case (
            "PUT",
            ["v3", "adgroup" | "campaignflight" as kind] | ["v3", "adgroup" as kind, "status"],
        ):
            return Route(f"PUT /{'/'.join(parts)}", kind, parent="".join(parts[2:]), changes=True)
        case _:
            pass
    raise Refused(404, f"No endpoint {method} /{'/'.join(parts)}.")


class Rest:
    """The entities, and the rules by which they change."""

    def __init__(self) -> None:
        self._entities = account()
        self._tokens = {SANDBOX_TOKEN}
        self._logins = 0
        self.leniency = changes.Leniency()

    def reset(self) -> None:
        """Every entity, and how changes are taken, as at first. Tokens stay good."""
        self._entities = account()
        self.leniency = changes.Leniency()

    def add_campaigns(self, count: int) -> None:
        """Gives the dollar advertiser that many more campaigns, as its first one is."""
        campaign, ad_group = self._entities["campaign"]["1001"], self._entities["adgroup"]["10011"]
        for number in range(EXTRA_CAMPAIGNS_FROM, EXTRA_CAMPAIGNS_FROM + count):
            own = {"CampaignId": str(number), "CampaignName": f"Campaign {number}"}
            self._entities["campaign"][str(number)] = {**copy.deepcopy(campaign), **own}
            inner = {"AdGroupId": f"{number}1", "CampaignId": str(number)}
            self._entities["adgroup"][f"{number}1"] = {**copy.deepcopy(ad_group), **inner}

    def revoke_tokens(self) -> None:
        """Makes every token that a login fetched invalid, and the long-lived one."""
        self._tokens.clear()

    def answer(
        self, route: Route, token: str, body: Any, *, strict: bool
    ) -> tuple[Entity, list[str], bool]:
        """(the answer, the properties of a change that are ignored, whether any of it is applied).
        Raises Refused.
        """
        if route.kind == "authentication":
            return self._log_in(body), [], True
        self.check_token(token)
        if route.changes:
            return self._change(route, _object(body), strict=strict)
        if route.parent:
            return self._query(route, body), [], True
        return copy.deepcopy(self._entity(route.kind, route.entity_id)), [], True

    def check_token(self, token: str) -> None:
        """Raises Refused for a token that opens nothing."""
        if token not in self._tokens:
            raise Refused(401, "The token is missing, expired or unknown.")

    def campaigns_of(self, advertiser_id: str) -> list[tuple[str, str]]:
        """(campaign, currency) of an advertiser. Raises Refused."""
        currency_code = self._entity("advertiser", advertiser_id)["CurrencyCode"]
        campaigns = self._entities["campaign"].values()
        return [
            (one["CampaignId"], currency_code)
            for one in campaigns
            if one["AdvertiserId"] == advertiser_id
        ]

    def facts_of(self, route: Route, body: Any) -> dict[str, Any]:
        """What the wire says of a change, whether it is applied or not."""
        if not route.changes or not isinstance(body, dict):
            return {}
        facts = changes.facts_of(body)
        ad_group = self._entities["adgroup"].get(str(body.get("AdGroupId")))
        if ad_group is not None:
            facts["campaign_id"] = ad_group["CampaignId"]
        flight_id = body.get("CampaignFlightId")
        for campaign in self._entities["campaign"].values():
            if any(one["CampaignFlightId"] == flight_id for one in campaign["CampaignFlights"]):
                facts["campaign_id"] = campaign["CampaignId"]
        return facts

    def _log_in(self, body: Any) -> Entity:
        asked = _object(body)
        if (asked.get("Login"), asked.get("Password")) != (SANDBOX_LOGIN, SANDBOX_PASSWORD):
            raise Refused(401, "The login or the password is wrong.")
        self._logins += 1
        token = f"{SANDBOX_TOKEN}-{self._logins}"
        self._tokens.add(token)
        return {"Token": token}

    def _query(self, route: Route, body: Any) -> Entity:
        asked, field = _object(body), _QUERIES[route.kind, route.parent]
        self._entity(route.parent, str(asked.get(field)))
        start, size = asked.get("PageStartIndex", 0), asked.get("PageSize", 100)
        if not isinstance(start, int) or not isinstance(size, int) or start < 0 or size < 1:
            raise invalid("PageSize", "must be at least 1")
        entities = [
            one
            for one in self._entities[route.kind].values()
            if self._parent_of(one, field) == asked[field]
        ]
        return {
            "Result": copy.deepcopy(entities[start : start + size]),
            "ResultCount": len(entities[start : start + size]),
            "TotalFilteredCount": len(entities),
        }

    def _parent_of(self, entity: Entity, field: str) -> Any:
        """An ad group says which campaign it is in, and that one which advertiser's it is."""
        if field not in entity:
            entity = self._entity("campaign", entity["CampaignId"])
        return entity[field]

    def _change(
        self, route: Route, asked: Entity, *, strict: bool
    ) -> tuple[Entity, list[str], bool]:
        if route.parent == "status" and not self.leniency.status_endpoint:
            raise Refused(410, "This endpoint is deprecated.")
        kept, ignored = self.leniency.split(asked, strict=strict)
        if route.kind == "campaignflight":
            answer = self._change_flight(kept)
        else:
            answer = self._change_ad_group(kept)
            if route.parent == "status":
                answer = {name: answer[name] for name in ("AdGroupId", "IsEnabled")}
        if self.leniency.answers_ids_only:
            answer = {name: answer[name] for name in answer if name in changes.IDS}
        return answer, ignored, not ignored or changes.changes_something(kept)

    def _change_ad_group(self, kept: Entity) -> Entity:
        ad_group = self._entity("adgroup", str(kept.get("AdGroupId")))
        campaign = self._entity("campaign", ad_group["CampaignId"])
        currency_code = self._entity("advertiser", campaign["AdvertiserId"])["CurrencyCode"]
        changed = changes.change_ad_group(ad_group, kept, currency_code, self.leniency)
        self._entities["adgroup"][ad_group["AdGroupId"]] = changed
        return copy.deepcopy(changed)

    def _change_flight(self, kept: Entity) -> Entity:
        for campaign in self._entities["campaign"].values():
            for flight in campaign["CampaignFlights"]:
                if flight["CampaignFlightId"] == kept.get("CampaignFlightId"):
                    if campaign["BudgetingVersion"] == "Kokai":
                        raise invalid("CampaignFlightId", "is of a Kokai campaign; use GraphQL")
                    flight.update(changes.flight_change(kept))
                    return {**flight, "CampaignId": campaign["CampaignId"]}
        raise Refused(404, "There is no such campaign flight.")

    def _entity(self, kind: str, entity_id: str) -> Entity:
        entity = self._entities[kind].get(entity_id)
        if entity is None:
            raise Refused(404, f"There is no such {kind}.")
        return entity


def parsed(body: bytes) -> Any:
    """The body as JSON, or None when it is empty. Raises Refused."""
    if not body:
        return None
    try:
        return amounts.parse(body)
    except ValueError:
        raise Refused(400, "The body is not JSON.") from None


def _object(body: Any) -> Entity:
    if not isinstance(body, dict):
        raise Refused(400, "The body is not a JSON object.")
    return body
