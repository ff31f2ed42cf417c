"""A mutation: one text of the source replaced by another, and the tests that must fail for it."""

from __future__ import annotations

from dataclasses import dataclass


class OutOfDate(Exception):
    """The source has changed, and the table of mutations has not."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """
    Attributes:
        name: What is taken away or turned round, for people.
        file: Where, below `src/barfill`.
        old, new: The text, which stands there once, and what it becomes.
        tests: Node ids of pytest. Every one of them must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def path(self) -> str:
        """The file, from the top of the repository."""
        return f"src/barfill/{self.file}"

    def applied_to(self, text: str) -> str:
        """
        The file's *text*, mutated.

        Raises:
            OutOfDate: The old text does not stand there exactly once.
        """
        found = text.count(self.old)
        if found != 1:
            raise OutOfDate(
                f"The table of mutations is out of date: the text of {self.name!r} stands {found} times in "
                f"{self.path}, not once. Bring torture/mutations/table.py up to date."
            )
        return text.replace(self.old, self.new)
