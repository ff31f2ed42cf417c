"""What several scenarios do to a yard, and what must hold in all of them whatever was done."""

from __future__ import annotations

import signal
import time

from torture.verdict import Verdict
from torture.yard import PATIENCE_S, Yard

BACK_S_MAX = 60.0
"""So long after the database's return a worker may need to beat again."""
STOP_S_MAX = 30.0
"""So long may an orderly end take."""
ALL_S = 120.0
"""Whatever must come about comes about within this time, or not at all."""


def is_flowing(yard: Yard) -> bool:
    """Whether some run has been taken and pages come in."""
    return bool(yard.rows("select 1 from job_runs where status = 'running' and page_no > 0 limit 1"))


def end_in_order(yard: Yard, verdict: Verdict) -> None:
    """An orderly end of all workers, within its time and with exit code 0."""
    for code, seconds in yard.end_workers():
        # By the signal itself only as long as Python has not come to barfill's first line.
        verdict.hold(code in (0, -signal.SIGTERM), f"a worker ended with exit code {code} after SIGTERM")
        verdict.hold(seconds <= STOP_S_MAX, f"a worker needed {seconds:.0f} s to end after SIGTERM")
    running = yard.rows("select id from job_runs where status = 'running'")
    verdict.hold(not running, f"{len(running)} runs are still those of workers that have ended")


def heartbeats_are_fresh(yard: Yard, verdict: Verdict) -> None:
    """Every worker of the yard is known to the queue as alive."""
    since = "select id from procrastinate_workers where last_heartbeat > clock_timestamp() - make_interval(secs => %s)"
    are_fresh = yard.pause(BACK_S_MAX, until=lambda: len(yard.rows(since, PATIENCE_S)) >= len(yard.workers))
    fresh = len(yard.rows(since, PATIENCE_S))
    verdict.hold(are_fresh, f"after {BACK_S_MAX:.0f} s {fresh} of {len(yard.workers)} workers have a fresh heartbeat")


def a_day_passes(yard: Yard) -> None:
    """What was put off becomes due, and so do the gaps of bars that were held back."""
    with yard.database.connection() as conn:
        conn.execute("update procrastinate_jobs set scheduled_at = null where status = 'todo'")
        conn.execute("update series_gaps set next_check_at = clock_timestamp() - interval '1 second'")


def again_costs_nothing(yard: Yard, verdict: Verdict) -> None:
    """A look and a worker that find everything done ask nothing and write no row version (R06)."""
    versions = "select max(xmin::text::bigint), count(*) from {}"
    tables = ("ohlc_bars", "series", "series_gaps", "job_runs")
    before = [yard.rows(versions.format(table)) for table in tables]
    asked = len(yard.exchange.requests)
    verdict.hold(yard.look() == 0, "a look at what is complete makes runs")
    worker = yard.start("worker", "--until-empty", is_spared=True)
    yard.pause(STOP_S_MAX, until=lambda: not worker.is_alive)
    verdict.hold(worker.process.poll() == 0, "a worker without work did not end well")
    verdict.hold(len(yard.exchange.requests) == asked, "what is complete was asked for again")
    after = [yard.rows(versions.format(table)) for table in tables]
    verdict.hold(before == after, f"rows of what is complete were written again: {before}, {after}")


def nobody_ended(yard: Yard, verdict: Verdict) -> None:
    """No process ended without being killed."""
    verdict.hold(not yard.ended, f"workers ended by themselves, by exit code: {dict(yard.ended)}")


def nothing_failed(yard: Yard, verdict: Verdict) -> None:
    """No run counts as failed."""
    failed = yard.rows("select error_code, reason, count(*) from job_runs where status = 'failed' group by 1, 2")
    verdict.hold(not failed, f"runs failed: {failed}")


def no_run_is_with_the_dead(yard: Yard, verdict: Verdict) -> None:
    """Within two heartbeat limits no run is with a dead worker any more: it waits, is over, or a living one has it."""
    with_the_dead = (
        "select id from job_runs where status = 'running' "
        "and not worker_is_alive(worker, worker_has_lock, heartbeat_at, %s)"
    )
    begun = time.monotonic()
    are_free = yard.pause(2.0 * PATIENCE_S, until=lambda: not yard.rows(with_the_dead, float(PATIENCE_S)))
    verdict.figures["runs of the last killed free"] = f"after {time.monotonic() - begun:.1f} s"
    verdict.hold(are_free, f"after {2 * PATIENCE_S} s dead workers still have runs")
