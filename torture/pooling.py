"""Everything through a transaction pooler with two connections, and workers killed behind it (R29, S09)."""

from __future__ import annotations

from torture.checks import ALL_S, end_in_order, is_flowing, nobody_ended, nothing_failed
from torture.measure import Measure
from torture.pgbouncer import POOL_SIZE, is_installed, pgbouncer
from torture.server import Server
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end
from torture.yard import CHAINS, JUDGE, Yard, open_yard


def pooler(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Workers and scheduler share two connections of the server, and are killed; no lock outlives them."""
    if not is_installed():
        verdict.not_run = "pgbouncer is not installed"
        return
    said_before = server.log_length()
    with (
        pgbouncer(server) as port,
        open_yard(server, measure.seed + 7, pooler_port=port) as yard,
        looking(yard, verdict),
    ):
        yard.feed()
        yard.start("schedule", "--plan-only", "--every", "1")
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: is_flowing(yard))
        most = 0
        while yard.kills < measure.pooler_kills:
            yard.feed()
            yard.pause(yard.chance.uniform(0.0, 0.5))
            most = max(most, _connections(yard))
            yard.kill_one()
        verdict.hold(yard.settle(), "work is left after the kills")
        end_in_order(yard, verdict)
        nobody_ended(yard, verdict)
        nothing_failed(yard, verdict)
        verdict.figures["kills"] = str(yard.kills)
        verdict.figures["connections at most"] = f"{most} of {POOL_SIZE}"
        verdict.hold(0 < most <= POOL_SIZE, f"{most} connections, the pool has {POOL_SIZE}")
        _no_trace_of_sessions(yard, server.log_since(said_before), verdict)
        judge_the_end(yard, verdict, extra_requests_max=yard.kills * CHAINS)


def _connections(yard: Yard) -> int:
    """How many connections the server has for all children together."""
    return int(
        yard.rows(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
            "and backend_type = 'client backend' and application_name <> %s",
            JUDGE,
        )[0][0]
    )


def _no_trace_of_sessions(yard: Yard, server_log: str, verdict: Verdict) -> None:
    """Nobody prepared a statement, and no lock is left in a connection that others go on with."""
    errors = sum(text.lower().count("prepared statement") for text in (yard.said(), server_log))
    verdict.figures["prepared-statement errors"] = str(errors)
    verdict.hold(errors == 0, f"{errors} errors about prepared statements in the logs of workers and server")
    locks = yard.rows(
        "select objid, mode from pg_locks where locktype = 'advisory' "
        "and database = (select oid from pg_database where datname = current_database())"
    )
    verdict.figures["locks left"] = str(len(locks))
    verdict.hold(not locks, f"{len(locks)} advisory locks are left: {locks}")
