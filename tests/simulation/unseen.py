"""Guards that the simulation adds to the mutation table, and those that it cannot see."""

from __future__ import annotations

from collections.abc import Mapping

from tests.mutation.table import Mutant

OWN = (
    Mutant(
        "an error after a batch was sent counts as unsent",
        "interceptors/batch.py",
        "            call.dispatched = True\n",
        "            assert call.dispatched is not None\n",
        (),
    ),
    Mutant(
        "a batch takes one call of the quota",
        "interceptors/batch.py",
        "together.weight = connector.batch_calls(len(part))",
        "together.weight = 1",
        (),
    ),
    Mutant(
        "a batch is larger than the platform takes",
        "interceptors/batch.py",
        "        self._max_batch = max_batch\n",
        "        self._max_batch = 10 * max_batch\n",
        (),
    ),
    Mutant(
        "an auction waits for the breaker",
        "interceptors/fallback.py",
        "if defer and not runtime.link.offline().defers(request):",
        "if False:",
        (),
    ),
    Mutant(
        "a read takes nothing of the quota",
        "interceptors/gate.py",
        "            await self._limiter.take(reserved=reserved, obeys=obeys, asker=asker)\n"
        "            permit",
        "            permit",
        (),
    ),
    Mutant(
        "a pause that the platform orders is not kept",
        "ratelimit/limiter.py",
        "            and now_ns >= not_before_ns\n",
        "",
        (),
    ),
    Mutant(
        "calls before a restart do not count",
        "ratelimit/limiter.py",
        "            self._calls.add(at_ns, count)\n        if self._burst",
        "            assert at_ns\n        if self._burst",
        (),
    ),
    Mutant(
        "calls are made before they are recorded",
        "ratelimit/limiter.py",
        "            if self._claims.use(now_ns, count):\n",
        "            if self._claims.use(now_ns, count) or True:\n",
        (),
    ),
)
"""Of the way that many bids share a call, and of the quota."""

_SAFE = "errs on the safe side: "
_BEHIND = "a second line: "
_WORDS = "no money: "

UNSEEN: Mapping[str, str] = {
    "a superseded hold frees nothing": _SAFE + "a newer bid is refused that would fit",
    "a refusal names any scope": _WORDS + "which of several budgets a refusal names",
    "a refusal for ever names any scope": _WORDS + "which of several budgets a refusal names",
    "one resolved doubt frees the target of all": _BEHIND
    + "the chain never brings two holds in doubt onto one target",
    "the book admits a known request id": _BEHIND
    + "idempotency has looked in the same memory before, and nobody else holds the id meanwhile",
    "the store's memory of request ids is not asked": _BEHIND
    + "idempotency has asked it before, and nobody else holds the id meanwhile",
    "a deferred hold can be settled unsent": _BEHIND
    + "whoever settles a deferred hold dispatches it first",
    "late truth is taken for open holds too, and counts twice": _BEHIND
    + "the keeper settles late only what it has seen to be closed",
    "late truth takes the request id from a later attempt": _BEHIND
    + "the target's lock keeps the later attempt from being held before the truth is in",
    "campaigns are forgotten with their holds": _WORDS + "which campaigns a kill switch finds",
    "truth is dropped when an operator was wrong": "of what an operator has ended without looking"
    " a world expects nothing more",
    "late truth is hidden by the memory that an id is absent": "wants a hold that an operator gave"
    " back and the book has forgotten, which takes 10,000 others",
    "an id that is reserved is taken for a new one later": "wants a hold that the book has"
    " forgotten, which takes 10,000 others",
    "deferring may grow": _BEHIND + "who defers a hold takes the smaller of the two amounts",
    "an older bid that comes back takes the place of a newer one": _WORDS
    + "which of two bids waits; the sums are right for either",
    "two bids are deferred on one target": _BEHIND
    + "the target's lock keeps a newer bid from being tried while an older one is",
    "a paused budget sends what was deferred": _BEHIND
    + "what waits for a paused budget is not even planned",
    "a refused request id is forgotten": _BEHIND + "the file remembers it too",
    "a calendar window ends late": "at one nanosecond an hour, and on the safe side",
    "lost lines are not missed": "wants an older copy of the file, and the process to trust it",
    "a file of another life is taken for ours": "wants files of two servers in one directory",
    "two servers share a directory": "wants a second server",
    "what is in doubt is forgotten after a day": "wants a platform that is away for a day",
    "a process that is killed leaves its change to the kernel": _BEHIND
    + "the kernel drops it within the platform's timeout; with real sockets: `make partition`",
    "a change that is given up is sent to its end": "wants real sockets: `make partition`",
    "Google's channel keeps a mutate for a day": "wants real sockets: `make partition`",
    "a look that fails leaves the quiet period as it is": _BEHIND
    + "the kernel drops a change within the quiet period that begins at the first look",
    "prices are forgotten after a day": _WORDS + "what a price is made from, after a day",
    "an alert is told again after a restart": _WORDS + "which alerts are told",
    "an alert is armed again as soon as its level is left": _WORDS + "which alerts are told",
    "what stood beside budgets is told again after a restart": _WORDS + "which alerts are told",
    "an alert counts as delivered before it is": "alerts are delivered to nobody here",
    "the audit takes what stands twice": _WORDS + "what an audit would say",
    "that the window has emptied is not seen before it fills again": _WORDS
    + "which alerts are told",
    "a stalled disk keeps everybody waiting": _WORDS + "how long a caller waits for a refusal",
    "who comes during a stall waits for its end": _WORDS + "how long a caller waits for a refusal",
    "a ledger that cannot be written admits": _BEHIND
    + "what is admitted then still waits for the disk before it is sent",
    "an unforeseen error behind the call gives the money back": _BEHIND
    + "what is sent and ends in an unforeseen error is put in doubt before anybody asks",
}
"""Name -> why it cannot be seen from here."""
