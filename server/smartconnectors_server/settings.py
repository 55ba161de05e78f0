"""Settings: the only reader of the environment and of the TOML file. Frozen, read once.

Precedence: command line, environment, file, defaults. An unknown key is an error, so that a
misspelt limit is never silently the default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError

from smartconnectors_server import failpoints
from smartconnectors_server.access_settings import AccessSettings, HttpTlsSettings, TlsSettings
from smartconnectors_server.alert_settings import AlertSettings, webhook_variables
from smartconnectors_server.money import InvalidAmount, minor_unit_digits, parse_amount
from smartconnectors_server.outgoing_proxy import OutgoingSettings
from smartconnectors_server.sections import NamedPath, Section
from smartconnectors_server.texts import (
    NOT_FOR_A_HEADER,
    NOT_PRINTABLE,
    OneLine,
    TrimmedSecret,
    decoded,
    trimmed,
)
from smartconnectors_server.zones import UnknownZone, zone_of

_MOST_DIGITS = 400
_HEADER_NAME = re.compile(r"[0-9a-z_.-]{1,100}")


class SettingsError(Exception):
    """The configuration is wrong; the message names every key and what is expected of it."""


def _amount(value: Any) -> int:
    """Micros from a decimal string. A TOML float is refused: it is not exact."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError('an amount is a string in currency units, such as "500.00"')
    try:
        return parse_amount(str(value))
    except InvalidAmount:
        raise ValueError(
            'not an amount in currency units such as "500.00": at most 1000000000, six decimals at '
            "most"
        ) from None


def _currency(value: Any) -> str:
    try:
        minor_unit_digits(value)
    except InvalidAmount:
        raise ValueError("not an ISO 4217 currency code") from None
    return str(value)


def _milli(value: Any) -> int:
    """Thousandths from a decimal string, exactly."""
    try:
        thousandths = Decimal(str(value)) * 1000
    except ArithmeticError:
        thousandths = Decimal(0)
    if thousandths != thousandths.to_integral_value() or not 0 < thousandths <= 100_000:
        raise ValueError(
            'a multiplier is a string such as "0.75", above 0 and at most 100, with three decimals '
            "at most"
        )
    return int(thousandths)


def _failpoint(value: Any) -> str:
    failpoints.parse(str(value))
    return str(value)


def _time_zone(value: Any) -> str:
    """An IANA name, as the calendar windows will look it up."""
    try:
        return zone_of(value).key
    except UnknownZone:
        raise ValueError(
            'not an IANA time zone such as "Europe/Paris", or not one that this system knows'
        ) from None


