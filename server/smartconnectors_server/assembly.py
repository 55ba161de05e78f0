"""From settings to the parts that the composition root puts together. Opens nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smartconnectors_server import outgoing_proxy
from smartconnectors_server.alerts import Conditions
from smartconnectors_server.budget import Candidate, Keeper
from smartconnectors_server.circuitbreaker import BreakerSettings, CircuitBreaker, State
from smartconnectors_server.clock import Clock
from smartconnectors_server.connector import DEFAULT_ACCOUNT, Mode, Options, Platform, host_of
from smartconnectors_server.interceptors import Link, PlatformRuntime
from smartconnectors_server.ledger import (
    EVERY_CAMPAIGN,
    LEDGERS,
    TOTAL,
    Binding,
    Budget,
    CalendarWindow,
    Limit,
    SlidingWindow,
    campaign_scope,
    real_of,
    shadow_of,
)
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.ratelimit import LowPriority, RateLimiter
from smartconnectors_server.settings import (
    FurtherLimit,
    PlatformSettings,
    Settings,
    SettingsError,
    explain,
    given_by_variable,
    load,
)
from smartconnectors_server.startup import StartupError
from smartconnectors_server.telemetry import Telemetry, names

QUIET_PERIOD_TIMEOUTS = 2
RESERVE_PERCENT = 10.0


def variables_of(platforms: Mapping[str, Platform]) -> dict[str, tuple[str, ...]]:
    """Environment variable -> path of settings keys, for every platform."""
    variables: dict[str, tuple[str, ...]] = {
        "SMART_CONNECTORS_SITE_KEY_FILE": ("privacy", "site_key_file"),
        "SMART_CONNECTORS_HOST": ("server", "host"),
        "SMART_CONNECTORS_HTTP_HOST": ("http", "host"),
        "SMART_CONNECTORS_HTTP_INSECURE": ("http", "insecure"),
        "SMART_CONNECTORS_INSECURE": ("server", "insecure"),
        "SMART_CONNECTORS_STATE_DIR": ("server", "state_dir"),
        # The later of two that are set counts, as for OpenTelemetry.
        "OTEL_EXPORTER_OTLP_HEADERS": ("telemetry", "otlp_headers"),
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": ("telemetry", "otlp_headers"),
        "OTEL_EXPORTER_OTLP_CERTIFICATE": ("telemetry", "otlp_ca_file"),
        "OTEL_SERVICE_NAME": ("telemetry", "service_name"),
        **outgoing_proxy.VARIABLES,
    }
    for name, platform in platforms.items():
        for variable, option in platform.environment.items():
            variables[variable] = ("platforms", name, "options", option)
        variables[platform.budget_variable] = ("platforms", name, "budget", "limit")
        variables[platform.endpoint_variable] = ("platforms", name, "endpoint")
    return variables


def load_settings(
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    platforms: Mapping[str, Platform] = PLATFORMS,
) -> Settings:
    """Reads and checks everything that can be checked without opening anything.

    Raises SettingsError, with one line for each thing that is wrong.
    """
    variables = variables_of(platforms)
    settings = load(config, environment=environment, variables=variables, overrides=overrides)
    by_variable = given_by_variable(variables, environment)
    wrong = []
    for name, chosen in settings.platforms.items():
        if name not in platforms:
            known = ", ".join(sorted(platforms))
            wrong.append(f"platforms.{name}: no such platform; there are: {known}")
            continue
        try:
            options_of(platforms[name], chosen)
        except ValidationError as error:
            wrong.append(explain(error, f"platforms.{name}.options.", by_variable))
            continue
        wrong += _wrong_accounts(platforms[name], chosen)
    period_s = settings.reconciler.quiet_period_s
    for name in platforms:
        least_s = _least_quiet_s(settings_of(settings, name))
        if period_s is not None and period_s < least_s:
            wrong.append(
                f"reconciler.quiet_period_s: at least {least_s:g}, twice the timeout of {name}"
            )
    mark_file, state_dir = settings.ledger.mark_file, settings.server.state_dir
    if mark_file is not None and mark_file.resolve().is_relative_to(state_dir.resolve()):
        wrong.append("ledger.mark_file: outside of server.state_dir, which a copy takes along")
    if settings.ledger.kind not in LEDGERS:
        wrong.append(f"ledger.kind: one of {', '.join(sorted(LEDGERS))}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings


def options_of(platform: Platform, chosen: PlatformSettings) -> Options:
    """The platform's own settings. Raises pydantic's ValidationError."""
    return platform.options.model_validate(dict(chosen.options))


def _wrong_accounts(platform: Platform, chosen: PlatformSettings) -> list[str]:
    wrong = []
    for account, own in chosen.accounts.items():
        path = f"platforms.{platform.name}.accounts.{account}."
        other = own.keys() - set(platform.account_options)
        wrong += [
            f"{path}{key}: not of an account; what is: {', '.join(platform.account_options)}"
            for key in sorted(other)
        ]
        try:
            _account_options(platform, chosen, own)
        except ValidationError as error:
            wrong += [] if other else [explain(error, path)]
    return wrong


def _account_options(
    platform: Platform, chosen: PlatformSettings, own: Mapping[str, Any]
) -> Options:
    return platform.options.model_validate({**chosen.options, **own})


def accounts_of(platform: Platform, chosen: PlatformSettings) -> dict[str, Options]:
    """Name -> options of each ad account; the only one has an empty name unless it is given one."""
    named = {name: _account_options(platform, chosen, own) for name, own in chosen.accounts.items()}
    return named or {"": options_of(platform, chosen)}


def settings_of(settings: Settings, name: str) -> PlatformSettings:
    """A platform's settings; all defaults when it has none."""
    return settings.platforms.get(name, PlatformSettings())


