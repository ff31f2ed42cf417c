"""
One look at the standing orders: what they lack becomes runs in the queue. It asks nothing of the provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from barfill.core.capabilities import Capabilities
from barfill.engine.planning import Wanted, new_run, plan_standing
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.store.database import Database
from barfill.store.runs import create_runs, reap_runs
from barfill.store.workers import planning_turn


@dataclass(frozen=True, slots=True)
class Tick:
    """
    Attributes:
        symbols: How many symbols the definitions name.
        runs: Ids of the runs that were made.
        calls: How many requests they are expected to take.
        left_out: How many slices a bound on the calls left for later.
        reaped: How many runs of dead workers wait again.
    """

    symbols: int
    runs: tuple[int, ...]
    calls: int
    left_out: int
    reaped: int


def tick(
    database: Database,
    capabilities: Capabilities,
    settings: EngineSettings,
    *,
    provider: str,
    now: datetime,
    max_calls: int | None = None,
    triggered_by: str = "cron",
) -> Tick:
    """
    Makes runs of what the definitions lack and nobody is fetching, the most urgent and the newest first.

    Two that tick at once plan one after the other, so that no range is asked for twice.

    Args:
        max_calls: Slices are taken until they are expected to take so many requests; one at least.

    Raises:
        OutsideCalendar, StoreError: The plan cannot be made.
    """
    reaped = len(database.run(reap_runs, patience_s=settings.worker_patience_s))
    with planning_turn(database):
        orders = database.run(read_standing_orders, capabilities, settings, now)
        wanted = plan_standing(database, orders, capabilities, now)
        taken, calls = _bounded(wanted, capabilities.page_size, max_calls)
        runs = [
            new_run(
                one.slice,
                provider,
                capabilities.feed,
                triggered_by,
                priority=one.priority,
                job_def_id=one.job_def_id,
            )
            for one in taken
        ]
        ids = database.run(create_runs, runs) if runs else []
    return Tick(
        symbols=sum(len(order.market.symbols) for order in orders),
        runs=tuple(ids),
        calls=calls,
        left_out=len(wanted) - len(taken),
        reaped=reaped,
    )


def _bounded(wanted: list[Wanted], page_size: int, max_calls: int | None) -> tuple[list[Wanted], int]:
    taken: list[Wanted] = []
    calls = 0
    for one in wanted:
        pages = one.slice.pages(page_size)
        if max_calls is not None and taken and calls + pages > max_calls:
            break
        taken.append(one)
        calls += pages
    return taken, calls