def headers_of(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values as `OTEL_EXPORTER_OTLP_HEADERS` writes them. Raises ValueError."""
    pairs = []
    for part in filter(None, map(trimmed, text.split(","))):
        name, found, value = part.partition("=")
        name, value = trimmed(name).lower(), trimmed(unquote(value))
        if not found or not _HEADER_NAME.fullmatch(name) or name.endswith("-bin"):
            raise ValueError('not "name=value", several with commas between')
        if not value.isascii() or not value.isprintable():
            raise ValueError(NOT_FOR_A_HEADER)
        pairs.append((name, value))
    return tuple(pairs)


def _otlp_headers(value: SecretStr) -> SecretStr:
    headers_of(value.get_secret_value())
    return value


AmountMicros = Annotated[int, BeforeValidator(_amount)]
CurrencyCode = Annotated[str, BeforeValidator(_currency)]
MultiplierMilli = Annotated[int, BeforeValidator(_milli)]
Failpoint = Annotated[str, BeforeValidator(_failpoint)]
TimeZone = Annotated[str, BeforeValidator(_time_zone)]
OtlpHeaders = Annotated[TrimmedSecret, AfterValidator(_otlp_headers)]
AccountName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class ServerSettings(Section):
    """Where the server listens and what it takes."""

    host: OneLine = "127.0.0.1"
    grpc_port: int = Field(50051, ge=0, le=65535)
    """0: any free port; the ready line says which."""
    insecure: bool = False
    """True: allow a listening address other than loopback without TLS, for gRPC and HTTP."""
    state_dir: NamedPath = Path("state")
    """The embedded ledger; locked by one server at a time."""
    log_format: Literal["text", "json"] = "text"
    max_in_flight: int = Field(2000, ge=1, le=1_000_000)
    """Calls under way at once; one more is refused as OVERLOADED."""
    max_connections: int | None = Field(None, ge=1, le=1_000_000)
    """Connections at once; one more is closed. Absent: what the limit on open files leaves."""
    failpoint: Failpoint = ""
    """For crash tests only: the server kills itself when it reaches this point. With a colon and a
    number, the how-manieth time."""
    max_message_bytes: int = Field(16 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """The largest message that is taken, in bytes; a larger one is refused as INVALID_BID. The
    default fits 1000 bids with every field as long as the contract allows, but for OpenRTB bid
    requests: of those, as many as fit."""
    max_metadata_bytes: int = Field(16 * 1024, ge=4 * 1024, le=1024 * 1024)
    """The most metadata of one call, names, tokens and traces included, in bytes; 32 are counted
    for each entry. gRPC refuses more as RESOURCE_EXHAUSTED, without a reason."""
    message_timeout_s: float = Field(10.0, ge=0.1, le=600)
    """How long the message of a call may take to arrive after its headers. A call whose message is
    late is ended as DEADLINE_TOO_SHORT; streams of bids may wait for their first bid."""
    drain_pause_s: float = Field(1.0, ge=0, le=60)
    """Between NOT_SERVING and the end of accepting, so that load balancers notice."""
    drain_grace_s: float = Field(10.0, ge=0, le=300)
    """How long calls under way may take to end when the server stops."""
    reflection: bool = True
    """Server reflection, by which grpcurl and the like find services and their messages. False:
    callers need the protos."""
    tls: TlsSettings | None = None


class HttpSettings(Section):
    """Metrics, health and the dashboard for those who do not speak gRPC."""

    enabled: bool = True
    host: OneLine = "127.0.0.1"
    """The address to listen on. Any other than this machine's own needs `[http.tls]`, `insecure`
    here, or `server.insecure`. Without `[access]` everybody who reaches it may read budgets, limits
    and states; with it, metrics and each platform's state."""
    port: int = Field(8080, ge=0, le=65535)
    """0: any free port; the ready line says which."""
    insecure: bool = False
    """True: allow an HTTP address other than loopback without TLS. `server.insecure` allows it
    too."""
    allowed_hosts: tuple[OneLine, ...] = ()
    """Names with a dot that requests may call this server by in their `Host` header, such as that
    of a proxy. Addresses, `localhost`, names without a dot and `host` are always allowed; requests
    that need a token may use any name."""
    metrics_require_token: bool = False
    """True: `/metrics` is for tokens with the role `read` and without restrictions. Needs
    `[access]`."""
    max_connections: int | None = Field(None, ge=1, le=100_000)
    """HTTP connections at once, half of them from one address; one more closes the one that has
    waited longest for a request. Absent: an eighth of what the limit on open files leaves, 256 at
    most."""
    max_event_streams: int = Field(64, ge=1, le=100_000)
    """Dashboards that are open at once, half of them with one token, or from one address without
    `[access]`; one more is refused."""
    tls: HttpTlsSettings | None = None


class LedgerSettings(Section):
    """Where money is remembered."""

    kind: str = "sqlite"
    gather_ms: float = Field(3.0, ge=0, le=50)
    """How long a busy ledger collects changes before it commits them together."""
    commit_timeout_s: float = Field(5.0, gt=0, le=60)
    """A commit that takes longer makes the ledger unavailable until one succeeds."""
    mark_file: NamedPath | None = None
    """A file outside of `server.state_dir` that says how far the ledger has come, so that a state
    directory which is an old copy is refused at the start. Its directory has to exist, and to be
    as reliable as the state directory: without it nothing is committed. Absent: an old copy is
    taken for the newest, and what was committed since counts in no budget."""


class FurtherLimit(Section):
    """One more limit on the same budget. Exactly one of `window_s` and `calendar`."""

    limit: AmountMicros
    window_s: float | None = Field(None, ge=1, le=31 * 86400)
    calendar: Literal["hour", "day", "month"] | None = None
    time_zone: TimeZone = "UTC"


class BudgetSettings(Section):
    """A budget: the most that may be committed inside a window."""

    limit: AmountMicros
    currency: CurrencyCode = "USD"
    window_s: float = Field(600.0, ge=1, le=31 * 86400)
    further_limits: tuple[FurtherLimit, ...] = ()


class PlatformBudgetSettings(Section):
    """A platform's budget. `limit` absent: the platform's default."""

    limit: AmountMicros | None = None
    currency: CurrencyCode = "USD"
    window_s: float = Field(600.0, ge=1, le=31 * 86400)
    further_limits: tuple[FurtherLimit, ...] = ()
    campaigns: Mapping[str, AmountMicros] = Field(default_factory=dict)
    """Campaign id -> a limit of its own inside the same window."""
    campaign_default: AmountMicros | None = None
    """The limit of every campaign that `campaigns` does not name, each for itself, inside the same
    window. Absent: none."""
    candidate_limit: AmountMicros | None = None
    """A limit to try out beside `limit`, in the same window. It refuses nothing; the shadow report
    says what it would have refused."""


class RateLimitSettings(Section):
    """A platform's rate limit, exact over any window of that length. Absent: the default."""

    calls: int | None = Field(None, ge=1, le=10_000_000)
    window_s: float | None = Field(None, ge=1, le=86400)
    burst: int | None = Field(None, ge=1, le=10_000_000)
    """The most at once. Absent: `calls`."""
    reserve_percent: float | None = Field(None, ge=0, le=50)
    """Share of the quota kept for operators who pause campaigns. Absent: 0 in sandbox, otherwise
    10, and one call at least."""


class CircuitBreakerSettings(Section):
    """When a platform counts as sick."""

    failure_threshold: int = Field(3, ge=1, le=1000)
    slow_call_ms: int = Field(500, ge=1, le=600_000)
    open_s: float = Field(30.0, gt=0, le=3600)
    half_open_probes: int = Field(1, ge=1, le=100)
    close_after_successes: int = Field(2, ge=1, le=100)
    permit_max_age_s: float = Field(60.0, gt=0, le=3600)


class FallbackSettings(Section):
    """The heuristic price."""

    multiplier: MultiplierMilli | None = None
    """In decimal, for example "0.75". Absent: the platform's default."""
    cap: Literal["ai_bid", "none"] = "ai_bid"
    min_samples: int = Field(1, ge=1, le=100)
    """The fewest LTVs of a caller's last 100 settled bids that its price is made from. With fewer,
    the request's own predicted LTV stands in."""


class ReportedSpendSettings(Section):
    """What the platform says it billed, read back and shown beside what was committed."""

    enabled: bool | None = None
    """False: the platform is not asked, and no reported figure is shown. Absent: it is asked, but
    for a sandbox, which bills nothing unless it is told to."""
    interval_s: float = Field(900.0, ge=1, le=86_400)
    """How often the platform is asked, in seconds."""
    quota_percent: float = Field(10.0, gt=0, le=50)
    """The most of the platform's rate limit that reports may use; they are read only while that
    share of it is free, so that bids never wait for them."""
    timeout_ms: int = Field(60_000, ge=10, le=600_000)
    """The longest that one call for a report may take: reports are slow, and a slow one opens no
    circuit."""
    on_reported_over: Literal["alert", "pause_campaigns"] = "alert"
    """What is done when more is reported for a day of the account than was committed on it: an
    alert; or that, and the campaigns that were billed are paused at the platform."""
    tolerance: AmountMicros = 0
    """How much more may be reported than was committed before that is done, in currency units."""


class PlatformSettings(Section):
    """One platform."""

    enabled: bool = True
    mode: Literal["sandbox", "shadow", "live"] | None = None
    """Absent: sandbox without credentials, shadow with them. A state directory is bound to mode,
    endpoint and accounts; `serve --adopt` binds it to others."""
    endpoint: OneLine | None = None
    """Connect here instead of to the real platform. Sandbox, unless `mode` says otherwise."""
    check_account: bool | None = None
    """Read the account when it is connected, and send nothing when its currency is not the
    budget's. Absent: not in sandbox, yes otherwise."""
    timeout_ms: int = Field(5000, ge=10, le=120_000)
    """The longest that one call to the platform may take."""
    min_deadline_ms: int = Field(20, ge=0, le=120_000)
    """A caller with less time left is refused before anything is held."""
    min_change_percent: float | None = Field(None, ge=0, le=100)
    """A smaller change is answered UNCHANGED. Absent: 0 in sandbox, 5 otherwise."""
    min_interval_s: float | None = Field(None, ge=0, le=86400)
    """Between changes of one target. Absent: 0 in sandbox, 900 otherwise."""
    max_step_percent: float | None = Field(None, gt=0, le=1_000_000)
    """The largest change in one step. Absent: none in sandbox, 30 otherwise."""
    max_daily_budget: AmountMicros | None = None
    """The largest daily budget that UpdateCampaignBudget may set."""
    max_bid: AmountMicros | None = None
    """The largest bid. A caller's larger one is refused unless it is `reduce_only`; the heuristic's
    is lowered to it. It binds every amount of a setting too: CPMs, the price of an auction,
    ceilings, and the bid that an explicit ROAS stands for."""
    min_roas: float | None = Field(None, ge=0.01, le=1000)
    """The lowest ROAS that a bid may set, unless it lowers exposure. What `max_bid` is for amounts:
    it cannot bind a ROAS, which is the ratio of two amounts that the caller names."""
    amount_may_differ: bool = False
    """Whether a bid may name an amount and a setting (a ROAS, a CPM) that do not agree. The amount
    is counted then, whatever the setting is worth. False: only callers with the role `operate`
    may, where there is access control."""
    budget: PlatformBudgetSettings = PlatformBudgetSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    circuit_breaker: CircuitBreakerSettings = CircuitBreakerSettings()
    fallback: FallbackSettings = FallbackSettings()
    reported_spend: ReportedSpendSettings = ReportedSpendSettings()
    options: Mapping[str, Any] = Field(default_factory=dict)
    """The platform's own settings, checked by the platform."""
    accounts: Mapping[AccountName, Mapping[str, Any]] = Field(default_factory=dict)
    """Name -> what that ad account has in the place of `options`. Absent: one without a name."""


class TelemetrySettings(Section):
    """Where spans go."""

    otlp_endpoint: OneLine = ""
    """host:port of an OTLP/gRPC collector. Empty: no spans are made."""
    otlp_insecure: bool = True
    otlp_headers: OtlpHeaders = SecretStr("")
    """What every export carries, such as an API key: `name=value`, several with commas between, the
    values percent-encoded. Better in the environment than in a file."""
    otlp_ca_file: NamedPath | None = None
    """The authorities that may have signed the collector's certificate, in PEM. Absent: those of
    every other way out."""
    service_name: Annotated[OneLine, Field(min_length=1, max_length=255)] = "smart-connectors"
    """What traces call this server, so that several can be told apart."""
    sample_ratio: float = Field(1.0, ge=0, le=1)


class PrivacySettings(Section):
    """How customers are kept unknown to those who read logs, traces and the audit ledger."""

    site_key_file: NamedPath | None = None
    """The key that customer ids are hashed with: 32 characters at least. Absent: `site.key` in
    `state_dir`, made at random at the first start. With another key the same customer has another
    hash, and a request id that is still bound is refused as REQUEST_ID_REUSED."""


class ReconcilerSettings(Section):
    """How in-doubt holds are looked up."""

    interval_s: float = Field(2.0, gt=0, le=600)
    max_interval_s: float = Field(60.0, gt=0, le=3600)
    """What the wait grows to, doubling, while a platform or a hold cannot be looked up."""
    quiet_period_s: float | None = Field(None, gt=0, le=86400)
    """How long a change may still arrive after its call ended and the platform was reached again: a
    hold is released or settled as assumed after two looks so far apart. Counts time in which the
    machine was awake; starts over with the server. Absent: twice the platform's timeout; less than
    that is refused."""


class Settings(Section):
    """Everything."""

    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings | None = None
    ledger: LedgerSettings = LedgerSettings()
    total_budget: BudgetSettings | None = None
    telemetry: TelemetrySettings = TelemetrySettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    privacy: PrivacySettings = PrivacySettings()
    alerts: AlertSettings = AlertSettings()
    platforms: Mapping[str, PlatformSettings] = Field(default_factory=dict)

    @property
    def active_callers_s(self) -> float:
        """How long a caller keeps its share. Without access control there is only one caller."""
        return 600.0 if self.access is None else self.access.active_caller_s


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid upon `base`, sections key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            _merge(below, value)
            if isinstance(below, dict) and isinstance(value, Mapping)
            else value
        )
    return merged


