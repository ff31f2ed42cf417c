"""
Reading the requests for bars: timesales (minutes) and history (days, weeks, months).

Where the documentation is silent, the choice is ours and stands here. Both bounds of timesales are inclusive; they are
New York local times, by default today's midnight and now; a date is its midnight. Depth counts calendar days back from
today. History without a start begins with the first trade. Ticks are not simulated: refused, as in the sandbox. The
wording of refusals other than that of a start too old is a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from barfill.simulate.market.sessions import MINUTE_NS, NEW_YORK, from_ns, midnight_ns, to_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import BarsQuery
from barfill.simulate.tradier.refusals import invalid

MINUTES = {"1min": Timeframe(1, "Min"), "5min": Timeframe(5, "Min"), "15min": Timeframe(15, "Min")}
DAYS = {"daily": Timeframe(1, "Day"), "weekly": Timeframe(1, "Week"), "monthly": Timeframe(1, "Month")}
#: How many days back, by interval, of regular hours and of all hours (providers.md 5.1).
DEPTH_DAYS = {"1min": {"open": 20, "all": 10}, "5min": {"open": 40, "all": 18}, "15min": {"open": 40, "all": 18}}
DELAY_NS = 15 * MINUTE_NS
_YEARS = range(1971, 2038)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradierQuery(BarsQuery):
    """A query of this vendor; *symbols* is one ticker as the market spells it, *session* "open" or "all"."""

    form: Literal["series", "history"] = "series"
    session: str = "all"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan at an instant: the sandbox is free and shows trades 15 minutes late."""

    is_sandbox: bool
    now_ns: int

    @property
    def visible_ns(self) -> int:
        """Trades from this instant on are not shown."""
        return self.now_ns - DELAY_NS if self.is_sandbox else self.now_ns

    @property
    def today(self) -> date:
        """The date in New York."""
        return from_ns(self.now_ns).astimezone(NEW_YORK).date()


def market_ticker(symbol: str) -> str:
    """The market's spelling: BRK/B is BRK.B here, and BRK.B is nobody."""
    return symbol.replace(".", "?").replace("/", ".")


def wire_symbol(ticker: str) -> str:
    """The vendor's spelling."""
    return ticker.replace(".", "/")


def parse_timesales(params: Mapping[str, str], plan: Plan) -> TradierQuery:
    """
    The query for minutes of one symbol.

    Raises:
        Refusal: 400, a parameter cannot be; of a start too old the text says which one is allowed.
    """
    interval = params.get("interval") or "tick"
    if interval not in MINUTES:
        raise invalid("interval", f"'{interval}' is not available, use one of {', '.join(MINUTES)}")
    session = _session(params)
    oldest = plan.today - timedelta(days=DEPTH_DAYS[interval][session])
    start_ns = _instant_ns(params["start"], "start") if params.get("start") else midnight_ns(plan.today)
    end_ns = _instant_ns(params["end"], "end") if params.get("end") else plan.now_ns
    if start_ns < midnight_ns(oldest):
        raise invalid("start", f"must be on or after {oldest} 00:00:00")
    if end_ns < start_ns:
        raise invalid("end", "must be on or after start")
    return _query(params, MINUTES[interval], start_ns, end_ns, form="series", session=session)


def parse_history(params: Mapping[str, str], plan: Plan) -> TradierQuery:
    """
    The query for days, weeks or months of one symbol, both dates included.

    Raises:
        Refusal: 400, a parameter cannot be.
    """
    interval = params.get("interval") or "daily"
    if interval not in DAYS:
        raise invalid("interval", f"use one of {', '.join(DAYS)}")
    start = _day(params["start"], "start") if params.get("start") else date(_YEARS[0], 1, 1)
    end = _day(params["end"], "end") if params.get("end") else plan.today
    if end < start:
        raise invalid("end", "must be on or after start")
    return _query(
        params, DAYS[interval], midnight_ns(start), midnight_ns(end), form="history", session=_session(params)
    )


def _query(
    params: Mapping[str, str], timeframe: Timeframe, start_ns: int, end_ns: int, *,
    form: Literal["series", "history"], session: str,
) -> TradierQuery:  # fmt: skip
    if not params.get("symbol"):
        raise invalid("symbol", "is required")
    return TradierQuery(
        symbols=(market_ticker(params["symbol"]),),
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=0,
        feed="sip",
        # Minutes are as they were traded; there is no raw mode of days.
        is_split_adjusted=form == "history",
        is_descending=False,
        is_dated=form == "history",
        form=form,
        session=session,
    )


def _session(params: Mapping[str, str]) -> str:
    session = params.get("session_filter") or "all"
    if session not in {"open", "all"}:
        raise invalid("session_filter", "use open or all")
    return session


def _instant_ns(text: str, name: str) -> int:
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(name, "must be YYYY-MM-DD HH:MM") from None
    if local.tzinfo is not None or local.year not in _YEARS:
        raise invalid(name, "must be YYYY-MM-DD HH:MM")
    return to_ns(local.replace(tzinfo=NEW_YORK).astimezone(UTC))


def _day(text: str, name: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise invalid(name, "must be YYYY-MM-DD") from None
    if len(text) != len("YYYY-MM-DD") or day.year not in _YEARS:
        raise invalid(name, "must be YYYY-MM-DD")
    return day
