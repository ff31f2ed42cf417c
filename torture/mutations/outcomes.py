"""How tests ended, read from pytest's report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

Kind = Literal["passed", "failed", "timed out", "broken"]

_NO_PROGRAM = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "AttributeError")
_NO_SQL = ("psycopg.errors.SyntaxError", "psycopg.errors.Undefined", "SQLSTATE 42")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        kind: `failed` is by an assertion or an error that the test provoked; `broken` tells nothing about the mutation:
            the test did not begin, or the mutation is no program.
        said: The first line of what went wrong.
    """

    kind: Kind
    said: str = ""

    @property
    def is_red(self) -> bool:
        """Whether the test has seen that something is wrong."""
        return self.kind in {"failed", "timed out"}


def outcomes_in(report: Path) -> dict[str, Outcome]:
    """By node id; a test that failed and then also had trouble to clean up has failed."""
    found: dict[str, Outcome] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        node_id = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        if node_id not in found or found[node_id].kind == "passed":
            found[node_id] = _outcome(case)
    return found


def _outcome(case: ElementTree.Element) -> Outcome:
    for failure in case.findall("failure"):
        said = failure.get("message", "")
        if "from pytest-timeout" in said:
            return Outcome("timed out", _line(said))
        is_broken = said.startswith(_NO_PROGRAM) or any(mark in said for mark in _NO_SQL)
        return Outcome("broken" if is_broken else "failed", _line(said))
    for other in (*case.findall("error"), *case.findall("skipped")):
        return Outcome("broken", _line(other.get("message", other.tag)))
    return Outcome("passed")


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
