"""Platform answers: for every platform's real client, any answer to any call it makes.

A case is an exemplary wire document played against the sandbox, with one answer on the way back
spoilt. The sandbox's journal says which request was a change; a judge of its own (`judges`) says
what the spoilt answer may be taken for.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import strategies as st
from tests.fuzz import logins
from tests.fuzz.documents import Scenario, scenarios
from tests.fuzz.judges import JUDGES, Verdict
from tests.fuzz.middle import POISONS, Exchange, Poison, patience
from tests.fuzz.mutations import numbers_in, strict_json, texts_in
from tests.fuzz.promises import check_error, check_signal, check_unsent, logs
from tests.fuzz.stage import Stage

from smartconnectors_server.call import MethodSpec, Plan, Priced
from smartconnectors_server.connector import Finding, Sent
from smartconnectors_server.errors import (
    ConnectorError,
    Outcome,
    PlatformUnavailable,
)
from smartconnectors_server.platforms.google_ads.library import load
from smartconnectors_server.platforms.google_ads.options import DEFAULT_VERSION

SPENDS = ("PlaceBid", "UpdateCampaignBudget")
MOST_MICROS = 10**18
INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Case:
    """One document, and how one answer on its way is spoilt."""

    scenario: str
    """`platform/name`"""
    poison: Poison


CASES = st.builds(
    Case, scenario=st.sampled_from([*sorted(scenarios()), logins.NAME]), poison=POISONS
)


class Answers:
    """Plays cases. `play` raises AssertionError, or whatever escaped, when a promise is broken."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    async def close(self) -> None:
        for stage in self._stages.values():
            await stage.close()

    async def play(self, case: Case) -> None:
        platform = case.scenario.partition("/")[0]
        if platform not in self._stages:
            self._stages[platform] = Stage(platform)
            await self._stages[platform].open()
        stage = self._stages[platform]
        with logs() as kept:
            async with patience():
                if case.scenario == logins.NAME:
                    await logins.play_login(stage, case.poison)
                else:
                    await _Play(stage, scenarios()[case.scenario], case.poison).run()
        secrets = {exchange.secret for exchange in stage.middle.exchanges}
        for signal in stage.gate.signals:
            check_signal(signal, secrets)
        assert not [line for line in kept.errors if "Task exception" in line], kept.errors


