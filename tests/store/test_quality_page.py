"""docs/quality.md says what the rule book says, and its queries run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from barfill.core.reasons import Rule
from barfill.core.rule_book import RULE_BOOK
from barfill.store.database import Database
from tests.store.builders import query

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([QSW]\d\d)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_every_rule_is_on_the_page_as_in_the_rule_book() -> None:
    """With what it wants and what follows, hard rules before warnings."""
    assert {rule: (must, then) for rule, must, then in ROWS} == dict(RULE_BOOK)
    assert [rule for rule, _, _ in ROWS] == list(RULE_BOOK)
    assert {rule.name for rule in Rule if rule} <= set(RULE_BOOK)


@pytest.mark.parametrize("text", QUERIES, ids=range(len(QUERIES)))
def test_every_query_runs(database: Database, text: str) -> None:
    """On an empty database, and each is one statement."""
    assert query(database, text) == []
