"""The commented settings file, written from the settings models themselves so that it cannot drift.

A key that has a value is written with it. A key that is absent by default is written as a comment
without a blank after the `#`, with an example, so that removing the `#` is all it takes.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from smartconnectors_server.cli.config_words import (
    EXAMPLES,
    HEADER,
    LEFT_OUT,
    LIVE,
    LIVE_HEADER,
    MEANINGS,
    TITLES,
)
from smartconnectors_server.connector import Platform
from smartconnectors_server.money import MICROS_PER_UNIT
from smartconnectors_server.platforms import PLATFORMS
from smartconnectors_server.sections import Section
from smartconnectors_server.settings import PlatformSettings, Settings

WIDTH = 98


def render(*, live: bool = False) -> str:
    """The whole file. Loading it gives the defaults; with `live`, the defaults for real accounts
    that `LIVE` lists.
    """
    lines = [f"# {line}".rstrip() for line in (LIVE_HEADER if live else HEADER).splitlines()]
    for name, field in Settings.model_fields.items():
        if f"{Settings.__name__}.{name}" in LEFT_OUT:
            continue
        model = section_of(field)
        lines += [
            "",
            *_section(name, model, title=TITLES.get(name, ""), commented=field.default is None),
        ]
    for platform in PLATFORMS.values():
        lines += ["", *_platform(platform, LIVE if live else {})]
    return "\n".join(lines) + "\n"


def _platform(platform: Platform, values: Mapping[str, Any]) -> Iterator[str]:
    path = f"platforms.{platform.name}"
    defaults = platform.defaults
    examples = {
        "budget.limit": f"{defaults.budget_micros / MICROS_PER_UNIT:.2f}",
        "rate_limit.calls": defaults.rate_limit_calls,
        "rate_limit.window_s": defaults.rate_limit_window_s,
        "rate_limit.burst": defaults.rate_limit_calls,
        "fallback.multiplier": f"{defaults.fallback_multiplier_milli / 1000}",
    }
    variables = {
        "endpoint": platform.endpoint_variable,
        "budget.limit": platform.budget_variable,
        **{f"options.{key}": name for name, key in platform.environment.items()},
    }
    yield from _section(
        path,
        PlatformSettings,
        title=f"{platform.title}.",
        values=values,
        examples=examples,
        variables=variables,
    )
    yield ""
    yield from _section(
        f"{path}.options",
        platform.options,
        title=f"What only {platform.title} has.",
        within="options.",
        variables=variables,
    )
    yield from _account(path, platform)


def _account(path: str, platform: Platform) -> Iterator[str]:
    """An example of a further account."""
    if not platform.account_options:
        return
    yield ""
    yield from _comment(
        "One of several ad accounts: requests name it as `account`, and those that name none mean "
        "the one that is called `default`, or the only one. What it has, it has in the place of "
        "the options above. All accounts share the platform's budget and quota."
    )
    yield f"#[{path}.accounts.eu]"
    for name in platform.account_options:
        field = platform.options.model_fields[name]
        yield f"#{name} = {_toml((field.examples or ['...'])[0])}"


def _section(
    path: str,
    model: type[BaseModel],
    *,
    commented: bool = False,
    title: str = "",
    within: str = "",
    values: Mapping[str, Any] | None = None,
    examples: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """One table of the file and those inside it.

    `values`, `examples` and `variables` are by key inside the platform (`budget.limit`); `within`
    is where this section is in the platform.
    """
    yield from _comment(title or inspect.cleandoc(model.__doc__ or ""))
    yield f"{'#' if commented else ''}[{path}]"
    inner = []
    for name, field in model.model_fields.items():
        if (section := section_of(field)) is not None:
            inner.append((name, section, commented or field.default is None))
            continue
        if f"{model.__name__}.{name}" in LEFT_OUT:
            continue
        key = within + name
        value, absent = _value(model, name, field, (values or {}).get(key))
        if absent and key in (examples or {}):
            value = (examples or {})[key]
        yield ""
        yield from _comment(
            meaning_of(model, name, field, (variables or {}).get(key), value, absent)
        )
        yield f"{'#' if absent or commented else ''}{name} = {_toml(value)}"
    for name, section, absent_by_default in inner:
        yield ""
        yield from _section(
            f"{path}.{name}",
            section,
            commented=absent_by_default,
            within=f"{within}{name}.",
            values=values,
            examples=examples,
            variables=variables,
        )


def _value(model: type[BaseModel], name: str, field: FieldInfo, given: Any) -> tuple[Any, bool]:
    """The value to write, and whether the key is absent by default (the value is an example)."""
    if given is not None:
        return given, False
    default = field.get_default(call_default_factory=True)
    empty = field.is_required() or default is None or default in ((), {})
    if empty or isinstance(default, SecretStr):
        own = field.examples or ()  # a platform says the example of its own setting
        return (own[0] if own else EXAMPLES[f"{model.__name__}.{name}"]), True
    return default, False


def section_of(field: FieldInfo) -> Any:
    """The section that a field holds (or may hold), or None when it holds a value."""
    optional = get_origin(field.annotation) is UnionType
    for kind in get_args(field.annotation) if optional else (field.annotation,):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def meaning_of(
    model: type[BaseModel],
    name: str,
    field: FieldInfo,
    variable: str | None = None,
    value: Any = None,
    absent: bool = False,
) -> str:
    """What a key means: its words, its bounds, the variable that sets it as well, and its default
    when another value is written.

    Raises KeyError when neither its docstring nor MEANINGS says what it means.
    """
    words = [docstrings_of(model).get(name) or MEANINGS[f"{model.__name__}.{name}"]]
    words += [bounds] if (bounds := _bounds(field)) else []
    words += [f"Also: the variable {variable}."] if variable else []
    default = field.get_default(call_default_factory=True)
    if not absent and value != default and default not in (None, PydanticUndefined):
        words.append(f"Default: {_toml(default)}.")
    return " ".join(words)


@lru_cache
def docstrings_of(model: type[BaseModel]) -> Mapping[str, str]:
    """The docstrings under the fields of a model, read from its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            text = inspect.cleandoc(str(following.value.value))
            found[statement.target.id] = " ".join(text.split())
    return found


def _bounds(field: FieldInfo) -> str:
    choices = [
        choice
        for kind in (field.annotation, *get_args(field.annotation))
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]
    if choices:
        return "One of " + ", ".join(_toml(choice) for choice in choices) + "."
    found = {
        bound: getattr(item, bound)
        for item in field.metadata
        for bound in ("gt", "ge", "le")
        if hasattr(item, bound)
    }
    parts = [
        f"{word} {found[bound]}"
        for bound, word in (("gt", "above"), ("ge", "at least"), ("le", "at most"))
        if bound in found
    ]
    return f"{', '.join(parts)}.".capitalize() if parts else ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH)]


def _toml(value: Any) -> str:
    """A value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case Mapping():
            pairs = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
            return f"{{ {pairs} }}"
        case list() | tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case _:
            raise TypeError(f"{value!r} has no form in TOML")


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("_", "").replace("-", "").isalpha()
    return key if plain else json.dumps(key)


def render_document(document: Mapping[str, Any], path: str = "") -> str:
    """Nested settings as a TOML file without comments."""
    scalars = [
        f"{_key(key)} = {_toml(value)}"
        for key, value in document.items()
        if not isinstance(value, Mapping)
    ]
    parts = [f"[{path}]"] if path and scalars else []
    parts += scalars
    for key, value in document.items():
        if isinstance(value, Mapping):
            parts.append(render_document(value, f"{path}.{_key(key)}" if path else _key(key)))
    return "\n".join(parts)
