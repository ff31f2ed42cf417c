"""
One page into the store: bars, what they prove, gaps, quarantine and the run's progress, all in one transaction.

The transaction locks its series first, in symbol order, and ends with the fence: where another worker has taken
the run over, or the page was counted already, nothing of it is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import pq
from psycopg.rows import TupleRow

from barfill.core.capabilities import FILES
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point, is_wanted
from barfill.errors import PageDropped, SeriesConflict
from barfill.store.bars import Written, begin_change, read_bars, read_origins, write_bars
from barfill.store.derived import SQL as DERIVED_SQL
from barfill.store.derived import around, made_of, note_source
from barfill.store.gaps import record_failed, replace_gaps
from barfill.store.marks import forget_marks, mark_page
from barfill.store.queries import load_queries
from barfill.store.rejections import keep_decided
from barfill.store.writes import Expected, GapRecord, PageOutcome, PageWrite, QuarantinedRow, SeriesWrite, SourceBars

SQL = load_queries("pages")

REFUSED_RULE = "S03"
RAW_LENGTH_MAX, SYMBOL_LENGTH_MAX = 4_000, 200
"""What is kept of a row at most: it is evidence, and whoever sent it says how long it is."""
_REFUSED_AGAIN_AFTER = timedelta(days=1)


def write_page(conn: psycopg.Connection[TupleRow], page: PageWrite) -> PageOutcome:
    """
    Stores *page*, whole or not at all.

    Raises:
        PageDropped: The run is no longer this worker's, or the page was counted already. Nothing was written.
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        outcome = _write_live(conn, page) if page.data_status == "live" else _write_series(conn, page)
        if page.marks or page.warned or outcome.changed:
            mark_page(conn, page, has_corrected=outcome.changed > 0)
        if page.withdrawn:
            _withdraw(conn, page)
        if page.retracted:
            _unmake(conn, page.timeframe, page.retracted, with_bars=False)
            _retract(conn, page.timeframe, page.retracted)
        crash_point("k9")
        _advance_run(conn, page, outcome)
    crash_point("k12")
    return outcome


