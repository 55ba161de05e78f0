"""The second half of the table: the store, the keeper and the chain."""

from __future__ import annotations

from tests.mutation.table import (
    ADMISSION,
    BUDGET,
    CHAIN,
    COMMIT,
    DAMAGE,
    HOLDS,
    SIMULATION,
    SQLITE,
    TIME,
    Mutant,
    promise,
)
from tests.mutation.table_network import LOOKS, NETWORK

ADOPTION = "tests/server/interceptors/test_adoption.py::"
LOCK = "tests/server/ledger/test_lock.py::"
TAKEN_OVER = "tests/server/ledger/test_taken_over.py::"
AUDITED = "tests/server/ledger/test_audit_alerts.py::"
KNOWN_IDS = "tests/server/ledger/test_known_ids.py::"
DELIVERY = "tests/server/alerts/test_delivery.py::"
EMBEDDED = "tests/server/ledger/test_embedded.py::"

STORE = (
    Mutant(
        "what was held at a crash stays held",
        "ledger/recovery.py",
        "        if hold.state is HoldState.HELD\n",
        "        if hold.state is HoldState.SETTLED\n",
        (promise("restarts-what_was_held_is_in_doubt_afterwards"),),
    ),
    Mutant(
        "open holds are forgotten at a restart",
        "ledger/recovery.py",
        "    opened = store.open_holds()\n",
        "    opened = store.open_holds()[:0]\n",
        (promise("restarts-what_was_deferred_or_in_doubt_stays_so"), SIMULATION),
    ),
    Mutant(
        "the window is empty after a restart",
        "ledger/recovery.py",
        "since_ns = now_ns - round(_length_s(budget) * NANOS_PER_SECOND)",
        "since_ns = now_ns",
        (promise("restarts-what_was_committed_is_still_in_its_window"), SIMULATION),
    ),
    Mutant(
        "what was committed late is not in the window after a restart",
        "ledger/store.py",
        '"SELECT at_ns, amount_micros FROM entries"  # noqa: S608 - a constant\n'
        "            f\" WHERE verb IN ('settle', 'settle_late')",
        '"SELECT at_ns, amount_micros FROM entries"\n            f" WHERE verb IN (\'settle\')',
        (promise("restarts-what_was_committed_late_is_still_in_its_window"),),
    ),
    Mutant(
        "an old copy of the whole directory starts",
        "ledger/store.py",
        "                check_mark(mark_file, self._last, self._hash_of, self._path)\n",
        "                pass\n",
        (
            EMBEDDED
            + "test_an_old_copy_of_the_whole_directory_is_refused_by_the_mark_outside_of_it",
        ),
    ),
    Mutant(
        "a start without a thread for commits waits",
        "ledger/group_commit.py",
        '        self._thread = self._pool(1, "ledger")\n',
        "",
        (EMBEDDED + "test_a_ledger_that_gets_no_thread_says_so_and_gives_its_directory_back",),
    ),
    Mutant(
        "a total counts what names it alone",
        "ledger/totals.py",
        "    return budget_ids if not platform or total in budget_ids else (*budget_ids, total)\n",
        "    return budget_ids\n",
        (promise("restarts-what_is_open_counts_in_a_total_that_is_configured_later"),),
    ),
    Mutant(
        "a total that comes later begins empty",
        "ledger/totals.py",
        "OR :budget_id = CASE",
        "OR NULL = CASE",
        (
            promise(
                "restarts-a_total_that_is_configured_later_counts_what_its_platforms_committed"
            ),
            promise(
                "restarts-"
                "a_total_that_is_taken_out_and_put_back_counts_what_was_committed_meanwhile"
            ),
        ),
    ),
    Mutant(
        "an operator's limit is lost at a restart",
        "ledger/recovery.py",
        "        limits = (first, *limits[1:])\n",
        "        del first\n",
        (promise("restarts-an_operators_limit_and_pause_win_over_the_configuration"),),
    ),
    Mutant(
        "a bid is told to be superseded before that is on disk",
        "ledger/sqlite.py",
        "        if hold is not None and hold.state is HoldState.SUPERSEDED:\n",
        "        if hold is not None and hold.state is HoldState.HELD:\n",
        (SQLITE + "test_a_bid_is_not_told_to_be_superseded_before_that_is_on_disk",),
    ),
    Mutant(
        "a reserve that is not durable is not given back",
        "ledger/sqlite.py",
        "        except (Unavailable, asyncio.CancelledError) as error:\n",
        "        except ZeroDivisionError as error:\n",
        (
            SQLITE + "test_a_full_disk_admits_nothing_and_loses_nothing",
            promise("admission-who_stops_waiting_for_a_reserve_holds_nothing"),
        ),
    ),
    Mutant(
        "a reserve does not wait until it is durable",
        "ledger/sqlite.py",
        "        await self._durable_or_give_back(step)\n",
        "        self._later(step)\n",
        (SQLITE + "test_a_full_disk_admits_nothing_and_loses_nothing",),
    ),
    Mutant(
        "a dispatch that is not durable is not taken back",
        "ledger/sqlite.py",
        "        except (Unavailable, asyncio.CancelledError):\n",
        "        except ZeroDivisionError:\n",
        (SQLITE + "test_a_dispatch_that_cannot_be_written_leaves_the_bid_deferred",),
    ),
    Mutant(
        "a request id stays taken until the file has heard that it is free",
        "ledger/sqlite.py",
        "return None if hold.state is HoldState.RELEASED else hold",
        "return hold",
        (promise("holds-late_truth_does_not_take_the_request_id_from_a_later_attempt"),),
    ),
    Mutant(
        "late truth is hidden by the memory that an id is absent",
        "ledger/sqlite.py",
        "self._ids.add(step.hold.key)",
        "assert step.hold",
        (SQLITE + "test_late_truth_binds_an_id_that_was_known_to_be_absent",),
    ),
    Mutant(
        "an id that the file has is taken for a new one",
        "ledger/known_ids.py",
        "                for _, key in rows:\n                    self._set(bits, key)\n",
        "",
        (KNOWN_IDS + "test_what_the_file_has_is_known_however_many_pages_it_is_on",),
    ),
    Mutant(
        "an id that is reserved is taken for a new one later",
        "ledger/known_ids.py",
        "                self._set(bits, key)\n\n",
        "                assert bits\n\n",
        (KNOWN_IDS + "test_what_is_added_while_the_file_is_read_in_is_known_at_every_moment",),
    ),
    Mutant(
        "lost lines are not missed",
        "ledger/store.py",
        "        if last < number:\n",
        "        if last < 0:\n",
        (DAMAGE + "test_an_older_copy_of_the_file_is_recognised",),
    ),
    Mutant(
        "a file of another life is taken for ours",
        "ledger/store.py",
        "        if marked_hash and self._hash_of(number) != marked_hash:\n",
        "        if marked_hash and self._hash_of(number) == '':\n",
        (DAMAGE + "test_a_file_of_another_life_is_recognised",),
    ),
    Mutant(
        "a line that was committed after all is chained twice",
        "ledger/store.py",
        "            if entry.sequence <= last:\n",
        "            if entry.sequence < 0:\n",
        (SIMULATION,),
    ),
    Mutant(
        "what is in doubt is forgotten after a day",
        "ledger/store.py",
        "for state in HoldState if not state.is_open)",
        "for state in HoldState)",
        (SQLITE + "test_what_is_open_is_never_forgotten",),
    ),
    Mutant(
        "prices are forgotten after a day",
        "ledger/store.py",
        "AND priced AND updated_ns >= coalesce(",
        "AND priced AND updated_ns < coalesce(",
        (SQLITE + "test_the_last_prices_are_kept_however_many_unpriced_changes_follow",),
    ),
    Mutant(
        "an alert is told again after a restart",
        "ledger/recovery.py",
        "        if alert:\n",
        "        if alert and alert[-1].verb == ALERT_END:\n",
        (promise("alerts-a_restart_tells_nothing_twice_and_forgets_nothing"),),
    ),
    Mutant(
        "an alert is armed again as soon as its level is left",
        "ledger/alerts.py",
        "PERCENT[standing] - REARM_POINTS",
        "PERCENT[standing]",
        (promise("alerts-what_is_given_back_near_a_level_does_not_tell_it_again"),),
    ),
    Mutant(
        "that the window has emptied is not seen before it fills again",
        "ledger/alerts.py",
        "left = before.get(budget_id, stood)",
        "left = stood",
        (promise("alerts-a_level_is_told_again_when_time_alone_has_emptied_the_window"),),
    ),
    Mutant(
        "what stood beside budgets is told again after a restart",
        "ledger/alert_log.py",
        "{subject for subject in subjects if subject is not None}",
        "set()",
        (promise("alerts-a_condition_is_on_record_once_over_restarts_until_it_ends"),),
    ),
    Mutant(
        "an alert counts as delivered before it is",
        "alerts/delivery.py",
        "min((w.alert.sequence for w in self._waiting), default=self._read_to + 1)",
        "self._read_to + 1",
        (DELIVERY + "test_what_a_crash_falls_between_is_delivered_again_with_the_same_id",),
    ),
    Mutant(
        "the audit takes what stands twice",
        "ledger/audit_alerts.py",
        "        if begins == (subject in self._standing):\n",
        "        if False:\n",
        (AUDITED + "test_a_condition_begins_and_ends_in_turns_for_each_platform_and_request",),
    ),
    Mutant(
        "a failed batch is lost",
        "ledger/group_commit.py",
        "                batch.steps + self._queue.steps,\n",
        "                self._queue.steps,\n",
        (SQLITE + "test_a_full_disk_admits_nothing_and_loses_nothing",),
    ),
    Mutant(
        "a stalled disk keeps everybody waiting",
        "ledger/group_commit.py",
        "asyncio.wait([running], timeout=self._commit_timeout_s)",
        "asyncio.wait([running])",
        (SQLITE + "test_a_stalled_disk_admits_nothing_and_gives_back_what_it_promised",),
    ),
    Mutant(
        "who comes during a stall waits for its end",
        "ledger/group_commit.py",
        "                waiters += self._waiters\n",
        "                waiters += []\n",
        (COMMIT + "test_a_stalled_commit_refuses_everybody_within_its_timeout",),
    ),
    Mutant(
        "a ledger that cannot be written admits",
        "ledger/group_commit.py",
        "        self._available = False\n        self._why = why",
        "        self._why = why",
        (COMMIT + "test_a_failed_commit_refuses_who_waits_and_loses_nothing",),
    ),
    Mutant(
        "two servers share a directory",
        "ledger/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        (promise("restarts-a_second_server_is_refused_and_told_who_has_it"),),
    ),
    Mutant(
        "the lock is on a file that can be removed",
        "ledger/lock.py",
        "        self._locked = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)\n",
        "        self._locked = os.open(path, os.O_RDWR | os.O_CREAT)\n",
        (LOCK + "test_a_lock_file_that_is_removed_lets_no_second_server_in",),
    ),
    Mutant(
        "a second writer is not noticed",
        "ledger/store.py",
        "        if found != (self._last, self._head):\n",
        "        if found is None:\n",
        (TAKEN_OVER + "test_a_hold_of_another_writer_is_not_overwritten",),
    ),
    Mutant(
        "what was written to a file that is gone counts as written",
        "ledger/same_files.py",
        "            if _identity(path) != identity:\n",
        "            if _identity(path) is identity is None:\n",
        (TAKEN_OVER + "test_what_is_removed_or_replaced_under_a_server_is_written_to_no_more",),
    ),
    Mutant(
        "a ledger that was taken over is written again",
        "ledger/group_commit.py",
        "            self._taken_over = isinstance(error, TakenOver)\n",
        "",
        (TAKEN_OVER + "test_a_ledger_whose_file_was_replaced_is_available_again_after_a_start",),
    ),
    Mutant(
        "a ledger may belong to another mode, account or endpoint",
        "ledger/adopting.py",
        "        raise BoundElsewhere(",
        "        log.error(",
        (ADOPTION + "test_a_bid_that_waits_is_never_sent_anywhere_else",),
    ),
    Mutant(
        "a ledger is adopted while bids are open",
        "ledger/bindings.py",
        "    if adopted and not held:\n",
        "    if adopted:\n",
        (ADOPTION + "test_a_bid_that_waits_is_never_sent_anywhere_else",),
    ),
    Mutant(
        "a deferred bid is placed wherever its request goes now",
        "interceptors/deferred.py",
        "        if not runtime.goes_to_place_of(hold, request):\n",
        "        if not hold:\n",
        (ADOPTION + "test_a_deferred_hold_of_another_place_is_not_placed_and_expires",),
    ),
    Mutant(
        "a doubt is looked up wherever its request goes now",
        "connections.py",
        "        if not runtime.goes_to_place_of(hold, request):\n",
        "        if not hold:\n",
        (ADOPTION + "test_a_doubt_of_another_place_is_not_looked_up_and_keeps_no_other_from_it",),
    ),
    Mutant(
        "an answer of another account is given again",
        "interceptors/idempotency.py",
        "        if not self._engines.runtime(call).goes_to_place_of(hold, request):\n",
        "        if not hold:\n",
        (
            ADOPTION
            + "test_an_id_that_was_used_elsewhere_is_refused_and_answered_again_where_it_was_used",
        ),
    ),
)

