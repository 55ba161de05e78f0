"""What the sandbox answers to a request, and what that changes: no sockets, no faults."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from smartconnectors_server.clock import Clock
from smartconnectors_server.connector.sandbox import Billed, Journal
from smartconnectors_server.platforms.meta import sandbox_access
from smartconnectors_server.platforms.meta.sandbox import fields, insights
from smartconnectors_server.platforms.meta.sandbox.accounts import (
    EXTRA_CAMPAIGNS_FROM,
    FORBIDDEN_ACCOUNT,
    Node,
    open_world,
)
from smartconnectors_server.platforms.meta.sandbox.facts import post_facts
from smartconnectors_server.platforms.meta.sandbox.failures import (
    Refused,
    invalid,
    too_many_calls,
    too_many_insights,
    unknown_object,
)
from smartconnectors_server.platforms.meta.sandbox.meter import INSIGHTS, MANAGEMENT, Meter
from smartconnectors_server.platforms.meta.sandbox.rules import Rules

MAX_BATCH = 50

_VERSION = re.compile(r"v(2[5-9])\.0")
"""Older ones have ended."""
_OWN_PARAMETERS = frozenset(
    {"access_token", "appsecret_proof", "batch", "include_headers", "execution_options", "fields"}
)
_ACCOUNT = re.compile(r"act_[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived.

    Attributes:
        method: `GET` or `POST`.
        path: without host and query, for example `/v26.0/1001`.
        parameters: of query and form.
        authorization: the header, or empty.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    authorization: str = ""

    @property
    def segments(self) -> list[str]:
        """The path after the version."""
        return [part for part in self.path.split("/") if part][1:]

    @property
    def is_batch(self) -> bool:
        """True for a batch."""
        return self.method == "POST" and not self.segments and "batch" in self.parameters

    @property
    def is_insights(self) -> bool:
        """True for a report."""
        return self.segments[1:] == ["insights"]

    @property
    def name(self) -> str:
        """Its name in the journal."""
        parts = ["{id}", *self.segments[1:]] if self.segments else []
        return f"{self.method} /{'/'.join(parts)}"

    @property
    def changes(self) -> bool:
        """True when it asks for a change."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    document: Any
    headers: Mapping[str, str]

    @property
    def body(self) -> str:
        """As it is sent."""
        return json.dumps(self.document)


