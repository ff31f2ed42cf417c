"""Mutations tried one after the other, in as many copies at a time as there are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from torture.mutations.copies import WorkingCopy
from torture.mutations.mutation import Mutation
from torture.mutations.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Trial:
    """One mutation tried: how its tests ended."""

    mutation: Mutation
    outcomes: dict[str, Outcome]
    seconds: float

    @property
    def is_killed(self) -> bool:
        """Whether all of its tests failed."""
        return all(outcome.is_red for outcome in self.outcomes.values())


def tried(mutations: Sequence[Mutation], copies: Sequence[WorkingCopy]) -> Iterator[Trial]:
    """A trial of each mutation, in the order given, as they end."""
    free: SimpleQueue[WorkingCopy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutation: Mutation) -> Trial:
        copy = free.get()
        begun = time.monotonic()
        try:
            with copy.mutated(mutation):
                outcomes = copy.tested(mutation.tests)
        finally:
            free.put(copy)
        return Trial(mutation, outcomes, time.monotonic() - begun)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(one, mutations)
