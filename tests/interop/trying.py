"""What each tool is asked, and what it has to say."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.accounting import PLACED

PLATFORM = "google_ads"
SERVICE = "smartconnectors.google_ads.v1.GoogleAdsService"
BUDGETS = "smartconnectors.budgets.v1.BudgetService"
LIMIT = "1000.00"
CAMPAIGN = "1001"
GHZ_CALLS = 300
GHZ_AT_ONCE = 20
ENDS_WITHIN_S = 60.0
# The probe's, for a server that answers and is not serving.
NOT_SERVING = 4


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that a tool was asked, and whether it said what is expected."""

    tool: str
    what: str
    ok: bool
    said: str


@dataclass(slots=True)
class Try:
    """One server, and what was sent to it.

    Attributes:
        told: request id -> the last word on it.
        sent: campaign and ROAS -> request id; no two bids have the same.
    """

    address: str
    authority: Path
    token: str
    programs: Path
    folder: Path
    told: dict[str, str] = field(default_factory=dict)
    sent: dict[tuple[str, float], str] = field(default_factory=dict)

    @property
    def bearer(self) -> str:
        """The header that says who calls."""
        return f"authorization: Bearer {self.token}"

    def bid(self, request_id: str, roas: float, amount_micros: int = 1_000_000) -> str:
        """A PlaceBidRequest as JSON."""
        self.sent[CAMPAIGN, roas] = request_id
        ltv_micros = round(amount_micros * roas)
        bid = {"requestId": request_id, "campaignId": CAMPAIGN}
        amounts = {"bidMicros": str(amount_micros), "predictedLtvMicros": str(ltv_micros)}
        return json.dumps({"bid": {**bid, **amounts}})

    def placed(self, request_id: str, *, ok: bool) -> None:
        """Writes down what the tool said of a bid."""
        self.told[request_id] = PLACED if ok else "not placed"

    async def run(self, program: Path, *arguments: str) -> tuple[int, str]:
        """Exit code, and both outputs."""
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            return -1, f"not at its end after {ENDS_WITHIN_S} s"
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")


async def grpcurl(trial: Try) -> list[Seen]:
    """Lists, describes, bids, is refused for money, and for want of a token."""
    seen = []

    async def ask(what: str, code: int, words: tuple[str, ...], *arguments: str) -> bool:
        program, ca = trial.programs / "grpcurl", ("-cacert", str(trial.authority))
        exit_code, said = await trial.run(program, *ca, *arguments)
        ok = exit_code == code and all(word in said for word in words)
        seen.append(Seen("grpcurl", what, ok, f"exit code {exit_code}\n{said}"))
        return ok

    place = (trial.address, f"{SERVICE}/PlaceBid")
    shown = ("-H", trial.bearer)
    services = (SERVICE, BUDGETS, "grpc.health.v1.Health")
    await ask("list", 0, services, *shown, trial.address, "list")
    await ask("list without a token", 1, ("Unauthenticated",), trial.address, "list")
    methods = ("rpc PlaceBid (", "rpc StreamBids ( stream")
    await ask("describe", 0, methods, *shown, trial.address, "describe", SERVICE)
    bid = trial.bid("grpcurl-1", 1.5)
    placed = await ask("PlaceBid", 0, ("BID_STATUS_PLACED",), *shown, "-d", bid, *place)
    trial.placed("grpcurl-1", ok=placed)
    replayed = ('"replayed": true',)
    await ask("PlaceBid again, the stored answer", 0, replayed, *shown, "-d", bid, *place)
    too_much = trial.bid("grpcurl-2", 1.6, 5_000_000_000)
    vetoed = ("ResourceExhausted", "BUDGET_EXCEEDED", '"limit_micros": "1000000000"')
    await ask("a veto with its numbers", 64 + 8, vetoed, *shown, "-d", too_much, *place)
    nobody = trial.bid("grpcurl-3", 1.7)
    looks = ("-reflect-header", trial.bearer)
    await ask("a bid without a token", 64 + 16, ("UNAUTHENTICATED",), *looks, "-d", nobody, *place)
    stats = (
        *shown,
        "-d",
        '{"budget_id": "google_ads"}',
        trial.address,
        f"{BUDGETS}/GetBudgetStats",
    )
    await ask("GetBudgetStats", 0, ("google_ads", '"accepted_count": "1"'), *stats)
    return seen


