"""What a state directory belongs to: for each platform a mode, an endpoint and ad accounts.

What waits or is in doubt was meant for one account somewhere. Nothing of it may be sent, looked up
or answered in another, so a start with other settings is refused unless an operator adopts the
directory for them, which is possible only while nothing of the platform is open. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from smartconnectors_server.ledger.records import Entry, Hold, HoldState
from smartconnectors_server.ledger.shadow import real_of

BIND = "bind"
"""The verb of a line that binds a platform for the first time, or adds an account."""
ADOPT = "adopt"
"""The verb of a line that binds a platform to something else, as an operator wanted."""
BINDING = (BIND, ADOPT)
_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the bids of one platform go.

    Attributes:
        platform: its name, also in shadow mode.
        mode: sandbox, shadow or live.
        endpoint: as it is configured; empty: the built-in sandbox, or the real platform.
        accounts: name -> what identifies the ad account.
    """

    platform: str
    mode: str
    endpoint: str
    accounts: Mapping[str, str]

    def place(self, account: str) -> str:
        """What a hold carries of it. Raises KeyError for an account that is not there."""
        return json.dumps([self.mode, self.endpoint, self.accounts[account]])

    @property
    def places(self) -> tuple[str, ...]:
        """Of all accounts."""
        return tuple(self.place(account) for account in self.accounts)

    def extends(self, other: Binding) -> bool:
        """Whether nothing but accounts may have been added since the other."""
        same = (self.platform, self.mode, self.endpoint) == (
            other.platform,
            other.mode,
            other.endpoint,
        )
        return same and all(
            self.accounts.get(name) == account for name, account in other.accounts.items()
        )

    def described(self) -> str:
        """As the note of an audit line."""
        document = {"mode": self.mode, "endpoint": self.endpoint, "accounts": dict(self.accounts)}
        return json.dumps(document, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class Adoption:
    """An operator's word that the directory may belong to what is configured now."""

    platforms: Collection[str] = ()
    actor: str = ""


NO_ADOPTION = Adoption()


def binding_of_line(line: Entry) -> Binding:
    """What `Binding.described` was made of. Raises ValueError, KeyError or TypeError for another
    text.
    """
    document = json.loads(line.note)
    return Binding(line.platform, document["mode"], document["endpoint"], document["accounts"])


def bindings_of(lines: Iterable[Entry]) -> dict[str, Binding]:
    """Platform -> what it is bound to, by all lines that bind, oldest first."""
    return {line.platform: binding_of_line(line) for line in lines}


def mode_of_place(place: str) -> str:
    """The mode in what a hold carries."""
    return str(json.loads(place)[0]) if place else "unknown"


def objection(
    before: Binding | None, now: Binding, opened: Sequence[Hold], adopted: bool
) -> str | None:
    """Why a start with `now` is refused; None: it is not. `opened`: all open holds."""
    if before is None or now.extends(before):
        return None
    held = [hold for hold in opened if real_of(hold.platform) == now.platform]
    name = now.platform
    if adopted and not held:
        return None
    differs = f"{name}: this state directory belongs to other settings: {_differences(before, now)}"
    if held:
        return (
            f"{differs}. It cannot be adopted while bids are open ({_listed(held)}): they must not "
            "be sent or looked up elsewhere. Start once more with the former settings until they "
            "have ended (deferred bids are placed or expire, doubtful ones are looked up; `holds "
            f"resolve` ends one by hand), then start with `serve --adopt {name}`. Or use another "
            "--state-dir."
        )
    return (
        f"{differs}. Use another --state-dir or the former settings. To go on here, start once "
        f"with `serve --adopt {name}`: what was committed still counts, request ids stay taken."
    )


def _differences(before: Binding, now: Binding) -> str:
    found = []
    if before.mode != now.mode:
        found.append(f"mode {before.mode}, now {now.mode}")
    if before.endpoint != now.endpoint:
        found.append(f"endpoint {_endpoint(before)}, now {_endpoint(now)}")
    for account, was in before.accounts.items():
        new = now.accounts.get(account)
        if new is None:
            found.append(f"account {account!r} ({was or 'no id'}), now absent")
        elif new != was:
            found.append(f"account {account!r} {was or 'no id'}, now {new or 'no id'}")
    return "; ".join(found)


def _endpoint(binding: Binding) -> str:
    if binding.endpoint:
        return binding.endpoint
    return "the built-in sandbox" if binding.mode == "sandbox" else "the real platform"


def _listed(held: Sequence[Hold]) -> str:
    states = (HoldState.HELD, HoldState.DEFERRED, HoldState.IN_DOUBT)
    counts = {state: sum(hold.state is state for hold in held) for state in states}
    words = ", ".join(f"{n} {state.value.replace('_', ' ')}" for state, n in counts.items() if n)
    ids = ", ".join(hold.request_id for hold in held[:_NAMED_AT_MOST])
    more = f" and {len(held) - _NAMED_AT_MOST} more" if len(held) > _NAMED_AT_MOST else ""
    return f"{words}: request {ids}{more}"
