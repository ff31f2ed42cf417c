"""
One look at the standing orders: what they lack becomes runs in the queue. It asks nothing of the provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from types import MappingProxyType

from barfill.core.live import LOOK_BACK
from barfill.core.routing import Roster
from barfill.engine.out_of_reach import settle_out_of_reach
from barfill.engine.planning import Wanted, new_run, plan_standing
from barfill.engine.rereading import Reread, plan_rereads
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import StandingOrder, read_standing_orders
from barfill.errors import ProviderError
from barfill.store.database import Connection, Database
from barfill.store.pages import forget_stale_live
from barfill.store.runs import NewRun, create_runs, prune_runs, queued_by_provider, reap_runs
from barfill.store.workers import planning_turn

PRUNED_MAX = 5_000
"""So many runs are forgotten at one look; the next goes on."""


@dataclass(frozen=True, slots=True)
class Tick:
    """
    Attributes:
        symbols: How many symbols the definitions name.
        runs: Ids of the runs that were made.
        rereads: How many of them read again what may have been corrected.
        calls: How many requests they are expected to take.
        left_out: How many slices a bound on the calls left for later.
        reaped: How many runs of dead workers wait again.
        waiting: How many runs of before are still queued.
        held: Why nothing was planned, as the provider refuses the key.
        held_back: Why nothing was planned for some of the providers.
        unserved: What no provider has that can be asked, a sentence each.
    """

    symbols: int
    runs: tuple[int, ...]
    calls: int
    left_out: int
    reaped: int
    waiting: int = 0
    held: ProviderError | None = None
    held_back: tuple[ProviderError, ...] = ()
    unserved: tuple[str, ...] = ()
    rereads: int = 0


def tick(
    database: Database,
    roster: Roster,
    settings: EngineSettings,
    *,
    now: datetime,
    held: frozenset[str] = frozenset(),
    unlearned: Mapping[str, frozenset[int]] = MappingProxyType({}),
    max_calls: int | None = None,
    triggered_by: str = "cron",
    retention_days: int = 90,
) -> Tick:
    """
    Makes runs of what the definitions lack and nobody is fetching, the most urgent and the newest first.

    Two that tick at once plan one after the other, so that no range is asked for twice.

    Old runs are forgotten as well: where only looks are taken, from cron, no worker lives long enough to do it.

    Args:
        roster: The providers that can be asked.
        held: Those for which nothing is to be planned now.
        unlearned: By provider, the symbols that it is not to be asked for yet.
        retention_days: How long finished runs are kept.
        max_calls: Slices are taken until they are expected to take so many requests; one at least.

    Raises:
        StoreError: The plan cannot be made.
    """
    database.run(prune_runs, days=retention_days, limit=PRUNED_MAX)
    database.run(forget_stale_live, now - LOOK_BACK)
    reaped = len(database.run(reap_runs, patience_s=settings.worker_patience_s))
    with planning_turn(database):
        queued = database.run(queued_by_provider)
        standing = database.run(read_standing_orders, roster, settings, now)
        database.run(settle_out_of_reach, [order.market for order in standing.orders])
        wanted = [
            one
            for wish in _wishes(database, standing.orders, roster, settings, now)
            if wish.slice.capabilities.provider not in held
            and (one := _without(wish, unlearned.get(wish.slice.capabilities.provider, frozenset()))) is not None
        ]
        taken, calls = _bounded(wanted, max_calls)
        left = None if max_calls is None else max_calls - calls
        is_behind = len(taken) < len(wanted)
        again = [] if is_behind else _again(database, standing.orders, settings, now, {*held, *queued}, left)
        chosen = [*taken, *(one.wanted for one in again)]
        runs = [new_run(one.slice, triggered_by, priority=one.priority, job_def_ids=one.job_def_ids) for one in chosen]
        ids = database.run(_create, runs, again) if runs else []
    return Tick(
        symbols=len({symbol.id for one in standing.orders for symbol in one.market.symbols}),
        runs=tuple(ids),
        calls=calls + sum(one.wanted.slice.calls for one in again),
        left_out=len(wanted) - len(taken),
        reaped=reaped,
        waiting=sum(queued.values()),
        rereads=len(again),
        unserved=standing.unserved,
    )


def plan_now(
    database: Database, roster: Roster, settings: EngineSettings, ticker: str, *, now: datetime, triggered_by: str
) -> int:
    """
    Makes runs of what the definitions of one symbol lack and nobody is fetching; how many.

    Raises:
        StoreError: The plan cannot be made.
    """
    with planning_turn(database):
        standing = database.run(read_standing_orders, roster, settings, now, tickers=[ticker])
        database.run(settle_out_of_reach, [order.market for order in standing.orders])
        wanted = _wishes(database, standing.orders, roster, settings, now)
        runs = [new_run(one.slice, triggered_by, priority=one.priority, job_def_ids=one.job_def_ids) for one in wanted]
        return len(database.run(create_runs, runs)) if runs else 0


def _again(
    database: Database,
    orders: Sequence[StandingOrder],
    settings: EngineSettings,
    now: datetime,
    busy: AbstractSet[str],
    calls_max: int | None,
) -> list[Reread]:
    """What is read again, as far as a bound on the calls goes; nothing of providers that do not keep up as it is."""
    idle = [one for one in orders if one.market.capabilities.provider not in busy]
    found = database.run(plan_rereads, idle, settings.restatement_sessions, now)
    costs = accumulate(one.wanted.slice.calls for one in found)
    return [one for one, cost in zip(found, costs, strict=True) if calls_max is None or cost <= calls_max]


def _create(conn: Connection, runs: Sequence[NewRun], again: Sequence[Reread]) -> list[int]:
    """Ids of the new runs. What is read again is marked with them, or not at all."""
    with conn.transaction():
        for one in again:
            one.mark(conn)
        return create_runs(conn, runs)


def _wishes(
    database: Database, orders: Sequence[StandingOrder], roster: Roster, settings: EngineSettings, now: datetime
) -> list[Wanted]:
    patience_s = settings.worker_patience_s
    return plan_standing(database, orders, now, patience_s=patience_s, fallbacks=roster.fallbacks)


def _without(wish: Wanted, left_out: frozenset[int]) -> Wanted | None:
    """The same without some symbols; None where nothing is left."""
    kept = tuple(pair for pair in wish.slice.symbols if pair[0] not in left_out)
    if not kept:
        return None
    return wish if len(kept) == len(wish.slice.symbols) else replace(wish, slice=replace(wish.slice, symbols=kept))


def _bounded(wanted: list[Wanted], max_calls: int | None) -> tuple[list[Wanted], int]:
    taken: list[Wanted] = []
    calls = 0
    for one in wanted:
        if max_calls is not None and taken and calls + one.slice.calls > max_calls:
            break
        taken.append(one)
        calls += one.slice.calls
    return taken, calls
