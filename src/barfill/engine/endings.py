"""
How a run ends in the ledger where its chain did not come to its end: put aside, split, handed over or failed.

Each is one transaction, fenced by the run's epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range, Ranges, from_us
from barfill.engine import holding
from barfill.engine.carrying_on import going_on
from barfill.engine.foreign_days import ForeignDays
from barfill.engine.recovery import Piece, Recovery, remaining
from barfill.engine.run import RunInHand
from barfill.engine.telling import located
from barfill.errors import (
    BarfillError,
    PlanTooSmall,
    SeriesConflict,
    SymbolNotFound,
    SymbolNotOffered,
)
from barfill.store.database import Connection
from barfill.store.gaps import record_failed
from barfill.store.pages import retract_coverage
from barfill.store.queue import dequeue
from barfill.store.runs import (
    ClaimedRun,
    NewRun,
    claim_run,
    create_pieces,
    end_split_run,
    fail_run,
    is_rejection_told,
    release_run,
)
from barfill.store.series import note_failure
from barfill.store.workers import Worker
from barfill.store.writes import Asked, GapKind, GapRecord

NOT_ENTITLED_CHECK = timedelta(days=7)
REJECTED_PAUSE = timedelta(hours=1)
"""How long a run is put off while the provider rejects the key; sooner if somebody finds that it takes it."""


class Endings:
    """
    Args:
        now: The database's clock.
        worker: Who has claimed the runs.
    """

    def __init__(self, *, now: Callable[[], datetime], worker: Callable[[], Worker]) -> None:
        self._now = now
        self._worker = worker

    def put_aside(self, conn: Connection, run: RunInHand, rest: timedelta, error: BarfillError) -> None:
        """Back into the queue until the key may be used again: waiting spends no attempt."""
        message = located(error, run.provider, run.query)
        release_run(conn, run.run_id, run.epoch, rest, reason=holding.PAUSED, message=message)

    def put_aside_if_told(
        self, conn: Connection, run: RunInHand, missing: Sequence[tuple[str, Range]], error: BarfillError
    ) -> bool:
        """The first run that meets a rejected key fails for all to see; whether this is another one, which waits."""
        with conn.transaction():
            is_told = is_rejection_told(conn, run.provider)
            if is_told:
                self.put_aside(conn, run, REJECTED_PAUSE, error)
            else:
                self.record_failure(conn, run, missing, error)
            return is_told

    def split(self, conn: Connection, run: RunInHand, plan: Recovery, error: BarfillError) -> list[int]:
        """Ends the run and makes those in which it goes on, all or nothing; their ids."""
        is_restart = run.claimed.is_restart or not isinstance(error, SymbolNotOffered)
        with conn.transaction():
            end_split_run(conn, run.run_id, run.epoch, reason=str(error))
            if plan.refused is not None:
                self._fail_refused(conn, run, plan.refused, error)
            pieces = [going_on(run.claimed, piece, is_restart=is_restart) for piece in plan.pieces]
            return create_pieces(conn, run.run_id, pieces)

    def cut(
        self,
        conn: Connection,
        claimed: ClaimedRun,
        pieces: Sequence[NewRun],
        why: SymbolNotFound,
        foreign: ForeignDays | None = None,
    ) -> list[int]:
        """Ends a run, settles what nobody asks for, and makes the runs in which it goes on; their ids."""
        with conn.transaction():
            end_split_run(conn, claimed.id, claimed.epoch, reason=str(why))
            if foreign is not None:
                foreign.settle(conn, self._now())
            return create_pieces(conn, claimed.id, pieces)

    def _fail_refused(self, conn: Connection, run: RunInHand, ticker: str, error: BarfillError) -> None:
        """One symbol of a batch fails alone, in a run of its own that people find in the ledger."""
        new = going_on(run.claimed, Piece((ticker,), run.query.range), is_restart=True)
        (run_id,) = create_pieces(conn, run.run_id, [new])
        claimed = claim_run(conn, run_id, self._worker())
        assert claimed is not None, "nobody else sees it before the transaction ends"
        message = located(error, run.provider, run.query)
        fail_run(conn, run_id, claimed.epoch, error_code=error.code, reason=reason_of(error), message=message)
        dequeue(conn, [run_id])
        _note(conn, new.symbol_ids, run.query, error, message)

    def record_failure(
        self, conn: Connection, run: RunInHand, missing: Sequence[tuple[str, Range]], error: BarfillError
    ) -> None:
        """The run has failed, and what it did not bring is on record."""
        query, message = run.query, located(error, run.provider, run.query)
        with conn.transaction():
            fail_run(conn, run.run_id, run.epoch, error_code=error.code, reason=reason_of(error), message=message)
            if reason_of(error) == "page_order":
                void = dict.fromkeys((int(i) for i in run.symbol_ids), Ranges([query.range]))
                retract_coverage(conn, query.timeframe, void)
            if run.claimed.is_live or run.claimed.is_reread:
                return  # nothing lacks: the final bars are asked for all the same, or are there
            id_of = dict(zip(query.symbols, run.symbol_ids.tolist(), strict=True))
            ids = list(dict.fromkeys(id_of[ticker] for ticker, _ in missing)) or list(id_of.values())
            _note(conn, ids, query, error, message)
            if missing and not isinstance(error, SeriesConflict | SymbolNotOffered):
                starts = run.calendar.expected_starts
                gaps = [self._failed_gap(run, id_of[ticker], one, error) for ticker, one in missing]
                asked = Asked(provider=run.provider, feed=query.feed, asked_at=self._now(), run_id=run.run_id)
                record_failed(conn, query.timeframe, gaps, lambda _symbol_id, one: starts(query.timeframe, one), asked)

    def _failed_gap(self, run: RunInHand, symbol_id: int, one: Range, error: BarfillError) -> GapRecord:
        is_final = isinstance(error, PlanTooSmall)
        kind: GapKind = "not_entitled" if is_final else "failed"
        return GapRecord(
            symbol_id=symbol_id,
            range=one,
            expected_bars=run.calendar.expected_count(run.query.timeframe, one),
            kind=kind,
            # Whose plan it is: another provider may have what this one does not include.
            reason=f"{error.code}: {run.provider + ': ' if is_final else ''}{error}"[:500],
            # What was never answered may be asked at once: somebody who corrects a key types the same command again.
            next_check_at=self._now() + NOT_ENTITLED_CHECK if is_final else None,
            calendar_version=run.calendar.version,
        )

    def hand_over(self, conn: Connection, run: RunInHand, pieces: Sequence[NewRun], error: BarfillError) -> list[int]:
        """Ends the run and makes those in which another provider brings the rest; their ids."""
        with conn.transaction():
            end_split_run(conn, run.run_id, run.epoch, reason=f"{pieces[0].provider} takes over: {error}")
            return create_pieces(conn, run.run_id, pieces)


def missing_of(run: RunInHand) -> Sequence[tuple[str, Range]]:
    """The expected bars that the run did not bring and that no earlier run brought, by ticker."""
    covered = {ticker: facts.covered for ticker, facts in zip(run.query.symbols, run.facts, strict=True)}
    return [
        (ticker, one)
        for piece in remaining(run.query, run.state)
        for ticker in piece.symbols
        for part in Ranges([piece.range]) - covered[ticker]
        if (one := _trimmed(run, part)) is not None
    ]


def _trimmed(run: RunInHand, wanted: Range) -> Range | None:
    """From the first to the last expected bar in *wanted*, so that nobody waits for the closed time around them."""
    starts = run.calendar.expected_starts(run.query.timeframe, wanted)
    if len(starts) == 0:
        return None
    return Range(from_us(int(starts[0])), min(wanted.end, from_us(int(starts[-1])) + run.query.timeframe.length))


def _note(conn: Connection, symbol_ids: Sequence[int], query: BarsQuery, error: BarfillError, message: str) -> None:
    series = {"feed": query.feed, "basis": query.basis}
    note_failure(conn, symbol_ids, query.timeframe, **series, error_code=error.code, message=message)


def reason_of(error: BarfillError) -> str:
    """A stable word for what failed."""
    return getattr(error, "reason", "") or error.code.lower()