def _least_quiet_s(chosen: PlatformSettings) -> float:
    return QUIET_PERIOD_TIMEOUTS * chosen.timeout_ms / 1000


def quiet_period_s(settings: Settings, book: str) -> float:
    """How long a change that was sent may still arrive at a platform."""
    chosen = settings_of(settings, real_of(book))
    return settings.reconciler.quiet_period_s or _least_quiet_s(chosen)


def mode_of(platform: Platform, settings: Settings) -> Mode:
    """What is done with a platform's bids.

    An endpoint of one's own counts as sandbox, unless a mode is said: then that is the mode, and
    the endpoint, which needs no credentials, stands for the real platform in a rehearsal.

    Raises StartupError when the real platform is asked for without the credentials for it.
    """
    chosen = settings_of(settings, platform.name)
    if chosen.endpoint:
        return Mode(chosen.mode or "sandbox")
    if chosen.mode == "sandbox":
        return Mode.SANDBOX
    missing = dict.fromkeys(
        one
        for options in accounts_of(platform, chosen).values()
        for one in platform.missing_credentials(options)
    )
    if chosen.mode is None:
        return Mode.SANDBOX if missing else Mode.SHADOW
    if missing:
        raise StartupError(
            f"{platform.name}: mode {chosen.mode} needs {', '.join(missing)}. Set them, or use "
            'mode = "sandbox".'
        )
    return Mode(chosen.mode)


def check_sandbox(platform: Platform, settings: Settings, mode: Mode) -> None:
    """Raises StartupError when calls go to a sandbox, and something that is configured is real."""
    chosen = settings_of(settings, platform.name)
    if mode is not Mode.SANDBOX and chosen.endpoint is None:
        return
    if mode is Mode.SANDBOX and chosen.endpoint and _is_real(platform, chosen.endpoint):
        raise StartupError(
            f"platforms.{platform.name}.endpoint: {chosen.endpoint} is {platform.title} itself, "
            "and the mode is sandbox. Leave the endpoint out, and say mode = "
            '"shadow" or mode = "live" for the real platform'
        )
    keys = dict.fromkeys(
        key
        for options in accounts_of(platform, chosen).values()
        for key in platform.real_ways_out(options, chosen.endpoint)
    )
    if keys:
        where = "the mode is sandbox" if mode is Mode.SANDBOX else "the endpoint is a sandbox"
        raise StartupError(
            f"platforms.{platform.name}.options: {', '.join(keys)} leads out of the sandbox, and "
            f"{where}: nothing real is reached from there. Leave {', '.join(keys)} out, or set "
            'what is missing for mode = "live"'
        )


def _is_real(platform: Platform, endpoint: str) -> bool:
    host = host_of(endpoint)
    return _is_below(host, platform.real_hosts) and not _is_below(host, platform.sandbox_hosts)


def _is_below(host: str, names: tuple[str, ...]) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in names)


def binding_of(platform: Platform, settings: Settings, mode: Mode) -> Binding:
    """Where a platform's bids go. The built-in sandbox is one place, whatever port it has."""
    chosen = settings_of(settings, platform.name)
    accounts = {
        account or DEFAULT_ACCOUNT: ", ".join(
            f"{key} {value}" for key in platform.place_options if (value := getattr(options, key))
        )
        for account, options in accounts_of(platform, chosen).items()
    }
    return Binding(platform.name, mode.value, chosen.endpoint or "", accounts)


def _further(limit: FurtherLimit) -> Limit:
    if (limit.window_s is None) == (limit.calendar is None):
        raise StartupError("a further limit has exactly one of window_s and calendar")
    if limit.window_s is not None:
        return Limit(limit.limit, SlidingWindow(limit.window_s))
    return Limit(limit.limit, CalendarWindow(str(limit.calendar), limit.time_zone))


