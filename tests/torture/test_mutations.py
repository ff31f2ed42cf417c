"""The table of mutations fits the source, and what its command makes of tests' ends is right."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from torture.mutations.copies import ROOT
from torture.mutations.mutation import Mutation, OutOfDate
from torture.mutations.outcomes import outcomes_in
from torture.mutations.report import Table
from torture.mutations.table import MUTATIONS
from torture.mutations.trials import Trial


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_every_mutation_fits_the_source(mutation: Mutation) -> None:
    """R38: its text stands there once, what it makes of it is a program, and the tests that it names are there."""
    mutated = mutation.applied_to((ROOT / mutation.path).read_text())

    if mutation.path.endswith(".py"):
        ast.parse(mutated)
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), test


def test_no_mutation_is_there_twice() -> None:
    """Each has a name of its own, by which people find it."""
    assert set(Counter(mutation.name for mutation in MUTATIONS).values()) == {1}


@pytest.mark.parametrize("text", ["", "order by ts", "order by id; order by id"])
def test_a_text_that_is_not_there_once_is_out_of_date(text: str) -> None:
    """The command says which entry of the table, and where."""
    mutation = Mutation("no order", "store/x.sql", "order by id", "", ("tests/test_x.py::test_x",))

    with pytest.raises(OutOfDate, match=r"out of date: the text of 'no order' .* src/barfill/store/x\.sql"):
        mutation.applied_to(text)


def test_only_a_test_that_has_seen_something_kills(tmp_path: Path) -> None:
    """An assertion, an error of the database or a timeout do; an import, a mistake in the SQL, or a skip do not."""
    ends = {
        "right": "",
        "wrong": '<failure message="AssertionError: assert 1 == 2"/>',
        "wrong_and_untidy": '<failure message="assert 1 == 2"/></testcase><testcase classname="tests.x.test_y" '
        'name="wrong_and_untidy"><error message="failed on teardown"/>',
        "refused": '<failure message="barfill.errors.StoreError: PostgreSQL refused a statement (SQLSTATE 21000)."/>',
        "late": '<failure message="Failed: Timeout (&gt;40.0s) from pytest-timeout."/>',
        "no_program": "<failure message=\"NameError: name 'x' is not defined\"/>",
        "no_sql": '<failure message="barfill.errors.StoreError: PostgreSQL refused a statement (SQLSTATE 42601)."/>',
        "no_start": '<error message="collection failure"/>',
        "left_out": "<skipped/>",
    }
    cases = "".join(
        f'<testcase classname="tests.x.test_y" name="{name}">{end}</testcase>' for name, end in ends.items()
    )
    report = tmp_path / "outcomes.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")

    found = {test.rpartition("::")[2]: outcome for test, outcome in outcomes_in(report).items()}

    assert "tests/x/test_y.py::right" in outcomes_in(report)
    assert {name for name, outcome in found.items() if outcome.is_red} == {
        "wrong", "wrong_and_untidy", "refused", "late",
    }  # fmt: skip
    assert {name for name, outcome in found.items() if outcome.kind == "broken"} == {
        "no_program", "no_sql", "no_start", "left_out",
    }  # fmt: skip


def test_the_table_tells_what_let_a_mutation_survive(tmp_path: Path) -> None:
    """One of its two tests passes: that is a survivor, and the test is named."""
    report = tmp_path / "outcomes.xml"
    cases = '<testcase classname="t" name="a"><failure message="no"/></testcase><testcase classname="t" name="b"/>'
    report.write_text(f"<testsuite>{cases}</testsuite>")
    mutation = Mutation("no fence", "store/pages.sql", "x", "", ("t.py::a", "t.py::b"))

    trial = Trial(mutation, outcomes_in(report), 1.25)

    assert not trial.is_killed
    assert Table([mutation], says_why=False).rendered(trial).splitlines() == [
        "no fence  store/pages.sql      1.2  SURVIVED  a",
        "                                              b",
        "    passed: t.py::b",
    ]
