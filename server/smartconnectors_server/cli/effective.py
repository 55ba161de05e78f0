"""Every key and the value in effect: what `check-config` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from smartconnectors_server.assembly import (
    accounts_of,
    mode_of,
    options_of,
    quiet_period_s,
    reserve_percent_of,
)
from smartconnectors_server.clock import NANOS_PER_SECOND, Clock, SystemClock
from smartconnectors_server.connections import checks_account, is_asked
from smartconnectors_server.connector import Mode, Platform
from smartconnectors_server.customers import FILE_NAME
from smartconnectors_server.interceptors.change_rules import ChangeRules
from smartconnectors_server.listening import connections_of, http_connections_of
from smartconnectors_server.money import format_amount
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.settings import PlatformSettings, Settings

NOTHING = "–"
"""Of a key that is not set, and in whose place nothing else counts."""

_SECRET = re.compile(r"secret|token|password|api_key|private")
_AMOUNTS = ("limit", "campaign_default", "candidate_limit", "max_bid", "max_daily_budget")


def effective(settings: Settings, clock: Clock | None = None) -> Iterator[tuple[str, Any]]:
    """Every key and the value in effect: where a key is absent, what counts in its place; secrets
    as "set"; and what is going to stop working, by the clock's date. The settings have been
    checked.
    """
    wall_ns = (clock or SystemClock()).wall_ns()
    today = datetime.fromtimestamp(wall_ns / NANOS_PER_SECOND, UTC).date()
    plain = settings.model_dump(exclude={"platforms"})
    plain["server"]["max_connections"] = connections_of(settings.server, http=settings.http)
    plain["http"]["max_connections"] = http_connections_of(settings.http)
    if plain["privacy"]["site_key_file"] is None:
        plain["privacy"]["site_key_file"] = settings.server.state_dir / FILE_NAME
    if plain["reconciler"]["quiet_period_s"] is None:
        plain["reconciler"]["quiet_period_s"] = {
            name: quiet_period_s(settings, name)
            for name in PLATFORMS
            if name not in settings.platforms or settings.platforms[name].enabled
        }
    for name in plain:
        yield from _flat(name, plain[name], str((plain[name] or {}).get("currency", "USD")))
    for platform in PLATFORMS.values():
        yield from _of_platform(platform, settings, today)


def _of_platform(platform: Platform, settings: Settings, today: date) -> Iterator[tuple[str, Any]]:
    path = f"platforms.{platform.name}"
    values = settings.platforms.get(platform.name, PlatformSettings())
    if not values.enabled:
        yield f"{path}.enabled", False
        return
    mode = mode_of(platform, settings)
    currency = values.budget.currency
    accounts = accounts_of(platform, values)
    missing = ", ".join(
        dict.fromkeys(
            one for account in accounts.values() for one in platform.missing_credentials(account)
        )
    )
    each = [platform.warnings(account, today) for account in accounts.values()]
    if warnings := dict.fromkeys(one for some in each for one in some):
        yield f"{path}.warning", "; ".join(warnings)
    yield f"{path}.credentials", f"missing: {missing}" if missing else "complete"
    yield from _flat(path, _filled(platform, values, mode), currency)
    # Calls go where no real platform is, whatever the mode, when there is an endpoint.
    where = Mode.SANDBOX if values.endpoint is not None else mode
    options = options_of(platform, values)
    shown = {**options.model_dump(), **platform.effective_options(options, where)}
    yield from _flat(f"{path}.options", shown, currency)
    for account, own in values.accounts.items():
        yield from _flat(f"{path}.accounts.{account}", own, currency)


def _filled(platform: Platform, values: PlatformSettings, mode: Mode) -> dict[str, Any]:
    """The platform's own section with what counts in the place of what is absent."""
    document = values.model_dump(exclude={"options", "accounts"})
    defaults = platform.defaults
    calls = values.rate_limit.calls or defaults.rate_limit_calls
    rules = ChangeRules.of(values, mode)
    own_sandbox = mode is Mode.SANDBOX and values.endpoint is None
    document |= {
        "mode": mode.value,
        "check_account": checks_account(values, mode),
        "min_change_percent": rules.min_change_percent,
        "min_interval_s": rules.min_interval_s,
        "max_step_percent": rules.max_step_percent,
        "endpoint": values.endpoint
        or ("a sandbox of its own" if own_sandbox else "the real platform"),
    }
    for section, key, default in (
        ("budget", "limit", defaults.budget_micros),
        ("rate_limit", "calls", calls),
        ("rate_limit", "window_s", defaults.rate_limit_window_s),
        ("rate_limit", "burst", calls),
        ("rate_limit", "reserve_percent", reserve_percent_of(values, mode, calls)),
        ("fallback", "multiplier", defaults.fallback_multiplier_milli),
        ("reported_spend", "enabled", is_asked(values.reported_spend, mode)),
    ):
        if document[section][key] is None:
            document[section][key] = default
    return document


def _flat(path: str, value: Any, currency: str) -> Iterator[tuple[str, Any]]:
    key = path.rpartition(".")[2]
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{path}.{name}", item, currency)
    elif isinstance(value, tuple) and value:
        for index, item in enumerate(value):
            yield from _flat(f"{path}[{index}]", item, currency)
    elif value is None or value in ("", ()):
        yield path, NOTHING
    elif (_SECRET.search(key) and not key.endswith("_file")) or hasattr(value, "get_secret_value"):
        yield path, "set" if str(value) else NOTHING
    elif key in _AMOUNTS or ".campaigns." in path:
        yield path, format_amount(value, currency)
    elif key == "multiplier":
        yield path, f"{value / 1000:g}"
    else:
        yield path, value if isinstance(value, bool | int | float) else str(value)
