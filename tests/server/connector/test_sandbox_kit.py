"""Journal and faults: what every sandbox is made of."""

from __future__ import annotations

import pytest

from smartconnectors_server.clock import ManualClock
from smartconnectors_server.connector.sandbox import CHANGES, Fault, FaultKind, Faults, Journal


def test_the_journal_numbers_and_dates_its_entries(clock: ManualClock) -> None:
    journal = Journal(clock)
    first = journal.append("Mutate", changes=True, applied=True, facts={"campaign_id": "1"})
    clock.advance(2)
    second = journal.append("Search", changes=False, applied=True, facts={})
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.at_ns - first.at_ns == 2_000_000_000
    assert journal.read() == (first, second)


def test_a_cleared_journal_begins_again_with_one(clock: ManualClock) -> None:
    journal = Journal(clock)
    journal.append("Mutate", changes=True, applied=True, facts={})
    journal.clear()
    assert journal.read() == ()
    assert journal.append("Mutate", changes=True, applied=True, facts={}).sequence == 1


def test_a_fault_is_used_up_by_the_requests_it_befalls() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.HANG, times=2))
    taken = [faults.take("Mutate", changes=True) for _ in range(3)]
    assert [fault is not None for fault in taken] == [True, True, False]


def test_faults_befall_first_come_first_served() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.HANG))
    faults.add(Fault(FaultKind.QUOTA))
    kinds = [fault.kind for _ in range(2) if (fault := faults.take("Mutate", changes=True))]
    assert kinds == [FaultKind.HANG, FaultKind.QUOTA]


@pytest.mark.parametrize(
    ("wanted", "method", "changes", "befallen"),
    [
        ("", "Search", False, True),
        ("Mutate", "Mutate", True, True),
        ("Mutate", "Search", False, False),
        (CHANGES, "Mutate", True, True),
        (CHANGES, "Search", False, False),
    ],
)
def test_a_fault_keeps_to_the_methods_it_names(
    wanted: str, method: str, changes: bool, befallen: bool
) -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.HANG, method=wanted))
    assert (faults.take(method, changes=changes) is not None) is befallen


def test_the_caller_s_fault_is_not_used_up_with_ours() -> None:
    faults, fault = Faults(), Fault(FaultKind.HANG)
    faults.add(fault)
    faults.take("Mutate", changes=True)
    assert fault.times == 1


@pytest.mark.parametrize("fault", [Fault(FaultKind.HANG, times=0), Fault(FaultKind.SLOW, 1, -1)])
def test_a_fault_that_makes_no_sense_is_refused(fault: Fault) -> None:
    with pytest.raises(ValueError, match="at least"):
        Faults().add(fault)


def test_cleared_faults_befall_nobody() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.HANG))
    faults.clear()
    assert faults.take("Mutate", changes=True) is None