def budgets_of(platforms: Mapping[str, Platform], settings: Settings) -> tuple[Budget, ...]:
    """Every budget. Raises StartupError when they do not fit together."""
    budgets = []
    total = settings.total_budget
    for name, platform in platforms.items():
        chosen = settings_of(settings, name).budget
        window = SlidingWindow(chosen.window_s)
        micros = platform.defaults.budget_micros if chosen.limit is None else chosen.limit
        further = tuple(_further(limit) for limit in chosen.further_limits)
        budgets.append(Budget(name, chosen.currency, (Limit(micros, window), *further)))
        budgets.extend(
            Budget(f"{name}/campaigns/{campaign}", chosen.currency, (Limit(most, window),))
            for campaign, most in chosen.campaigns.items()
        )
        if chosen.campaign_default is not None:
            every = campaign_scope(name, EVERY_CAMPAIGN)
            limits = (Limit(chosen.campaign_default, window),)
            budgets.append(Budget(every, chosen.currency, limits))
        if total is not None and total.currency != chosen.currency:
            raise StartupError(
                f"total_budget is in {total.currency}, but {name} is in {chosen.currency}; a total "
                "has one currency"
            )
    if total is not None:
        first = Limit(total.limit, SlidingWindow(total.window_s))
        further = tuple(_further(limit) for limit in total.further_limits)
        budgets.append(Budget(TOTAL, total.currency, (first, *further)))
    return tuple(budgets)


def breaker_settings(chosen: PlatformSettings) -> BreakerSettings:
    """A platform's breaker settings, as its breaker takes them."""
    breaker = chosen.circuit_breaker
    return BreakerSettings(
        failure_threshold=breaker.failure_threshold,
        slow_call_ms=breaker.slow_call_ms,
        open_s=breaker.open_s,
        half_open_probes=breaker.half_open_probes,
        close_after_successes=breaker.close_after_successes,
        permit_max_age_s=breaker.permit_max_age_s,
    )


def reserve_percent_of(chosen: PlatformSettings, mode: Mode, limit: int) -> float:
    """The share of a limit that is kept for pausing campaigns. Unless it is configured: none in a
    sandbox, so that the whole limit can be seen at work; otherwise enough for one call at least.
    """
    configured = chosen.rate_limit.reserve_percent
    if configured is not None:
        return configured
    if mode is Mode.SANDBOX or limit == 1:
        return 0.0
    return max(RESERVE_PERCENT, math.ceil(100_000 / limit) / 1000)


def candidates_of(modes: Mapping[str, Mode], settings: Settings) -> dict[str, Candidate]:
    """The candidate limits, by the book that each weighs. `modes`: of the platforms served."""
    candidates = {}
    for name, mode in modes.items():
        chosen = settings_of(settings, name).budget
        if chosen.candidate_limit is not None:
            book = shadow_of(name) if mode is Mode.SHADOW else name
            candidates[book] = Candidate(chosen.candidate_limit, chosen.window_s)
    return candidates


def runtime_of(
    platform: Platform,
    settings: Settings,
    mode: Mode,
    keeper: Keeper,
    clock: Clock,
    telemetry: Telemetry,
    conditions: Conditions,
) -> PlatformRuntime:
    """One platform's engines, not yet opened."""
    chosen = settings_of(settings, platform.name)
    rate = chosen.rate_limit
    limiter = RateLimiter(
        platform.name,
        keeper,
        keeper.now_ns,
        limit=(limit := rate.calls or platform.defaults.rate_limit_calls),
        window_s=rate.window_s or platform.defaults.rate_limit_window_s,
        burst=rate.burst,
        reserve_percent=reserve_percent_of(chosen, mode, limit),
        active_for_s=settings.active_callers_s,
    )

    def changed(before: State, after: State) -> None:
        telemetry.event(
            names.EVENT_CIRCUIT, platform=platform.name, before=before.value, after=after.value
        )
        telemetry.metrics.circuit(platform.name, before.value, after.value)
        conditions.circuit(platform.name, runtime.book, after)

    runtime = PlatformRuntime(
        platform=platform,
        settings=chosen,
        accounts=accounts_of(platform, chosen),
        binding=binding_of(platform, settings, mode),
        mode=mode,
        currency_code=chosen.budget.currency,
        breaker=CircuitBreaker(breaker_settings(chosen), clock, changed),
        limiter=limiter,
        reports=LowPriority(
            platform.name,
            limiter,
            keeper,
            keeper.now_ns,
            percent=chosen.reported_spend.quota_percent,
        ),
        link=Link(platform.name, clock),
    )
    return runtime
