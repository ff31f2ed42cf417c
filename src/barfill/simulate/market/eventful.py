"""
Histories for generated symbols: what befalls the companies of a market, spread over many of them by chance.

| share | what becomes of a symbol |
|---|---|
| 30 % | nothing: it trades as it was generated |
| 15 % | thin: 1 to 30 % of its regular minutes trade |
| 20 % | halted: one to three times, for some minutes or hours, to the close, or for one to three sessions |
| 13 % | new: listed on one of the sessions |
| 12 % | gone: that was its last session |
| 10 % | renamed: until that session it was ``OLD0001`` and so on |

Half of the dates lie in the last three weeks before *LAST_DAY*, where minutes are looked at, the others in two years
before it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from random import Random

from barfill.simulate.market.listings import Former, Halt, Listing
from barfill.simulate.market.sessions import xnys

LAST_DAY = date(2026, 8, 14)
_RECENT_SESSIONS, _ALL_SESSIONS = 14, 495
_OPEN_MINUTE, _CLOSE_MINUTE = 9 * 60 + 30, 16 * 60
_THIN_SHARES = (0.01, 0.03, 0.06, 0.15, 0.3)
_HALT_MINUTES = (5, 10, 15, 30, 60, 180)
_HALT_SESSIONS = (1, 1, 2, 3)


def with_history(listing: Listing, seed: int) -> Listing:
    """*listing* with what befell it, the same for the same seed and ticker."""
    luck = Random(f"{seed}|history|{listing.ticker}")
    befalls = luck.choices(list(_BEFALLS), weights=list(_BEFALLS.values()))[0]
    return befalls(listing, luck)


def _nothing(listing: Listing, _: Random) -> Listing:
    return listing


def _is_thin(listing: Listing, luck: Random) -> Listing:
    return replace(listing, minute_share=luck.choice(_THIN_SHARES), extended_share=0.01, daily_volume=6_000)


def _is_halted(listing: Listing, luck: Random) -> Listing:
    halts = [halt for _ in range(luck.randint(1, 3)) for halt in _halts(luck)]
    return replace(listing, halts=tuple(halts))


def _halts(luck: Random) -> list[Halt]:
    ago = _sessions_ago(luck)
    if luck.random() < 1 / 3:
        return [Halt(_session(ago - number)) for number in range(min(luck.choice(_HALT_SESSIONS), ago))]
    first = luck.randrange(_OPEN_MINUTE, _CLOSE_MINUTE - max(_HALT_MINUTES))
    lasts = _CLOSE_MINUTE - first if luck.random() < 1 / 8 else luck.choice(_HALT_MINUTES)
    return [Halt(_session(ago), first, first + lasts)]


def _is_new(listing: Listing, luck: Random) -> Listing:
    return replace(listing, listed_on=_session(_sessions_ago(luck)))


def _is_gone(listing: Listing, luck: Random) -> Listing:
    return replace(listing, delisted_on=_session(_sessions_ago(luck)))


def _is_renamed(listing: Listing, luck: Random) -> Listing:
    former = Former(listing.ticker.replace("SYM", "OLD"), _session(_sessions_ago(luck)))
    return replace(listing, formerly=(former,))


def _sessions_ago(luck: Random) -> int:
    """How many sessions before the last one, from 1."""
    return luck.randint(1, _RECENT_SESSIONS if luck.random() < 1 / 2 else _ALL_SESSIONS)


def _session(ago: int) -> date:
    sessions = xnys()
    day: date = sessions.days[sessions.first_on_or_after(LAST_DAY) - ago].astype("datetime64[D]").item()
    return day


_BEFALLS: dict[Callable[[Listing, Random], Listing], int] = {
    _nothing: 30,
    _is_thin: 15,
    _is_halted: 20,
    _is_new: 13,
    _is_gone: 12,
    _is_renamed: 10,
}
