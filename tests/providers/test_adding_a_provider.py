"""The page for who adds a provider tells the truth about those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.providers.dialects import DIALECTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/adding-a-provider.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [dialect.name for dialect in DIALECTS])
def test_the_sizes_of_adapters_are_those_of_their_files(name: str) -> None:
    """Each adapter is in the table, with all of its files for bars, and its lines to a tenth.

    Events and market calendars are no part of it: a provider without them is whole.
    """
    every = sorted((ROOT / "src/barfill/providers").glob(f"{name}*.py"))
    files = [file for file in every if not file.stem.endswith(("_events", "_sessions"))]
    row = re.search(rf"^\| {name} \| (\d+) \|.*$", PAGE, re.MULTILINE | re.IGNORECASE)

    assert row is not None
    assert re.findall(r"`(\w+\.py)`", row[0]) == [file.name for file in files]
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    assert int(row[1]) == pytest.approx(lines, rel=0.1)
