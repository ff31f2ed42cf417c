"""A database that cannot work: its disk is full, it has no connection to give, or it takes no writes (S07)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from psycopg import sql

from torture.checks import (
    ALL_S,
    BACK_S_MAX,
    end_in_order,
    heartbeats_are_fresh,
    is_flowing,
    nobody_ended,
    nothing_failed,
)
from torture.measure import Measure
from torture.server import Server
from torture.small_disk import SmallDisk, small_disk
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end
from torture.yard import Yard, open_yard

ROLE = "ordinary"
"""Whom the children are: no superuser, since limits do not hold for these."""
LOSSES_MAX = 4
"""Connections are ended three times, and a run may be in hand then; an ailment that lasts must not add to it."""
GROUP = 8
"""Symbols at a time, so that work is left whenever an ailment ends."""
_REFUSING = """
create function refuse_bars() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file: No space left on device' using errcode = '53100';
end $$;
create trigger refuse_bars before insert on ohlc_bars for each statement execute function refuse_bars()
"""
_WILLING = "drop trigger refuse_bars on ohlc_bars; drop function refuse_bars()"


@dataclass(frozen=True, slots=True)
class Ailment:
    """
    Attributes:
        name: For the figures.
        sentence: A part of what the children must say while it lasts.
        begin, cure: Bring it about, and end it.
    """

    name: str
    sentence: str
    begin: Callable[[], None]
    cure: Callable[[], None]


def full(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Ailments of the database one after the other; what barfill says, and how soon it goes on after the cure."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk())
        space = stack.enter_context(server.tablespace(disk.place)) if disk is not None else None
        yard = stack.enter_context(
            open_yard(server, measure.seed + 8, role=server.ordinary_role(ROLE), tablespace=space)
        )
        stack.enter_context(looking(yard, verdict))
        yard.feed(group=GROUP)
        yard.start_workers(measure.workers)
        for ailment in _ailments(yard, disk):
            yard.pause(ALL_S, until=lambda: is_flowing(yard))
            back_s = _suffer(yard, ailment, measure.ailing_s, verdict)
            verdict.figures[ailment.name] = f"{measure.ailing_s:.0f} s, goes on {back_s:.1f} s after the cure"
        verdict.hold(yard.settle(), "work is left after the database was well again")
        heartbeats_are_fresh(yard, verdict)
        end_in_order(yard, verdict)
        nobody_ended(yard, verdict)
        nothing_failed(yard, verdict)
        losses = yard.rows("select max(losses) from job_runs")[0][0]
        verdict.figures["workers lost by a run"] = f"{losses} at most"
        verdict.hold(losses <= LOSSES_MAX, f"a run counts {losses} workers as lost, and none was killed")
        verdict.hold("defect of barfill" not in yard.said(), "an ailment was called a defect of barfill")
        judge_the_end(yard, verdict)


def _suffer(yard: Yard, ailment: Ailment, seconds: float, verdict: Verdict) -> float:
    """One ailment for so long; how many seconds after its cure another page was stored."""
    said = len(yard.said())
    ailment.begin()
    yard.pause(seconds)
    ailment.cure()
    verdict.hold(ailment.sentence in yard.said()[said:], f"nobody says {ailment.sentence!r} during {ailment.name}")
    pages = yard.pages()
    cured = time.monotonic()
    yard.feed(group=GROUP)
    goes_on = yard.pause(BACK_S_MAX, until=lambda: yard.pages() > pages)
    verdict.hold(goes_on, f"no page was stored within {BACK_S_MAX:.0f} s after {ailment.name}")
    return time.monotonic() - cured


def _ailments(yard: Yard, disk: SmallDisk | None) -> Sequence[Ailment]:
    role, database = sql.Identifier(ROLE), sql.Identifier(yard.database_name)

    def order(*statements: sql.Composed) -> Callable[[], None]:
        return lambda: _order(yard, statements)

    limit = sql.SQL("alter role {} connection limit {}").format
    read_only = sql.SQL("alter role {} in database {} {} default_transaction_read_only").format
    hang_up = sql.SQL("select pg_terminate_backend(pid) from pg_stat_activity where usename = {}").format(ROLE)
    return (
        Ailment("disk full", "disk below the database is full", disk.fill, disk.relieve)
        if disk is not None
        else Ailment(
            "disk full (by a trigger)",
            "disk below the database is full",
            order(sql.SQL(_REFUSING).format()),
            order(sql.SQL(_WILLING).format()),
        ),
        Ailment(
            "too many connections",
            "too many connections",
            order(limit(role, sql.SQL("1")), hang_up),
            order(limit(role, sql.SQL("-1"))),
        ),
        Ailment(
            "read-only",
            "takes no writes",
            order(sql.SQL("{} = on").format(read_only(role, database, sql.SQL("set"))), hang_up),
            order(read_only(role, database, sql.SQL("reset")), hang_up),
        ),
    )


def _order(yard: Yard, statements: Sequence[sql.Composed]) -> None:
    with yard.database.connection() as conn:
        for statement in statements:
            conn.execute(statement)