def _decimal(text: str) -> Decimal:
    """A TOML float, exactly. Raises ValueError for one that, written out, would fill the memory."""
    number = Decimal(text)
    if number.is_finite() and abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError("a number beyond any setting")
    return number


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(decoded(path.read_bytes()), parse_float=_decimal)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise SettingsError(
            f"{path}: a number has more digits, or values are nested deeper, than any setting has"
        ) from None


def explain(
    error: ValidationError, prefix: str = "", variables: Mapping[str, str] | None = None
) -> str:
    """One line for each thing that is wrong, never repeating a value (it may be a secret).

    `variables`: settings key -> the environment variable that the value came from, which is then
    named first: that is where the person looks.
    """
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        key = prefix + ".".join(str(part) for part in item["loc"])
        what = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{_named(key, variables or {})}: {what}")
    return "\n".join(lines)


def _named(key: str, variables: Mapping[str, str]) -> str:
    return f"{variables[key]}: {key}" if key in variables else key


def _variable(name: str, key: str, given: Mapping[str, str]) -> str:
    """A variable's value, or what is in the file that NAME_FILE names, as secrets are mounted; of
    either without the blanks and line breaks around it. Empty: neither is set.

    Raises SettingsError, naming the variable and never its value.
    """
    value, file = given.get(name, ""), trimmed(given.get(f"{name}_FILE", ""))
    if not file:
        return _checked(f"{name}: {key}", value) if value else ""
    if value:
        raise SettingsError(f"{name} and {name}_FILE are both set; one of them is enough")
    try:
        content = decoded(Path(file).read_bytes())
    except (OSError, ValueError):
        raise SettingsError(f"{name}_FILE: the file that it names cannot be read as text") from None
    return _checked(f"{name}_FILE: {key}", content)


