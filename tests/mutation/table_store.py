"""The second half of the table: the store, the keeper and the chain."""

from __future__ import annotations

from tests.mutation.table import (
    ADMISSION,
    BUDGET,
    CHAIN,
    COMMIT,
    HOLDS,
    SIMULATION,
    SQLITE,
    TIME,
    Mutant,
    promise,
)

STORE = (
    Mutant(
        "what was held at a crash stays held",
        "ledger/sqlite.py",
        "return [hold.hold_id for hold in opened if hold.state is HoldState.HELD]",
        "return []",
        (promise("restarts-what_was_held_is_in_doubt_afterwards"),),
    ),
    Mutant(
        "open holds are forgotten at a restart",
        "ledger/sqlite.py",
        "        opened = store.open_holds()\n",
        "        opened: list[Hold] = []\n",
        (promise("restarts-what_was_deferred_or_in_doubt_stays_so"), SIMULATION),
    ),
    Mutant(
        "the window is empty after a restart",
        "ledger/sqlite.py",
        "since_ns = self.now_ns() - round(length_s * NANOS_PER_SECOND)",
        "since_ns = self.now_ns()",
        (promise("restarts-what_was_committed_is_still_in_its_window"), SIMULATION),
    ),
    Mutant(
        "what was committed late is not in the window after a restart",
        "ledger/store.py",
        "            \" WHERE verb IN ('settle', 'settle_late') AND at_ns > ?\"\n",
        "            \" WHERE verb IN ('settle') AND at_ns > ?\"\n",
        (promise("restarts-what_was_committed_late_is_still_in_its_window"),),
    ),
    Mutant(
        "an operator's limit is lost at a restart",
        "ledger/sqlite.py",
        "                limits = (first, *limits[1:])\n",
        "                del first\n",
        (promise("restarts-an_operators_limit_and_pause_win_over_the_configuration"),),
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
        "self._absent.pop((step.hold.platform, step.hold.request_id), None)",
        "assert step.hold",
        (SQLITE + "test_late_truth_binds_an_id_that_was_known_to_be_absent",),
    ),
    Mutant(
        "lost lines are not missed",
        "ledger/store.py",
        "        if last < marked:\n",
        "        if last < 0:\n",
        (SQLITE + "test_an_older_copy_of_the_file_is_recognised",),
    ),
    Mutant(
        "what is in doubt is forgotten after a day",
        "ledger/store.py",
        "state NOT IN ('held', 'deferred', 'in_doubt') AND updated_ns",
        "state NOT IN ('held', 'deferred') AND updated_ns",
        (SQLITE + "test_what_is_open_is_never_forgotten",),
    ),
    Mutant(
        "prices are forgotten after a day",
        "ledger/store.py",
        "WHERE rank <= ?2) LIMIT 1000)",
        "WHERE rank > ?2) LIMIT 1000)",
        (SQLITE + "test_the_last_prices_are_kept_however_many_unpriced_changes_follow",),
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
        "        self._available = False\n        for waiter in waiters:",
        "        for waiter in waiters:",
        (COMMIT + "test_a_failed_commit_refuses_who_waits_and_loses_nothing",),
    ),
    Mutant(
        "two servers share a directory",
        "ledger/lock.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        (promise("restarts-a_second_server_is_refused_and_told_who_has_it"),),
    ),
)

KEEPER = (
    Mutant(
        "the quiet period runs from the reserve",
        "budget/reconciler.py",
        "self._keeper.now_ns() - hold.updated_ns",
        "self._keeper.now_ns() - hold.dispatched_ns",
        (BUDGET + "test_reconciler.py::test_the_quiet_period_begins_when_the_call_has_ended",),
    ),
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
        "        await runtime.limiter.take(call.weight, reserved=call.spec.urgent)\n",
        "",
        (SIMULATION,),
    ),
)

TABLE = (*ADMISSION, *HOLDS, *TIME, *STORE, *KEEPER, *CHAIN_OF_GUARDS)
