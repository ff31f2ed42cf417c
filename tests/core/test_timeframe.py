"""Every spelling of a timeframe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.timeframe import Timeframe
from barfill.errors import UnknownTimeframe

SPELLINGS = {
    Timeframe.M1: "m1 1m 1Min 1min 1minute 1T min1",
    Timeframe.M5: "m5 5m 5Min 5minutes 5T",
    Timeframe.M15: "m15 15m 15Min 15mins 15T",
    Timeframe.M30: "m30 30m 30Min",
    Timeframe.H1: "h1 1h 1Hour 1hr 60m 60Min hourly",
    Timeframe.H4: "h4 4h 4Hour 4hours 240m",
    Timeframe.D1: "d1 1d 1Day 24h daily 1440m",
    Timeframe.W1: "w1 1w 1Week 7d weekly 1wk",
}
MINUTES = {"m1": 1, "m5": 5, "m15": 15, "m30": 30, "h1": 60, "h4": 240, "d1": 1_440, "w1": 10_080}


@pytest.mark.parametrize(
    ("text", "timeframe"), [(text, timeframe) for timeframe, line in SPELLINGS.items() for text in line.split()]
)
def test_spelling_is_understood(text: str, timeframe: Timeframe) -> None:
    """
    The names stored, the labels printed, vendors' words, in any case and with spaces around.
    """
    assert Timeframe.parse(text) is timeframe
    assert Timeframe.parse(f" {text.upper()} ") is timeframe


@pytest.mark.parametrize(
    "text", ["7m", "", "m", "1", "0m", "m0", "-1h", "1y", "1mo", "2d", "1.5h", "h", "\uff11m", "m1\n5"]
)
def test_other_text_is_refused(text: str) -> None:
    """
    What names none of the eight is refused, digits of other scripts too.
    """
    with pytest.raises(UnknownTimeframe):
        Timeframe.parse(text)


def test_refusal_lists_the_choices() -> None:
    """
    The refusal quotes the input and lists what can be used.
    """
    with pytest.raises(UnknownTimeframe) as refusal:
        Timeframe.parse("7m")

    assert str(refusal.value) == (
        "Timeframe '7m' is unknown. Use one of 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w (m15, 15Min, 1Hour and the like work "
        "too)."
    )
    assert refusal.value.code == "INVALID_TIMEFRAME"


@given(st.sampled_from(Timeframe))
def test_printed_names_are_read_back(timeframe: Timeframe) -> None:
    """
    The stored name and the printed label are both read as the timeframe that they came from.
    """
    assert Timeframe.parse(str(timeframe)) is timeframe
    assert Timeframe.parse(timeframe.label) is timeframe
    assert timeframe.label == timeframe.value[1:] + timeframe.value[0]


@pytest.mark.parametrize("timeframe", Timeframe)
def test_length(timeframe: Timeframe) -> None:
    """
    Each timeframe has the length that its name says, and only d1 and w1 hold whole sessions.
    """
    assert timeframe.length == timedelta(minutes=MINUTES[timeframe.value])
    assert timeframe.length_us == MINUTES[timeframe.value] * 60_000_000
    assert timeframe.is_intraday == (timeframe.value not in {"d1", "w1"})