class Answers:
    """The graph and the rules by which it changes."""

    def __init__(self, journal: Journal, clock: Clock, billed: Billed) -> None:
        self._journal = journal
        self._billed = billed
        self._clock = clock
        self._trace_numbers = itertools.count(1)
        self._meter = Meter(clock)
        self.reset()

    def reset(self) -> None:
        """Everything as it was at first."""
        self._world = open_world()
        self._rules = Rules(self._world, self._clock)
        self._meter.reset()
        self._hides_minimum_budgets = False
        self._ignored: set[str] = set()

    def add_ad_sets(self, campaign_id: str, count: int) -> None:
        """Gives a campaign that many more ad sets, as its first one is."""
        first = self._world.nodes[f"{campaign_id}1"]
        for number in range(count):
            ad_set_id = f"{campaign_id}{number:05d}"
            self._world.nodes[ad_set_id] = Node("adset", {**first.values, "id": ad_set_id})

    def add_campaigns(self, count: int) -> None:
        """Gives the dollar account that many more campaigns, as its first one is."""
        campaign, ad_set = self._world.nodes["1001"], self._world.nodes["10011"]
        for number in range(EXTRA_CAMPAIGNS_FROM, EXTRA_CAMPAIGNS_FROM + count):
            own = {"id": str(number), "name": f"Campaign {number}"}
            self._world.nodes[own["id"]] = Node("campaign", {**campaign.values, **own})
            inner = {"id": f"{number}1", "campaign_id": own["id"]}
            self._world.nodes[inner["id"]] = Node("adset", {**ad_set.values, **inner})

    def ignore_changes(self, object_id: str) -> None:
        """Takes changes of one object from now on, and makes none of them."""
        self._ignored.add(object_id)

    def set_currency(self, account_id: str, currency_code: str) -> None:
        """Has an account bill in another currency."""
        self._world.nodes[account_id].values["currency"] = currency_code

    def hide_minimum_budgets(self) -> None:
        """Refuses to tell minimum budgets, as to a user who may not see them."""
        self._hides_minimum_budgets = True

    def remove_campaign(self, campaign_id: str) -> None:
        """Removes a campaign and its ad sets. Raises KeyError when there is none."""
        ad_sets = [each.values["id"] for each in self._world.children(campaign_id, "adset")]
        for node_id in (campaign_id, *ad_sets):
            del self._world.nodes[node_id]

    def answer(self, asked: Asked) -> Reply:
        """Does what is asked, writes it into the journal, and says what came of it."""
        if not asked.is_batch:
            return self._answer_one(asked)
        trace_id = self._trace_id()
        try:
            self._authenticate(asked)
            parts = _parts(asked)
            self._check_campaigns(parts)
        except Refused as refused:
            facts = {"credentials": _credentials(asked), "errors": [refused.name]}
            self._journal.append(asked.name, changes=True, applied=False, facts=facts)
            return self._refusal(refused, trace_id, asked)
        answers = [self._answer_one(part, in_batch=True) for part in parts]
        with_headers = asked.parameters.get("include_headers", "true") != "false"
        document = [_part_answer(each, with_headers=with_headers) for each in answers]
        return Reply(200, document, self._headers(trace_id, asked))

    def refusal(self, asked: Asked, refused: Refused, *, throttled_ms: int | None = None) -> Reply:
        """Says no, changes nothing, and writes that into the journal."""
        facts = {"credentials": _credentials(asked), "errors": [refused.name]}
        self._journal.append(asked.name, changes=asked.changes, applied=False, facts=facts)
        return self._refusal(refused, self._trace_id(), asked, throttled_ms=throttled_ms)

    def quota_refusal(self, asked: Asked, delay_ms: int) -> Reply:
        """Says that the quota is used up."""
        refused = too_many_insights() if asked.is_insights else too_many_calls()
        return self.refusal(asked, refused, throttled_ms=delay_ms)

    def _answer_one(self, asked: Asked, *, in_batch: bool = False) -> Reply:
        self._meter.count()
        trace_id = self._trace_id()
        facts: dict[str, Any] = {"credentials": _credentials(asked), "batch": in_batch}
        try:
            self._authenticate(asked)
            if asked.changes:
                applied, document = self._post(asked, facts)
            else:
                facts |= {"object_id": "/".join(asked.segments), **_read_facts(asked)}
                applied, document = True, self._get(asked)
        except Refused as refused:
            facts["errors"] = [refused.name]
            self._journal.append(asked.name, changes=asked.changes, applied=False, facts=facts)
            return self._refusal(refused, trace_id, asked)
        self._journal.append(asked.name, changes=asked.changes, applied=applied, facts=facts)
        return Reply(200, document, self._headers(trace_id, asked))

    def _check_campaigns(self, parts: Sequence[Asked]) -> None:
        """Raises Refused when two parts post to ad sets of one campaign."""
        nodes = [self._world.nodes.get(part.segments[0]) for part in parts if part.changes]
        campaigns = [node.values["campaign_id"] for node in nodes if node and node.kind == "adset"]
        if len(set(campaigns)) < len(campaigns):
            raise invalid("Batch requests cannot include multiple ad sets under one campaign.")

    def _authenticate(self, asked: Asked) -> None:
        if _VERSION.fullmatch(asked.path.split("/")[1]) is None:
            raise Refused(2635, "(#2635) You are calling a deprecated version of the Ads API.")
        token = asked.parameters.get("access_token", "")
        scheme, _, given = asked.authorization.partition(" ")
        if scheme.lower() in ("bearer", "oauth"):
            token = given
        if token != sandbox_access.ACCESS_TOKEN.get_secret_value():
            raise Refused(190, "Invalid OAuth access token.", status=401)
        proof = asked.parameters.get("appsecret_proof")
        if proof is not None and not hmac.compare_digest(proof, _proof_of(token)):
            raise Refused(
                100,
                "Invalid appsecret_proof provided in the API argument",
                kind="GraphMethodException",
            )

    def _post(self, asked: Asked, facts: dict[str, Any]) -> tuple[bool, Any]:
        """(whether anything was applied, the answer)."""
        if len(asked.segments) != 1:
            raise unknown_object("post", "/".join(asked.segments))
        node_id = asked.segments[0]
        form = {
            name: text for name, text in asked.parameters.items() if name not in _OWN_PARAMETERS
        }
        validate_only = "validate_only" in asked.parameters.get("execution_options", "")
        node = self._world.nodes.get(node_id)
        facts |= post_facts(self._world, node, node_id, form)
        facts["validate_only"] = validate_only
        if node is None or node.kind == "account":
            raise unknown_object("post", node_id)
        staged = self._rules.stage(node, form)
        applied = not validate_only and node_id not in self._ignored
        if applied:
            self._rules.commit(staged, form)
        if validate_only or "fields" not in asked.parameters:
            return applied, {"success": True}
        wanted = fields.parse(asked.parameters["fields"])
        return applied, fields.render(self._world, self._world.nodes[node_id], wanted)

    def _get(self, asked: Asked) -> Any:
        parameters = asked.parameters
        wanted = fields.parse(parameters.get("fields", ""))
        if "ids" in parameters:
            raise invalid("Multi-ID requests are not available to apps made since 2026-11-04.")
        if not asked.segments:
            raise unknown_object("get", "")
        node = self._node(asked.segments[0])
        if node.kind == "account":
            node.values["timezone_name"] = self._billed.time_zone
        if len(asked.segments) == 1:
            return fields.render(self._world, node, wanted)
        if node.kind == "account" and asked.segments[1:] == ["insights"]:
            return insights.page(self._world, node, parameters, self._billed)
        if node.kind == "account" and asked.segments[1:] == ["minimum_budgets"]:
            if self._hides_minimum_budgets:
                raise unknown_object("get", "/".join(asked.segments))
            return {"data": [fields.chosen(self._world.minimum_budgets(node), wanted)]}
        kind = fields.edge_kind(node, asked.segments[1])
        if kind is None or len(asked.segments) > 2:
            raise unknown_object("get", "/".join(asked.segments))
        return fields.edge_page(self._world, node, kind, parameters, wanted)

    def _node(self, node_id: str) -> Node:
        if node_id == FORBIDDEN_ACCOUNT:
            raise Refused(
                200,
                "(#200) Ad account owner has NOT grant ads_management or ads_read permission",
                status=403,
            )
        node = self._world.nodes.get(node_id)
        if node is None and _ACCOUNT.fullmatch(node_id):
            # Any other account is the one in US dollars under another name.
            return self._world.nodes[sandbox_access.USD_ACCOUNT]
        if node is None:
            raise unknown_object("get", node_id)
        return node

    def _refusal(
        self, refused: Refused, trace_id: str, asked: Asked, *, throttled_ms: int | None = None
    ) -> Reply:
        headers = self._headers(trace_id, asked, throttled_ms=throttled_ms)
        return Reply(refused.status, refused.body(trace_id), headers)

    def _headers(
        self, trace_id: str, asked: Asked, *, throttled_ms: int | None = None
    ) -> Mapping[str, str]:
        use_case = INSIGHTS if asked.is_insights else MANAGEMENT
        account = self._account_of(asked)
        usage = self._meter.headers(account, use_case=use_case, throttled_ms=throttled_ms)
        return {**usage, "x-fb-trace-id": trace_id, "facebook-api-version": "v26.0"}

    def _account_of(self, asked: Asked) -> str:
        """The account whose quota a request takes, without `act_`; a batch is the dollar one's."""
        node_id = asked.segments[0] if asked.segments else sandbox_access.USD_ACCOUNT
        if _ACCOUNT.fullmatch(node_id):
            return node_id.removeprefix("act_")
        node = self._world.nodes.get(node_id)
        dollars = sandbox_access.USD_ACCOUNT.removeprefix("act_")
        return dollars if node is None else str(node.values["account_id"])

    def _trace_id(self) -> str:
        return f"Sandbox{next(self._trace_numbers):08d}"


