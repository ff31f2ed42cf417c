"""Gives the pages of staged files, as a provider's client gives those of a provider."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from types import MappingProxyType

import numpy as np
import polars as pl

from barfill.core.bars import BarColumns
from barfill.core.capabilities import FILES, Capabilities, PageCounts
from barfill.core.page import BarsQuery, Page, RejectedRow
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point
from barfill.errors import StalePageToken
from barfill.providers.client import RequestCounts
from barfill.providers.files.columns import PRICES
from barfill.providers.files.rows import NO_TICKER, ROW_SCHEMA
from barfill.providers.files.staging import Staged

PAGE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class FilesProvider:
    """What files can do, as a provider declares it."""

    capabilities: Capabilities


class FilesClient:
    """
    Args:
        staged: The rows of all files.
        timeframe: Of all their bars.
        feed, basis: What the bars are, as whoever imports them says.
        claims: By ticker, of which range the files hold everything there is.
        page_rows: How many rows a page holds.
    """

    def __init__(
        self,
        staged: Staged,
        timeframe: Timeframe,
        *,
        feed: str,
        basis: str,
        claims: Mapping[str, Range],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.provider = FilesProvider(_capabilities(timeframe, feed, basis, page_rows))
        self._staged = staged
        self._claims = claims
        self._first = min(claims, key=str.encode, default="")
        self._page_rows = page_rows

    async def fetch_page(self, query: BarsQuery, token: str | None, *, counts: RequestCounts | None = None) -> Page:
        """
        The next rows of *query*; *token* None asks for the first.

        Args:
            counts: Nothing is requested of anybody, so nothing is counted.

        Raises:
            StalePageToken: The token is of other files, or of the same read otherwise.
        """
        page = await asyncio.to_thread(self._page, query, token)
        crash_point("k5")
        return page

    def _page(self, query: BarsQuery, token: str | None) -> Page:
        stretches = self._stretches(query)
        offset, end = self._offset(token), sum(count for _, count in stretches)
        frame = pl.DataFrame(schema=ROW_SCHEMA)
        # Where a run goes on in pieces, rows of earlier pages lie among those of its symbols.
        while len(frame) == 0 and offset < end:
            frame = _within(query.range, self._rows(stretches, offset))
            offset += self._page_rows
        # A full last page leads on to an empty one, as an end that is full would not be believed.
        has_next = len(frame) > 0 and offset <= end
        return _page_of(frame, query, self._claims, f"{self._staged.fingerprint}:{offset}" if has_next else None)

    def _stretches(self, query: BarsQuery) -> Sequence[tuple[int, int]]:
        """First row and number of rows of all that *query* asks for; rows without a symbol go with the first."""
        staged = self._staged
        wanted = [staged.by_ticker[ticker] for ticker in query.symbols if ticker in staged.by_ticker]
        stretches = [(one.first_row, one.row_count) for one in wanted]
        if staged.nameless and wanted and wanted[0].ticker == self._first:
            stretches.insert(0, (0, staged.nameless))
        return stretches

    def _rows(self, stretches: Sequence[tuple[int, int]], offset: int) -> pl.DataFrame:
        """A page's rows from number *offset* of the stretches on; those that follow each other are read as one."""
        firsts = [0, *accumulate(count for _, count in stretches)]
        position, left = bisect_right(firsts, offset) - 1, self._page_rows
        asked: list[list[int]] = []
        while left and position < len(stretches):
            start = stretches[position][0] + offset - firsts[position]
            count = min(left, firsts[position + 1] - offset)
            if asked and asked[-1][1] == start:
                asked[-1][1] += count
            else:
                asked.append([start, start + count])
            left -= count
            offset += count
            position += 1
        return pl.concat([self._staged.rows(start, end) for start, end in asked])

    def _offset(self, token: str | None) -> int:
        if token is None:
            return 0
        fingerprint, _, offset = token.partition(":")
        if fingerprint != self._staged.fingerprint:
            raise StalePageToken(
                "The files are not those with which the interrupted import began, or are read otherwise: all of them "
                "is read anew."
            )
        return int(offset)


def _within(wanted: Range, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of *rows* in the range; what has no time that can be read, or no symbol, could lie in any."""
    return rows.filter(
        pl.col("ts").is_null()
        | (pl.col("ticker") == NO_TICKER)
        | ((pl.col("ts") >= to_us(wanted.start)) & (pl.col("ts") < to_us(wanted.end)))
    )


def _page_of(frame: pl.DataFrame, query: BarsQuery, claims: Mapping[str, Range], next_token: str | None) -> Page:
    symbols = tuple(one for one in frame["ticker"].unique(maintain_order=True).to_list() if one != NO_TICKER)
    unreadable = frame.filter(pl.col("rule").is_not_null())
    return Page(
        symbols=symbols,
        rows=_columns(frame.filter(pl.col("rule").is_null()), symbols),
        rejected=tuple(_rejected(row) for row in unreadable.iter_rows(named=True)),
        next_token=next_token,
        feed=query.feed,
        basis=query.basis,
        received_at=datetime.now(UTC),
        claims=claims,
    )


def _columns(frame: pl.DataFrame, symbols: Sequence[str]) -> BarColumns:
    index = pl.DataFrame(
        {"ticker": list(symbols), "index": np.arange(len(symbols), dtype=np.int32)},
        schema_overrides={"ticker": pl.String},
    )
    place = frame.select("ticker").join(index, on="ticker", maintain_order="left")["index"]
    values = {name: frame[name].to_numpy() for name in ("ts", *PRICES, "volume", "vwap", "trade_count")}
    return BarColumns(symbol=place.to_numpy(), **values)


def _rejected(row: Mapping[str, object]) -> RejectedRow:
    ts = row["ts"]
    return RejectedRow(
        symbol=str(row["ticker"]) or "?",
        ts=ts if isinstance(ts, int) and row["rule"] != "Q01" else None,
        rule=str(row["rule"]),
        reason=str(row["reason"]),
        raw=str(row["raw"]),
    )


def _capabilities(timeframe: Timeframe, feed: str, basis: str, page_rows: int) -> Capabilities:
    """No requests, no limit, no delay; what a file lacks it does not have."""
    return Capabilities(
        provider=FILES,
        follows_companies=True,
        timeframes=frozenset({timeframe}),
        asset_types=frozenset({"stock", "etf", "crypto", "index", "forex", "future"}),
        symbols_per_call_max=1_000,
        symbols_length_max=1_000_000,
        page_size=page_rows,
        page_counts=PageCounts.BARS,
        delay=timedelta(0),
        history_start=None,
        has_extended_hours=True,
        requests_per_minute=1_000_000,
        feed=feed,
        bars_per_session=MappingProxyType({}),
        adjusted=MappingProxyType({timeframe: basis}),
        is_exhaustive=True,
    )
