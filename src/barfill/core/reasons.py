"""What is told about a row that is kept out: the sentence, and its values as JSON."""

from __future__ import annotations

import json
import math
from enum import IntEnum

from barfill.core.bars import COLUMN_NAMES, NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import DAY_US
from barfill.core.jumps import price_that_jumped
from barfill.core.ranges import from_us


class Rule(IntEnum):
    """The hard rules that a row can break by itself or beside others."""

    NONE = 0
    Q01 = 1
    Q03 = 3
    Q04 = 4
    Q05 = 5
    Q06 = 6
    Q07 = 7
    Q08 = 8
    Q09 = 9
    Q10 = 10
    Q11 = 11
    Q12 = 12
    Q13 = 13
    Q14 = 14
    Q15 = 15
    Q16 = 16
    Q18 = 18
    Q20 = 20
    Q30 = 30


_US_REPRESENTABLE = 2_900_000 * DAY_US
_SENTENCES = {
    Rule.Q01: "the instant {ts} lies before the first bar there can be, or more than a day in the future",
    Rule.Q03: "{ts} is not the start of a bar of this timeframe",
    Rule.Q04: "a price or the volume is not a finite number",
    Rule.Q05: "a price is zero or negative",
    Rule.Q06: "the high {high} is below the low {low}",
    Rule.Q07: "open {open} or close {close} lies outside of low {low} to high {high}",
    Rule.Q08: "the volume {volume} is negative",
    Rule.Q09: "the volume {volume} is larger than any that can be true",
    Rule.Q10: "the trade count {trade_count} is negative, or the vwap {vwap} is not finite",
    Rule.Q11: "{ts} came more than once, with different values",
    Rule.Q12: "the bar {ts} is not over yet",
    Rule.Q13: "{ts} lies in the future: one of the clocks is wrong",
    Rule.Q14: "{ts} lies on a day on which the exchange is closed",
    Rule.Q15: "{ts} lies outside of the hours at which bars can be",
    Rule.Q16: "the symbol is not a ticker",
    Rule.Q18: "a price is larger than any that can be true",
    Rule.Q30: "the symbol holds characters that cannot be stored",
}


def reason_of(rule: Rule, rows: BarColumns, row: int, *, reference: float = math.nan) -> str:
    """
    Which value broke the rule, in a sentence.

    Args:
        reference: The close that rule Q20 measured the row by.
    """
    if rule is Rule.Q20:
        return _far_away(rows, row, reference)
    return _SENTENCES[rule].format_map(_values(rows, row))


def _far_away(rows: BarColumns, row: int, reference: float) -> str:
    prices = {name: float(getattr(rows, name)[row]) for name in ("open", "high", "low", "close")}
    name = price_that_jumped((prices["open"], prices["high"], prices["low"], prices["close"]), reference)
    if name is None:
        return (
            f"the close {prices['close']} belongs to prices more than ten times away from the close {reference} before"
        )
    return f"the {name} {prices[name]} is more than ten times away from the last accepted close, {reference}"


def raw_json(ticker: str, rows: BarColumns, row: int) -> str:
    """The row's values under barfill's names; what is no number in JSON is a text (`"NaN"`)."""
    values = {name: _as_json(value) for name, value in _values(rows, row).items()}
    return json.dumps({"symbol": ticker} | values, allow_nan=False)


def _values(rows: BarColumns, row: int) -> dict[str, object]:
    values: dict[str, object] = {name: getattr(rows, name)[row].item() for name in COLUMN_NAMES[1:]}
    ts = int(rows.ts[row])
    if abs(ts) < _US_REPRESENTABLE and ts > -719_162 * DAY_US:
        values["ts"] = from_us(ts).isoformat().replace("+00:00", "Z")
    if rows.trade_count[row] == NO_TRADE_COUNT:
        values["trade_count"] = None
    if math.isnan(rows.vwap[row]):
        values["vwap"] = None
    return values


def _as_json(value: object) -> object:
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
