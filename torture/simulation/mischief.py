"""What is done to a simulation, all of it from its seed: which market, which faults, who dies or stands still when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Protocol

from barfill.errors import StoreUnavailable
from barfill.simulate import random_script
from torture.simulation.actors import Actor, Crashed
from torture.simulation.clock import VirtualClock
from torture.simulation.history import History
from torture.simulation.store import YEAR

PATIENCE_S = 30.0
STALE_S = (45.0, 110.0)
"""Longer than others wait for a frozen worker, and shorter than a request may take in all."""
FAULTS = (
    "H01", "H02", "H03", "H04", "H10", "H11", "H12", "H13", "H14", "H15", "H16", "H17", "H18", "H20", "H22", "H24",
    "H32", "H34",
)  # fmt: skip
"""What passes by itself. Faults that stop a series until somebody has looked have tests of their own."""
TICKERS = ("AAPL", "MSFT", "SPY", "KO", "JPM", "NVDA")
"""Symbols that trade in every quarter of an hour: of the others the store cannot know what is silence and what loss."""
_START = datetime(YEAR, 3, 2, tzinfo=UTC)
_DAYS = 90
"""Simulations begin within so many days from then, the change to summer time among them."""
_STALE_FACTOR = 1.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Attributes:
        start: The virtual instant at which it begins.
        batches: Symbols, in the groups in which they are defined.
        window_days: Of all definitions.
        workers, chains: How many workers, and how many runs each carries out at a time.
        limit, day_budget: Requests a minute, and a day (None: any number).
        faults: The exchange's script while the mischief lasts.
        mischief_s: How long it lasts.
        crash_rate, loss_rate, freeze_rate: The share of store calls at which the process dies, the connection is lost,
            or the process stands still.
        outages: Seconds from the start at which the database goes away, and for how long.
        stops: Seconds from the start at which a worker is told to end.
        looks_every: How often the schedule looks.
    """

    start: datetime
    batches: tuple[tuple[str, ...], ...]
    window_days: int
    workers: int
    chains: int
    page_size: int
    limit: int
    day_budget: int | None
    faults: tuple[dict[str, Any], ...]
    mischief_s: float
    crash_rate: float
    loss_rate: float
    freeze_rate: float
    outages: tuple[tuple[float, float], ...]
    stops: tuple[float, ...]
    looks_every: timedelta


def plan_of(seed: int) -> Plan:
    """The plan of *seed*. Not every danger is there in every plan: what they hide from each other comes out too."""
    chance = Random(f"plan {seed}")
    tickers = chance.sample(TICKERS, chance.randint(1, 3))
    lasts_s = chance.choice((900.0, 3_600.0, 4 * 3_600.0))
    faults = random_script(chance.randrange(1 << 30), chance.randint(0, 6), FAULTS, rate=chance.choice((0.05, 0.2)))
    # An answer that is wrong and on its way to a worker that stands still: see `Mischief.answered`.
    stale = [
        {"match": {"endpoint": "bars", "nth": chance.randint(2, 15)}, "fault": "H33", "args": {"factor": _STALE_FACTOR}}
        for _ in range(chance.choice((0, 1, 2)))
    ]
    return Plan(
        start=_START + timedelta(minutes=chance.randrange(_DAYS * 24 * 60)),
        batches=tuple((ticker,) for ticker in tickers) if chance.random() < 0.5 else (tuple(tickers),),  # noqa: PLR2004
        window_days=chance.randint(3, 6),
        workers=chance.randint(2, 3),
        chains=chance.randint(1, 2),
        page_size=chance.choice((25, 40, 80)),
        limit=chance.choice((5, 20, 200)),
        day_budget=chance.choice((None, None, None, 40)),
        faults=(*faults, *stale),
        mischief_s=lasts_s,
        crash_rate=chance.choice((0.0, 0.005, 0.02)),
        loss_rate=chance.choice((0.0, 0.005, 0.02)),
        freeze_rate=chance.choice((0.0, 0.005, 0.01)),
        outages=tuple(
            (chance.uniform(0, lasts_s), chance.choice((5.0, 40.0, 300.0))) for _ in range(chance.choice((0, 0, 1, 2)))
        ),
        stops=tuple(chance.uniform(0, lasts_s) for _ in range(chance.choice((0, 0, 1, 2)))),
        looks_every=timedelta(hours=chance.choice((1, 6))),
    )


