"""The table that is printed: a line for each mutation and test, and below it what let the mutation survive."""

from __future__ import annotations

from collections.abc import Sequence

from torture.mutations.mutation import Mutation
from torture.mutations.trials import Trial


class Table:
    """
    Args:
        mutations: Those that will have a line.
        says_why: Whether what the tests saw is told of the killed ones too.
    """

    def __init__(self, mutations: Sequence[Mutation], *, says_why: bool) -> None:
        self._says_why = says_why
        self._name = max(len("mutation"), *(len(mutation.name) for mutation in mutations))
        self._file = max(len("file"), *(len(mutation.file) for mutation in mutations))

    @property
    def head(self) -> str:
        """The names of the columns."""
        return self._line("mutation", "file", "seconds", "verdict", "test")

    def rendered(self, trial: Trial) -> str:
        """A trial as lines."""
        mutation = trial.mutation
        verdict = "killed" if trial.is_killed else "SURVIVED"
        first, *others = (test.rpartition("::")[2] for test in mutation.tests)
        lines = [self._line(mutation.name, mutation.file, f"{trial.seconds:.1f}", verdict, first)]
        lines += [self._line("", "", "", "", name) for name in others]
        for test, outcome in trial.outcomes.items():
            if self._says_why or not outcome.is_red:
                lines += [f"    {outcome.kind}: {test}", *([f"        {outcome.said}"] if outcome.said else [])]
        return "\n".join(lines)

    def _line(self, name: str, file: str, seconds: str, verdict: str, test: str) -> str:
        return f"{name:<{self._name}}  {file:<{self._file}}  {seconds:>7}  {verdict:<8}  {test}"
