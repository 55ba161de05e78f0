"""Several ad accounts of one platform behind one connector: each request goes to the account that
it names, and neither the platform nor the chain has to know.

Targets have their account in them (`accounts/eu/campaigns/1001`), so that locks, doubt and what is
remembered of a target are each account's own. Those of the account called `default` do not, so that
a further account changes nothing for the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import date
from typing import Any

from google.protobuf.message import Message

from smartconnectors.common.v1.connector_pb2 import CampaignStatusUpdate
from smartconnectors_server.budget import Finding, SpendReport
from smartconnectors_server.call import Call, Plan, Priced
from smartconnectors_server.connector._base import Connector, Gate, Placed, Sent, Traffic
from smartconnectors_server.connector.facts import AccountCampaigns, AccountFacts
from smartconnectors_server.errors import ConnectorError, InvalidBid, PlatformUnavailable

DEFAULT = "default"
"""The account of requests that name none, where there are several."""


def account_named(asked: str, names: Iterable[str], field: str = "account") -> str:
    """The account that a request means.

    Args:
        asked: the name in the request; empty: none.
        names: all there are; none: the platform has one without a name, called "" here.
        field: where the name is in the request.

    Raises:
        InvalidBid: there is no such account, or several and none of them is meant.
    """
    known = tuple(names)
    if asked in known:
        return asked
    if not asked and len(known) <= 1:
        return known[0] if known else ""
    if not asked and DEFAULT in known:
        return DEFAULT
    there_are = f"there are: {', '.join(sorted(known))}" if known else "none has a name here"
    what = f"no account is called {asked!r}" if asked else "names no account, and several are there"
    raise InvalidBid.of(field, f"{what}; {there_are}")


class Accounts:
    """Implements `Connector` over one connector for each account."""

    def __init__(self, connectors: Mapping[str, Connector], gate: Gate) -> None:
        """`connectors`: by the account's name, two or more of one platform."""
        self._connectors = connectors
        self._gate = gate
        one = next(iter(connectors.values()))
        self.max_batch = one.max_batch
        self._account_of: dict[str, str] = {}
        """Campaign -> the account that it was seen in."""

    async def connect(self) -> None:
        for connector in self._connectors.values():
            await connector.connect()

    async def close(self) -> None:
        async with AsyncExitStack() as closing:  # all of them, also when one cannot be closed
            for connector in self._connectors.values():
                closing.push_async_callback(connector.close)

    async def plan(self, request: Message, priced: Priced) -> Plan:
        name = self._name(request)
        plan = await self._connectors[name].plan(request, priced)
        self._account_of[_campaign_of(request)] = name
        return replace(plan, target=_prefix(name) + plan.target)

    async def moved_by(self, request: Message, plan: Plan) -> frozenset[str] | None:
        return await self._connectors[self._name(request)].moved_by(request, plan)

    def defers(self, request: Message) -> bool:
        return self._connectors[self._name(request)].defers(request)

    def offline_target(self, request: Message) -> str:
        name = self._name(request)
        return _prefix(name) + self._connectors[name].offline_target(request)

    def batch_calls(self, count: int) -> int:
        """As of one account; `place_many` takes what further ones cost."""
        return next(iter(self._connectors.values())).batch_calls(count)

    async def prefetch(self, requests: Sequence[Message]) -> None:
        by_account: dict[str, list[Message]] = {}
        for request in requests:
            try:
                by_account.setdefault(self._name(request), []).append(request)
            except InvalidBid:
                continue  # each of them is refused for itself
        failed: ConnectorError | None = None
        for name, own in by_account.items():
            try:
                await self._connectors[name].prefetch(own)
            except ConnectorError as error:
                failed = error  # one account that cannot be read keeps no other from it
        if failed is not None:
            raise failed

    async def place_many(self, planned: Sequence[tuple[Message, Call]]) -> Sequence[Placed]:
        """One batch for each account, one after another; one that fails fails alone."""
        by_account: dict[str, list[int]] = {}
        for index, (request, _) in enumerate(planned):
            by_account.setdefault(self._name(request), []).append(index)
        placed: dict[int, Placed] = {}
        paid = self.batch_calls(len(planned))
        for name, indexes in by_account.items():
            costs = self.batch_calls(len(indexes))
            own = [planned[index] for index in indexes]
            try:
                answers = await self._place(self._connectors[name], own, costs - paid)
            except ConnectorError as error:
                if len(by_account) == 1:
                    raise
                answers = [error] * len(own)
            paid = max(0, paid - costs)
            placed.update(zip(indexes, answers, strict=True))
        return [placed[index] for index in range(len(planned))]

    async def _place(
        self, connector: Connector, planned: Sequence[tuple[Message, Call]], unpaid: int
    ) -> Sequence[Placed]:
        async with AsyncExitStack() as quota:
            for _ in range(unpaid):
                batch = self._gate.read("batch of a further account", Traffic.BIDS)
                await quota.enter_async_context(batch)
            return await connector.place_many(planned)

    async def lookup(self, sent: Sent) -> Finding:
        name = self._name(sent.request)
        target = sent.target.removeprefix(_prefix(name))
        return await self._connectors[name].lookup(replace(sent, target=target))

    async def running(self, campaign_ids: Sequence[str]) -> Mapping[str, bool]:
        """Asked of every account; each knows its own campaigns. One that cannot be asked leaves its
        campaigns out. Raises when none can be asked.
        """
        found: dict[str, bool] = {}
        failures: list[ConnectorError] = []
        for name, connector in self._connectors.items():
            try:
                own = await connector.running(campaign_ids)
            except ConnectorError as error:
                failures.append(error)
                continue
            self._account_of.update(dict.fromkeys(own, name))
            found.update(own)
        if len(failures) == len(self._connectors):
            raise failures[0]
        return found

    async def account(self) -> AccountFacts:
        """Nothing is true of several: each one is asked for itself."""
        return AccountFacts()

    async def campaigns(self) -> AccountCampaigns | None:
        """Account by account, each campaign with its account's name. None: no account tells any."""
        told = {name: await one.campaigns() for name, one in self._connectors.items()}
        found = {name: one for name, one in told.items() if one is not None}
        if not found:
            return None
        return AccountCampaigns(
            tuple(replace(each, account=name) for name in found for each in found[name].campaigns),
            has_more=any(one.has_more for one in found.values()),
        )

    async def reported_spend(self, since: date) -> SpendReport | None:
        """All accounts' together; None unless each is set up for reports. Raises also
        PlatformUnavailable when their days differ, because a sum over them would be of no day.
        """
        reports = [await one.reported_spend(since) for one in self._connectors.values()]
        found = [report for report in reports if report is not None]
        if len(found) < len(reports):
            return None
        if len({report.time_zone for report in found}) > 1:
            raise PlatformUnavailable(
                "reported spend is not read: the accounts are in different time zones"
            )
        return SpendReport(found[0].time_zone, tuple(row for each in found for row in each.rows))

    def __getattr__(self, method: str) -> Callable[[Any, Call], Awaitable[Any]]:
        """A method of the platform's service, of the account that the request names."""

        async def forward(request: Any, call: Call) -> Any:
            if call.spec.urgent:
                await self._find(request.update)
            own = self._connectors[self._name(request)]
            return await getattr(own, method)(request, call)

        return forward

    async def _find(self, update: CampaignStatusUpdate) -> None:
        """Looks which account a campaign is in that has to be paused, unless that is known. Also
        while quota or breaker stand before other reads, because it cannot be paused without.
        """
        known = update.account or update.campaign_id in self._account_of
        if known or DEFAULT in self._connectors:
            return
        with self._gate.urgent(), suppress(ConnectorError):
            await self.running([update.campaign_id])

    def _name(self, request: Any) -> str:
        """Raises InvalidBid."""
        fields = request.DESCRIPTOR.fields_by_name
        common = request.bid if "bid" in fields else request.update
        if not common.account and isinstance(common, CampaignStatusUpdate):
            # Who stops everything names campaigns alone.
            seen = self._account_of.get(common.campaign_id)
            if seen is not None:
                return seen
        return account_named(common.account, self._connectors)


def _campaign_of(request: Any) -> str:
    """The campaign of a request that spends."""
    fields = request.DESCRIPTOR.fields_by_name
    campaign_id: str = (request.bid if "bid" in fields else request.update).campaign_id
    return campaign_id


def _prefix(name: str) -> str:
    return "" if name in ("", DEFAULT) else f"accounts/{name}/"