class _Play:
    def __init__(self, stage: Stage, scenario: Scenario, poison: Poison) -> None:
        self._stage = stage
        self._scenario = scenario
        self._poison = poison
        self._priced: Any = None

    async def run(self) -> None:
        stage, scenario = self._stage, self._scenario
        await stage.begin()
        connector = await stage.connector(scenario.options())
        if self._poison.phase == "connect":
            stage.middle.begin("connect", self._poison)
            connector = await stage.fresh(scenario.options())
        try:
            await self._with(connector)
        finally:
            if self._poison.phase == "connect":
                await connector.close()

    async def _with(self, connector: Any) -> None:
        if self._scenario.method == "PlaceBids":
            await self._batch(connector)
        elif self._scenario.method in SPENDS:
            await self._spend(connector)
        else:
            await self._other(connector)

    async def _spend(self, connector: Any) -> None:
        request = self._scenario.request()
        self._priced = self._scenario.priced(request)
        plan = await self._planned(connector, request)
        if plan is None or plan.unchanged:
            return
        call = self._stage.call(self._scenario.method, plan, self._priced)
        await self._sent(getattr(connector, self._scenario.method)(request, call))
        await self._looked(connector, request, plan)

    async def _planned(self, connector: Any, request: Any) -> Plan | None:
        """What was planned. A read that was spoilt ends in a plan that makes sense, or in an error
        that holds no money; and the next plan is what it would have been without it.
        """
        self._stage.middle.begin("plan", self._poison)
        try:
            plan = await connector.plan(request, self._priced)
        except ConnectorError as error:
            self._check_unsent(error)
            self._stage.middle.begin("again", None)
            if isinstance(error, PlatformUnavailable):
                return await self._clean_plan(connector, request)
            return None  # it was readable, and what it said may be kept
        assert isinstance(plan, Plan)
        for text in (plan.target, plan.before):
            text.encode()
        for number in (plan.amount_micros, plan.before_value or 0, plan.after_value):
            assert number in INT64, plan
        assert 0 <= plan.amount_micros <= MOST_MICROS
        return plan

    async def _clean_plan(self, connector: Any, request: Any) -> Plan | None:
        try:
            again = await connector.plan(request, self._priced)
        except ConnectorError as error:
            again = error
        other = await self._stage.fresh(self._scenario.options())
        try:
            expected = await other.plan(request, self._priced)
        except ConnectorError as error:
            expected = error
        finally:
            await other.close()
        if isinstance(again, Plan) and isinstance(expected, Plan):
            assert (again.target, again.before) == (expected.target, expected.before)
            return again
        assert str(again) == str(expected), "what was unreadable was kept"
        return None

    async def _sent(self, sending: Any) -> None:
        self._stage.middle.begin("send", self._poison)
        try:
            answer = await sending
        except ConnectorError as error:
            self._check(error)
            self._judge(error)
        else:
            assert isinstance(answer, Message)
            answer.SerializeToString()
            self._judge(None)

    def _judge(self, error: ConnectorError | None, part: int = 0) -> None:
        """The class of the error, or none, says no more than the last answer to a change did."""
        changes = [e for e in self._stage.middle.exchanges if e.phase == "send" and e.changes]
        if not changes or not changes[-1].poisoned:
            return
        verdict = self._verdict(self._as_shown(changes[-1]), part)
        if error is None:
            assert verdict is Verdict.DONE, f"taken for success: {changes[-1]}"
        elif error.outcome is not Outcome.UNKNOWN:
            assert verdict is Verdict.REFUSED, f"taken for {error!r}: {changes[-1]}"

    def _as_shown(self, change: Exchange) -> Exchange:
        """The change, with what was read after it in place of an answer that did not show it."""
        exchanges = self._stage.middle.exchanges
        after = [e for e in exchanges[exchanges.index(change) + 1 :] if e.phase == "send"]
        if self._scenario.platform != "trade_desk" or not after or not 200 <= change.status < 300:
            return change
        return dataclasses.replace(change, whole=True, status=after[-1].status, body=after[-1].body)

    def _verdict(self, exchange: Exchange, part: int) -> Verdict:
        if not exchange.whole:
            return Verdict.UNCLEAR
        verdicts = JUDGES[self._scenario.platform](exchange)
        # What holds for all parts is said once.
        return verdicts[part] if part < len(verdicts) else Verdict.UNCLEAR

    async def _batch(self, connector: Any) -> None:
        requests = list(self._scenario.request().bids)
        self._stage.middle.begin("plan", self._poison)
        planned = []
        try:
            await connector.prefetch(requests)
            for request in requests:
                bid = request.bid
                priced = Priced(
                    bid.request_id,
                    bid.bid_micros,
                    bid.predicted_ltv_micros,
                    bid.currency_code or "USD",
                )
                plan = await connector.plan(request, priced)
                planned.append((request, self._stage.call("PlaceBid", plan, priced)))
        except ConnectorError as error:
            self._check_unsent(error)
            return
        self._stage.middle.begin("send", self._poison)
        try:
            placed = list(await connector.place_many(planned))
        except ConnectorError as error:
            self._check(error)
            placed = [error] * len(planned)
        assert len(placed) == len(planned)
        changes = [e for e in self._stage.middle.exchanges if e.changes]
        for index, one in enumerate(placed):
            failed = one if isinstance(one, ConnectorError) else None
            if failed is not None:
                self._check(failed)
            if len(changes) == 1:
                self._judge(failed, index if _is_list(changes[0]) else 0)

    async def _other(self, connector: Any) -> None:
        request = self._scenario.request()
        if self._scenario.method == "ResumeCampaign":
            pause = MethodSpec.of(self._stage.platform.service.methods_by_name["PauseCampaign"])
            first: Any = pause.request_class()
            first.update.campaign_id = request.update.campaign_id
            self._stage.middle.begin("before", None)
            # An earlier case may have left a token that the platform does not take; then it is
            # resumed from where it stands.
            with contextlib.suppress(ConnectorError):
                await connector.PauseCampaign(first, self._stage.call("PauseCampaign", None, None))
        call = self._stage.call(self._scenario.method, None, None)
        await self._sent(getattr(connector, self._scenario.method)(request, call))

    async def _looked(self, connector: Any, request: Any, plan: Plan) -> None:
        """A finding says no more than the answer did."""
        self._stage.middle.begin("look", self._poison)
        try:
            finding = await connector.lookup(Sent(request, self._priced, plan.target, plan.before))
        except ConnectorError as error:
            self._check_unsent(error)
            return
        assert isinstance(finding, Finding)
        looks = [e for e in self._stage.middle.exchanges if e.phase == "look"]
        if finding is Finding.INCONCLUSIVE or not any(one.poisoned for one in looks):
            return
        assert all(one.whole for one in looks), f"{finding} from a broken answer"
        self._check_shown(finding, plan, looks)

    def _check_shown(self, finding: Finding, plan: Plan, looks: list[Exchange]) -> None:
        numbers: set[Decimal] = set()
        texts: set[str] = set()
        for one in looks:
            document = self._document(one)
            numbers.update(numbers_in(document))
            texts.update(texts_in(document))
        value = plan.after_value if finding is Finding.APPLIED else plan.before_value
        shown = any(_same(number, value) for number in numbers)
        marked = self._priced.request_id in texts or not value
        assert shown or marked, f"{finding} although no {value} was shown: {looks}"

    def _document(self, exchange: Exchange) -> Any:
        if self._scenario.platform != "google_ads":
            return strict_json(exchange.body)
        if exchange.request.startswith(b"POST "):
            return {}
        message = load(DEFAULT_VERSION).search_response.FromString(exchange.body)
        return json_format.MessageToDict(message)

    def _check_unsent(self, error: ConnectorError) -> None:
        check_unsent(error, self._secrets())

    def _check(self, error: ConnectorError) -> None:
        check_error(error, self._secrets())

    def _secrets(self) -> set[str]:
        return {exchange.secret for exchange in self._stage.middle.exchanges}


def _is_list(exchange: Exchange) -> bool:
    return exchange.body.lstrip().startswith(b"[")


def _same(number: Decimal, value: int | None) -> bool:
    """The value as it may stand on a wire: as it is, or in units of a million."""
    return value is not None and (number == value or abs(number * 10**6 - value) <= Decimal("0.5"))


@contextmanager
def open_answers() -> Iterator[Callable[[Case], None]]:
    """`fuzz_answers`, with everything that it needs open."""
    with asyncio.Runner() as runner:
        answers = Answers()

        def fuzz_answers(case: Case) -> None:
            runner.run(answers.play(case))

        try:
            yield fuzz_answers
        finally:
            runner.run(answers.close())
