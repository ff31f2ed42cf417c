"""
How the rows of a file are to be read: what was said, and for the rest what its header and its first rows show.

Nothing is guessed: what can be read in two ways, or in none, ends in an error that names the option which decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, excerpt
from barfill.providers.files.columns import ColumnMap, map_columns
from barfill.providers.files.opening import BarFile
from barfill.providers.files.rows import RowRule
from barfill.providers.files.stamps import Kind, StampRule, read_stamps

SAMPLE_ROWS = 1_000
READABLE_SHARE_MIN = 0.5
"""Single stamps may be garbage; where most are, they are read in the wrong way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    What was said of all files.

    Attributes:
        columns: By field, the names of columns.
        symbol: Of all rows; None where a column tells.
        is_around_the_clock: Whether all symbols trade so; None goes by their spelling.
        within: Rows outside of it are left out.
    """

    timeframe: Timeframe
    until: datetime
    columns: Mapping[str, str] = field(default_factory=dict)
    symbol: str | None = None
    zone: ZoneInfo | None = None
    time_format: str | None = None
    is_end: bool = False
    is_around_the_clock: bool | None = None
    within: Range | None = None


def rule_for(file: BarFile, reading: Reading) -> RowRule:
    """
    The rule by which the rows of *file* are read.

    Raises:
        InvalidInput: A column is not there, is needed and not found, or could be one of two; the stamps cannot be read,
            or need a zone.
    """
    try:
        columns = map_columns(file.headers, reading.columns, has_one_symbol=reading.symbol is not None)
    except InvalidInput as error:
        raise InvalidInput(f"{str(file.path)!r}: {error}") from error
    stamps = StampRule(
        timeframe=reading.timeframe,
        zone=reading.zone,
        format=reading.time_format,
        is_end=reading.is_end,
        until=reading.until,
    )
    _check_stamps(file, columns, stamps)
    return RowRule(
        columns=columns,
        stamps=stamps,
        symbol=reading.symbol,
        is_around_the_clock=reading.is_around_the_clock,
        within=reading.within,
    )


def _check_stamps(file: BarFile, columns: ColumnMap, rule: StampRule) -> None:
    batches = list(file.batches(columns.ts, rows_max=SAMPLE_ROWS))
    sample = pl.concat(batches).drop_nulls() if batches else pl.DataFrame()
    if len(sample) == 0:
        raise InvalidInput(f"{str(file.path)!r} holds no rows.")
    stamps = read_stamps([sample[name] for name in columns.ts], rule.format)
    named = f"column {'+'.join(columns.ts)!r} of {str(file.path)!r}"
    unreadable = stamps.kind == Kind.UNREADABLE
    if np.mean(unreadable) > 1 - READABLE_SHARE_MIN:
        example = _example(sample, unreadable)
        raise InvalidInput(
            f"The times in {named} cannot be read, such as {example!r}. Say how they are written with --time-format, "
            "such as '%m/%d/%Y' or '%d/%m/%Y %H:%M'. Or is another column meant (--columns ts=NAME)?"
        )
    has_no_zone = (stamps.kind == Kind.LOCAL) | (stamps.kind == Kind.DAY)
    if rule.timeframe.is_intraday and rule.zone is None and has_no_zone.any():
        example = _example(sample, has_no_zone)
        raise InvalidInput(
            f"The times in {named} have no time zone, such as {example!r}. Say whose clock they were read from: "
            "--time-zone America/New_York, or --time-zone UTC."
        )


def _example(sample: pl.DataFrame, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    row = sample.row(int(np.flatnonzero(chosen)[0]))
    return excerpt(" ".join(str(value) for value in row))
