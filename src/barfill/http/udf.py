"""
TradingView's Universal Data Feed: what its charting library asks for over HTTP.

The protocol: "UDF adapter" in TradingView's charting library documentation. Its errors are answers of status 200 with
`s` "error"; parameters that it does not document are left alone, as newer libraries send more of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.reading import ALL_TIME
from barfill.engine.tradingview import SymbolInfo, find_by_words, read_history, read_symbol_info
from barfill.errors import SymbolNotFound
from barfill.http.answers import json_answer
from barfill.http.context import InContext

PREFIX = "/udf"
BARS_MAX = 50_000
FOUND_USUAL, FOUND_MAX = 30, 100
_SECOND_US = 1_000_000
_ONE = timedelta(microseconds=1)
_RESOLUTIONS = {
    "1": Timeframe.M1,
    "5": Timeframe.M5,
    "15": Timeframe.M15,
    "30": Timeframe.M30,
    "60": Timeframe.H1,
    "240": Timeframe.H4,
    "1D": Timeframe.D1,
    "1W": Timeframe.W1,
}
_ALSO = {"D": "1D", "W": "1W"}
_TYPES = {"stock": "Stocks", "etf": "Funds", "crypto": "Crypto"}

router = APIRouter(prefix=PREFIX, tags=["TradingView"])


@router.get("/config")
def config() -> dict[str, Any]:
    """What the feed can do."""
    return {
        "supported_resolutions": list(_RESOLUTIONS),
        "supports_group_request": False,
        "supports_search": True,
        "supports_marks": False,
        "supports_timescale_marks": False,
        "supports_time": True,
        "exchanges": [{"value": "", "name": "All exchanges", "desc": ""}],
        "symbols_types": [
            {"value": "", "name": "All types"},
            *({"value": value, "name": name} for value, name in _TYPES.items()),
        ],
    }


@router.get("/time", response_class=PlainTextResponse)
def server_time(context: InContext) -> str:
    """The time by the database's clock, in seconds since 1970."""
    return str(int(context.database.now().timestamp()))


@router.get("/symbols")
def symbols(symbol: Annotated[str, Query(max_length=64)], context: InContext) -> dict[str, Any]:
    """What a chart must know of a symbol."""
    try:
        return _info(read_symbol_info(context.database, _ticker(symbol)))
    except SymbolNotFound as error:
        return _error(str(error))


@router.get("/search")
def search(
    context: InContext,
    query: Annotated[str, Query(max_length=64)] = "",
    kind: Annotated[str, Query(alias="type", max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=FOUND_MAX)] = FOUND_USUAL,
) -> list[dict[str, str]]:
    """Symbols on record by the letters of their ticker or name."""
    return [
        {
            "symbol": one.ticker,
            "full_name": one.ticker,
            "description": one.name or one.ticker,
            "exchange": one.calendar,
            "ticker": one.ticker,
            "type": one.asset_type,
        }
        for one in find_by_words(context.database, query, kind, limit)
    ]


@router.get("/history")
def history(
    context: InContext,
    symbol: Annotated[str, Query(max_length=64)],
    resolution: Annotated[str, Query(max_length=8)],
    to: Annotated[int, Query(ge=0, description="Seconds since 1970; no bar starts then or later.")],
    start: Annotated[int | None, Query(alias="from", description="Seconds since 1970.")] = None,
    countback: Annotated[int | None, Query(ge=1, description="So many bars before `to`, whatever `from` says.")] = None,
) -> Response:
    """Bars in columns, the oldest first; live ones included."""
    timeframe = _RESOLUTIONS.get(_ALSO.get(resolution, resolution))
    if timeframe is None:
        return json_answer(
            _error(f"There are no bars of resolution {resolution!r}, only of {', '.join(_RESOLUTIONS)}.")
        )
    end = max(_instant(to), ALL_TIME.start + _ONE)
    first = ALL_TIME.start if countback or start is None else _instant(start)
    wanted = Range(min(first, end - _ONE), end)
    try:
        found = read_history(context.database, _ticker(symbol), timeframe, wanted, min(countback or BARS_MAX, BARS_MAX))
    except SymbolNotFound as error:
        return json_answer(_error(str(error)))
    rows = found.rows
    if len(rows) == 0:
        next_time = {"nextTime": int(found.earlier.timestamp())} if found.earlier else {}
        return json_answer({"s": "no_data"} | next_time)
    columns = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    values = {short: rows[name].tolist() for short, name in columns.items()}
    return json_answer({"s": "ok", "t": (rows["ts"] // _SECOND_US).tolist()} | values)


def _info(found: SymbolInfo) -> dict[str, Any]:
    symbol = found.symbol
    intraday = [name for name, one in _RESOLUTIONS.items() if one.is_intraday and one in found.timeframes]
    return {
        "name": symbol.ticker,
        "ticker": symbol.ticker,
        "description": symbol.name or symbol.ticker,
        "type": symbol.asset_type,
        "exchange": symbol.calendar,
        "listed_exchange": symbol.calendar,
        "timezone": found.zone,
        "session": found.session,
        "format": "price",
        "minmov": 1,
        "pricescale": found.price_scale,
        "volume_precision": 8 if symbol.asset_type == "crypto" else 0,
        "has_intraday": bool(intraday),
        "intraday_multipliers": intraday,
        "has_daily": Timeframe.D1 in found.timeframes,
        "has_weekly_and_monthly": False,
        "supported_resolutions": list(_RESOLUTIONS),
        "data_status": "delayed_streaming",
    }


def _ticker(text: str) -> str:
    """TradingView writes the exchange in front: `XNYS:AAPL`."""
    return text.rpartition(":")[2].strip().upper()


def _instant(seconds: int) -> datetime:
    """Within the time in which bars can be."""
    bounded = min(max(seconds, int(ALL_TIME.start.timestamp())), int(ALL_TIME.end.timestamp()))
    return from_us(bounded * _SECOND_US)


def _error(text: str) -> dict[str, str]:
    return {"s": "error", "errmsg": text}
