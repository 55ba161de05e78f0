"""What an ad account's own money says: its currency, and the least that its budgets may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from smartconnectors_server.connector.sandbox import Fault, FaultKind
from smartconnectors_server.errors import InvalidBid, PlatformRejected, RateLimited
from smartconnectors_server.platforms.meta.sandbox import BHD_ACCOUNT
from smartconnectors_server.platforms.meta.state import UnreadableAnswer, least_budget_of

if TYPE_CHECKING:
    from tests.server.platforms.meta.conftest import MakeRig, Raw, Rig


async def test_an_account_in_a_currency_that_meta_does_not_list_cannot_be_used(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig()
    rig.sandbox.set_currency("act_1000000001", "KWD")
    with pytest.raises(PlatformRejected, match=r"act_1000000001: Meta's table .* KWD"):
        await rig.connector.account()


async def test_a_bid_in_a_currency_that_meta_does_not_list_reads_and_sends_nothing(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig("KWD")
    rig.sandbox.set_currency("act_1000000001", "KWD")
    for knob in ("min_roas", "bid_cap", "cost_cap"):
        request = rig.request()
        getattr(request, knob).SetInParent()
        with pytest.raises(InvalidBid, match=r"bid\.currency_code: Meta's table .* KWD"):
            await rig.plan(request)
    assert rig.sandbox.journal() == ()


async def test_a_budget_in_a_currency_that_meta_does_not_list_sends_nothing(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig("KWD")
    rig.sandbox.set_currency("act_1000000001", "KWD")
    with pytest.raises(InvalidBid, match=r"update\.currency_code: Meta's table .* KWD"):
        await rig.set_budget(120)
    assert rig.posts() == []


async def test_the_sandbox_tells_minimum_budgets_as_meta_does(raw: Raw) -> None:
    assert await raw.get("/act_1000000001/minimum_budgets") == (
        200,
        {
            "data": [
                {
                    "currency": "USD",
                    "min_daily_budget_imp": 100,
                    "min_daily_budget_high_freq": 500,
                    "min_daily_budget_low_freq": 4000,
                    "min_daily_budget_video_views": 500,
                }
            ]
        },
    )


async def test_a_budget_below_the_accounts_least_is_refused_before_it_is_sent(
    make_rig: MakeRig,
) -> None:
    rig = await make_rig("BHD", ad_account_id=BHD_ACCOUNT)
    request = rig.budget(1, "3001")
    request.update.daily_budget_micros = 190_000
    with pytest.raises(InvalidBid, match=r"at least BHD 0\.200 \(200000 micros\)"):
        await rig.plan(request)
    request.update.daily_budget_micros = 200_000
    await rig.plan(request)
    assert rig.posts() == []
    assert rig.gate.reads.count("minimum budgets") == 1


async def test_the_least_budget_is_read_for_decreases_alone_and_again_after_an_hour(
    rig: Rig,
) -> None:
    await rig.plan(rig.budget(130))
    assert "minimum budgets" not in rig.gate.reads
    for wait_s, reads in ((0, 1), (3599, 1), (1, 2)):
        rig.clock.advance(wait_s)
        await rig.plan(rig.budget(80))
        assert rig.gate.reads.count("minimum budgets") == reads


async def test_a_least_budget_that_meta_will_not_tell_is_left_to_meta(rig: Rig) -> None:
    await rig.plan(rig.budget(130))
    await rig.sandbox.add_fault(Fault(FaultKind.SERVER_ERROR))
    with pytest.raises(Exception, match="could not be read"):
        await rig.plan(rig.budget(80))
    await rig.sandbox.add_fault(Fault(FaultKind.QUOTA))
    with pytest.raises(RateLimited):
        await rig.plan(rig.budget(80))
    rig.sandbox.hide_minimum_budgets()
    assert (await rig.plan(rig.budget(80))).lowers_exposure


@pytest.mark.parametrize(
    ("data", "least"),
    [
        (
            [{"currency": "USD", "min_daily_budget_imp": 100, "min_daily_budget_low_freq": 4000}],
            100,
        ),
        ([{"currency": "USD", "min_daily_budget_high_freq": 500}], 500),
        ([{"currency": "EUR", "min_daily_budget_imp": 7}, {"currency": "USD"}], 0),
        ([], 0),
    ],
)
def test_the_least_of_the_accounts_minima_counts(data: list[dict[str, Any]], least: int) -> None:
    assert least_budget_of({"data": data}, "USD") == least


@pytest.mark.parametrize(
    "answer",
    [None, {}, {"data": 3}, {"data": [3]}, {"data": [{}]}, {"data": [{"currency": 3}]}]
    + [{"data": [{"currency": "USD", "min_daily_budget_imp": bad}]} for bad in (True, 1.5, "-1")],
)
def test_minimum_budgets_of_another_form_are_unreadable(answer: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        least_budget_of(answer, "USD")


async def test_the_most_that_may_be_billed_a_day_is_told_with_a_new_budget(rig: Rig) -> None:
    answer = await rig.set_budget(130)
    assert answer.result.most_spend_a_day_micros == 227_500_000