async def grpc_health_probe(trial: Try) -> list[Seen]:
    """The server as a whole, one service, and one that is not there."""
    return [
        await _probe(trial, "the server", 0, "status: SERVING"),
        await _probe(trial, SERVICE, 0, "status: SERVING", "-service", SERVICE),
        await _probe(trial, "a service that is not there", 3, "NotFound", "-service", "none"),
    ]


async def draining(trial: Try) -> list[Seen]:
    """A server that was asked to stop, before it stops."""
    return [await _probe(trial, "a server that drains", NOT_SERVING, "NOT_SERVING")]


async def _probe(trial: Try, what: str, code: int, word: str, *more: str) -> Seen:
    tls = ("-tls", "-tls-ca-cert", str(trial.authority), "-connect-timeout", "10s")
    exit_code, said = await trial.run(
        trial.programs / "grpc-health-probe", "-addr", trial.address, *tls, *more
    )
    ok = exit_code == code and word in said
    return Seen("grpc_health_probe", what, ok, f"exit code {exit_code}\n{said}")


async def ghz(trial: Try) -> list[Seen]:
    """Some hundred bids with ids of their own, all of them answered."""
    bid = {
        "request_id": "ghz-{{.RequestNumber}}",
        "campaign_id": CAMPAIGN,
        "bid_micros": "1000000",
        "predicted_ltv_micros": '2{{printf "%03d" .RequestNumber}}000',
    }
    for number in range(GHZ_CALLS):
        trial.sent[CAMPAIGN, round(2 + number / 1000, 3)] = f"ghz-{number}"
    data = json.dumps({"bid": bid}).replace('\\"', "`")
    shown = json.dumps({"authorization": f"Bearer {trial.token}"})
    exit_code, said = await trial.run(
        trial.programs / "ghz",
        *("--cacert", str(trial.authority), "--call", f"{SERVICE}/PlaceBid", "--data", data),
        *("--metadata", shown, "--reflect-metadata", shown),
        *("--total", str(GHZ_CALLS), "--concurrency", str(GHZ_AT_ONCE)),
        *("--format", "json", trial.address),
    )
    answered = _answered(said)
    ok = exit_code == 0 and answered == {"OK": GHZ_CALLS}
    for number in range(GHZ_CALLS):
        trial.placed(f"ghz-{number}", ok=ok)
    what = f"{GHZ_CALLS} bids, {GHZ_AT_ONCE} at once, all answered"
    return [Seen("ghz", what, ok, f"exit code {exit_code}, {answered}\n{said[:2000]}")]


def _answered(report: str) -> Mapping[str, int]:
    """Status -> how many calls, from ghz's report; empty when it wrote none."""
    try:
        found: dict[str, int] = json.loads(report)["statusCodeDistribution"]
    except (ValueError, KeyError):
        return {}
    return found


async def buf(trial: Try) -> list[Seen]:
    """A bid, and a veto with its reason."""
    program = Path(sys.executable).with_name("buf")
    url = f"https://{trial.address}/{SERVICE}/PlaceBid"
    given = ("curl", "--protocol", "grpc", "--cacert", str(trial.authority))
    shown = ("--header", trial.bearer, "--reflect-header", trial.bearer)
    seen = []
    for what, request_id, roas, micros, word in (
        ("curl PlaceBid", "buf-1", 1.8, 1_000_000, "BID_STATUS_PLACED"),
        ("curl, a veto", "buf-2", 1.9, 5_000_000_000, "resource_exhausted"),
    ):
        data = trial.bid(request_id, roas, micros)
        exit_code, said = await trial.run(program, *given, *shown, "--data", data, url)
        ok = (exit_code == 0) is (word == "BID_STATUS_PLACED") and word in said
        seen.append(Seen("buf", what, ok, f"exit code {exit_code}\n{said}"))
        if word == "BID_STATUS_PLACED":
            trial.placed(request_id, ok=ok)
    return seen


TOOLS: Mapping[str, Callable[[Try], Awaitable[list[Seen]]]] = {
    "grpcurl": grpcurl,
    "grpc_health_probe": grpc_health_probe,
    "ghz": ghz,
    "buf": buf,
    "draining": draining,
}
