"""
Page tokens: base64 of ``SYMBOL|T|nanoseconds`` of the last row sent.

Descending pages count their nanoseconds backwards from the year 2262, as a recorded reply of the vendor does. Clients
must treat all of this as opaque.
"""

import base64
import binascii
import re
from collections.abc import Container

from barfill.simulate.alpaca.refusals import refusal
from barfill.simulate.market.sessions import SECOND_NS
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import Position

_FORM = re.compile(r"([^|]+)\|([A-Z])\|(\d{1,20})(\|\d+)?")
_REVERSED_FROM_NS = 9_223_372_036 * SECOND_NS


def make_token(position: Position, timeframe: Timeframe, *, is_descending: bool, serial: int | None = None) -> str:
    """The opaque text that stands for *position*; a *serial* number makes another text for the same place."""
    count = _REVERSED_FROM_NS - position.ts_ns if is_descending else position.ts_ns
    tail = "" if serial is None else f"|{serial}"
    return base64.b64encode(f"{position.symbol}|{timeframe.token_letter}|{count}{tail}".encode()).decode()


def parse_token(text: str, symbols: Container[str], timeframe: Timeframe, *, is_descending: bool) -> Position:
    """
    The position that a token stands for.

    Raises:
        Refusal: 400, the token is garbled or was made for another query.
    """
    try:
        match = _FORM.fullmatch(base64.b64decode(text, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError, ValueError):
        match = None
    if match is None or match[1] not in symbols or match[2] != timeframe.token_letter:
        raise refusal(400, "invalid page_token")
    count = int(match[3])
    return Position(match[1], _REVERSED_FROM_NS - count if is_descending else count)