def _checked(name: str, value: str) -> str:
    text = trimmed(value)
    if not text:
        raise SettingsError(f"{name}: is blank; give it a value, or take it away")
    if not text.isprintable():
        raise SettingsError(f"{name}: {NOT_PRINTABLE}")
    return text


def given_by_variable(
    variables: Mapping[str, tuple[str, ...]], environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Settings key -> the variable that sets it in this environment, by itself or by a file."""
    given = os.environ if environment is None else environment
    return {
        ".".join(keys): name if given.get(name) else f"{name}_FILE"
        for name, keys in variables.items()
        if given.get(name) or given.get(f"{name}_FILE")
    }


def load(
    config: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    variables: Mapping[str, tuple[str, ...]],
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Reads and checks everything.

    Args:
        config: a TOML file, or None.
        environment: variables by name; None: the process's own.
        variables: name of an environment variable -> path of keys, for example
            `GOOGLE_ADS_BUDGET` -> `("platforms", "google_ads", "budget", "limit")`. Empty values
            count as absent. With `_FILE` at its end, a variable names a file that has the value.
        overrides: from the command line, nested like the file.

    Raises:
        SettingsError: with one line for each thing that is wrong.
    """
    document = _read_file(config) if config is not None else {}
    given = os.environ if environment is None else environment
    variables = {**variables, **dict(webhook_variables(document))}
    wrong = []
    for variable, keys in variables.items():
        try:
            value = _variable(variable, ".".join(keys), given)
        except SettingsError as error:
            wrong.append(str(error))
            continue
        if value:
            nested: Any = value
            for key in reversed(keys):
                nested = {key: nested}
            document = _merge(document, nested)
    if wrong:
        raise SettingsError("\n".join(wrong))
    document = _merge(document, overrides or {})
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(explain(error, "", given_by_variable(variables, given))) from None


def variable(name: str) -> str:
    """A variable of this process's environment, without the blanks and line breaks around it;
    empty: it is absent.
    """
    return trimmed(os.environ.get(name, ""))
