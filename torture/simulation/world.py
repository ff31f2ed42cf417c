"""One simulation from beginning to end: an exchange, a database, and processes between them that come and go."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from aiohttp import web

from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.quota import SharedQuota, key_id_of
from barfill.engine.schedule import Schedule
from barfill.engine.settings import EngineSettings
from barfill.errors import StoreError
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.simulate import ExchangeConfig, Request, SimulatedExchange
from barfill.simulate.app import make_app
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.queue import TASK, queue_of
from barfill.store.quota import QuotaTerms
from barfill.store.symbols import NewSymbol, add_symbols
from torture.simulation.actors import ACTING, ASKING, Actor
from torture.simulation.clock import VirtualClock
from torture.simulation.history import History
from torture.simulation.mischief import PATIENCE_S, TICKERS, Mischief, Plan
from torture.simulation.store import SimulatedDatabase
from torture.simulation.wire import MemoryTransport
from torture.simulation.worker import SimulatedWorker
from torture.verdict import Verdict, judge_the_end, wrong_bars

TIMEFRAMES = (Timeframe.M15, Timeframe.H1, Timeframe.D1)
"""Two are fetched, hours are derived."""
HOUR_S, DAY_S = 3_600.0, 86_400.0
OVER_S_MAX = 2 * DAY_S
"""So long after the end of all mischief every run must be over: a day's budget may be spent, then comes its work."""
WHOLE_S_MAX = 12 * DAY_S
"""So long after it every bar must be there: a gap that answered empty three times is asked again after a week."""
LOOK_S_MAX = 6 * HOUR_S
PAST_DAYS = 30
STOP_S_MAX = 60.0
DEAD_S_MAX = 60.0
_ENQUEUEING = frozenset({"create_runs", "_split", "postpone_run", "release_run", "reap_runs"})
_URL = "http://exchange.test/alpaca"
_KEY = "key"


