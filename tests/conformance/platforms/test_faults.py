"""What each fault at the wire means to a connector: said by the class of its error, and found out
by its lookup. The truth is the sandbox's journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartconnectors_server.connector import Finding
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind
from smartconnectors_server.errors import (
    ConnectorError,
    OutcomeUnknown,
    PlatformUnavailable,
    RateLimited,
)

if TYPE_CHECKING:
    from tests.conformance.platforms.conftest import Bench

K = FaultKind
LONG_MS = 60_000

# kind -> (what a change raises, or None; what the platform has applied of it)
CHANGE_MEANS: dict[FaultKind, tuple[type[ConnectorError] | None, int]] = {
    K.REFUSE: (PlatformUnavailable, 0),
    K.HANG: (OutcomeUnknown, 0),
    K.APPLY_THEN_HANG: (OutcomeUnknown, 1),
    K.APPLY_THEN_RESET: (OutcomeUnknown, 1),
    K.APPLY_LATE: (OutcomeUnknown, 0),
    K.QUOTA: (RateLimited, 0),
    K.SERVER_ERROR: (OutcomeUnknown, 0),
    K.MALFORMED: (OutcomeUnknown, 1),
    K.SLOW: (None, 1),
    K.DUPLICATE: (None, 2),
}

READ_MEANS: dict[FaultKind, type[ConnectorError] | None] = {
    K.REFUSE: PlatformUnavailable,
    K.HANG: PlatformUnavailable,
    K.APPLY_THEN_HANG: PlatformUnavailable,
    K.APPLY_THEN_RESET: PlatformUnavailable,
    K.APPLY_LATE: PlatformUnavailable,
    K.QUOTA: RateLimited,
    K.SERVER_ERROR: PlatformUnavailable,
    K.MALFORMED: PlatformUnavailable,
    K.SLOW: None,
    K.DUPLICATE: None,
}


def delay_ms(kind: FaultKind) -> int:
    return {K.SLOW: 20, K.QUOTA: 7_000, K.APPLY_LATE: LONG_MS}.get(kind, 0)


def test_every_fault_has_a_meaning_here() -> None:
    assert set(CHANGE_MEANS) == set(READ_MEANS) == set(FaultKind)


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
async def test_a_change_under_a_fault_says_what_is_known_and_a_lookup_finds_the_truth(
    bench: Bench, kind: FaultKind
) -> None:
    await bench.bid("1001", "before", 45_000_000)
    applied_before = bench.applied()
    request = bench.request("1001", "under-fault")
    priced, plan = await bench.plan(request)
    await bench.sandbox.add_fault(Fault(kind, delay_ms=delay_ms(kind), method=CHANGES))
    raises, applied = CHANGE_MEANS[kind]

    if raises is None:
        await bench.send(request, priced, plan)
    else:
        with pytest.raises(raises) as caught:
            await bench.send(request, priced, plan)
        assert type(caught.value) is raises

    await bench.sandbox.clear_faults()
    assert bench.applied() - applied_before == applied
    assert await bench.look() is (Finding.APPLIED if applied else Finding.NOT_APPLIED)
    # And the platform is as good as before.
    await bench.bid("1001", "afterwards", 60_000_000)
    assert bench.applied() - applied_before == applied + 1


@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
async def test_a_read_under_a_fault_sends_nothing_that_could_be_in_doubt(
    bench: Bench, kind: FaultKind
) -> None:
    await bench.sandbox.add_fault(Fault(kind, delay_ms=delay_ms(kind)))
    raises = READ_MEANS[kind]

    if raises is None:
        await bench.plan(bench.request("1001", "read"))
    else:
        with pytest.raises(raises) as caught:
            await bench.plan(bench.request("1001", "read"))
        assert type(caught.value) is raises

    assert bench.applied() == 0


async def test_a_quota_refusal_is_handed_on_with_the_platforms_own_delay(bench: Bench) -> None:
    request = bench.request("1001", "too-many")
    priced, plan = await bench.plan(request)
    await bench.sandbox.add_fault(Fault(K.QUOTA, delay_ms=7_000, method=CHANGES))

    with pytest.raises(RateLimited) as caught:
        await bench.send(request, priced, plan)

    assert caught.value.retry_after_s == pytest.approx(7.0)
    # A platform may also say with every answer how much of its quota is used.
    orders = [signal.retry_after_s for signal in bench.gate.signals if signal.retry_after_s]
    assert orders == [pytest.approx(7.0)]


async def test_a_fault_befalls_as_many_requests_as_it_says(bench: Bench) -> None:
    await bench.plan(bench.request("1001", "warm-up"))
    await bench.sandbox.add_fault(Fault(K.SERVER_ERROR, times=2, method=CHANGES))

    for attempt in ("first", "second"):
        with pytest.raises(OutcomeUnknown):
            await bench.bid("1001", attempt)

    await bench.bid("1001", "third")
    assert bench.applied() == 1
