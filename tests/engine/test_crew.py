"""A crew works off runs: all of them, at most so many at a time, split ones first."""

from __future__ import annotations

import asyncio

import pytest

from barfill.engine.crew import Crew


def one_lane(_item: int) -> str:
    """All are of one provider."""
    return "alpaca"


async def test_all_work_is_done_by_at_most_so_many_at_a_time() -> None:
    """Every item is worked on once, and never more than the crew's size at the same time."""
    done: list[int] = []
    at_work = peak = 0

    async def work(item: int) -> None:
        nonlocal at_work, peak
        at_work += 1
        peak = max(peak, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        done.append(item)

    crew = Crew(3, work, one_lane)
    crew.add(range(20))
    await crew.run()

    assert sorted(done) == list(range(20))
    assert peak == 3


async def test_a_full_lane_keeps_no_other_waiting() -> None:
    """H35: what one provider does not answer fills its own places; the items of the others are all done meanwhile."""
    answered = asyncio.Event()
    done: list[int] = []

    async def work(item: int) -> None:
        if item < 100:
            await answered.wait()
        done.append(item)
        if done == list(range(100, 110)):
            answered.set()

    crew = Crew(2, work, lambda item: "slow" if item < 100 else "quick")
    crew.add([0, 1, 2, 3, *range(100, 110)])
    await asyncio.wait_for(crew.run(), 10)

    assert done == [*range(100, 110), 0, 1, 2, 3]


async def test_added_pieces_come_next() -> None:
    """Pieces of a split item are worked on before what was waiting."""
    done: list[int] = []

    async def work(item: int) -> None:
        done.append(item)
        if item == 0:
            crew.add_next([10, 11])

    crew = Crew(1, work, one_lane)
    crew.add([0, 1])
    await crew.run()

    assert done == [0, 10, 11, 1]


async def test_a_stopped_crew_finishes_what_is_in_hand() -> None:
    """After stop nothing further is taken up, and what was begun is finished."""
    done: list[int] = []

    async def work(item: int) -> None:
        crew.stop()
        await asyncio.sleep(0)
        done.append(item)

    crew = Crew(2, work, one_lane)
    crew.add(range(10))
    await crew.run()

    assert done in ([0], [0, 1])


async def test_an_unexpected_error_ends_the_crew() -> None:
    """What work raises is not swallowed."""

    async def work(item: int) -> None:
        raise RuntimeError(str(item))

    crew = Crew(1, work, one_lane)
    crew.add([1])
    with pytest.raises(ExceptionGroup):
        await crew.run()