class Bell:
    """Wakes everybody who waits for it."""

    def __init__(self) -> None:
        self._waiting = asyncio.Event()

    def ring(self) -> None:
        """Now."""
        self._waiting.set()
        self._waiting = asyncio.Event()

    async def wait(self, seconds: float | None) -> None:
        """Until it rings, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waiting.wait()


@dataclass
class World:
    """
    Attributes:
        database: What the processes see.
        observer: The same database without any danger, for the world itself.
        tickers: What is defined so far.
        wrong: What must not happen and did.
        over_s, whole_s: Seconds from the end of all mischief until every run was over, and until every bar was there.
    """

    seed: int
    plan: Plan
    clock: VirtualClock
    history: History
    mischief: Mischief
    exchange: SimulatedExchange
    database: SimulatedDatabase
    observer: Database
    tickers: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    over_s: float | None = None
    whole_s: float | None = None
    bell: Bell = field(default_factory=Bell)
    work_begins: asyncio.Event = field(default_factory=asyncio.Event)
    # What a stale answer has overwritten must be seen in the end: no second reading may correct it.
    settings: EngineSettings = field(
        default_factory=lambda: EngineSettings(worker_patience_s=PATIENCE_S, restatement_sessions=0)
    )

    def __post_init__(self) -> None:
        self.window_days = self.plan.window_days
        self._chance = Random(f"world {self.seed}")
        self._workers: dict[Actor, SimulatedWorker] = {}
        self._schedule: Actor | None = None
        self._lives = 0
        self._reaped_at = float("-inf")
        self._is_ending = False
        self._server: web.Server | None = None
        self.mischief.stage = self
        self.database.on_call = self.called

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement, without any danger."""
        with self.observer.connection() as conn:
            return conn.execute(statement, values).fetchall()

    def called(self, actor: Actor | None, name: str) -> None:
        """A call to the store was carried out."""
        self.history.note(actor, name)
        if name in _ENQUEUEING:
            self.bell.ring()
            self.work_begins.set()

    async def live(self) -> None:
        """From the first definition to the end of the last worker."""
        loop = asyncio.get_running_loop()
        runner = web.AppRunner(make_app(self.exchange), access_log=None, handle_signals=False)
        await runner.setup()
        self._server = runner.server
        self._watch_requests()
        client = self._client(self.observer)
        looking = self._looking(client)
        self._start_schedule()
        for _ in range(self.plan.workers):
            self._start_worker()
        for at_s, seconds in self.plan.outages:
            loop.call_later(at_s, self._lose_database, seconds)
        for at_s in self.plan.stops:
            loop.call_later(at_s, self._stop_one)
        self.observer.run(add_symbols, [NewSymbol(ticker) for ticker in TICKERS])
        for batch in self.plan.batches:
            self.observer.run(keep_series, batch, TIMEFRAMES, window_days=self.plan.window_days)
            self.tickers += batch
            await looking.look()
            self.bell.ring()
            await asyncio.sleep(self.plan.mischief_s / len(self.plan.batches))
        self.mischief.is_over = True
        self.exchange.set_faults([])
        self.history.note(None, "the mischief is over")
        await self._settle(looking)
        self.window_days += PAST_DAYS  # what is wrong stays wrong when the window has left it behind
        self.wrong += wrong_bars(self)
        await self._end()
        await client.aclose()
        await runner.cleanup()

    def crash(self, actor: Actor) -> None:
        """See `Stage`: its connections end, what its tasks still want comes to nothing, another takes its place."""
        self.database.hang_up(actor)
        actor.die()

    def is_overtaken(self, actor: Actor) -> bool:
        """See `Stage`."""
        return not self.rows("select 1 from job_runs where worker = %s and status = 'running'", actor.worker_id)

    async def entry_is_due(self, is_stopping: Any) -> None:
        """Returns when an entry can be taken, or the worker is to end."""
        while not is_stopping():
            due = "extract(epoch from min(coalesce(scheduled_at, clock_timestamp())) - clock_timestamp())::float8"
            ((wait_s,),) = self.rows(
                f"select {due} from procrastinate_jobs where status = 'todo' and queue_name = %s", queue_of("alpaca")
            )
            if wait_s is not None and wait_s <= 0:
                return
            await self.bell.wait(None if wait_s is None else wait_s + 0.001)

    async def somebody_works(self) -> None:
        """Returns when a run is in hand, an entry is taken, or a run waits without an entry."""
        while (
            self.rows(
                "select 1 from job_runs left join procrastinate_jobs as entry on entry.id = queue_job_id "
                "where job_runs.status = 'running' "
                "or job_runs.status = 'queued' and coalesce(entry.status <> 'todo', true) "
                "union all select 1 from procrastinate_jobs where status = 'doing' limit 1"
            )
            == []
        ):
            self.work_begins.clear()
            await self.work_begins.wait()

    def is_ones_turn_to_reap(self) -> bool:
        """Whether nobody has looked after the dead for a while: one of the living is enough."""
        if self.clock.seconds < self._reaped_at + PATIENCE_S / 5:
            return False
        self._reaped_at = self.clock.seconds
        return True

    async def _settle(self, looking: Schedule) -> None:
        """Until all is over and whole, or the time for that is."""
        since_s = self.clock.seconds
        while True:
            if self._is_idle() and len((await looking.look()).runs) == 0:
                if self.over_s is None:
                    self.over_s = self.clock.seconds - since_s
                await looking.derive()
                verdict = self.judged()
                if not verdict.wrong:
                    self.whole_s = self.clock.seconds - since_s
                    return
            past_s = self.clock.seconds - since_s
            if self.over_s is None and past_s > OVER_S_MAX:
                self.wrong.append(
                    f"not over {OVER_S_MAX / DAY_S:.0f} days after the end of all mischief: {self._left()}"
                )
                return
            if past_s > WHOLE_S_MAX:
                self.wrong += self.judged().wrong
                return
            self.bell.ring()
            await asyncio.sleep(self._rest_s())

    def judged(self) -> Verdict:
        """How the table stands."""
        verdict = Verdict(f"seed {self.seed}")
        judge_the_end(self, verdict)
        return verdict

    def _rest_s(self) -> float:
        """Until a gap is due, or the next look."""
        if not self._is_idle():
            return HOUR_S / 4
        ((wait_s,),) = self.rows(
            "select extract(epoch from min(next_check_at) - clock_timestamp())::float8 from series_gaps "
            "where next_check_at > clock_timestamp()"
        )
        return LOOK_S_MAX if wait_s is None else min(wait_s + 1.0, LOOK_S_MAX)

    def _is_idle(self) -> bool:
        return not self.rows(
            "select 1 from job_runs where status in ('queued', 'running') "
            "union all select 1 from procrastinate_jobs where task_name = %s limit 1",
            TASK,
        )

    def _left(self) -> str:
        """What is still to be done, for whoever looks for the cause."""
        runs = self.rows(
            "select job_runs.id, job_runs.status, epoch, page_no, attempt, losses, reason, entry.status, scheduled_at "
            "from job_runs left join procrastinate_jobs as entry on entry.id = queue_job_id "
            "where job_runs.status in ('queued', 'running') order by 1"
        )
        entries = self.rows("select count(*) from procrastinate_jobs where task_name = %s", TASK)[0][0]
        return f"{entries} entries, runs {runs[:3]}"

    async def _end(self) -> None:
        """An orderly end of everybody."""
        self._is_ending = True
        for worker in self._workers.values():
            worker.stop()
        if self._schedule is not None:
            self._schedule.die()
        mains = [actor.main for actor in self._workers if actor.main is not None]
        if mains:
            _, late = await asyncio.wait(mains, timeout=STOP_S_MAX + 10 * PATIENCE_S)
            if late:
                self.wrong.append(f"{len(late)} workers did not end when they were told to")
        running = self.rows("select id from job_runs where status = 'running'")
        if running:
            self.wrong.append(f"{len(running)} runs are still those of workers that have ended")

    def _start_worker(self) -> None:
        self._lives += 1
        actor = Actor(f"worker {self._lives}")
        client = self._client(self.database)
        worker = SimulatedWorker(self, actor, client)
        self._workers[actor] = worker

        async def life() -> None:
            try:
                await worker.run()
            finally:
                await client.aclose()

        self._begin(actor, life(), self._start_worker)

    def _start_schedule(self) -> None:
        actor = Actor("schedule")
        self._schedule = actor
        client = self._client(self.database)
        schedule = Schedule(
            self.database, Clients(client), self.settings, SilentListener(), every=self.plan.looks_every
        )
        self._begin(actor, schedule.run(), self._start_schedule)

    def _begin(self, actor: Actor, life: Any, again: Any) -> None:
        self.history.note(actor, "begins")
        context = copy_context()
        context.run(ACTING.set, actor)
        actor.main = asyncio.get_running_loop().create_task(life, context=context)
        actor.main.add_done_callback(partial(self._ended, actor, again))

    def _ended(self, actor: Actor, again: Any, main: asyncio.Task[None]) -> None:
        error = None if main.cancelled() else main.exception()
        if error is not None and not (actor.is_dead and _is_of_the_store(error)):
            self.wrong.append(f"{actor.name} ended by a defect: {error!r}")
        self.history.note(actor, "ended")
        self._workers.pop(actor, None)
        if not self._is_ending and not (actor is self._schedule and self.mischief.is_over):
            asyncio.get_running_loop().call_later(self._chance.uniform(1.0, DEAD_S_MAX), self._again, again)

    def _again(self, start: Any) -> None:
        if not self._is_ending:
            start()

    def _stop_one(self) -> None:
        living = [worker for actor, worker in self._workers.items() if not actor.is_frozen]
        if living:
            self.history.note(None, "tells a worker to end")
            self._chance.choice(living).stop()

    def _lose_database(self, seconds: float) -> None:
        self.history.note(None, f"the database goes away for {seconds:.0f} s")
        self.database.is_away = True
        self.database.hang_up()
        asyncio.get_running_loop().call_later(seconds, self._find_database)

    def _find_database(self) -> None:
        self.database.is_away = False

    def _looking(self, client: ProviderClient) -> Schedule:
        return Schedule(self.observer, Clients(client), self.settings, SilentListener(), every=self.plan.looks_every)

    def _client(self, database: Database) -> ProviderClient:
        assert self._server is not None
        provider = Alpaca(
            _KEY, "secret", base_url=_URL, page_size=self.plan.page_size, requests_per_minute=self.plan.limit
        )
        terms = QuotaTerms(
            provider=provider.name,
            key_id=key_id_of(provider.name, _KEY),
            requests_per_minute=self.plan.limit,
            day_budget=self.plan.day_budget,
        )
        http = HttpClient(
            provider.base_urls,
            now=self.clock.now,
            transport=MemoryTransport(self._server, self.mischief.latency_s),
        )
        return ProviderClient(provider, http, SharedQuota(database, terms), clock=self.clock.monotonic)

    def _watch_requests(self) -> None:
        record = self.exchange.ledger.record

        def recorded(request: Request) -> None:
            record(request)
            actor = ASKING.get()
            self.history.note(actor, f"asks {sorted(request.query.items())}: {request.status} {request.fault or ''}")
            self.mischief.answered(actor, request.fault)

        self.exchange.ledger.record = recorded  # type: ignore[method-assign]