KEEPER = (
    Mutant(
        "nothing waits for the quiet period",
        "budget/resolution.py",
        "    if not quiet:\n        return Verb.WAIT\n",
        "",
        (BUDGET + "test_resolution.py", SIMULATION),
    ),
    Mutant(
        "what nobody can say is given back",
        "budget/resolution.py",
        "return Verb.RELEASE if finding is Finding.NOT_APPLIED else Verb.SETTLE_ASSUMED",
        "return Verb.RELEASE",
        (BUDGET + "test_resolution.py", SIMULATION),
    ),
    Mutant(
        "an unforeseen error behind the call gives the money back",
        "budget/resolution.py",
        "return Outcome.UNKNOWN if dispatched else Outcome.NOT_SENT",
        "return Outcome.NOT_SENT",
        (BUDGET + "test_resolution.py",),
    ),
    Mutant(
        "campaigns are forgotten with their holds",
        "ledger/store.py",
        "            if new := self._new_campaigns(batch):\n",
        "            if (new := self._new_campaigns(batch)) and not new:\n",
        (promise("restarts-campaigns_that_something_was_sent_for_are_known_for_ever"),),
    ),
    Mutant(
        "a pause of what has no budget ends at a restart",
        "ledger/recovery.py",
        "        if paused:\n",
        "        if paused and scope in book.budget_ids():\n",
        (promise("restarts-pauses_of_what_has_no_budget_are_kept"),),
    ),
    Mutant(
        "an operator gives back what is being sent",
        "budget/keeper.py",
        "        if hold.state is HoldState.HELD:\n            # What a crash",
        "        if False:\n            # What a crash",
        (BUDGET + "test_keeper.py::test_an_operator_cannot_end_a_hold_whose_call_is_under_way",),
    ),
    Mutant(
        "truth is dropped when an operator was wrong",
        "budget/keeper.py",
        "if verb is not Verb.SETTLE or now.state is HoldState.SETTLED:",
        "if verb is not None:",
        (BUDGET + "test_keeper.py::test_truth_enters_though_an_operator_gave_it_back",),
    ),
    Mutant(
        "a fallback price is not capped",
        "budget/pricing.py",
        "bid = min(uncapped, cap) if capped and cap > 0 else uncapped",
        "bid = uncapped",
        (BUDGET + "test_pricing.py",),
    ),
)

