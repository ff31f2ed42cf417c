"""What is asked alongside: told when it is done, waited for no longer than one has patience."""

from __future__ import annotations

import asyncio

import pytest

from barfill.engine.alongside import Alongside


class Slow:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0
        self.was_given_up = False

    async def work(self) -> int:
        """How often it was begun."""
        self.begun += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_given_up = True
            raise
        return self.begun


async def test_what_takes_long_goes_on_and_is_told_the_next_time() -> None:
    """It is not begun again before its end was told."""
    slow = Slow()
    alongside = Alongside(slow.work, patience_s=0.01)

    assert await alongside.result() is None
    assert await alongside.result() is None
    slow.may_end.set()
    assert await alongside.result() == 1
    assert await alongside.result() == 2


async def test_nobody_waits_once_it_is_stopped() -> None:
    """Whoever waits is let go at once."""
    slow = Slow()
    alongside = Alongside(slow.work, patience_s=3600)
    waiting = asyncio.create_task(alongside.result())
    await asyncio.sleep(0)

    alongside.stop()

    assert await asyncio.wait_for(waiting, 10) is None
    await alongside.cancel()
    assert slow.was_given_up


async def test_an_error_is_told_once_and_the_work_begun_anew() -> None:
    """As the error of a call would be."""
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("no")
        return calls

    alongside = Alongside(work, patience_s=10)
    with pytest.raises(ValueError, match="no"):
        await alongside.result()
    assert await alongside.result() == 2
    await alongside.cancel()