class Stage(Protocol):
    """What mischief is done to."""

    def crash(self, actor: Actor) -> None:
        """The process is gone, at once."""

    def is_overtaken(self, actor: Actor) -> bool:
        """Whether all its runs have been taken over."""


class Mischief:
    """Carries the plan out; every decision is drawn from the seed, in the order in which things happen."""

    def __init__(self, seed: int, plan: Plan, clock: VirtualClock, history: History) -> None:
        self.is_over = False
        self.counts = {"crashes": 0, "freezes": 0, "stale answers": 0, "losses": 0}
        self.stage: Stage | None = None
        self._plan = plan
        self._clock = clock
        self._history = history
        self._chance = Random(f"mischief {seed}")
        self._pace = Random(f"pace {seed}")

    def latency_s(self) -> float:
        """Mostly milliseconds, now and then seconds."""
        return self._pace.uniform(0.1, 3.0) if self._pace.random() < 0.02 else self._pace.uniform(0.0005, 0.02)  # noqa: PLR2004

    def before_job(self, actor: Actor) -> None:
        """Freezes *actor* now and then, for up to ten times the patience that others have with it."""
        if self._strikes(self._plan.freeze_rate) and not actor.is_frozen:
            self._freeze(actor, self._chance.uniform(1.0, 10 * PATIENCE_S), "freezes", self._thaw)

    def before_call(self, actor: Actor, name: str) -> None:
        """See `Dangers`; time goes on a little, so that no two transactions share an instant."""
        self._clock.advance(self._pace.uniform(0.0002, 0.003))
        self._endanger(actor, f"before {name}")

    def after_call(self, actor: Actor, name: str) -> None:
        """See `Dangers`."""
        self._endanger(actor, f"after {name}")

    def answered(self, actor: Actor | None, fault: str | None) -> None:
        """A wrong answer on its way makes the one who asked stand still, until others have got the right one."""
        if actor is None or fault is None or "H33" not in fault or actor.is_dead:
            return
        if actor.is_frozen:
            self._crash(actor, "with a stale answer")
        else:
            self._freeze(actor, self._chance.uniform(*STALE_S), "stale answers", self._thaw_if_overtaken)

    def _endanger(self, actor: Actor, where: str) -> None:
        if self._strikes(self._plan.crash_rate):
            self._crash(actor, where)
            raise Crashed(where)
        if self._strikes(self._plan.loss_rate):
            self._note(actor, "losses", where)
            raise StoreUnavailable("The connection is lost.")

    def _strikes(self, rate: float) -> bool:
        return not self.is_over and self._chance.random() < rate

    def _crash(self, actor: Actor, where: str) -> None:
        assert self.stage is not None
        self._note(actor, "crashes", where)
        self.stage.crash(actor)

    def _freeze(self, actor: Actor, seconds: float, kind: str, end: Callable[[Actor], None]) -> None:
        self._note(actor, kind, f"for {seconds:.3f} s")
        actor.freeze()
        asyncio.get_running_loop().call_later(seconds, end, actor)

    def _thaw(self, actor: Actor) -> None:
        if actor.is_frozen:
            self._history.note(actor, "thaws")
            actor.thaw()

    def _thaw_if_overtaken(self, actor: Actor) -> None:
        assert self.stage is not None
        if actor.is_frozen and not self.stage.is_overtaken(actor):
            self._crash(actor, "since nobody has got the right answer")
        self._thaw(actor)

    def _note(self, actor: Actor, kind: str, where: str) -> None:
        self.counts[kind] += 1
        self._history.note(actor, f"{kind} {where}")
