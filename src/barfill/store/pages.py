"""
One page into the store: bars, what they prove, gaps, quarantine and the run's progress, all in one transaction.

The transaction locks its series first, in symbol order, and ends with the fence: where another worker has taken
the run over, or the page was counted already, nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import numpy as np
import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point, is_wanted
from barfill.errors import PageDropped, SeriesConflict
from barfill.store.bars import Written, write_bars
from barfill.store.gaps import replace_gaps
from barfill.store.queries import load_queries
from barfill.store.writes import GapRecord, PageOutcome, PageWrite, QuarantinedRow, SeriesWrite

SQL = load_queries("pages")

REFUSED_RULE = "S03"
_REFUSED_AGAIN_AFTER = timedelta(days=1)


def write_page(conn: psycopg.Connection[TupleRow], page: PageWrite) -> PageOutcome:
    """
    Stores *page*, whole or not at all.

    Raises:
        PageDropped: The run is no longer this worker's, or the page was counted already. Nothing was written.
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        outcome = _write_series(conn, page)
        if page.withdrawn:
            _withdraw(conn, page)
        crash_point("k9")
        _advance_run(conn, page, outcome)
    crash_point("k12")
    return outcome


def write_derived(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> PageOutcome:
    """
    Stores bars that were derived from a finer timeframe; `proved` is what the source covers. No run, no fence.

    Raises:
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        return _write_series(conn, write)


def retract_coverage(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, ranges: Mapping[int, Ranges]) -> None:
    """Takes ranges out of the coverage again, by symbol id, such as after pages in an impossible order."""
    with conn.transaction():
        _retract(conn, timeframe, ranges)


def _retract(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, parts: Mapping[int, Ranges]) -> None:
    symbol_ids = sorted(parts)
    conn.execute(SQL["lock_series"], {"timeframe": timeframe.value, "symbol_ids": symbol_ids})
    parameters = {"timeframe": timeframe.value, "symbol_ids": symbol_ids, "ranges": [parts[i] for i in symbol_ids]}
    conn.execute(SQL["retract"], parameters)


def _withdraw(conn: psycopg.Connection[TupleRow], page: PageWrite) -> None:
    """Nobody can tell which of two values is true: neither stays. The series are locked."""
    parts = [(symbol_id, part) for symbol_id, ranges in sorted(page.withdrawn.items()) for part in ranges]
    conn.execute(
        SQL["withdraw_bars"],
        {
            "timeframe": page.timeframe.value,
            "symbol_ids": [symbol_id for symbol_id, _ in parts],
            "starts": [part.start for _, part in parts],
            "ends": [part.end for _, part in parts],
            "run_id": page.run_id,
            "request_id": page.request_id or None,
        },
    )
    _retract(conn, page.timeframe, page.withdrawn)
    conn.execute(SQL["count_series"], {"timeframe": page.timeframe.value, "symbol_ids": sorted(page.withdrawn)})


@contextmanager
def _page_transaction(conn: psycopg.Connection[TupleRow]) -> Iterator[None]:
    # Spelled out, since the moment between sending COMMIT and reading its reply is a crash point of its own.
    try:
        # Tables grow under us: a plan that reads a whole table once per row must never look cheap. And the series are
        # locked: a worker that stands still here, frozen or cut off, must not hold up who goes on with its runs.
        conn.execute(
            b"begin; set local jit = off; set local enable_seqscan = off; "
            b"set local idle_in_transaction_session_timeout = '10s'"
        )
        yield
        crash_point("k10")
        if is_wanted("k11"):
            _crash_after_sending_commit(conn)
        conn.execute(b"commit")
    except BaseException:
        if not conn.closed and conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            conn.execute(b"rollback")
        raise


def _crash_after_sending_commit(conn: psycopg.Connection[TupleRow]) -> None:
    conn.pgconn.send_query(b"commit; begin")  # should this not be the pass to die at, the caller's COMMIT follows
    while conn.pgconn.flush():
        pass
    crash_point("k11")
    while conn.pgconn.get_result() is not None:
        pass


def _write_series(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> PageOutcome:
    symbol_ids = sorted(set(write.symbol_ids.tolist()))
    bounds = _lock(conn, write, symbol_ids)
    written = write_bars(conn, write, bounds)
    if written.changed or written.inserted:
        for coarser, ranges in write.made_of_it.items():
            _retract(conn, coarser, ranges)
    refused, refused_gaps = _refused_rows(write, written)
    quarantined = [*write.quarantined, *refused]
    if quarantined:
        _quarantine(conn, write, quarantined)
    judged = _judged(write)
    gaps = [*write.gaps, *refused_gaps]
    replace_gaps(conn, write.timeframe, judged, gaps, write.expected)
    proved = {symbol_id: part for symbol_id, part in write.proved.items() if part}
    for gap in refused_gaps:
        if gap.symbol_id in proved:
            proved[gap.symbol_id] -= gap.range
    _update_series(conn, write, written, proved)
    inserted = sum(written.inserted.values())
    unchanged = len(write.rows) - inserted - written.changed - len(refused)
    return PageOutcome(inserted, written.changed, unchanged, len(refused))


def _lock(
    conn: psycopg.Connection[TupleRow], write: SeriesWrite, symbol_ids: Sequence[int]
) -> dict[int, tuple[int, int]]:
    """By symbol id, the first and the last start stored; after this no other writer touches these series."""
    policy = {"timeframe": write.timeframe.value, "feed": write.feed, "basis": write.basis}
    conn.execute(SQL["add_series"], {**policy, "symbol_ids": symbol_ids})
    bounds: dict[int, tuple[int, int]] = {}
    blank: list[int] = []
    parameters = {"timeframe": write.timeframe.value, "symbol_ids": symbol_ids}
    for symbol_id, feed, basis, oldest_us, newest_us, is_blank in conn.execute(SQL["lock_series"], parameters):
        if (feed, basis) != (write.feed, write.basis):
            if not is_blank:
                raise SeriesConflict(
                    f"Series {symbol_id} {write.timeframe.label} holds {basis} bars of feed {feed!r}; {write.provider} "
                    f"sent {write.basis} bars of feed {write.feed!r}. They are not mixed: nothing was written."
                )
            blank.append(symbol_id)
        if oldest_us is not None:
            bounds[symbol_id] = (oldest_us, newest_us)
    if blank:
        conn.execute(SQL["adopt_policy"], {**policy, "symbol_ids": blank})
    return bounds


def _judged(write: SeriesWrite) -> dict[int, Ranges]:
    """By symbol id, the ranges that the answer speaks of: earlier gaps in them are settled or seen again."""
    judged = {symbol_id: part for symbol_id, part in write.proved.items() if part}
    missed: dict[int, list[Range]] = {}
    for gap in write.gaps:
        missed.setdefault(gap.symbol_id, []).append(gap.range)
    for symbol_id, ranges in missed.items():
        judged[symbol_id] = Ranges([*judged.get(symbol_id, ()), *ranges])
    return judged


def _refused_rows(write: SeriesWrite, written: Written) -> tuple[list[QuarantinedRow], list[GapRecord]]:
    """Rows that the database would not take, as quarantine and as gaps that will be asked for again."""
    rows, gaps = [], []
    for position, reason in written.refused.items():
        bar = write.rows.take(np.array([position]))
        symbol_id, ts = int(write.symbol_ids[bar.symbol[0]]), int(bar.ts[0])
        raw = repr([float(getattr(bar, name)[0]) for name in ("open", "high", "low", "close", "volume")])
        rows.append(QuarantinedRow(symbol="", rule=REFUSED_RULE, reason=reason, raw=raw, symbol_id=symbol_id, ts=ts))
        gaps.append(
            GapRecord(
                symbol_id=symbol_id,
                range=Range(from_us(ts), from_us(ts + write.timeframe.length_us)),
                expected_bars=1,
                kind="quarantined",
                reason=reason,
                next_check_at=write.fetched_at + _REFUSED_AGAIN_AFTER,
            )
        )
    return rows, gaps


def _quarantine(conn: psycopg.Connection[TupleRow], write: SeriesWrite, rows: Sequence[QuarantinedRow]) -> None:
    parameters = {
        "timeframe": write.timeframe.value,
        "provider": write.provider,
        "feed": write.feed,
        "run_id": write.run_id,
        "request_id": write.request_id or None,
        "symbol_ids": [row.symbol_id for row in rows],
        "symbols": [_storable(row.symbol) for row in rows],
        "instants": [None if row.ts is None else from_us(row.ts) for row in rows],
        "rules": [row.rule for row in rows],
        "reasons": [_storable(row.reason) for row in rows],
        "raws": [_storable(row.raw) for row in rows],
    }
    conn.execute(SQL["quarantine"], parameters)


def _storable(text: str) -> str:
    """Outside text as PostgreSQL can hold it: NUL and lone surrogates become visible."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _update_series(
    conn: psycopg.Connection[TupleRow], write: SeriesWrite, written: Written, proved: Mapping[int, Ranges]
) -> None:
    spans = {} if written.met_foreign_rows else _stored_spans(write, written)
    inserted = {} if written.met_foreign_rows else written.inserted
    symbol_ids = sorted(set(write.symbol_ids.tolist()))
    conn.execute(
        SQL["update_series"],
        {
            "timeframe": write.timeframe.value,
            "provider": write.provider,
            "symbol_ids": symbol_ids,
            "proved": [proved.get(i, Ranges()) for i in symbol_ids],
            "firsts": [spans[i][0] if i in spans else None for i in symbol_ids],
            "lasts": [spans[i][1] if i in spans else None for i in symbol_ids],
            "inserted": [inserted.get(i, 0) for i in symbol_ids],
            "written": [written.inserted.get(i, 0) for i in symbol_ids],
            "densities": [write.density.get(i) for i in symbol_ids],
        },
    )
    if written.met_foreign_rows:
        conn.execute(SQL["count_series"], {"timeframe": write.timeframe.value, "symbol_ids": symbol_ids})


