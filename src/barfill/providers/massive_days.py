"""
Massive's grouped days: the daily bars of the whole market, one session in a call.

Where more symbols than sessions are lacking, a call for each session is cheaper than one for each symbol; at 5 calls a
minute that is the difference between a minute and hours. The page of a session answers for all symbols that were asked
for, so each page proves its day of all of them; the token is the date of the next session.

A row is stamped by the end of its session, 16:00 New York, on half days as well (4.2): the day is the one asked for.

Source:
    `/v2/aggs/grouped/locale/us/market/stocks/{date}`; providers.md 1.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

import numpy as np

from barfill.core.calendar import trading_calendar
from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.ranges import Range, from_us, to_us
from barfill.errors import BadResponse
from barfill.providers.bar_pages import answer_object, as_list, check_count, read_rows, refuse_a_renamed_list
from barfill.providers.base import HttpResponse
from barfill.providers.instants import FUTURE_MAX
from barfill.providers.rows import check_variant, stamped
from barfill.providers.strict_json import check_is_json

PATH = "/v2/aggs/grouped/locale/us/market/stocks"
PARAMS: Mapping[str, str] = MappingProxyType({"adjusted": "false", "include_otc": "false"})

_CALENDAR = "XNYS"
_ONE_DAY = timedelta(days=1)
_SUCCESS = ("OK", "DELAYED")


def day_of(query: BarsQuery, token: str | None) -> date:
    """
    The session that a page is asked for.

    Raises:
        BadResponse: The token is no session of the range (`stale_token`).
    """
    days = _sessions(query)
    if token is None:
        return days[0]
    found = [day for day in days if day.isoformat() == token]
    if not found:
        raise BadResponse(f"'{token[:20]}' leads to no session of {query}.", reason="page_loop")
    return found[0]


def read_day(query: BarsQuery, token: str | None, response: HttpResponse, *, page_size: int) -> Page:
    """
    The page of one session, of the symbols that were asked for; the others of the market are passed over.

    Raises:
        BadResponse: Its reason is one of `body`, `json`, `schema`, `count`, `wrong_variant`, `out_of_range`.
    """
    check_is_json(response)
    day = day_of(query, token)
    answer = answer_object(response.body)
    if answer.get("status") not in _SUCCESS:
        raise BadResponse("The answer does not call itself OK.", reason="body")
    check_variant("basis", "adjusted" if answer.get("adjusted") else RAW, RAW)
    results = answer.get("results")
    if not results:
        refuse_a_renamed_list(answer, "results")
    rows = as_list(results, "'results'")
    for key in ("resultsCount", "count"):
        check_count(answer.get(key), len(rows))
    lists: dict[str, list[object]] = {}
    asked = frozenset(query.symbols)
    for row in rows:
        if isinstance(row, dict) and row.get("T") in asked:
            lists.setdefault(str(row["T"]), []).append({key: value for key, value in row.items() if key != "T"})
    latest_us = to_us(response.received_at + FUTURE_MAX)
    columns, rejected = read_rows(lists, query, latest_us=latest_us, raw_rows=lambda: None)
    columns = replace(columns, ts=stamped(columns.ts, query.timeframe))
    window = Range(_midnight(day), _midnight(day) + _ONE_DAY)
    if np.any(columns.ts != to_us(window.start)):
        raise BadResponse(f"Rows of another day than {day} came, which was asked for.", reason="out_of_range")
    following = [one for one in _sessions(query) if one > day]
    return Page(
        symbols=tuple(lists),
        rows=columns,
        rejected=rejected,
        next_token=following[0].isoformat() if following else None,
        feed=query.feed,
        basis=RAW,
        received_at=response.received_at,
        request_id=str(answer.get("request_id", "")) or response.request_id,
        byte_count=len(response.body),
        may_lack_rows="results" in answer and not isinstance(results, list),
        counted=page_size,
        is_window=True,
        answers_for=window,
    )


def _sessions(query: BarsQuery) -> list[date]:
    calendar = trading_calendar(_CALENDAR, query.range.end.year + 1)
    return [from_us(int(ts)).date() for ts in calendar.expected_starts(query.timeframe, query.range)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
