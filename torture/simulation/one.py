"""A seed's simulation: from the seed to what came of it."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from pathlib import Path

from torture.simulation.clock import VirtualClock, real_seconds, ruling
from torture.simulation.loop import Stuck, VirtualLoop
from torture.simulation.mischief import plan_of
from torture.simulation.store import cloned
from torture.simulation.world import opened, sorted_state


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of a seed.

    Attributes:
        digest: Of the whole history and of the database at its end.
        virtual_s, real_s: How long it lasted, on each clock.
        counts: What happened how often.
        wrong: What did not hold.
        lines: The history.
    """

    seed: int
    digest: str
    virtual_s: float
    real_s: float
    counts: dict[str, int]
    wrong: tuple[str, ...]
    lines: tuple[str, ...]


def simulated(seed: int, server_url: str, directory: Path) -> Outcome:
    """
    Runs *seed* on the server at *server_url*, whose template `make_template` has made.

    Args:
        directory: For the file that tells PostgreSQL the time; one for each process.
    """
    begun = real_seconds()
    plan = plan_of(seed)
    clock_file = directory / "clock"
    clock = VirtualClock(plan.start, clock_file)
    name = f"simulation_{directory.name}".replace("-", "_")
    try:
        with cloned(server_url, name, clock_file) as url, opened(seed, plan, url, clock) as world:
            loop = VirtualLoop(clock, world.mischief)
            with ruling(clock), asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    runner.run(world.live())
                except Stuck as error:
                    world.wrong.append(f"stuck: {error}")
                except Exception as error:
                    traceback.print_exc()
                    world.wrong.append(f"the simulation itself broke off: {type(error).__name__}: {error}")
                summary = world.exchange.ledger.summary()
            if summary["limit_was_exceeded"]:
                world.wrong.append(f"{summary['max_in_any_60s']} requests within 60 s, {plan.limit} are allowed")
            refused = [one for one in world.exchange.requests if one.status == 429 and one.fault is None]  # noqa: PLR2004
            if refused:
                world.wrong.append(f"{len(refused)} requests were refused by the limit")
            return Outcome(
                seed=seed,
                digest=world.history.digest(sorted_state(world)),
                virtual_s=clock.seconds,
                real_s=real_seconds() - begun,
                counts={**world.mischief.counts, "requests": len(world.exchange.requests)},
                wrong=tuple(world.wrong),
                lines=tuple(world.history.lines),
            )
    finally:
        clock.close()
