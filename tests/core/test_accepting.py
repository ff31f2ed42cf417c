"""Which quarantined rows can stand in their series after all."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from barfill.core.accepting import Acceptable, acceptable, slot_of
from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from tests.core.samples import at, new_york

M15, D1 = Timeframe.M15, Timeframe.D1
NOW = at("2024-03-06T12:00")
ROW = {"open": 10, "high": 12, "low": 9.5, "close": 11, "volume": 700, "vwap": 10.7, "trade_count": 42}


def judged(row: Any = None, *, rule: str = "Q20", ts: str | None = "2024-03-05T14:30") -> Acceptable | str:
    """What becomes of a row of quarter hours."""
    raw = row if isinstance(row, str) else json.dumps(ROW if row is None else row)
    return acceptable(rule, raw, None if ts is None else at(ts), M15, new_york(), NOW)


def test_a_row_becomes_the_bar_that_it_is() -> None:
    """Its values as sent; what it lacks is lacking."""
    whole = judged()
    bare = judged({name: ROW[name] for name in ("open", "high", "low", "close", "volume")})

    assert isinstance(whole, Acceptable)
    assert isinstance(bare, Acceptable)
    assert whole.slot == Range(at("2024-03-05T14:30"), at("2024-03-05T14:45"))
    assert [float(getattr(whole.bar, name)[0]) for name in ROW] == list(ROW.values())
    assert math.isnan(bare.bar.vwap[0])
    assert bare.bar.trade_count[0] == NO_TRADE_COUNT


def test_values_are_left_to_the_table() -> None:
    """A high below the low, or NaN as text, is a bar that the constraints refuse."""
    assert isinstance(judged(ROW | {"high": 1}), Acceptable)
    found = judged(ROW | {"close": "NaN"})
    assert isinstance(found, Acceptable)
    assert math.isnan(found.bar.close[0])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rule": "S04"}, "another company's bar"),
        ({"ts": None}, "which bar it is"),
        ({"ts": "2024-03-05T14:31"}, "2024-03-05T14:31:00Z is not where a bar of 15m starts"),
        ({"ts": "2024-03-05T21:00"}, "outside of the regular hours by the calendar XNYS"),
        ({"ts": "2024-03-06T15:00"}, "not over yet"),
        ({"row": "not json"}, "could not be read as numbers"),
        ({"row": [1, 2]}, "could not be read as numbers"),
        ({"row": {"open": 1}}, "could not be read as numbers"),
        ({"row": ROW | {"low": True}}, "could not be read as numbers"),
        ({"row": ROW | {"low": "a lot"}}, "could not be read as numbers"),
        ({"row": ROW | {"trade_count": 1.5}}, "could not be read as numbers"),
        ({"row": ROW | {"trade_count": 2**63}}, "could not be read as numbers"),
    ],
)
def test_what_cannot_stand_says_why(given: dict[str, Any], says: str) -> None:
    """Each as the end of a sentence."""
    found = judged(given.pop("row", None), **given)

    assert isinstance(found, str)
    assert says in found


def test_a_slot_is_the_bar_around_an_instant() -> None:
    """Cut by the close; a day is its date; at night there is none."""
    assert slot_of(at("2024-03-05T14:31:14"), M15, new_york()) == Range(at("2024-03-05T14:30"), at("2024-03-05T14:45"))
    assert slot_of(at("2024-03-05T20:00"), Timeframe.H4, new_york()) == Range(
        at("2024-03-05T18:30"), at("2024-03-05T21:00")
    )
    assert slot_of(at("2024-03-05"), D1, new_york()) == Range(at("2024-03-05"), at("2024-03-06"))
    assert slot_of(at("2024-03-05T03:00"), M15, new_york()) is None