def _is_of_the_store(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_of_the_store, error.exceptions))
    return isinstance(error, StoreError | asyncio.CancelledError)


@contextmanager
def opened(seed: int, plan: Plan, url: str, clock: VirtualClock) -> Iterator[World]:
    """A world on the fresh database at *url*."""
    random.seed(seed)
    history = History(clock)
    mischief = Mischief(seed, plan, clock, history)
    exchange = SimulatedExchange(
        ExchangeConfig(port=0, seed=1, requests_per_minute=plan.limit, faults=list(plan.faults))
    )
    with (
        Database(url) as observer,
        SimulatedDatabase(url, mischief) as database,
    ):
        world = World(
            seed=seed,
            plan=plan,
            clock=clock,
            history=history,
            mischief=mischief,
            exchange=exchange,
            database=database,
            observer=observer,
        )
        yield world


def sorted_state(world: World) -> Sequence[Any]:
    """What is left at the end, for the digest."""
    return [
        world.rows(
            "select id, status, epoch, page_no, attempt, losses, actual_cost, created_at, finished_at "
            "from job_runs order by id"
        ),
        world.rows("select symbol_id, timeframe, ts, open, high, low, close, volume from ohlc_bars order by 1, 2, 3"),
        world.rows("select symbol_id, timeframe, covered::text, bar_count from series order by 1, 2"),
    ]