def _parts(asked: Asked) -> list[Asked]:
    """The requests in a batch, each with the credentials of the batch. Raises Refused."""
    try:
        listed = json.loads(asked.parameters["batch"])
        if not isinstance(listed, list):
            raise invalid("Param batch must be an array.")
        if len(listed) > MAX_BATCH:
            message = f"Too many requests in batch message. Maximum batch size is {MAX_BATCH}"
            raise Refused(0, message, kind="GraphBatchException")
        parts = [_part(asked, each) for each in listed]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise invalid("Param batch must be a JSON array of requests.") from None
    return parts


def _part(asked: Asked, part: Mapping[str, Any]) -> Asked:
    version = asked.path.split("/")[1]
    url = urlsplit(str(part["relative_url"]))
    own = dict(parse_qsl(url.query, keep_blank_values=True))
    own |= dict(parse_qsl(str(part.get("body", "")), keep_blank_values=True))
    credentials = ("access_token", "appsecret_proof")
    shared = {name: asked.parameters[name] for name in credentials if name in asked.parameters}
    path = url.path.strip("/")
    if not path.startswith(f"{version}/"):
        path = f"{version}/{path}"
    return Asked(str(part["method"]).upper(), f"/{path}", {**shared, **own}, asked.authorization)


def _part_answer(reply: Reply, *, with_headers: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"code": reply.status, "body": reply.body}
    if with_headers:
        listed = [{"name": name, "value": value} for name, value in reply.headers.items()]
        answer["headers"] = listed
    return answer


def _proof_of(token: str) -> str:
    key = sandbox_access.APP_SECRET.get_secret_value().encode()
    return hmac.new(key, token.encode(), hashlib.sha256).hexdigest()


def _credentials(asked: Asked) -> list[str]:
    """Which credentials came, and where; never what they said."""
    found = ["authorization"] if asked.authorization else []
    return found + [
        name for name in ("access_token", "appsecret_proof") if name in asked.parameters
    ]


def _read_facts(asked: Asked) -> dict[str, Any]:
    return {
        name: asked.parameters[name]
        for name in ("fields", "ids", "time_range", "after")
        if name in asked.parameters
    }