def _stored_spans(write: SeriesWrite, written: Written) -> dict[int, tuple[datetime, datetime]]:
    """By symbol id, the first and the last start of the write's rows that are stored now."""
    kept = np.ones(len(write.rows), bool)
    kept[list(written.refused)] = False
    ids, ts = write.symbol_ids[write.rows.symbol][kept], write.rows.ts[kept]
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    ends = np.append(starts[1:], len(ids)) - 1
    return {int(ids[a]): (from_us(int(ts[a])), from_us(int(ts[b]))) for a, b in zip(starts, ends, strict=False)}


def _advance_run(conn: psycopg.Connection[TupleRow], page: PageWrite, outcome: PageOutcome) -> None:
    counted = conn.execute(
        SQL["advance_run"],
        {
            "run_id": page.run_id,
            "epoch": page.epoch,
            "page_no": page.page_no,
            "next_token": page.next_token,
            "open_symbol_id": page.open_symbol_id,
            "open_until": page.open_until,
            "seen_symbol_ids": list(page.seen_symbol_ids),
            "rows_written": outcome.inserted + outcome.changed,
            "rows_received": page.rows_received,
            "requests_made": page.requests_made,
            "request_id": page.request_id or None,
            "may_lack_rows": page.may_lack_rows,
            "progress_percent": page.progress_percent,
            "is_final": page.final,
        },
    )
    if counted.rowcount != 1:
        raise PageDropped(
            f"Page {page.page_no} of run {page.run_id} came late: the run has gone on without epoch {page.epoch}, "
            "or was cancelled. Nothing of the page was written."
        )