CHAIN_OF_GUARDS = (
    Mutant(
        "another payload under a finished id is answered",
        "interceptors/idempotency.py",
        "        if hold.fingerprint != call.fingerprint:\n",
        "        if hold.fingerprint is None:\n",
        (CHAIN + "test_idempotency.py",),
    ),
    Mutant(
        "a running request is sent again",
        "interceptors/idempotency.py",
        "            self._running[key] = running\n",
        "            pass\n",
        (CHAIN + "test_idempotency.py",),
    ),
    Mutant(
        "a caller that hangs up stops what holds money",
        "interceptors/idempotency.py",
        "if nobody_else and not running.call.held and not running.task.done():",
        "if nobody_else and not running.task.done():",
        (CHAIN + "test_idempotency.py",),
    ),
    Mutant(
        "an error after the dispatch counts as unsent",
        "interceptors/rate_limit.py",
        "        call.dispatched = True\n",
        "",
        (CHAIN + "test_budget.py", SIMULATION),
    ),
    Mutant(
        "two changes of one target are under way",
        "interceptors/plan.py",
        "            async with runtime.targets.hold(plan.target, call):\n",
        "            async with runtime.targets.hold(plan.target + call.request_id, call):\n",
        (SIMULATION,),
    ),
    Mutant(
        "a doubt is settled without asking",
        "interceptors/sending.py",
        "            await keeper.resolve(hold, verb, error=stored, note=note)\n",
        "            await keeper.resolve(hold, Verb.RELEASE, error=stored, note=note)\n",
        (CHAIN + "test_budget.py", SIMULATION),
    ),
    Mutant(
        "a call is sent beyond the platform's quota",
        "interceptors/rate_limit.py",
        "        await runtime.limiter.take(\n"
        "            call.weight,\n"
        "            reserved=call.reserved,\n"
        "            # The platform can refuse a pause by itself.\n"
        "            obeys=() if call.urgent else runtime.obeys(request),\n"
        "            asker=call.asker,\n"
        "        )\n",
        "",
        (SIMULATION,),
    ),
)

TABLE = (*ADMISSION, *HOLDS, *TIME, *STORE, *KEEPER, *NETWORK, *LOOKS, *CHAIN_OF_GUARDS)