def write_live(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> PageOutcome:
    """
    Stores bars that were derived from others of which some are live. No run, no fence.

    Raises:
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        return _write_live(conn, write)


def write_derived(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> PageOutcome:
    """
    Stores bars that were derived from a finer timeframe; `proved` is what the source covers. No run, no fence.

    Raises:
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        return _write_series(conn, write)


def derive_bars(
    conn: psycopg.Connection[TupleRow],
    symbol_id: int,
    source: Timeframe,
    wanted: Range,
    make: Callable[[SourceBars], Sequence[SeriesWrite]],
) -> list[tuple[Timeframe, PageOutcome]]:
    """
    Stores what *make* makes of the bars of *source* in *wanted*, the finest first, in one transaction; what became of
    each write, by its timeframe.

    Until it ends no page writes into the source, so that nothing is made of bars that have been corrected meanwhile.

    Raises:
        SeriesConflict: A series holds another feed or adjustment basis. Nothing was written.
    """
    with _page_transaction(conn):
        named = {"symbol_id": symbol_id, "timeframe": source.value}
        locked = conn.execute(DERIVED_SQL["lock_source"], named, binary=True).fetchone()
        if locked is None:
            return []
        bars = read_bars(conn, symbol_id, source, wanted)
        origins = read_origins(conn, symbol_id, source, wanted)
        writes = make(SourceBars(locked[0], bars, tuple(origins)))
        return [(write.timeframe, _write_series(conn, write)) for write in writes]


def forget_stale_live(conn: psycopg.Connection[TupleRow], before: datetime) -> int:
    """Removes live bars that started before an instant and that no final ones have replaced; how many."""
    with conn.transaction():
        forgotten = 0
        for symbol_id, timeframe in conn.execute(SQL["read_stale_live"], {"before": before}).fetchall():
            named = {"symbol_id": symbol_id, "timeframe": timeframe, "before": before}
            removed = conn.execute(SQL["remove_stale_live"], named).rowcount
            conn.execute(SQL["settle_live"], {"timeframe": timeframe, "symbol_ids": [symbol_id], "removed": [removed]})
            forgotten += removed
        return forgotten


def retract_coverage(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    ranges: Mapping[int, Ranges],
    *,
    with_derived: bool = True,
) -> None:
    """
    Takes ranges out of the coverage again, by symbol id, such as after pages in an impossible order.

    Args:
        with_derived: Also what was made of them; callers that see to each timeframe themselves say no.
    """
    with conn.transaction():
        _lock_again(conn, timeframe, ranges)
        if with_derived:
            _unmake(conn, timeframe, ranges, with_bars=False)
        _retract(conn, timeframe, ranges)


def unmake(
    conn: psycopg.Connection[TupleRow], timeframe: Timeframe, ranges: Mapping[int, Ranges], *, with_bars: bool
) -> None:
    """
    What was made of bars of *timeframe* that start in *ranges*, by symbol id, is no longer covered: it is made anew.

    Whoever changes, adds or takes out stored bars calls this in the same transaction, before it retracts coverage.

    Args:
        with_bars: The source's bars are taken out: what was made of them goes as well, into bar_revisions.
    """
    with conn.transaction():
        _lock_again(conn, timeframe, ranges)
        _unmake(conn, timeframe, ranges, with_bars=with_bars)


def count_series(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, symbol_ids: Sequence[int]) -> None:
    """Sets the counters of series by their bars, after some were taken out; callers hold the locks."""
    conn.execute(SQL["count_series"], {"timeframe": timeframe.value, "symbol_ids": list(symbol_ids)})


def settle_gaps(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    gaps: Sequence[GapRecord],
    *,
    feed: str,
    basis: str,
    expected: Expected,
) -> None:
    """
    Puts *gaps* on record of series that nobody asks for, in one transaction; a series that is new has none but these.

    Args:
        feed, basis: Of a new series, until bars come.
        expected: As for `replace_gaps`.
    """
    symbol_ids = sorted({gap.symbol_id for gap in gaps})
    policy = {"timeframe": timeframe.value, "feed": feed, "basis": basis}
    with conn.transaction():
        conn.execute(SQL["add_series"], {**policy, "symbol_ids": symbol_ids})
        record_failed(conn, timeframe, gaps, expected)


def _lock_again(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, parts: Mapping[int, Ranges]) -> None:
    conn.execute(SQL["lock_series"], {"timeframe": timeframe.value, "symbol_ids": sorted(parts)})


def _retract(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, parts: Mapping[int, Ranges]) -> None:
    """Out of coverage; the series are locked."""
    symbol_ids = sorted(parts)
    parameters = {"timeframe": timeframe.value, "symbol_ids": symbol_ids, "ranges": [parts[i] for i in symbol_ids]}
    conn.execute(SQL["retract"], parameters)


def _unmake(
    conn: psycopg.Connection[TupleRow], timeframe: Timeframe, parts: Mapping[int, Ranges], *, with_bars: bool
) -> None:
    """As `unmake`, and what was made of that in turn; the series of *timeframe* are locked."""
    waiting: dict[Timeframe, dict[int, Ranges]] = {timeframe: dict(parts)}
    for source in Timeframe:
        changed = {symbol_id: ranges for symbol_id, ranges in waiting.pop(source, {}).items() if ranges}
        if not changed:
            continue
        if source is not timeframe:
            if with_bars:
                _remove_bars(conn, source, changed)
            _retract(conn, source, changed)
        hulls = {symbol_id: hull for symbol_id, ranges in changed.items() if (hull := ranges.hull) is not None}
        for symbol_id, target, made, known in made_of(conn, source, hulls):
            # What was not known of the source before is new, and nothing was made of it; unless it is taken out. What
            # lies in a bar that was made was known then, as settled, whatever it is called by now.
            is_news = source is timeframe and not with_bars
            basis = changed[symbol_id] & (known | made) if is_news else changed[symbol_id]
            touched = made & around(basis, source, target)
            if touched:
                of_target = waiting.setdefault(target, {})
                of_target[symbol_id] = of_target.get(symbol_id, Ranges()) | touched


def _remove_bars(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    parts: Mapping[int, Ranges],
    kept: SeriesWrite | None = None,
) -> int:
    """Takes derived bars out, but for those that *kept* holds; how many. The series are locked."""
    spans = [(symbol_id, one) for symbol_id, ranges in sorted(parts.items()) for one in ranges]
    parameters = {
        "timeframe": timeframe.value,
        "symbol_ids": [symbol_id for symbol_id, _ in spans],
        "starts": [one.start for _, one in spans],
        "ends": [one.end for _, one in spans],
        "kept_ids": [] if kept is None else kept.symbol_ids[kept.rows.symbol].tolist(),
        "kept_starts": [] if kept is None else [from_us(ts) for ts in kept.rows.ts.tolist()],
    }
    removed = conn.execute(DERIVED_SQL["remove_bars"], parameters).fetchall()
    if removed:
        count_series(conn, timeframe, [symbol_id for symbol_id, _ in removed])
    return sum(count for _, count in removed)


def _withdraw(conn: psycopg.Connection[TupleRow], page: PageWrite) -> None:
    """Nobody can tell which of two values is true: neither stays. The series are locked."""
    parts = [(symbol_id, part) for symbol_id, ranges in sorted(page.withdrawn.items()) for part in ranges]
    begin_change(conn, "withdrawn", page.run_id)
    _unmake(conn, page.timeframe, page.withdrawn, with_bars=True)
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
    forget_marks(conn, page.timeframe, page.withdrawn)
    _retract(conn, page.timeframe, page.withdrawn)
    count_series(conn, page.timeframe, sorted(page.withdrawn))


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
    locked = _lock(conn, write, symbol_ids)
    written = write_bars(conn, write, locked.bounds)
    removed = _remove_unmade(conn, write, locked.bounds)
    _unmake_touched(conn, write, written)
    refused, refused_gaps = _refused_rows(write, written)
    quarantined = [*write.quarantined, *refused]
    if quarantined:
        _quarantine(conn, write, quarantined)
    judged = _judged(write)
    gaps = [*write.gaps, *refused_gaps]
    if not (isinstance(write, PageWrite) and write.withdrawn):  # bars that are about to go are gaps, whoever said what
        gaps = keep_decided(conn, write.timeframe, gaps, write.expected, now=write.fetched_at)
    replace_gaps(conn, write.timeframe, judged, gaps, write.expected, write.asked)
    proved = {symbol_id: part for symbol_id, part in write.proved.items() if part}
    for gap in refused_gaps:
        if gap.symbol_id in proved:
            proved[gap.symbol_id] -= gap.range
    _update_series(conn, write, written, proved)
    note_source(conn, write.timeframe, proved, write.made_from)
    if locked.with_live:
        _end_live(conn, write.timeframe, locked.with_live)
    inserted = sum(written.inserted.values())
    unchanged = len(write.rows) - inserted - written.changed - len(refused)
    return PageOutcome(inserted, written.changed, unchanged, len(refused), removed)


def _unmake_touched(conn: psycopg.Connection[TupleRow], write: SeriesWrite, written: Written) -> None:
    """What was made of the bars before these came or changed is made anew."""
    ids, ts = write.symbol_ids[write.rows.symbol][written.touched], write.rows.ts[written.touched]
    if len(ids) == 0:
        return
    length = write.timeframe.length_us
    firsts = np.flatnonzero(np.diff(ids, prepend=-1))
    lasts = np.append(firsts[1:], len(ids)) - 1
    hulls = {
        int(ids[first]): Range(from_us(int(ts[first])), from_us(int(ts[last]) + length))
        for first, last in zip(firsts, lasts, strict=True)
    }
    # Few pages touch what something was made of: only these are looked at bar by bar.
    concerned = {symbol_id for symbol_id, *_ in made_of(conn, write.timeframe, hulls)}
    changed = {
        symbol_id: Ranges(Range(from_us(one), from_us(one + length)) for one in ts[ids == symbol_id].tolist())
        for symbol_id in sorted(concerned)
    }
    _unmake(conn, write.timeframe, changed, with_bars=False)


def _remove_unmade(
    conn: psycopg.Connection[TupleRow], write: SeriesWrite, stored_bounds: Mapping[int, tuple[int, int]]
) -> int:
    """Bars that were derived before and are not now: their source has no bar left of them."""
    if write.made_from is None:
        return 0
    occupied = {}
    for symbol_id, ranges in write.proved.items():
        bounds = stored_bounds.get(symbol_id)
        if bounds is not None and ranges & Range(from_us(bounds[0]), from_us(bounds[1] + 1)):
            occupied[symbol_id] = ranges
    if not occupied:
        return 0
    return _remove_bars(conn, write.timeframe, occupied, write)


def _write_live(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> PageOutcome:
    """Rows that may still change, where nothing final is known; they prove nothing."""
    symbol_ids = sorted(set(write.symbol_ids.tolist()))
    locked = _lock(conn, write, symbol_ids)
    kept = replace(write, rows=write.rows.take(~_is_covered(conn, write)))
    written = write_bars(conn, kept, locked.bounds)
    refused, _ = _refused_rows(kept, written)
    quarantined = [*write.quarantined, *refused]
    if quarantined:
        _quarantine(conn, write, quarantined)
    spans = _stored_spans(kept, written)
    if spans:
        ids = sorted(spans)
        conn.execute(
            SQL["update_live"],
            {
                "timeframe": write.timeframe.value,
                "symbol_ids": ids,
                "firsts": [spans[i][0] for i in ids],
                "lasts": [spans[i][1] for i in ids],
                "inserted": [written.inserted.get(i, 0) for i in ids],
            },
        )
    inserted = sum(written.inserted.values())
    unchanged = len(write.rows) - inserted - written.changed - len(refused)
    return PageOutcome(inserted, written.changed, unchanged, len(refused))


def _is_covered(conn: psycopg.Connection[TupleRow], write: SeriesWrite) -> NDArray[np.bool_]:
    """Which rows lie in what is final already, shape (n,); the series are locked."""
    parameters = {
        "timeframe": write.timeframe.value,
        "symbol_ids": write.symbol_ids[write.rows.symbol].tolist(),
        "starts": [from_us(ts) for ts in write.rows.ts.tolist()],
    }
    is_covered = np.zeros(len(write.rows), np.bool_)
    is_covered[[row[0] - 1 for row in conn.execute(SQL["covered_rows"], parameters)]] = True
    return is_covered


def _end_live(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, symbol_ids: Sequence[int]) -> None:
    """Live bars go where the range that they lie in is final; the series are locked."""
    named = {"timeframe": timeframe.value, "symbol_ids": list(symbol_ids)}
    removed = Counter(row[0] for row in conn.execute(SQL["remove_live"], named))
    conn.execute(SQL["settle_live"], {**named, "removed": [removed[i] for i in symbol_ids]})


@dataclass(frozen=True, slots=True)
class _Locked:
    """
    Series that no other writer touches until the transaction ends.

    Attributes:
        bounds: By symbol id, the first and the last start stored; absent where nothing is.
        with_live: Ids of those that hold live bars.
    """

    bounds: dict[int, tuple[int, int]]
    with_live: list[int]


def _lock(conn: psycopg.Connection[TupleRow], write: SeriesWrite, symbol_ids: Sequence[int]) -> _Locked:
    policy = {"timeframe": write.timeframe.value, "feed": write.feed, "basis": write.basis}
    conn.execute(SQL["add_series"], {**policy, "symbol_ids": symbol_ids})
    bounds: dict[int, tuple[int, int]] = {}
    with_live: list[int] = []
    blank: list[int] = []
    parameters = {"timeframe": write.timeframe.value, "symbol_ids": symbol_ids}
    for row in conn.execute(SQL["lock_series"], parameters):
        symbol_id, feed, basis, oldest_us, newest_us, is_blank, live_from = row
        if live_from is not None:
            with_live.append(symbol_id)
        if (feed, basis) != (write.feed, write.basis):
            if not is_blank:
                raise _conflict(conn, write, symbol_id, feed, basis)
            blank.append(symbol_id)
        if oldest_us is not None:
            bounds[symbol_id] = (oldest_us, newest_us)
    if blank:
        conn.execute(SQL["adopt_policy"], {**policy, "symbol_ids": blank})
    return _Locked(bounds, with_live)


def _conflict(
    conn: psycopg.Connection[TupleRow], write: SeriesWrite, symbol_id: int, feed: str, basis: str
) -> SeriesConflict:
    """That a series holds something else than what was sent, who brought that, and how to go on with it."""
    named = {"symbol_id": symbol_id, "timeframe": write.timeframe.value}
    ticker, bringer = conn.execute(SQL["read_bringer"], named).fetchone() or (f"Series {symbol_id}", None)
    asked = f"Ask {bringer} for it (barfill backfill {ticker} --provider {bringer}; it says so if its key is not set)"
    return SeriesConflict(
        f"{ticker} {write.timeframe.label} holds {basis} bars of feed {feed!r}{f' from {bringer}' if bringer else ''}; "
        f"{write.provider} sent {write.basis} bars of feed {write.feed!r}. They are not mixed: nothing was written. "
        f"{asked if bringer not in (None, FILES) else 'Ask a provider of what it holds'}, or use another database for "
        "the other."
    )


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
        "symbols": [_storable(row.symbol)[:SYMBOL_LENGTH_MAX] for row in rows],
        "instants": [None if row.ts is None else from_us(row.ts) for row in rows],
        "rules": [row.rule for row in rows],
        "reasons": [_storable(row.reason)[:RAW_LENGTH_MAX] for row in rows],
        "raws": [_storable(row.raw)[:RAW_LENGTH_MAX] for row in rows],
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
        count_series(conn, write.timeframe, symbol_ids)


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
