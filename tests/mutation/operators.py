"""Every small mistake that can be made in a source file, one at a time.

A mutant changes one node of the syntax tree. What cannot change a behaviour that anyone is promised
is left alone: annotations, docstrings, prose (a string with a space in it), what is logged, the
labels of enumerations, `__slots__`.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[tuple[str, int | None], ...]
"""The way from the root of the tree to a node: (field, index in it or None), step by step."""

_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SHORTEST_NAME, _LONGEST_NAME = 14, 90
"""An id shows so much code at least, where it can: a bare `0 => 1` says nothing to a reader."""


@dataclass(frozen=True)
class Mutation:
    """One change of one node.

    Attributes:
        id: the function, what stands there and what stands there instead. It stays the same when
            code around the function changes.
        line: where, for people.
        operator: which kind of change.
        path: which node.
        replacement: the node that takes its place.
    """

    id: str
    line: int
    operator: str
    path: Path
    replacement: ast.AST


def mutations_of(source: str) -> list[Mutation]:
    """Every mutant of a module's source, in the order of the text, each under an id of its own."""
    tree = ast.parse(source)
    found: list[Mutation] = []
    seen: Counter[str] = Counter()
    for path, node, where in _nodes(tree, (), ""):
        for operator, replacement in _changes(node):
            name = f"{where or 'module'}: {_shown(tree, path, replacement)}"
            seen[name] += 1
            if seen[name] > 1:
                name = f"{name} #{seen[name]}"
            line = getattr(node, "lineno", 0)
            found.append(Mutation(name, line, operator, path, replacement))
    return found


def mutated(source: str, mutation: Mutation) -> ast.Module:
    """The tree of `source` with that one change."""
    tree = ast.parse(source)
    _put(tree, mutation.path, mutation.replacement)
    return ast.fix_missing_locations(tree)


# Which nodes


def _nodes(node: ast.AST, path: Path, where: str) -> Iterator[tuple[Path, ast.AST, str]]:
    """(path, node, name of the function or class) of all that may be changed."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    else:
        yield path, node, where
    for field, value in ast.iter_fields(node):
        if _is_left_alone(node, field):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not _says_nothing(node, field, child):
                step = (field, index if isinstance(value, list) else None)
                yield from _nodes(child, (*path, step), where)


def _is_left_alone(node: ast.AST, field: str) -> bool:
    if field in {"annotation", "returns", "decorator_list", "bases", "format_spec", "type_params"}:
        return True
    if isinstance(node, ast.Call) and field in {"args", "keywords"}:
        return ast.unparse(node.func).startswith("log.") or ast.unparse(node.func) == "cast"
    if isinstance(node, ast.Assign) and field == "value":
        return ast.unparse(node.targets[0]) in {"__slots__", "__all__"}
    return isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation)


def _says_nothing(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True  # a docstring, or the body of a protocol's method
    if isinstance(child, ast.Constant) and isinstance(parent, ast.JoinedStr):
        return True
    if isinstance(parent, ast.ClassDef) and isinstance(child, ast.Assign):
        is_enumeration = any("Enum" in ast.unparse(base) for base in parent.bases)
        is_label = isinstance(child.value, ast.Constant) and isinstance(child.value.value, str)
        return is_enumeration and is_label
    return field == "body" and isinstance(child, ast.Import | ast.ImportFrom)


# What may become of one


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(operator, replacement) for one node."""
    match node:
        case ast.stmt():
            yield from _changes_of_statement(node)
        case ast.Compare():
            yield from _changes_of_comparison(node)
        case ast.BoolOp():
            yield from _changes_of_condition(node)
        case ast.Call():
            yield from _changes_of_call(node)
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(op)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield "sign", node.operand
        case ast.IfExp():
            yield "condition", node.body
            yield "condition", node.orelse
        case ast.comprehension() if node.ifs:
            yield "condition", ast.comprehension(node.target, node.iter, [], node.is_async)
        case ast.Constant():
            for value in _neighbours(node.value):
                yield "constant", ast.Constant(value)
        case _:
            return


