"""Every guard of the money, what it looks like when it is missing, and the tests that notice.

A guard that no test notices is not proven. A mutant whose text is no longer in the code fails
`test_table.py`: whoever changes a guard says here what guards now.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFORMANCE = "tests/conformance/ledger/test_ledgers.py::test_a_ledger_keeps"
SQLITE = "tests/server/ledger/test_sqlite.py::"
DAMAGE = "tests/server/ledger/test_damage.py::"
COMMIT = "tests/server/ledger/test_group_commit.py::"
MODEL = "tests/server/ledger/test_book_model.py"
BUDGET = "tests/server/budget/"
CHAIN = "tests/server/interceptors/"
WINDOW = "tests/server/test_window.py::"
SIMULATION = "tests/simulation/test_simulation.py::test_no_budget_is_overshot_whatever_goes_wrong"


def promise(name: str) -> str:
    """The id of one promise of the conformance suite, tried on the embedded ledger."""
    return f"{CONFORMANCE}[{name}-sqlite]"


@dataclass(frozen=True)
class Mutant:
    """One guard taken away: `text`, once in `file`, becomes `replacement`."""

    name: str
    file: str
    text: str
    replacement: str
    killers: tuple[str, ...]


ADMISSION = (
    Mutant(
        "the limit itself is refused",
        "ledger/scopes.py",
        "if window.total(now_ns) + asked.amount_micros <= room:",
        "if window.total(now_ns) + asked.amount_micros < room:",
        (promise("admission-what_fits_is_admitted_to_the_last_micro"), MODEL),
    ),
    Mutant(
        "a micro more than the limit is admitted",
        "ledger/scopes.py",
        "if window.total(now_ns) + asked.amount_micros <= room:",
        "if window.total(now_ns) + asked.amount_micros <= room + 1:",
        (promise("admission-what_fits_is_admitted_to_the_last_micro"), MODEL),
    ),
    Mutant(
        "what is in doubt does not count",
        "ledger/scopes.py",
        "still_open = scope.open_total() - freed",
        "still_open = scope.open_total() - freed - scope.open_micros[HoldState.IN_DOUBT]",
        (promise("admission-the_state_in_a_refusal_is_that_of_the_instant"),),
    ),
    Mutant(
        "what is deferred does not count",
        "ledger/scopes.py",
        "still_open = scope.open_total() - freed",
        "still_open = scope.open_total() - scope.open_micros[HoldState.DEFERRED]",
        (promise("admission-the_state_in_a_refusal_is_that_of_the_instant"), MODEL),
    ),
    Mutant(
        "a superseded hold frees budgets that it does not count in",
        "ledger/scopes.py",
        "older.amount_micros if older and budget_id in freed_in else 0",
        "older.amount_micros if older else 0",
        (promise("holds-a_newer_bid_that_does_not_fit_leaves_the_older_waiting"),),
    ),
    Mutant(
        "a superseded hold frees nothing",
        "ledger/scopes.py",
        "older.amount_micros if older and budget_id in freed_in else 0",
        "0",
        (promise("holds-a_newer_deferred_bid_takes_the_place_of_the_older"),),
    ),
    Mutant(
        "a paused budget admits",
        "ledger/scopes.py",
        "        self.check_paused(asked.budget_ids)\n",
        "",
        (promise("admission-a_paused_budget_admits_nothing"),),
    ),
    Mutant(
        "only what has a budget can be paused",
        "ledger/scopes.py",
        "        self._pauses[pause.scope] = pause\n",
        "        self._pauses |= {pause.scope: pause} if self.knows(pause.scope) else {}\n",
        (
            promise("admission-a_campaign_without_a_budget_can_be_paused"),
            promise("admission-a_pause_of_everything_stops_every_budget"),
        ),
    ),
    Mutant(
        "a pause of everything stops nothing",
        "ledger/scopes.py",
        "for scope in (ALL, *asked, *map(real_of, asked)))",
        "for scope in (*asked, *map(real_of, asked)))",
        (promise("admission-a_pause_of_everything_stops_every_budget"), MODEL),
    ),
    Mutant(
        "only the first window is committed to",
        "ledger/scopes.py",
        "            for window in scope.windows:\n                window.add",
        "            for window in scope.windows[:1]:\n                window.add",
        (promise("admission-every_limit_of_a_budget_binds"),),
    ),
    Mutant(
        "a refusal names any scope",
        "ledger/scopes.py",
        "key=lambda r: (severity[r[0]], r[1] or 0, -r[2])",
        "key=lambda r: severity[r[0]]",
        (
            promise("admission-a_refusal_names_the_scope_that_stays_shut_longest"),
            promise("admission-the_retry_time_is_that_of_the_slowest_scope"),
        ),
    ),
    Mutant(
        "a refusal for ever names any scope",
        "ledger/scopes.py",
        "r[1] or 0, -r[2])",
        "r[1] or 0)",
        (promise("admission-a_refusal_for_ever_names_the_smallest_limit"),),
    ),
    Mutant(
        "a reduction has to fit",
        "ledger/book.py",
        "if not asked.exempt:",
        "if True:",
        (promise("admission-what_is_exempt_passes_an_exhausted_and_a_paused_budget"),),
    ),
    Mutant(
        "a target in doubt takes more",
        "ledger/book.py",
        "if asked.defer_until_ns is None:\n            self._check_target",
        "if False:\n            self._check_target",
        (promise("admission-a_target_in_doubt_takes_nothing_more"), MODEL),
    ),
    Mutant(
        "the doubt is not indexed",
        "ledger/targets.py",
        "elif hold.state is HoldState.IN_DOUBT:",
        "elif hold.state is HoldState.SETTLED:",
        (promise("admission-a_target_in_doubt_takes_nothing_more"),),
    ),
    Mutant(
        "one resolved doubt frees the target of all",
        "ledger/targets.py",
        "            blocking.discard(hold.hold_id)\n",
        "            blocking.clear()\n",
        (promise("admission-a_target_is_free_when_its_last_doubt_is_resolved"),),
    ),
    Mutant(
        "the book admits a known request id",
        "ledger/book.py",
        "        if known is not None:\n            raise DuplicateRequest(known)\n",
        "",
        (MODEL,),
    ),
    Mutant(
        "the store's memory of request ids is not asked",
        "ledger/sqlite.py",
        "        if known is not None:\n            raise DuplicateRequest(known)\n",
        "",
        (promise("restarts-a_known_request_id_stays_known"),),
    ),
)

HOLDS = (
    Mutant(
        "settling does not enter the window",
        "ledger/book.py",
        "        self._scopes.commit(now_ns, hold.amount_micros, hold.counts_in)\n",
        "",
        (promise("holds-an_amount_is_in_one_of_the_four_sums_at_a_time"), MODEL),
    ),
    Mutant(
        "the window runs from the reserve",
        "ledger/book.py",
        "        self._scopes.commit(now_ns, hold.amount_micros, hold.counts_in)\n",
        "        self._scopes.commit(hold.created_ns, hold.amount_micros, hold.counts_in)\n",
        (promise("windows-an_amount_enters_the_window_when_it_settles"),),
    ),
    Mutant(
        "a deferred hold can be settled unsent",
        "ledger/book.py",
        "if late else {HoldState.HELD, HoldState.IN_DOUBT}",
        "if late else OPEN_STATES",
        (promise("holds-only_what_is_held_is_settled_doubted_or_deferred"), MODEL),
    ),
    Mutant(
        "late truth is taken for open holds too, and counts twice",
        "ledger/book.py",
        "allowed = _LATE_STATES if late else",
        "allowed = _LATE_STATES | OPEN_STATES if late else",
        (promise("holds-an_open_hold_is_not_settled_as_if_it_were_late"),),
    ),
    Mutant(
        "late truth takes the request id from a later attempt",
        "ledger/book.py",
        "self._by_request.setdefault(hold.key, hold_id)",
        "self._by_request[hold.key] = hold_id",
        (promise("holds-late_truth_does_not_take_the_request_id_from_a_later_attempt"),),
    ),
    Mutant(
        "deferring may grow",
        "ledger/book.py",
        "if not 0 <= amount_micros <= hold.amount_micros:",
        "if amount_micros < 0:",
        (promise("holds-deferring_never_grows_and_gives_the_rest_back"),),
    ),
    Mutant(
        "an older bid that comes back takes the place of a newer one",
        "ledger/book.py",
        "if waiting_id > hold_id:",
        "if waiting_id == hold_id:",
        (promise("holds-a_bid_that_goes_back_to_waiting_gives_way_to_a_newer_one"),),
    ),
    Mutant(
        "two bids are deferred on one target",
        "ledger/book.py",
        "            steps.append(self._supersede(waiting, hold, now_ns))\n",
        "            del waiting\n",
        (promise("holds-a_bid_that_goes_back_to_waiting_takes_the_place_of_an_older_one"),),
    ),
    Mutant(
        "a bid supersedes the deferred bid of another campaign",
        "ledger/targets.py",
        "campaign_in(one.budget_ids), one.target)",
        '"", one.target)',
        (promise("holds-a_deferred_bid_of_another_campaign_is_left_alone"),),
    ),
    Mutant(
        "callers share their request ids",
        "ledger/records.py",
        "return (self.platform, self.actor, self.request_id)",
        'return (self.platform, "", self.request_id)',
        (promise("restarts-the_request_ids_of_each_caller_stay_its_own"),),
    ),
    Mutant(
        "callers share their price history",
        "ledger/prices.py",
        "            return tuple(histories.get(actor, ()))\n",
        "            pass\n",
        (promise("restarts-the_prices_of_each_caller_are_restored_apart"),),
    ),
    Mutant(
        "a deferred bid is sent to a target in doubt",
        "ledger/book.py",
        "        self._check_target(hold.platform, target)\n",
        "",
        (promise("holds-a_bid_may_be_deferred_on_a_target_in_doubt"), MODEL),
    ),
    Mutant(
        "a paused budget sends what was deferred",
        "ledger/book.py",
        "            self._scopes.check_paused(hold.counts_in)\n",
        "            pass\n",
        (promise("holds-a_paused_scope_dispatches_nothing_that_was_deferred"),),
    ),
    Mutant(
        "what is given back goes on counting",
        "ledger/book.py",
        "            self._scopes.count_open(hold, -1)\n",
        "",
        (promise("holds-what_is_given_back_counts_nowhere"),),
    ),
    Mutant(
        "a released request id stays bound",
        "ledger/book.py",
        "if hold.state is HoldState.RELEASED and self._by_request",
        "if hold.state is None and self._by_request",
        (promise("holds-a_released_request_id_may_be_used_again_and_others_may_not"),),
    ),
    Mutant(
        "a refused request id is forgotten",
        "ledger/book.py",
        "if hold.state is HoldState.RELEASED and self._by_request",
        "if self._by_request",
        (MODEL,),
    ),
)

TIME = (
    Mutant(
        "a bucket leaves with its oldest entry",
        "window.py",
        "            buckets[-1] = entry\n",
        "            buckets[-1] = (buckets[-1][0], *entry[1:])\n",
        (
            promise("windows-what_shares_a_bucket_leaves_with_the_newest_of_it"),
            WINDOW + "test_a_sliding_sum_is_never_too_small_and_late_by_less_than_one_bucket",
        ),
    ),
    Mutant(
        "a window ends a bucket early",
        "window.py",
        "horizon_ns = now_ns - self._width_ns",
        "horizon_ns = now_ns - self._width_ns + self._bucket_ns",
        (
            promise("windows-the_window_slides_with_the_clock"),
            WINDOW + "test_what_was_added_leaves_exactly_one_width_later",
        ),
    ),
    Mutant(
        "a window never ends",
        "window.py",
        "horizon_ns = now_ns - self._width_ns",
        "horizon_ns = 0",
        (promise("windows-the_window_slides_with_the_clock"),),
    ),
    Mutant(
        "the retry time is a bucket early",
        "window.py",
        "        return self._buckets[index][0] + self._width_ns\n",
        "        return self._buckets[index][0] + self._width_ns - self._bucket_ns\n",
        (
            promise("admission-it_fits_at_the_retry_time_and_not_a_bucket_earlier"),
            WINDOW + "test_the_retry_time_of_a_sliding_sum_is_exact_to_the_nanosecond",
        ),
    ),
    Mutant(
        "a calendar window ends late",
        "window.py",
        "        if now_ns >= self._end_ns:\n",
        "        if now_ns > self._end_ns:\n",
        (promise("windows-a_calendar_limit_starts_anew_when_its_day_does"),),
    ),
    Mutant(
        "ledger time follows the wall clock",
        "ledger/sqlite.py",
        "        return self._time.now_ns()\n",
        "        return self._clock.wall_ns()\n",
        (promise("windows-a_step_of_the_wall_clock_changes_nothing"), SIMULATION),
    ),
    Mutant(
        "ledger time is not persisted",
        "ledger/sqlite.py",
        "LedgerClock(self._clock, store.last_at_ns(), store.reading())",
        "LedgerClock(self._clock)",
        (
            promise(
                "restarts-after_the_machine_was_started_again_the_wall_clock_says_how_long_it_was_off"
            ),
        ),
    ),
    Mutant(
        "the wall clock counts again at each start",
        "ledger/sqlite.py",
        "LedgerClock(self._clock, store.last_at_ns(), store.reading())",
        "LedgerClock(self._clock, store.last_at_ns())",
        (promise("restarts-a_wall_clock_set_forward_between_two_lives_empties_no_window"),),
    ),
    Mutant(
        "the clock that is ahead counts between two lives",
        "clock.py",
        "    return min((ns for ns in passed if ns >= 0), default=0)\n",
        "    return max((ns for ns in passed if ns >= 0), default=0)\n",
        (
            promise("restarts-a_wall_clock_set_forward_between_two_lives_empties_no_window"),
            promise("restarts-a_boot_clock_of_another_time_namespace_empties_no_window"),
        ),
    ),
    Mutant(
        "the clocks are read at the start alone",
        "ledger/sqlite.py",
        "        batch.reading = self._time.reading()\n",
        "",
        (promise("restarts-a_crash_long_after_the_start_loses_no_time"),),
    ),
)
