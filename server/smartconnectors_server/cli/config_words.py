"""The words of the settings file that the settings models do not say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER = """\
Settings of smart-connectors: `smart-connectors serve --config THIS_FILE`.

Every key is here with its default. A key after `#` without a blank is absent by default; take the
`#` away to set it. Amounts are strings in currency units ("500.00"): a budget must be exact. The
command line wins over the environment, the environment over this file. An unknown key is an error.
`smart-connectors check-config --config THIS_FILE` says what would be in effect."""

LIVE_HEADER = (
    HEADER.replace("Every key is here with its default.", "Every key is here.")
    + """

This variant is for a real ad account. It differs from the defaults where real platforms do: a
change may take seconds, and one campaign must not be rewritten by every bid. Nothing is spent until
`mode` says "live"."""
)

FURTHER_LIMITS = (
    "More limits on the same budget; the tightest refuses. Each `limit` has a sliding `window_s` "
    "or a `calendar` of hour, day or month in a `time_zone` (default UTC)."
)

LEFT_OUT: Mapping[str, str] = {
    "Settings.platforms": "each platform has a table of its own",
    "PlatformSettings.options": "its own table, from the platform's model",
    "PlatformSettings.accounts": "a table for each, from the platform's options",
    "JwtSettings.jwks_url": "instead of jwks_file, which names it",
    "ServerSettings.failpoint": "makes the server kill itself; nothing for a user's file",
}
"""`Model.key` that is not written as a key -> why."""

TITLES: Mapping[str, str] = {
    "total_budget": "One more budget, over all platforms together. Absent: none.",
}
"""Section -> what it is, where its model is used for more than one."""

MEANINGS: Mapping[str, str] = {
    "ServerSettings.host": "The address to listen on. Any other than this machine's own needs "
    "`[server.tls]` or `insecure`.",
    "ServerSettings.grpc_port": "The port of the gRPC services.",
    "HttpSettings.enabled": "Whether HTTP is served.",
    "ServerSettings.log_format": "How log lines on standard error look.",
    "LedgerSettings.kind": "Which ledger: `sqlite`, a file in `state_dir`.",
    "BudgetSettings.limit": "The most that may be committed inside one window, in currency units.",
    "BudgetSettings.currency": "ISO 4217. Every platform must use the same one.",
    "BudgetSettings.window_s": "The length of the sliding window, in seconds.",
    "BudgetSettings.further_limits": FURTHER_LIMITS,
    "PlatformBudgetSettings.limit": "The most that may be committed inside one window, in currency "
    "units. Absent: the value shown.",
    "PlatformBudgetSettings.currency": "ISO 4217, the ad account's currency.",
    "PlatformBudgetSettings.window_s": "The length of the sliding window, in seconds.",
    "PlatformBudgetSettings.further_limits": FURTHER_LIMITS,
    "RateLimitSettings.calls": "The most calls to the platform in any window, reads included. "
    "Absent: the value shown.",
    "RateLimitSettings.window_s": "The window's length, in seconds. Absent: the value shown.",
    "CircuitBreakerSettings.failure_threshold": "So many failed or slow calls in a row open the "
    "circuit.",
    "CircuitBreakerSettings.slow_call_ms": "A call that takes longer counts as slow, in "
    "milliseconds. Real platforms can take seconds for a change.",
    "CircuitBreakerSettings.open_s": "How long an open circuit lets nothing through, in seconds.",
    "CircuitBreakerSettings.half_open_probes": "How many calls at once may then try whether the "
    "platform has recovered.",
    "CircuitBreakerSettings.close_after_successes": "So many successful ones close the circuit.",
    "CircuitBreakerSettings.permit_max_age_s": "A call that has told nothing for so long no longer "
    "counts as a probe, in seconds.",
    "FallbackSettings.cap": '"ai_bid": the heuristic never bids more than the model did. "none": '
    "its bare formula.",
    "PlatformSettings.enabled": "False: the platform's service is not offered.",
    "TelemetrySettings.otlp_insecure": "True: speak to the collector in plain text.",
    "TelemetrySettings.sample_ratio": "The share of calls that make spans.",
    "ReconcilerSettings.interval_s": "How soon the platform is asked, in seconds.",
    "ReconcilerSettings.max_interval_s": "How long the wait gets while that is in vain.",
    "GoogleAdsOptions.api_version": "The version of the Google Ads API to speak.",
    "GoogleAdsOptions.client_id": "The OAuth client that the refresh token was made for.",
    "GoogleAdsOptions.client_secret": "Its secret. Better in the environment than in a file.",
    "GoogleAdsOptions.refresh_token": "The OAuth refresh token of a user who may change the "
    "account. Better in the environment than in a file.",
}
"""`Model.key` -> what it means, for keys without a docstring of their own."""

_FURTHER_LIMITS = (
    {"limit": "2000.00", "window_s": 86400},
    {"limit": "30000.00", "calendar": "month", "time_zone": "UTC"},
)

EXAMPLES: Mapping[str, Any] = {
    "ReportedSpendSettings.enabled": True,
    "AlertSettings.webhooks": {
        "oncall": {"format": "slack", "url": "https://hooks.example.com/services/..."}
    },
    "TlsSettings.cert_file": "tls/server.pem",
    "TlsSettings.key_file": "tls/server.key",
    "TlsSettings.client_ca_file": "tls/clients-ca.pem",
    "AccessSettings.tokens_file": "tokens.toml",
    "AccessSettings.certificates": {
        "dns:ltv-model.example.com": {"role": "bid", "platforms": ["google_ads"]}
    },
    "JwtSettings.jwks_file": "jwks.json",
    "JwtSettings.issuer": "https://login.example.com/",
    "JwtSettings.audience": "smart-connectors",
    "ServerSettings.max_connections": 1_000,
    "HttpSettings.allowed_hosts": ("metrics.example.com",),
    "HttpSettings.max_connections": 100,
    "HttpTlsSettings.cert_file": "tls/server.pem",
    "HttpTlsSettings.key_file": "tls/server.key",
    "LedgerSettings.mark_file": "/var/lib/smart-connectors/elsewhere/ledger.mark",
    "BudgetSettings.limit": "1000.00",
    "BudgetSettings.further_limits": _FURTHER_LIMITS,
    "PlatformBudgetSettings.limit": "500.00",
    "PlatformBudgetSettings.further_limits": _FURTHER_LIMITS,
    "PlatformBudgetSettings.campaigns": {"1001": "100.00"},
    "PlatformBudgetSettings.candidate_limit": "300.00",
    "RateLimitSettings.calls": 100,
    "RateLimitSettings.window_s": 60.0,
    "RateLimitSettings.burst": 100,
    "RateLimitSettings.reserve_percent": 10.0,
    "FallbackSettings.multiplier": "1.0",
    "PlatformSettings.mode": "shadow",
    "PlatformSettings.endpoint": "127.0.0.1:9000",
    "PlatformSettings.check_account": True,
    "PlatformSettings.min_change_percent": 5.0,
    "PlatformSettings.min_interval_s": 900.0,
    "PlatformSettings.max_step_percent": 30.0,
    "PlatformSettings.max_daily_budget": "1000.00",
    "PlatformSettings.max_bid": "50.00",
    "PlatformSettings.min_roas": 1.5,
    "PlatformBudgetSettings.campaign_default": "50.00",
    "TelemetrySettings.otlp_headers": "api-key=...",
    "TelemetrySettings.otlp_ca_file": "tls/collector-ca.pem",
    "ReconcilerSettings.quiet_period_s": 10.0,
    "PrivacySettings.site_key_file": "/run/secrets/site.key",
    "GoogleAdsOptions.api_key": "...",
    "GoogleAdsOptions.client_secret": "...",
    "GoogleAdsOptions.refresh_token": "...",
    "GoogleAdsOptions.max_shared_campaigns": 1,
}
"""`Model.key` -> an example, for keys that are absent by default."""

LIVE: Mapping[str, Any] = {
    "mode": "shadow",
    "timeout_ms": 15_000,
    "min_change_percent": 5.0,
    "min_interval_s": 900.0,
    "max_step_percent": 30.0,
    "rate_limit.reserve_percent": 10.0,
    "circuit_breaker.slow_call_ms": 5_000,
}
"""Key inside a platform -> its value for a real account."""
