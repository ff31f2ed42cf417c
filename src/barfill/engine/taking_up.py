"""What the ledger knows of a run when it is claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.known_outages import known_outages
from barfill.core.page import RAW
from barfill.core.ranges import Ranges
from barfill.engine.carrying_on import query_of, state_of
from barfill.engine.run import RunInHand, SeriesFacts, SilentGap
from barfill.store.database import Connection
from barfill.store.events import known_splits
from barfill.store.gaps import list_gaps
from barfill.store.runs import ClaimedRun
from barfill.store.series import read_series
from barfill.store.symbols import Symbol


def in_hand(
    conn: Connection,
    claimed: ClaimedRun,
    symbols: Mapping[str, Symbol],
    now: datetime,
    former: tuple[tuple[str, str], ...] = (),
) -> RunInHand:
    """
    The claimed run with what the ledger knows of its series.

    Args:
        former: Symbols that had another ticker in its range, each with that.
    """
    calendar = trading_calendar(symbols[claimed.symbols[0]].calendar, now.year + 1)
    expected = len(claimed.symbols) * calendar.expected_count(claimed.timeframe, claimed.range)
    return RunInHand(
        claimed=claimed,
        page_no=claimed.page_no,
        query=replace(query_of(claimed), former=former),
        symbol_ids=np.array(claimed.symbol_ids, np.int32),
        facts=_facts(conn, claimed, symbols, calendar),
        calendar=calendar,
        token=claimed.page_token,
        state=state_of(claimed),
        expected_bars=expected,
        proved_bars=round(expected * claimed.progress_percent / 100),
        may_lack_rows=claimed.may_lack_rows,
    )


def _facts(
    conn: Connection, claimed: ClaimedRun, symbols: Mapping[str, Symbol], calendar: TradingCalendar
) -> tuple[SeriesFacts, ...]:
    outages = known_outages(calendar, claimed.feed, claimed.range)
    rows = read_series(conn, claimed.symbol_ids, [claimed.timeframe])
    gaps: dict[int, list[SilentGap]] = {}
    quarantined: dict[int, list[SilentGap]] = {}
    for listed in list_gaps(conn, symbol_ids=claimed.symbol_ids, timeframes=[claimed.timeframe], within=claimed.range):
        known = listed.gap
        if known.kind == "unavailable" and any(one.range & known.range == known.range for one in outages):
            continue  # explained: that it is absent again is no reason to doubt the next answer
        if known.attempts == 0:  # gone from the table: no answer has lacked it
            continue
        kept = {"missing": gaps, "unavailable": gaps, "halted": gaps, "quarantined": quarantined}.get(known.kind)
        if known.kind == "no_trade" and known.settled_at is not None:  # not by its length, but by two answers
            kept = gaps
        if kept is not None and known.first_seen_at is not None:
            silent = SilentGap(known.range, known.attempts, known.first_seen_at)
            kept.setdefault(known.symbol_id, []).append(silent)
    # Adjusted prices do not jump where there is a split.
    splits = known_splits(conn, claimed.symbol_ids) if claimed.basis == RAW else {}
    facts = []
    for ticker, symbol_id in zip(claimed.symbols, claimed.symbol_ids, strict=True):
        row = rows.get((symbol_id, claimed.timeframe))
        facts.append(
            SeriesFacts(
                oldest=row.oldest_ts if row else None,
                newest=row.newest_ts if row else None,
                density=row.density if row and row.density is not None else float("nan"),
                gaps=tuple(gaps.get(symbol_id, ())),
                quarantined=tuple(quarantined.get(symbol_id, ())),
                covered=row.covered if row else Ranges(),
                is_active=symbols[ticker].is_active,
                delisted_on=symbols[ticker].delisted_on,
                splits=splits.get(symbol_id, ()),
            )
        )
    return tuple(facts)
