"""The completeness matrix, symbols x timeframes, and the summary of a backfill, as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from barfill.cli.terminal import clean, counted, shown_duration
from barfill.core.timeframe import Timeframe
from barfill.engine.report import BackfillReport, SeriesState, matrix_by_symbol

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

ROWS_MAX = 40
CELL_WIDTH = 4
SETTLED = "*"
"""Behind a tick or a percentage: some expected bars are absent for a settled reason, and count as accounted for."""
TICK, CROSS, NONE_TO_HAVE, NOT_ASKED = "✓", "✗", "–", "·"  # noqa: RUF001  a dash as wide as the others
_MEANINGS = {
    TICK: "complete",
    CROSS: "failed or empty",
    "%": "of the expected bars there or accounted for",
    NONE_TO_HAVE: "none to be had, see barfill gaps --settled",
    NOT_ASKED: "not asked",
}

Row = Mapping[Timeframe, SeriesState]


def cell(state: SeriesState | None) -> str:
    """
    A tick where complete, a cross where nothing is there or the last request failed, else the percentage.

    It is rounded down, so that 100 % is never shown where a bar is missing. A star says that some bars are absent for a
    settled reason; a dash is a series of which every bar is.
    """
    if state is None:
        return NOT_ASKED
    if state.expected == 0 and state.settled > 0 and not state.has_failed:
        return NONE_TO_HAVE
    mark = SETTLED if state.settled else ""
    if state.is_complete:
        return TICK + mark
    share = (f"{int(state.share * 100)}%" if state.share >= 0.01 else "<1%") + mark  # noqa: PLR2004  one per cent
    if state.present == 0:
        return CROSS
    return f"{CROSS} {share}" if state.has_failed else share


def shown_rows(states: Sequence[SeriesState]) -> tuple[Mapping[str, Row], str]:
    """
    The rows to print, and a line on what is left out, or "".

    All rows where there are few; of many, only those of incomplete symbols, and not more than fit a screen.
    """
    table = matrix_by_symbol(tuple(states))
    if len(table) <= ROWS_MAX:
        return table, ""
    incomplete = {ticker: row for ticker, row in table.items() if not all(state.is_complete for state in row.values())}
    if not incomplete:
        return {}, f"All {counted(len(table), 'symbol')} are complete in what was asked for."
    shown = dict(list(incomplete.items())[:ROWS_MAX])
    parts = [f"{counted(len(table) - len(incomplete), 'complete symbol')} not shown"]
    if len(incomplete) > len(shown):
        parts.append(f"{len(incomplete) - len(shown):,} more incomplete: barfill status --json")
    return shown, ", ".join(parts)


def legend(rows: Mapping[str, Row]) -> str:
    """What the signs in the matrix mean; those that do not occur are left out."""
    texts = "".join(cell(row.get(timeframe)) for row in rows.values() for timeframe in Timeframe)
    parts = [f"{sign} {meaning}" for sign, meaning in _MEANINGS.items() if sign in texts]
    if SETTLED in texts:
        parts.append(f"{SETTLED} {settled_text(rows)}")
    return "   ".join(parts)


def settled_text(rows: Mapping[str, Row]) -> str:
    """How many bars of the shown series are settled, and as what."""
    total: Counter[str] = Counter()
    for row in rows.values():
        for state in row.values():
            total.update(state.settled_by_kind)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in total.most_common())
    return f"{counted(total.total(), 'bar')} settled: {kinds}"


def matrix_table(
    rows: Mapping[str, Row], further: Mapping[str, Sequence[Text]] | None = None, *, cell_width: int = CELL_WIDTH
) -> Table:
    """
    The matrix for a terminal.

    Args:
        further: Columns to its right: titles, each with one cell per row.
        cell_width: Of a timeframe, at least.
    """
    from rich.table import Table  # noqa: PLC0415  slow to load, and not needed for --json
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("symbol", no_wrap=True)
    for timeframe in Timeframe:
        table.add_column(timeframe.label, justify="right", min_width=cell_width, no_wrap=True)
    columns = further or {}
    for title in columns:
        table.add_column(title, no_wrap=True)
    for position, (ticker, row) in enumerate(rows.items()):
        cells = [_coloured(cell(row.get(timeframe))) for timeframe in Timeframe]
        table.add_row(Text(clean(ticker)), *cells, *(column[position] for column in columns.values()))
    return table


def summary_lines(report: BackfillReport) -> Iterator[tuple[str, str]]:
    """Label and text of each line of the summary."""
    figures = report.summary
    yield "Duration", shown_duration(figures.duration_s)
    yield "Symbols", f"{figures.symbols_ok:,} ok, {figures.symbols_failed:,} failed"
    other = f" (and {figures.calls_other:,} for reference data)" if figures.calls_other else ""
    yield "Calls", f"{figures.calls_made:,} made, {figures.calls_least:,} the least possible{other}"
    yield (
        "Bars",
        _listed(
            written=figures.bars_written,
            changed=figures.bars_changed,
            unchanged=figures.bars_unchanged,
            derived=figures.bars_derived,
        ),
    )
    if figures.rows_quarantined:
        yield (
            "Quarantined",
            f"{counted(figures.rows_quarantined, 'row')} that broke a rule; see: barfill quarantine list",
        )
    yield (
        "Gaps",
        _listed(
            detected=figures.gaps_detected,
            filled=figures.gaps_filled,
            settled=figures.gaps_settled,
            remaining=figures.gaps_remaining,
        ),
    )
    if figures.bars_not_come_to:
        yield "Still to get", f"{counted(figures.bars_not_come_to, 'expected bar')} that it did not come to"


def _listed(**counts: int) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _coloured(text: str) -> Text:
    from rich.text import Text  # noqa: PLC0415  slow to load, and not needed for --json

    style = {TICK: "green", TICK + SETTLED: "green", NONE_TO_HAVE: "dim", NOT_ASKED: "dim"}.get(
        text, "red" if text.startswith(CROSS) else "yellow"
    )
    return Text(text, style=style)
