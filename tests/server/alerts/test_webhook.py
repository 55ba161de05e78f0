"""One post to a receiver: what is in it, how it is signed, and what its answer means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError
from standardwebhooks import WebhookVerificationError
from tests.server.alerts.receiver import SECRET, Answer, Receiver

from smartconnectors_server.alert_settings import WebhookSettings
from smartconnectors_server.alerts.delivery import Gone, NotDelivered
from smartconnectors_server.alerts.webhook import Webhook, slack_payload, standard_payload
from smartconnectors_server.clock import ManualClock, SystemClock
from smartconnectors_server.ledger import Alert, AlertKind, AlertLevel

ALERT = Alert(
    sequence=12,
    kind=AlertKind.BUDGET_WARNING,
    at_ns=1_795_521_600_123_456_789,
    platform="google_ads",
    budget_ids=("google_ads",),
    request_id="",
    amount_micros=85_000_000,
    currency_code="USD",
    level=AlertLevel.WARNING,
    figures="$85.00 of $100.00 committed",
)
Make = Callable[..., Webhook]


@pytest.fixture
async def make(receiver: Receiver) -> AsyncIterator[Make]:
    """A webhook that posts to the receiver."""
    async with aiohttp.ClientSession() as session:

        def made(timeout_s: float = 5.0, **settings: Any) -> Webhook:
            document = {"url": receiver.url, "secret": SECRET, **settings}
            chosen = WebhookSettings.model_validate(document)
            return Webhook("oncall", chosen, session, SystemClock(), timeout_s=timeout_s)

        yield made


async def test_a_delivery_is_verified_by_the_specification_s_own_library(
    make: Make, receiver: Receiver
) -> None:
    await make().send(ALERT)
    (delivery,) = receiver.got
    delivery.verify()
    assert delivery.id == "alert-12"
    with pytest.raises(WebhookVerificationError):
        delivery.verify("whsec_" + "b3RoZXI" * 6)


def test_what_a_receiver_of_one_s_own_gets() -> None:
    assert standard_payload(ALERT) == {
        "type": "budget_warning",
        "timestamp": "2026-11-24T12:00:00.123Z",
        "data": {
            "id": "alert-12",
            "severity": "warning",
            "platform": "google_ads",
            "budget_ids": ["google_ads"],
            "request_id": "",
            "amount_micros": "85000000",
            "currency_code": "USD",
            "text": "budget google_ads is at WARNING: $85.00 of $100.00 committed",
            "level": "warning",
        },
    }


def test_what_slack_gets_is_text_and_blocks_with_nothing_that_it_would_take_for_markup() -> None:
    import dataclasses

    payload = slack_payload(dataclasses.replace(ALERT, figures="<!channel> & more"))
    text = ":warning: *WARNING* budget google_ads is at WARNING: &lt;!channel&gt; &amp; more"
    assert payload["text"] == payload["blocks"][0]["text"]["text"] == text
    assert payload["blocks"][1]["elements"][0]["text"] == "budget_warning · alert-12"


async def test_slack_needs_no_secret(make: Make, receiver: Receiver) -> None:
    await make(format="slack", secret="").send(ALERT)
    (delivery,) = receiver.got
    assert set(delivery.document) == {"text", "blocks"}
    assert "webhook-signature" not in delivery.headers


@pytest.mark.parametrize(
    ("answer", "down", "wait_s"),
    [
        (Answer(500), True, 0.0),
        (Answer(503, {"Retry-After": "120"}), True, 120.0),
        (Answer(429, {"Retry-After": "7"}), True, 7.0),
        (Answer(429, {"Retry-After": "999999"}), True, 86_400.0),
        (Answer(429, {"Retry-After": "soon"}), True, 0.0),
        (Answer(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), True, 0.0),
        (Answer(400), False, 0.0),
        (Answer(404), False, 0.0),
        (Answer(301, {"Location": "/hook"}), False, 0.0),
    ],
)
async def test_an_answer_that_is_not_a_success_says_whether_the_receiver_is_down(
    make: Make, receiver: Receiver, answer: Answer, down: bool, wait_s: float
) -> None:
    receiver.will(answer)
    with pytest.raises(NotDelivered) as caught:
        await make().send(ALERT)
    assert (caught.value.down, caught.value.wait_s) == (down, wait_s)
    assert str(caught.value) == f"answered {answer.status}"
    assert len(receiver.got) == 1, "a redirection is not followed"


async def test_a_date_says_how_long_to_wait(make: Make, clock: ManualClock) -> None:
    webhook = make()
    webhook._clock = clock  # 2023-11-14 22:13:20
    assert webhook._wait_s("Tue, 14 Nov 2023 22:14:20 GMT") == 60.0


async def test_gone_is_gone(make: Make, receiver: Receiver) -> None:
    receiver.will(Answer(410))
    with pytest.raises(Gone):
        await make().send(ALERT)


async def test_a_receiver_that_hangs_or_is_away_is_down_and_what_is_said_shows_no_address(
    make: Make, receiver: Receiver
) -> None:
    receiver.will(Answer(hangs=True))
    with pytest.raises(NotDelivered, match="no answer in time") as hung:
        await make(timeout_s=0.2).send(ALERT)
    await receiver.stop()
    with pytest.raises(NotDelivered, match="not reached: ClientConnectorError") as away:
        await make().send(ALERT)
    assert hung.value.down
    assert away.value.down
    assert "do-not-show-me" not in f"{hung.value}{away.value}"


async def test_kinds_that_are_not_asked_for_are_not_sent(make: Make) -> None:
    await asyncio.sleep(0)
    assert make().wants(ALERT)
    assert make(kinds=["budget_warning"]).wants(ALERT)
    assert not make(kinds=["circuit_opened"]).wants(ALERT)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://example.com/x", "secret": SECRET},
        {"url": "https://", "secret": SECRET},
        {"url": "https://example.com/a b", "secret": SECRET},
        {"url": "https://example.com/"},
        {"url": "https://example.com/", "secret": "whsec_c2hvcnQ="},
        {"url": "https://example.com/", "secret": "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9u"},
        {"url": "https://example.com/", "secret": "whsec_%%%%"},
        {"url": "https://example.com/", "secret": SECRET, "kinds": ["rumour"]},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate(settings)
