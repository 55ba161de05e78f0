"""Names say their unit, so that no caller sends dollars where micros are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor

ROOT = Path(__file__).parents[2]
MONEY_WORDS = re.compile(
    r"(?:^|_)(?:amount|bid|bids|budget|ceiling|cost|cpa|cpc|cpm|floor|limit|ltv|price|spend)(?:_|$)"
)
INTEGER_64_TYPES = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
FLOAT_TYPES = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}
# 64-bit integers that are not money, by the last word of their name.
UNITLESS_ENDINGS = ("_calls", "_count", "_minor_units", "sequence")


def messages_of(file: FileDescriptor) -> Iterator[Descriptor]:
    """Every message in the file, nested ones included."""

    def below(message: Descriptor) -> Iterator[Descriptor]:
        yield message
        for nested in message.nested_types:
            yield from below(nested)

    for message in file.message_types_by_name.values():
        yield from below(message)


def fields_of(file: FileDescriptor) -> list[FieldDescriptor]:
    return [field for message in messages_of(file) for field in message.fields]


def test_every_64_bit_integer_is_micros_or_a_count(proto_file: FileDescriptor) -> None:
    for field in fields_of(proto_file):
        if field.containing_type is not None and field.containing_type.GetOptions().map_entry:
            continue  # its name is that of the map, which says what it counts
        if field.type in INTEGER_64_TYPES:
            assert field.name.endswith(("_micros", *UNITLESS_ENDINGS)), field.full_name


def test_micros_are_signed_64_bit_integers(proto_file: FileDescriptor) -> None:
    for field in fields_of(proto_file):
        if field.name.endswith("_micros"):
            assert field.type == FieldDescriptor.TYPE_INT64, field.full_name


def test_no_amount_of_money_is_a_float(proto_file: FileDescriptor) -> None:
    for field in fields_of(proto_file):
        if field.type in FLOAT_TYPES:
            assert not MONEY_WORDS.search(field.name), field.full_name


def test_a_message_with_money_to_commit_says_its_currency(proto_file: FileDescriptor) -> None:
    for message in messages_of(proto_file):
        if "bid_micros" in message.fields_by_name:
            assert "currency_code" in message.fields_by_name, message.full_name


def test_every_enum_begins_with_unspecified(proto_file: FileDescriptor) -> None:
    for enum in proto_file.enum_types_by_name.values():
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED"), enum.full_name


def test_no_field_is_required_by_its_label(proto_file: FileDescriptor) -> None:
    for field in fields_of(proto_file):
        assert not field.is_required, field.full_name
