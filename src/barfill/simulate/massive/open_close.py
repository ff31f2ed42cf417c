"""
Open and close of one ticker on one day, with the first and the last price of extended hours.
"""

from collections.abc import Mapping
from typing import Any

from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, xnys
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.massive.pages import held_bars
from barfill.simulate.massive.plan import Plan
from barfill.simulate.massive.queries import day_of, day_query
from barfill.simulate.massive.refusals import nothing_there


def open_close(market: Market, ticker: str, day_text: str, params: Mapping[str, str], plan: Plan) -> dict[str, Any]:
    """
    The answer for a day.

    Raises:
        Refusal: 404 on a day without a bar (not verified, providers.md 4.2); 403 beyond the plan.
    """
    day = day_of(day_text, "date")
    plan.check_day(day)
    query = day_query((ticker,), day, params, "prev")
    midnight_ns, visible_ns = query.start_ns, plan.now_ns
    bars = held_bars(
        market, query, ticker, Wanted(Timeframe(1, "Day"), midnight_ns, midnight_ns, "sip", visible_ns), None
    )
    if not len(bars):
        raise nothing_there()
    sessions = xnys()
    row = sessions.first_on_or_after(day)
    minutes = Wanted(Timeframe(1, "Min"), midnight_ns, midnight_ns + 24 * HOUR_NS, "sip", visible_ns)
    before = held_bars(market, query, ticker, minutes.within(midnight_ns, int(sessions.open_ns[row]) - MINUTE_NS), 1)
    after_ns = int(sessions.close_ns[row]), int(sessions.extended_close_ns[row])
    after = held_bars(market, query, ticker, minutes.within(*after_ns), None)
    document: dict[str, Any] = {
        "status": "OK",
        "from": day.isoformat(),
        "symbol": ticker,
        "open": float(bars.open[0]),
        "high": float(bars.high[0]),
        "low": float(bars.low[0]),
        "close": float(bars.close[0]),
        "volume": int(bars.volume[0]),
    }
    if len(after):
        document["afterHours"] = float(after.close[-1])
    if len(before):
        document["preMarket"] = float(before.open[0])
    return document