def _changes_of_comparison(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    for index, op in enumerate(node.ops):
        for kind, others in (("boundary", _BOUNDARY), ("negation", _NEGATED)):
            if type(op) in others:
                ops = [*node.ops[:index], others[type(op)](), *node.ops[index + 1 :]]
                yield kind, ast.Compare(node.left, ops, node.comparators)


def _changes_of_condition(node: ast.BoolOp) -> Iterator[tuple[str, ast.AST]]:
    other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    yield "boolean", ast.BoolOp(other, node.values)
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield "operand", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _changes_of_statement(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.If):
        yield "condition", ast.If(ast.Constant(True), node.body, node.orelse)
        yield "condition", ast.If(ast.Constant(False), node.body, node.orelse)
    elif isinstance(node, ast.While) and not isinstance(node.test, ast.Constant):
        yield "condition", ast.While(ast.Constant(False), node.body, node.orelse)
    elif isinstance(node, ast.For | ast.AsyncFor):
        yield "removal", ast.Pass()
    elif isinstance(node, ast.AugAssign):
        yield "removal", ast.Pass()
        if type(node.op) in _ARITHMETIC:
            other = _ARITHMETIC[type(node.op)]()
            yield "arithmetic", ast.AugAssign(node.target, other, node.value)
        yield "arithmetic", ast.Assign([node.target], node.value)
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "return", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Assign):
        # Without a first assignment to a plain name every test fails on the next line.
        if not all(isinstance(target, ast.Name) for target in node.targets):
            yield "removal", ast.Pass()
    elif isinstance(node, ast.Expr | ast.Delete | ast.Raise | ast.Continue | ast.Break):
        yield "removal", ast.Pass()


def _changes_of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    for index in range(len(node.keywords)):
        rest = [*node.keywords[:index], *node.keywords[index + 1 :]]
        yield "argument", ast.Call(node.func, node.args, rest)
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in {"min", "max"}:
        other = ast.Name("max" if name == "min" else "min", ast.Load())
        yield "extreme", ast.Call(other, node.args, node.keywords)
        if len(node.args) > 1:
            yield from (("extreme", argument) for argument in node.args)
    elif name == "sorted" and not node.keywords:
        yield "argument", node.args[0]
    elif method in {"get", "pop"} and len(node.args) > 1:
        yield "argument", ast.Call(node.func, node.args[:1], node.keywords)


def _neighbours(value: Any) -> list[Any]:
    """The values that a constant might have had by mistake."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1]
    if isinstance(value, str) and value and " " not in value:
        return [f"{value}!"]
    return []


# Names


def _shown(tree: ast.Module, path: Path, replacement: ast.AST) -> str:
    """`before => after`, with enough of the code around it to be understood."""
    shown = ("", "")
    for length in range(len(path), 0, -1):
        node = _get(tree, path[:length])
        wider = _head(node), _head(_with(node, path[length:], replacement))
        if shown[0] and (len(wider[0]) > _LONGEST_NAME or wider[0] == wider[1]):
            break
        shown = wider
        if isinstance(node, ast.stmt) or len(shown[0]) >= _SHORTEST_NAME:
            break
    return " => ".join(shown)


def _head(node: ast.AST) -> str:
    """A statement without its body, an expression as it is."""
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    if isinstance(node, ast.For | ast.AsyncFor):
        return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
    if isinstance(node, ast.comprehension | ast.keyword):
        return ast.unparse(node).strip()
    return " ".join(ast.unparse(node).split())


def _with(node: ast.AST, path: Path, replacement: ast.AST) -> ast.AST:
    """A copy of `node` in which what is at `path` is replaced."""
    if not path:
        return ast.fix_missing_locations(ast.copy_location(copy.copy(replacement), node))
    changed = copy.deepcopy(node)
    _put(changed, path, replacement)
    return ast.fix_missing_locations(changed)


def _get(tree: ast.AST, path: Path) -> ast.AST:
    node: Any = tree
    for field, index in path:
        node = getattr(node, field) if index is None else getattr(node, field)[index]
    assert isinstance(node, ast.AST)
    return node


def _put(tree: ast.AST, path: Path, replacement: ast.AST) -> None:
    field, index = path[-1]
    parent = _get(tree, path[:-1])
    if index is None:
        setattr(parent, field, replacement)
    else:
        getattr(parent, field)[index] = replacement
