"""Is the request well formed? First the rules in the protos, then what needs settings."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar

import protovalidate
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from smartconnectors_server.call import Call, Kind, MethodSpec
from smartconnectors_server.connector import account_named
from smartconnectors_server.errors import CurrencyMismatch, InvalidBid, Violation
from smartconnectors_server.interceptors._base import Engines, Next, PlatformRuntime

MAX_EXPLANATION_BYTES = 8 * 1024
MAX_EXPLANATION_DEPTH = 16
MAX_VIOLATIONS = 20


def _path(violation: Any) -> str:
    """`bid.request_id`, `update.add_audience_ids[3]`."""
    text = ""
    for element in violation.proto.field.elements:
        text += f".{element.field_name}" if text else str(element.field_name)
        subscript = getattr(element, "subscript", None)
        if subscript is not None and subscript.field == "index":
            text += f"[{subscript.value}]"
    return text or "(request)"


def check_rules(request: Message) -> None:
    """The rules in the protos. Raises InvalidBid, naming every field that is wrong."""
    violations = protovalidate.collect_violations(request)
    if not violations:
        return
    found = tuple(Violation(_path(v), str(v.proto.message)) for v in violations[:MAX_VIOLATIONS])
    text = "; ".join(f"{v.field}: {v.description}" for v in found)
    raise InvalidBid(text, violations=found)


def check_ids(request: Message) -> None:
    """Raises InvalidBid when an id or a name in a request, or in its `bid` or `update`, has a
    control character: it becomes part of the names of budgets, targets and audit lines, as it is.
    """
    wrong = []
    for path, inside, field, repeated in _ids_in(request.DESCRIPTOR):
        message: Any = getattr(request, inside) if inside else request
        value = getattr(message, field)
        if not all(map(str.isprintable, value if repeated else (value,))):
            wrong.append(Violation(path, "has a line break or a control character"))
    if wrong:
        raise InvalidBid(
            "; ".join(f"{v.field}: {v.description}" for v in wrong), violations=tuple(wrong)
        )


@cache
def _ids_in(descriptor: Descriptor, inside: str = "") -> tuple[tuple[str, str, str, bool], ...]:
    """(path, message around it, field, whether it is repeated) of what names something."""
    found: list[tuple[str, str, str, bool]] = []
    for field in descriptor.fields:
        if field.message_type is not None and field.name in ("bid", "update") and not inside:
            found += _ids_in(field.message_type, field.name)
        elif field.type == field.TYPE_STRING and (
            field.name == "platform" or field.name.endswith(("_id", "_ids"))
        ):
            path = f"{inside}.{field.name}" if inside else field.name
            found.append((path, inside, field.name, field.is_repeated))
    return tuple(path for path in found if path[2] != "customer_id")


def _check_value(value: Value, path: str, depth: int) -> None:
    if depth > MAX_EXPLANATION_DEPTH:
        raise InvalidBid.of(path, f"is more than {MAX_EXPLANATION_DEPTH} levels deep")
    kind = value.WhichOneof("kind")
    if kind == "number_value" and not math.isfinite(value.number_value):
        raise InvalidBid.of(path, "is NaN or infinite, which JSON cannot carry")
    if kind == "struct_value":
        for key, inner in value.struct_value.fields.items():
            _check_value(inner, f"{path}.{key[:64]}", depth + 1)
    elif kind == "list_value":
        for index, inner in enumerate(value.list_value.values):
            _check_value(inner, f"{path}[{index}]", depth + 1)


def check_explanation(explanation: Struct) -> None:
    """The model's reasons: bounded, and nothing that JSON cannot carry. Raises InvalidBid."""
    size = explanation.ByteSize()
    if size > MAX_EXPLANATION_BYTES:
        raise InvalidBid.of(
            "bid.explanation", f"is {size} bytes; the limit is {MAX_EXPLANATION_BYTES}"
        )
    _check_value(Value(struct_value=explanation), "bid.explanation", 0)


def check_currency(asked: str, runtime: PlatformRuntime, field: str) -> str:
    """The currency of the request, or of the budget when it names none. Raises CurrencyMismatch."""
    if asked and asked != runtime.currency_code:
        text = f"{runtime.name}: the budget is in {runtime.currency_code}, the request in {asked}"
        raise CurrencyMismatch(
            text,
            metadata={"expected": runtime.currency_code, "actual": asked},
            violations=(Violation(field, f"must be {runtime.currency_code} or empty"),),
        )
    return runtime.currency_code


class Validation:
    """Refuses what is malformed, and reads into the call what all kinds of request have."""

    name: ClassVar[str] = "validation"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.most_bytes = engines.settings.server.max_message_bytes

    @staticmethod
    def applies_to(spec: MethodSpec) -> bool:
        del spec
        return True

    async def intercept(self, call_next: Next, request: Message, call: Call) -> Message:
        self.check(request, call)
        response: Message = await call_next(request, call)
        return response

    def check(self, request: Any, call: Call) -> None:
        """Raises InvalidBid or CurrencyMismatch."""
        check_rules(request)
        check_ids(request)
        kind = call.spec.kind
        if kind is Kind.BID:
            bid = request.bid
            call.reduce_only = bid.reduce_only
            call.customer = self._engines.customers.hash_of(bid.customer_id)
            if bid.HasField("explanation"):
                check_explanation(bid.explanation)
            self._read(bid, "bid", call)
        elif kind is Kind.CAMPAIGN_BUDGET:
            self._read(request.update, "update", call)
        elif call.spec.platform and kind is Kind.OTHER:
            self._check_account(request.update, "update", call)
            call.campaign_id = request.update.campaign_id
            call.validate_only = request.update.validate_only

    def _check_account(self, common: Any, field: str, call: Call) -> None:
        """Raises InvalidBid for an account that there is not."""
        names = [name for name in self._engines.runtime(call).accounts if name]
        account_named(common.account, names, f"{field}.account")

    def _read(self, common: Any, field: str, call: Call) -> None:
        self._check_account(common, field, call)
        call.request_id = common.request_id
        call.campaign_id = common.campaign_id
        call.validate_only = common.validate_only
        call.currency_code = check_currency(
            common.currency_code, self._engines.runtime(call), f"{field}.currency_code"
        )
