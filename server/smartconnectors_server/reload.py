"""Reloading the configuration while calls are under way: all of it that changed, or nothing.

What can be changed is listed here by key, and so is what needs a restart, with the reason. Whatever
is on neither list needs one, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smartconnectors_server.alert_settings import AlertSettings
from smartconnectors_server.assembly import (
    accounts_of,
    breaker_settings,
    budgets_of,
    check_sandbox,
    mode_of,
    options_of,
    reserve_percent_of,
    settings_of,
)
from smartconnectors_server.budget import Reconciler
from smartconnectors_server.connector import Platform
from smartconnectors_server.errors import LedgerUnavailable
from smartconnectors_server.interceptors import Engines
from smartconnectors_server.money import format_amount
from smartconnectors_server.settings import Settings, SettingsError
from smartconnectors_server.startup import StartupError

log = logging.getLogger(__name__)

REASON = "configuration reload"
"""What the audit ledger says of a limit that was changed so."""

Key = tuple[str, ...]

RELOADABLE: tuple[str, ...] = (
    "total_budget.limit",
    "reconciler.interval_s",
    "reconciler.max_interval_s",
    "reconciler.quiet_period_s",
    "alerts.in_doubt_after_s",
    "alerts.ledger_slow_ms",
    "alerts.unknown_request_ids",
    "alerts.begins_after_s",
    "alerts.ends_after_s",
    "alerts.webhooks.*.url",
    "alerts.webhooks.*.secret",
    "alerts.webhooks.*.format",
    "alerts.webhooks.*.kinds",
    "platforms.*.min_deadline_ms",
    "platforms.*.min_change_percent",
    "platforms.*.min_interval_s",
    "platforms.*.max_step_percent",
    "platforms.*.max_daily_budget",
    "platforms.*.max_bid",
    "platforms.*.min_roas",
    "platforms.*.amount_may_differ",
    "platforms.*.budget.limit",
    "platforms.*.budget.campaigns.*",
    "platforms.*.rate_limit.calls",
    "platforms.*.rate_limit.burst",
    "platforms.*.rate_limit.reserve_percent",
    "platforms.*.circuit_breaker.failure_threshold",
    "platforms.*.circuit_breaker.slow_call_ms",
    "platforms.*.circuit_breaker.open_s",
    "platforms.*.circuit_breaker.half_open_probes",
    "platforms.*.circuit_breaker.close_after_successes",
    "platforms.*.circuit_breaker.permit_max_age_s",
    "platforms.*.fallback.multiplier",
    "platforms.*.fallback.cap",
    "platforms.*.fallback.min_samples",
)
"""`*` stands for one name. A campaign's limit, or a webhook, can be changed, not added or taken
away."""

NEEDS_RESTART: Mapping[str, str] = {
    "server.*": "listening and logging are set up once",
    "server.tls.*": "certificates are read anew by themselves, whenever their files change",
    "http.*": "as server",
    "http.tls.*": "as server.tls",
    "ledger.*": "the ledger is opened once",
    "telemetry.*": "the exporter is set up once",
    "outgoing.*": "connections are made once",
    "access.*": "which files say who is who; what is in them is read anew by itself",
    "access.jwt.*": "as access",
    "access.certificates.*": "as access",
    "privacy.*": "with another site key, what was bound before would be unknown",
    "total_budget.currency": "sums of another currency would have to begin anew",
    "total_budget.window_s": "a window of another length is filled when the ledger is opened",
    "total_budget.further_limits": "as window_s",
    "platforms.*.budget.currency": "as of total_budget",
    "platforms.*.budget.campaign_default": "campaigns that have it already would need another",
    "platforms.*.budget.candidate_limit": "what it would have admitted is weighed from the start",
    "platforms.*.budget.window_s": "as of total_budget",
    "platforms.*.budget.further_limits": "as of total_budget",
    "platforms.*.rate_limit.window_s": "the calls of another window are read at the start",
    "platforms.*.enabled": "services are offered from the start or not at all",
    "platforms.*.mode": "nobody goes live by a signal",
    "platforms.*.check_account": "the account is read when it is connected",
    "platforms.*.endpoint": "connections are made once",
    "platforms.*.timeout_ms": "calls under way, and how long one may arrive late, go by the old",
    "platforms.*.reported_spend.*": "reports and their share of the quota are set up once",
    "platforms.*.accounts.*": "as options",
    "platforms.*.options.*": "connections are made once, and credentials belong to them",
}
"""Key -> why."""


class ReloadRefused(Exception):
    """The new configuration was not taken; nothing has changed. The message says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key whose value is another one now. A value may be a secret: only `text` shows some."""

    key: Key
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """`platforms.meta.budget.limit`."""
        return ".".join(self.key)

    @property
    def reloadable(self) -> bool:
        """Whether it can take effect without a restart."""
        added_or_gone = self.before is _ABSENT or self.after is _ABSENT
        return not added_or_gone and any(matches(self.key, one) for one in RELOADABLE)

    def text(self, currency_code: str) -> str:
        """The key with both values; a secret shows as stars, because its type does so."""
        before, after = (
            _shown(self.key, value, currency_code) for value in (self.before, self.after)
        )
        return f"{self.name}: {before} -> {after}"


_ABSENT = object()


def matches(key: Key, pattern: str) -> bool:
    """Whether a key is the one of a pattern, in which `*` stands for one name."""
    parts = pattern.split(".")
    return len(parts) == len(key) and all(
        one in ("*", name) for name, one in zip(key, parts, strict=True)
    )


def changes_between(
    before: Settings, after: Settings, platforms: Mapping[str, Platform]
) -> tuple[Change, ...]:
    """Every key that differs, the defaults of platforms filled in. Both have been checked."""
    old, new = dict(_values(before, platforms)), dict(_values(after, platforms))
    return tuple(
        Change(key, old.get(key, _ABSENT), new.get(key, _ABSENT))
        for key in sorted(old.keys() | new.keys())
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    )


class Reloader:
    """Takes new settings into a running server."""

    def __init__(
        self,
        engines: Engines,
        platforms: Mapping[str, Platform],
        enabled: Mapping[str, Platform],
        reconciler: Reconciler,
        follow_alerts: Callable[[AlertSettings], None],
    ) -> None:
        """`platforms`: all there are; `enabled`: those that are served."""
        self._engines = engines
        self._platforms = platforms
        self._enabled = enabled
        self._reconciler = reconciler
        self._follow_alerts = follow_alerts
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, read: Callable[[], Settings]) -> None:
        """Begins to reload, as a signal handler does; the log says what became of it."""
        task = asyncio.create_task(self.reload(read), name="reload")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reload(self, read: Callable[[], Settings]) -> None:
        """Takes the settings that `read` returns, and logs every key that has changed. When they
        are wrong or cannot be taken, that is logged and the old ones go on.
        """
        async with self._one_at_a_time:
            try:
                settings = await asyncio.to_thread(read)
                say(await self.take(settings), settings)
            except (SettingsError, ReloadRefused) as error:
                why = "; ".join(str(error).splitlines())
                log.warning("%s refused, nothing has changed: %s", REASON, why)

    async def take(self, settings: Settings) -> tuple[Change, ...]:
        """Makes what differs take effect with the next call, and says what that was. An operator's
        limit stays unless the configured one has changed.

        Raises ReloadRefused, and has changed nothing then.
        """
        before = self._engines.settings
        changes = changes_between(before, settings, self._platforms)
        if fixed := [change.name for change in changes if not change.reloadable]:
            raise ReloadRefused(f"a restart is needed for {', '.join(fixed)}")
        try:
            old, new = (budgets_of(self._enabled, one) for one in (before, settings))
            for name in self._enabled:
                check_sandbox(self._enabled[name], settings, mode_of(self._enabled[name], settings))
        except StartupError as error:
            raise ReloadRefused(str(error)) from None
        now = {budget.budget_id: budget.limits[0].limit_micros for budget in old}
        limits = {
            budget.budget_id: budget.limits[0].limit_micros
            for budget in new
            if budget.limits[0].limit_micros != now[budget.budget_id]
        }
        if limits:
            await self._set_limits(limits)
        self._follow(settings, changes)
        return changes

    async def _set_limits(self, limits: Mapping[str, int]) -> None:
        keeper = self._engines.keeper
        try:
            await keeper.set_limits(limits, REASON)
        except LedgerUnavailable as error:
            held = {one: keeper.state(one).limits[0].limit.limit_micros for one in limits}
            if held != limits:
                raise ReloadRefused(error.message) from None
            log.warning("%s: the new limits hold, but are not on disk yet: %s", REASON, error)

    def _follow(self, settings: Settings, changes: tuple[Change, ...]) -> None:
        """Nothing is awaited here, so no call sees one half of it."""
        self._engines.settings = settings
        self._reconciler.follow(settings.reconciler.interval_s, settings.reconciler.max_interval_s)
        self._follow_alerts(settings.alerts)
        for name, runtime in self._engines.runtimes.items():
            chosen = runtime.settings = settings_of(settings, name)
            sections = {change.key[2] for change in changes if change.key[:2] == _path(name)}
            if "circuit_breaker" in sections:
                runtime.breaker.follow(breaker_settings(chosen))
            if "rate_limit" in sections:
                limit = chosen.rate_limit.calls or runtime.platform.defaults.rate_limit_calls
                runtime.limiter.follow(
                    limit=limit,
                    burst=chosen.rate_limit.burst,
                    reserve_percent=reserve_percent_of(chosen, runtime.mode, limit),
                )


def say(changes: tuple[Change, ...], settings: Settings) -> None:
    """One line for each key that changed."""
    for change in changes:
        log.info("%s: %s", REASON, change.text(_currency_of(change.key, settings)))
    log.info("%s: %d keys have changed", REASON, len(changes))


def _path(name: str) -> Key:
    return ("platforms", name)


def _values(settings: Settings, platforms: Mapping[str, Platform]) -> Iterator[tuple[Key, Any]]:
    yield from _flat((), settings.model_dump(exclude={"platforms"}, exclude_none=False))
    for name, platform in platforms.items():
        chosen = settings_of(settings, name)
        document = chosen.model_dump(exclude={"options", "accounts"})
        defaults = platform.defaults
        for section, key, default in (
            ("budget", "limit", defaults.budget_micros),
            ("rate_limit", "calls", defaults.rate_limit_calls),
            ("rate_limit", "window_s", defaults.rate_limit_window_s),
            ("fallback", "multiplier", defaults.fallback_multiplier_milli),
        ):
            if document[section][key] is None:
                document[section][key] = default
        yield from _flat(_path(name), document)
        yield from _flat((*_path(name), "options"), options_of(platform, chosen).model_dump())
        for account, options in accounts_of(platform, chosen).items():
            if account:
                yield (*_path(name), "accounts", account), options


def _flat(path: Key, document: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    for name, value in document.items():
        key = (*path, name)
        if isinstance(value, Mapping):
            yield from _flat(key, value)
        elif key != ("total_budget",):  # absent: none of its keys is there
            yield key, value


def _currency_of(key: Key, settings: Settings) -> str:
    if key[0] == "platforms":
        return settings_of(settings, key[1]).budget.currency
    return settings.total_budget.currency if settings.total_budget is not None else "USD"


def _shown(key: Key, value: Any, currency_code: str) -> str:
    if value is None:
        return "absent"
    if (
        key[-1] in ("limit", "campaign_default", "max_bid", "max_daily_budget")
        or "campaigns" in key
    ):
        return format_amount(value, currency_code)
    return f"{value / 1000:g}" if key[-1] == "multiplier" else str(value)
