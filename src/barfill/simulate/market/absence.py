"""
Why a symbol has no bar at a start: the market's own account, which a client's ledger can be held against.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from barfill.errors import InvalidInput
from barfill.simulate.market.sessions import MINUTE_NS, Nanos, midnight_ns, xnys
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted

Reason = Literal["traded", "closed", "before_listing", "after_delisting", "halted", "no_trade"]
_LENGTH = max(map(len, get_args(Reason)))
_DAY = Timeframe(1, "Day")


def why_absent(
    market: Market, ticker: str, timeframe: Timeframe, starts_ns: Nanos, visible_ns: int
) -> NDArray[np.str_]:
    """
    What the market knows about the bars that begin at *starts_ns*, ascending: a reason each, shape (n,).

    Args:
        timeframe: Intraday, or one day; days are keyed by New York midnight.
        visible_ns: What was traded later is not known.

    Returns:
        "traded" where there is a bar; else "closed" where no regular minute lies in it, "before_listing" or
        "after_delisting" by the session's date, "halted" where a halt takes some of it or all, and "no_trade".

    Raises:
        InvalidInput: The symbol is none of the market's, or weeks and months are asked for.
    """
    if ticker not in market.listings:
        raise InvalidInput(f"The market has no symbol '{ticker}': it knows companies by their newest ticker.")
    if not timeframe.is_intraday and timeframe != _DAY:
        raise InvalidInput(f"Why bars of {timeframe.name} are absent is not known. Ask for days, or for less.")
    reasons = np.full(starts_ns.size, "no_trade", f"<U{_LENGTH}")
    if not starts_ns.size:
        return reasons
    listing, sessions = market.listings[ticker], xnys()
    row = np.searchsorted(sessions.midnight_ns, starts_ns, side="right") - 1
    opens, closes = sessions.open_ns[row], sessions.close_ns[row]
    if timeframe.is_intraday:
        first_ns, end_ns = np.maximum(starts_ns, opens), np.minimum(starts_ns + timeframe.width_ns, closes)
    else:
        is_session = starts_ns == sessions.midnight_ns[row]
        first_ns, end_ns = opens, np.where(is_session, closes, opens)
    for halt in listing.halts:
        midnight = midnight_ns(halt.day)
        halted_ns = midnight + (halt.from_minute or 0) * MINUTE_NS
        resumed_ns = midnight + (halt.to_minute or 24 * 60) * MINUTE_NS
        reasons[(first_ns < resumed_ns) & (end_ns > halted_ns)] = "halted"
    days = sessions.days[row]
    reasons[days < np.datetime64(listing.listed_on, "D")] = "before_listing"
    if listing.delisted_on is not None:
        reasons[days > np.datetime64(listing.delisted_on, "D")] = "after_delisting"
    reasons[first_ns >= end_ns] = "closed"
    wanted = Wanted(timeframe, int(starts_ns[0]), int(starts_ns[-1]), "sip", visible_ns)
    bars = read_rows(market, ticker, wanted, None, adjust=(), is_descending=False)
    reasons[np.isin(starts_ns, bars.ts)] = "traded"
    return reasons
