"""A caller: its name, its role, and what it is let at."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

_SHADOW = "shadow/"
"""Stands before the name of a budget or a platform in shadow mode: who may see one, sees its
shadow."""
_SHARED = frozenset({"total", "all"})
"""What counts on every platform: the budget of all of them, and their common pause."""


class Role(enum.IntEnum):
    """What one may do; each includes those before it. The numbers are those of the proto's Role."""

    NONE = 0
    READ = 1
    BID = 2
    OPERATE = 3

    @classmethod
    def named(cls, name: str) -> Role:
        """`read`, `bid`, `operate`; anything else: none."""
        return _BY_NAME.get(name, cls.NONE)

    @property
    def word(self) -> str:
        """As it is written in settings and tokens."""
        return self.name.lower()


_BY_NAME = {role.name.lower(): role for role in (Role.READ, Role.BID, Role.OPERATE)}


def _set(names: Iterable[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which platforms and campaigns; None: all of them.

    Who is restricted to campaigns still sees the budget of their platform: every answer to its own
    bids tells it, because those bids count in it. It sees no other campaign's budget, and changes
    no budget but its campaigns'. The budget `total` is for those without any restriction.
    """

    platforms: frozenset[str] | None = None
    campaigns: frozenset[str] | None = None

    @classmethod
    def of(cls, platforms: Iterable[str] | None, campaigns: Iterable[str] | None) -> Scope:
        """The scope of a grant as it is written."""
        return cls(_set(platforms), _set(campaigns))

    @property
    def unrestricted(self) -> bool:
        """True when it leaves nothing out."""
        return self.platforms is None and self.campaigns is None

    def has_platform(self, platform: str) -> bool:
        """True when a platform is in it, for some campaign at least."""
        return self.platforms is None or platform in self.platforms

    def has_campaign(self, platform: str, campaign_id: str) -> bool:
        """True when a campaign of a platform is in it."""
        return self.has_platform(platform) and (
            self.campaigns is None or campaign_id in self.campaigns
        )

    def has_all_of(self, platform: str) -> bool:
        """True when every campaign of a platform is in it."""
        return self.campaigns is None and self.has_platform(platform)

    def sees_budget(self, budget_id: str) -> bool:
        """True when its figures may be told."""
        if self.unrestricted:
            return True
        platform, slash, below = budget_id.removeprefix(_SHADOW).partition("/")
        if not slash:
            return platform not in _SHARED and self.has_platform(platform)
        kind, _, campaign_id = below.partition("/")
        return kind == "campaigns" and self.has_campaign(platform, campaign_id)

    def sees_hold(self, platform: str, budget_ids: Iterable[str]) -> bool:
        """True when a hold that counts in these budgets may be told, and what was done to it. Its
        campaign is among them, whether or not that has a budget of its own.
        """
        return self.has_all_of(platform.removeprefix(_SHADOW)) or any(
            "/" in budget_id.removeprefix(_SHADOW) and self.sees_budget(budget_id)
            for budget_id in budget_ids
        )

    def changes_budget(self, budget_id: str) -> bool:
        """True when a caller with the role for it may change it."""
        real = budget_id.removeprefix(_SHADOW)
        return self.sees_budget(budget_id) and ("/" in real or self.has_all_of(real))


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known."""

    name: str
    """For logs and the audit ledger. Never a secret."""
    role: Role
    scope: Scope = field(default_factory=Scope)
    expires_ns: int | None = None
    """When what it showed stops counting, in wall time; None: never."""


ANYBODY = Caller("anonymous", Role.OPERATE)
"""Every caller of a server without access control."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows."""

    authorization: str = ""
    """The `authorization` metadata; empty: none."""
    names: tuple[str, ...] = ()
    """The names in its verified certificate, each after its kind: `dns:model.example.com`."""

    def __repr__(self) -> str:
        """Never the token: this may be logged with whatever holds it."""
        return f"Credentials(token={'yes' if self.authorization else 'no'}, names={self.names})"
