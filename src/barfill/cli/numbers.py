"""Numbers on the command line that name something: a job run, a job definition."""

from __future__ import annotations

from typing import Any

import click


class Number(click.IntRange):
    """
    The id of something.

    Args:
        of: What it is the id of, with its article.
        listed_by: The command that shows the ids.
        most: The greatest that there can be.
    """

    def __init__(self, of: str, listed_by: str, most: int) -> None:
        super().__init__(1, most)
        self._of = of
        self._listed_by = listed_by

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number in *value*; a usage error that says what to give where there is none."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            shown = str(value)[:40]
            self.fail(
                f"{shown!r} is not the id of {self._of}. Give its number, as it stands in: {self._listed_by}",
                param,
                ctx,
            )
