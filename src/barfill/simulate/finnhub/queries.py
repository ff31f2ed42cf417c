"""
Reading the requests for candles of one symbol.

Where the documentation is silent, the choice is ours and stands here: ``to`` is inclusive, whole days of UTC for days
and longer, and so is ``from`` (a recorded answer begins with the day that holds it); of intraday ranges longer than 31
days the newest 31 are answered in silence, and of more than 5,000 rows the newest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from barfill.simulate.finnhub.refusals import invalid
from barfill.simulate.market.sessions import HOUR_NS, SECOND_NS, midnight_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import BarsQuery

RESOLUTIONS = {
    "1": Timeframe(1, "Min"), "5": Timeframe(5, "Min"), "15": Timeframe(15, "Min"), "30": Timeframe(30, "Min"),
    "60": Timeframe(1, "Hour"), "D": Timeframe(1, "Day"), "W": Timeframe(1, "Week"), "M": Timeframe(1, "Month"),
}  # fmt: skip
#: "1 month per call" and "about 5,000 rows" (providers.md 6.2).
INTRADAY_RANGE_NS = 31 * 24 * HOUR_NS
ROWS_MAX = 5_000
#: Years 1971 to 2037: what New York midnights are known for.
INSTANTS_S = range(31_536_000, 2_145_916_800)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinnhubQuery(BarsQuery):
    """
    A query of this vendor.

    *hours* is what hours begin with: "open" at 09:30 and then on the hour, "clock" on the hour, "half" always at :30.
    """

    hours: Literal["open", "clock", "half"] = "open"


def parse_candle(params: Mapping[str, str]) -> FinnhubQuery:
    """
    The query that *params* make.

    Raises:
        Refusal: 422, a parameter cannot be.
    """
    timeframe = RESOLUTIONS.get(params.get("resolution", ""))
    if timeframe is None:
        raise invalid("resolution")
    if not params.get("symbol"):
        raise invalid("symbol")
    if params.get("format", "json") not in {"json", "csv"}:
        raise invalid("format")
    first_s, last_s = _seconds(params, "from"), _seconds(params, "to")
    if timeframe.is_intraday:
        end_ns = last_s * SECOND_NS
        start_ns = max(first_s * SECOND_NS, end_ns - INTRADAY_RANGE_NS)
    else:
        start_ns, end_ns = _midnight_ns(first_s), _midnight_ns(last_s)
    return FinnhubQuery(
        symbols=(params["symbol"],),
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=0,
        feed="sip",
        is_split_adjusted=not timeframe.is_intraday,
        is_descending=False,
    )


def _seconds(params: Mapping[str, str], name: str) -> int:
    text = params.get(name, "")
    if not (text.isascii() and text.isdigit() and int(text) in INSTANTS_S):
        raise invalid(name)
    return int(text)


def _midnight_ns(at_s: int) -> int:
    """The market's key of the day of UTC that holds an instant."""
    return midnight_ns(datetime.fromtimestamp(at_s, UTC).date())
