"""What the search for mutants changes, what it leaves alone and how it calls it."""

from __future__ import annotations

import ast

import pytest
from tests.mutation.modules import SAMPLE
from tests.mutation.operators import mutated, mutations_of
from tests.mutation.sweep import source_of


def becomes(source: str) -> list[str]:
    """The right sides of all mutants of one function's body."""
    indented = source.replace("\n", "\n    ")
    return [
        mutation.id.partition(" => ")[2] for mutation in mutations_of(f"def f():\n    {indented}\n")
    ]


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("use(a < b)", ["pass", "use(a <= b)", "use(a >= b)"]),
        ("use(a == b)", ["pass", "use(a != b)"]),
        ("use(a in b)", ["pass", "use(a not in b)"]),
        ("use(a + b)", ["pass", "use(a - b)"]),
        ("use(a // b)", ["pass", "use(a * b)"]),
        ("use(not a)", ["pass", "use(a)"]),
        ("use(a and b)", ["pass", "use(a or b)", "use(b)", "use(a)"]),
        ("use(7)", ["pass", "use(8)", "use(6)"]),
        ("use(True)", ["pass", "use(False)"]),
        ("use('held')", ["pass", "use('held!')"]),
        ("use(a if b else c)", ["pass", "use(a)", "use(c)"]),
        ("use(min(a, b))", ["pass", "use(max(a, b))", "use(a)", "use(b)"]),
        ("use(a, note=b)", ["pass", "use(a)"]),
        ("use(a.get(b, c))", ["pass", "use(a.get(b))"]),
        ("a += b", ["pass", "a -= b", "a = b"]),
        ("return a", ["return None"]),
        ("raise a", ["pass"]),
        ("del a", ["pass"]),
        ("self.a = b", ["pass"]),
        ("if a:\n    raise b", ["if True", "if False", "pass"]),
        ("for a in b:\n    continue", ["pass", "pass"]),
        ("return [a for a in b if c]", ["return None", "for a in b"]),
    ],
)
def test_a_piece_of_code_has_these_mutants(source: str, mutants: list[str]) -> None:
    assert becomes(source) == mutants


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "a: int | None",
        "a = b",
        "return",
        "def g(a: int | None = None) -> int | str: ...",
        "class G(enum.Enum):\n    A = 'a'",
        "class G:\n    __slots__ = ('a', 'b')",
        "a = cast('int', b)",
        "a = f'{b} is a prose {c:.1f}'",
        "a = 'several words'",
    ],
)
def test_what_promises_nothing_is_left_alone(source: str) -> None:
    assert becomes(source) == []


def test_what_is_logged_is_left_alone_but_that_it_is_logged() -> None:
    assert becomes("log.warning('%s', a + 1)") == ["pass"]


def test_each_mutant_is_another_program_under_a_name_of_its_own() -> None:
    for module in SAMPLE:
        source = source_of(module)
        mutations = mutations_of(source)
        assert len({mutation.id for mutation in mutations}) == len(mutations)
        for mutation in mutations:
            tree = mutated(source, mutation)
            assert ast.dump(tree) != ast.dump(ast.parse(source)), mutation.id
            compile(tree, module, "exec")


def test_a_name_survives_changes_elsewhere_in_the_file() -> None:
    source = "def f(a):\n    return a < 1\n"
    above = f"def g(a):\n    return a < 1\n\n\n{source}"
    names = {mutation.id for mutation in mutations_of(source)}
    assert names <= {mutation.id for mutation in mutations_of(above)}


def test_the_sample_is_twenty_mutants_that_exist() -> None:
    assert sum(map(len, SAMPLE.values())) == 20
    for module, names in SAMPLE.items():
        there = {mutation.id for mutation in mutations_of(source_of(module))}
        assert set(names) <= there, f"choose others in modules.py: {set(names) - there}"
