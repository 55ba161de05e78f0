"""Sends changes of ad groups and flights, and believes them by the values that are returned.

A bid or a budget is sent once: what its answer does not settle is left to the reconciler. Who is
targeted and what runs commit nothing and have no reconciler, so there the ad group is read when the
answer does not show the change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from smartconnectors_server.call import Call
from smartconnectors_server.connector import Gate
from smartconnectors_server.errors import (
    OutcomeUnknown,
    PlatformRejected,
    PlatformUnavailable,
    RateLimited,
    UnknownTarget,
)
from smartconnectors_server.platforms.trade_desk import confirmation, targeting
from smartconnectors_server.platforms.trade_desk.account import Account
from smartconnectors_server.platforms.trade_desk.answers import TokenRefused
from smartconnectors_server.platforms.trade_desk.api import Api
from smartconnectors_server.platforms.trade_desk.state import (
    AdGroup,
    UnreadableEntity,
    ad_group_of,
    flight_id_of,
    is_whole_ad_group,
)
from smartconnectors_server.platforms.trade_desk.wire import Change

_log = logging.getLogger(__name__)


class SettingsChanges:
    """One account's changes of settings."""

    def __init__(self, api: Api, account: Account, gate: Gate) -> None:
        self._api = api
        self._account = account
        self._gate = gate
        self._has_status_endpoint = True

    async def bid(self, change: Change, call: Call) -> AdGroup:
        """Sets what an ad group bids; the ad group as The Trade Desk answered it.

        Raises as `Api.change`, PlatformRejected also when the answer has the bids from before.
        """
        entity = await self._send(change, call, lambda one: ad_group_of(one).ad_group_id)
        self._keep(entity, change)
        return ad_group_of(entity)

    async def daily_target(self, change: Change, daily_target_micros: int, call: Call) -> None:
        """Sets a flight's daily target. Raises as `bid`."""
        await self._send(change, call, flight_id_of)
        flight_id = change.body["CampaignFlightId"]
        self._account.flight_changed(change.campaign_id, flight_id, daily_target_micros)

    async def targeting(self, change: Change, call: Call) -> None:
        """Sets whom an ad group targets. Raises as `bid`."""
        found = await self._sent_and_read(change, call)
        confirmation.check(found, change.expected)
        self._keep(found, change)

    async def switch(self, change: Change, call: Call) -> None:
        """Switches an ad group on or off, by the endpoint for that or else by the ad group's own.
        Raises as `bid`.
        """
        if self._has_status_endpoint:
            try:
                found = await self._sent_and_read(change, call)
                if confirmation.is_confirmed(found, change.expected):
                    self._keep(found, change)
                    return
                refusal = "it does not apply the change"
            except TokenRefused:
                raise
            except (PlatformRejected, UnknownTarget) as error:
                refusal = error.message
            async with self._gate.read("the same change by PUT /v3/adgroup"):
                await self.targeting(targeting.by_ad_group(change), call)
            # Not asked again: each attempt would delay a pause by one call or two.
            self._has_status_endpoint = False
            _log.warning("PUT /v3/adgroup/status is not used any more: %s", refusal)
        else:
            await self.targeting(targeting.by_ad_group(change), call)

    async def _send(
        self, change: Change, call: Call, id_of: Callable[[Mapping[str, Any]], Any]
    ) -> Mapping[str, Any]:
        """Sends what commits money; the entity, which has what was sent."""
        accepted = False
        try:
            entity = await self._api.change(
                change.method, change.path, change.body, _dispatched(call)
            )
            _check_id(entity, id_of, next(iter(change.body.values())))
            confirmation.check(entity, change.expected)
            accepted = True
        finally:
            # Also when this is cancelled: then it is not known what the ad group is like.
            if not accepted and call.dispatched:
                self._account.forget(change.campaign_id)
        return entity

    async def _sent_and_read(self, change: Change, call: Call) -> Mapping[str, Any]:
        """Sends what commits nothing; its answer if that shows the change, else the ad group as it
        is then.
        """
        ad_group_id = change.body["AdGroupId"]
        known = False
        try:
            answer = await self._api.change(
                change.method, change.path, change.body, _dispatched(call), may_be_empty=True
            )
            same = answer.get("AdGroupId", ad_group_id) == ad_group_id
            if not same or not confirmation.is_confirmed(answer, change.expected):
                answer = await self._read_after(ad_group_id)
            known = True
        finally:
            if not known and call.dispatched:
                self._account.forget(change.campaign_id)
        return answer

    async def _read_after(self, ad_group_id: str) -> Mapping[str, Any]:
        """The ad group after a change whose answer does not show it. Raises OutcomeUnknown."""
        path = f"/adgroup/{quote(ad_group_id, safe='')}"
        try:
            entity = await self._api.read("ad group after a change", "GET", path)
        except (PlatformUnavailable, PlatformRejected, RateLimited, UnknownTarget) as error:
            raise OutcomeUnknown(
                "The Trade Desk's answer does not show the change, and the ad group could not be "
                f"read afterwards: {error.message}"
            ) from error
        if entity.get("AdGroupId") != ad_group_id:
            raise OutcomeUnknown("The Trade Desk answered the change with something else.")
        return entity

    def _keep(self, found: Mapping[str, Any], change: Change) -> None:
        """Remembers the ad group if all of it was returned; else it is read when it is needed."""
        if is_whole_ad_group(found):
            self._account.changed(ad_group_of(found))
        else:
            self._account.forget(change.campaign_id)


def _dispatched(call: Call) -> Callable[[], None]:
    def dispatched() -> None:
        call.dispatched = True

    return dispatched


def _check_id(
    entity: Mapping[str, Any], id_of: Callable[[Mapping[str, Any]], Any], asked: Any
) -> None:
    """Raises OutcomeUnknown unless the answer to a change is what was to be changed."""
    try:
        same = id_of(entity) == asked
    except UnreadableEntity as error:
        raise OutcomeUnknown(f"The Trade Desk answered the change with {error}.") from error
    if not same:
        raise OutcomeUnknown("The Trade Desk answered the change with something else.")
