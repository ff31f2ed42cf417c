"""
Entries in the queue of procrastinate, one for each run that waits for a worker.

An entry says only which run, and under which epoch: everything else stands in `job_runs`. It is made in the
transaction that makes the run wait, so that neither exists without the other; a second entry, or one that outlives its
run, does no harm, since claiming the run under that epoch gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import psycopg
from psycopg.rows import TupleRow

from barfill.store.queries import load_queries

SQL = load_queries("queue")

HOUSE = "house"
"""The queue of what keeps the tables small, whoever does it."""
TASK = "carry_out"
QUEUE_PREFIX = "bars."


def queue_of(provider: str) -> str:
    """The queue of a provider's runs: who has its key takes from it."""
    return QUEUE_PREFIX + provider


def enqueue(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int], wait: timedelta = timedelta()) -> None:
    """Makes an entry for each of the runs that wait, to be taken after *wait*; within the caller's transaction."""
    parameters = {"run_ids": list(run_ids), "wait": wait, "prefix": QUEUE_PREFIX, "task": TASK}
    conn.execute(SQL["enqueue"], parameters)


def dequeue(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int]) -> None:
    """Takes back the entries of these runs that no worker has taken yet."""
    conn.execute(SQL["dequeue"], {"run_ids": list(run_ids)})


def count_due(conn: psycopg.Connection[TupleRow], queues: Sequence[str]) -> int:
    """How many entries of these queues could be taken now."""
    row = conn.execute(SQL["count_due"], {"queues": list(queues)}).fetchone()
    return 0 if row is None else int(row[0])


def wake(conn: psycopg.Connection[TupleRow], provider: str, reasons: Sequence[str]) -> int:
    """Makes runs due that were put off for one of *reasons*; how many."""
    return conn.execute(SQL["wake"], {"provider": provider, "reasons": list(reasons)}).rowcount


def remove_stale_entries(conn: psycopg.Connection[TupleRow], *, patience_s: float) -> None:
    """Removes entries that dead workers had taken; those of the queue of before go to where they are looked for."""
    conn.execute(SQL["move_entries"], {"prefix": QUEUE_PREFIX})
    conn.execute(SQL["remove_stale"], {"patience_s": patience_s})
