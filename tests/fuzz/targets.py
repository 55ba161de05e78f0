"""Every fuzz target, by name. Each is a plain function of one case that raises when a promise is
broken, so that any engine can drive it: `pytest` with few examples, `make fuzz` for minutes.

Hypothesis drives them. Compared with atheris 3.0, libFuzzer with coverage of our own code, whose
bytes drove the same strategies (`fuzz_one_input`): ten mutants of the fuzzed parsers, seven
of platform answers, two of settings and one of a sandbox; two seeds; 20 s of processor time each.

    |            | found, of 20 | mutants found, of 10 | processor time to find, mean |
    | Hypothesis | 14           | 8                    | 6.2 s                        |
    | atheris    | 10           | 5                    | 9.1 s                        |

Atheris alone found that any JSON counted as an answer; Hypothesis alone four others; neither found
in that time that fractions of Meta's units were cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.fuzz import answers, auctions, bids, configuration, ledger_files, surfaces


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        about: what is fuzzed.
        cases: what can happen.
        opened: the function, with everything that it needs open.
        examples: how many an ordinary test run tries.
    """

    about: str
    cases: st.SearchStrategy[Any]
    opened: Callable[[], AbstractContextManager[Callable[[Any], None]]]
    examples: int


TARGETS: Mapping[str, Target] = {
    "answers": Target(
        "what platforms answer to every call of their clients",
        answers.CASES,
        answers.open_answers,
        100,
    ),
    "auctions": Target(
        "bid requests of auctions, to what is bid on them",
        auctions.CASES,
        auctions.open_auctions,
        150,
    ),
    "bids": Target("bytes and messages through the whole chain", bids.CASES, bids.open_bids, 250),
    "configuration": Target(
        "settings files and the environment",
        configuration.CASES,
        configuration.open_configuration,
        200,
    ),
    "ledger_files": Target(
        "the ledger's files, damaged, and a start on them",
        ledger_files.CASES,
        ledger_files.open_ledger_files,
        60,
    ),
    "surfaces": Target(
        "requests to the sandboxes and to their control port",
        surfaces.CASES,
        surfaces.open_surfaces,
        100,
    ),
}
