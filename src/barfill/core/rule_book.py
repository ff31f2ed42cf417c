"""The rules in plain words: what each wants of a row, and what follows where it is broken."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KEPT_OUT = "kept out and quarantined; its bar is a gap, asked for again on a growing delay"
HELD = "neither stored nor covered yet; asked for again"
DROPPED = "dropped and counted"
MARKED = "stored as sent, and marked in bar_warnings"
COUNTED = "stored as sent, and counted by run in run_warnings"

RULE_BOOK: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Q00": ("every row of a page ends in exactly one place", "a defect of barfill: the page is not stored"),
        "Q01": ("the stamp is an instant between the first bar there can be and tomorrow", KEPT_OUT),
        "Q02": ("the bar lies in what was asked for", "near it: dropped and counted (W01); far from it: page refused"),
        "Q03": ("the stamp is the start of a bar of the timeframe, counted from the session's open", KEPT_OUT),
        "Q04": ("open, high, low, close and volume are there and finite numbers", KEPT_OUT),
        "Q05": ("the prices are above zero, where the venue does not say otherwise", KEPT_OUT),
        "Q06": ("the high is not below the low", KEPT_OUT),
        "Q07": ("open and close lie between low and high", KEPT_OUT),
        "Q08": ("the volume is not negative", KEPT_OUT),
        "Q09": ("the volume is at most 1e15", KEPT_OUT),
        "Q10": (
            "the trade count is a whole number from zero on, and the vwap is finite, where they are given",
            KEPT_OUT,
        ),
        "Q11": ("there is one value for each bar", "all of its rows are kept out, and it is asked for once more"),
        "Q12": ("the bar is over, and old enough to be final", HELD),
        "Q13": ("the bar does not lie in the future", "kept out and quarantined: one of the clocks is wrong"),
        "Q14": ("the day is a session of the calendar", KEPT_OUT),
        "Q15": ("the time lies within the hours in which there is trading", KEPT_OUT),
        "Q16": ("the symbol is a ticker, and was asked for", "kept out and quarantined, or the page is refused"),
        "Q17": ("feed and adjustment basis are those that were asked for", "the page is refused"),
        "Q18": ("the prices are below 1e12", KEPT_OUT),
        "Q20": (
            "the price is within ten times of the last accepted close, unless a split on file explains it",
            "held until its level has lasted into another session, then stored (W18); kept out where it has not",
        ),
        "Q30": ("texts can be stored", KEPT_OUT),
        "S03": ("the table takes the row", KEPT_OUT),
        "S04": ("the bar is of the company that the series is of", "taken out of the series, and quarantined"),
        "W01": ("the bar lies in what was asked for, though near it", DROPPED),
        "W02": ("a row comes once", "equal copies are dropped and counted"),
        "W03": ("rows come in the order of time", COUNTED),
        "W04": ("open and close lie within low and high to the last digit", COUNTED),
        "W05": ("a final bar stays as it was", "the new value is stored, the earlier one kept in bar_revisions"),
        "W10": ("the vwap lies within low and high", MARKED),
        "W11": ("the close is near the one before, and no wick far beyond the neighbours", MARKED),
        "W12": ("the volumes of the minutes come to the day's within 25 %", MARKED),
        "W13": ("volume, trade count and price range agree", MARKED),
        "W14": ("the open lies within low and high, where the venue opens bars at the close before", MARKED),
        "W15": ("the volume is at most 20 times the median of the 60 bars before", MARKED),
        "W16": ("the price moves within 30 bars with volume", MARKED),
        "W17": ("the day's high and low span those of its minutes, and the closes agree within 0.5 %", MARKED),
        "W18": ("no session opens at a split factor of the close before without that split on file", MARKED),
        "W19": (
            "dividends are below 25 % of the price, and more than 7 days apart",
            "listed by barfill events; nothing is changed",
        ),
        "W20": ("a liquid symbol has at least 90 % of a session's bars", MARKED),
        "W21": ("another provider has the same prices", "listed by barfill verify --provider; nothing is changed"),
    }
)
"""By rule id: what must hold, and what follows where it does not."""
