"""How `barfill quarantine` shows rows, decisions and the bars around them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.terminal import clean, console, counted, print_table
from barfill.core.rule_book import RULE_BOOK

if TYPE_CHECKING:
    from datetime import datetime

    from barfill.store.marks import ListedMark
    from barfill.store.quarantine import PastDecision, Quarantined, StoredBar

TITLES = ("id", "symbol", "timeframe", "start (UTC)", "rule", "state", "reason")
RAW_SHOWN_MAX = 2_000
SYMBOL_SHOWN_MAX = 24
_LABEL_WIDTH = 10

_FOLLOWS = {
    "open": (
        "Its bar is not there, and is asked for again where one is expected. If you know that the row is right: "
        "barfill quarantine accept {id}; if it is wrong for good: barfill quarantine reject {id}"
    ),
    "superseded": "A bar that keeps the rules has come in its place. Nothing has to be done.",
    "accepted": "It is stored as a final bar. To take that back: barfill quarantine undo {id}",
    "rejected": "Its bar is not asked for again. To take that back: barfill quarantine undo {id}",
}


def show_list(rows: Sequence[Quarantined]) -> None:
    """One line each, the reason cut to the width."""
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in TITLES:
        table.add_column(title, justify="right" if title == "id" else "left", no_wrap=title != "reason")
    for row in rows:
        cells = (str(row.id), _short(row.symbol), row.timeframe.label, _stamp(row.ts), row.rule, row.state, row.reason)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    print_table(table)


def show_marks(found: Sequence[ListedMark]) -> None:
    """One line each, the detail cut to the width."""
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("symbol", "timeframe", "start (UTC)", "rule", "what looks wrong"):
        table.add_column(title, no_wrap=title != "what looks wrong")
    for one in found:
        cells = (one.ticker, one.timeframe.label, _stamp(one.ts), one.rule, one.detail)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    print_table(table)


def mark_as_json(one: ListedMark) -> dict[str, Any]:
    """A warning for programs."""
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "ts": one.ts,
        "rule": one.rule,
        "detail": one.detail,
        "run_id": one.run_id,
        "seen_at": one.seen_at,
    }


def show_counts(counts: Mapping[tuple[str, Any], int]) -> None:
    """How many rows of each state, by rule."""
    if not counts:
        click.echo("Nothing is quarantined like that.")
    states: dict[str, dict[str, int]] = {}
    for (rule, state), count in counts.items():
        states.setdefault(state, {})[rule] = count
    for state, by_rule in states.items():
        told = ", ".join(f"{rule}: {count:,}" for rule, count in by_rule.items())
        click.echo(f"{state:<{_LABEL_WIDTH}} {counted(sum(by_rule.values()), 'row')} ({told})")


def show_row(row: Quarantined, past: Sequence[PastDecision], around: Sequence[StoredBar]) -> None:
    """Everything about one row."""
    must, then = RULE_BOOK.get(row.rule, ("", ""))
    _line("Row", f"{row.id}: {_short(row.symbol)} {row.timeframe.label} {_stamp(row.ts) or 'without a readable stamp'}")
    _line("State", row.state)
    _line("Rule", f"{row.rule}: {must}" if must else row.rule)
    _line("Broken", row.reason)
    _line("So it is", then)
    _line("Sent by", f"{row.provider}, feed {row.feed}" + (f", request {row.request_id}" if row.request_id else ""))
    _line("Run", f"{row.run_id} (barfill jobs show {row.run_id})" if row.run_id is not None else "none")
    _line("Kept at", _stamp(row.quarantined_at))
    _line("As sent", _raw(row.raw))
    for one in past:
        text = f"{one.decision} by {one.decided_by} at {_stamp(one.decided_at)}"
        text += f": {one.note}" if one.note else ""
        text += f"; undone by {one.undone_by} at {_stamp(one.undone_at)}" if one.undone_at is not None else ""
        _line("Decided", text)
    if around:
        click.echo()
        _show_around(row, around)
    click.echo()
    click.echo("\n".join(textwrap.wrap(_FOLLOWS[row.state].format(id=row.id), _width(), break_on_hyphens=False)))


def as_json(
    row: Quarantined, past: Sequence[PastDecision] | None = None, around: Sequence[StoredBar] | None = None
) -> dict[str, Any]:
    """The same for programs; decisions and the bars around it where they are given."""
    must, then = RULE_BOOK.get(row.rule, ("", ""))
    found: dict[str, Any] = {
        "id": row.id,
        "symbol": row.symbol,
        "timeframe": row.timeframe.label,
        "ts": row.ts,
        "rule": row.rule,
        "reason": row.reason,
        "state": row.state,
        "raw": row.raw,
        "provider": row.provider,
        "feed": row.feed,
        "run_id": row.run_id,
        "request_id": row.request_id,
        "quarantined_at": row.quarantined_at,
        "decided_by": row.decided_by,
        "decided_at": row.decided_at,
        "note": row.note,
    }
    if past is not None:
        found |= {"rule_wants": must, "then": then}
        found["decisions"] = [{name: getattr(one, name) for name in one.__slots__} for one in past]
    if around is not None:
        found["around"] = [{name: getattr(one, name) for name in one.__slots__} for one in around]
    return found


def _show_around(row: Quarantined, around: Sequence[StoredBar]) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", title="Stored around it", title_justify="left")
    for title in ("start (UTC)", "open", "high", "low", "close", "volume", "provider"):
        is_word = title in ("start (UTC)", "provider")
        table.add_column(title, justify="left" if is_word else "right", no_wrap=True)
    for one in around:
        values = (one.open, one.high, one.low, one.close, one.volume)
        mark = " (in its place)" if one.ts == row.ts else ""
        table.add_row(
            Text(_stamp(one.ts)), *(Text(f"{value:.10g}") for value in values), Text(clean(one.provider + mark))
        )
    print_table(table)


def _line(label: str, text: str) -> None:
    wrapped = textwrap.wrap(clean(text), max(40, _width() - _LABEL_WIDTH), break_on_hyphens=False) or [""]
    for number, part in enumerate(wrapped):
        click.echo(f"{label if number == 0 else '':<{_LABEL_WIDTH}}{part}".rstrip())


def _raw(raw: str) -> str:
    """JSON without line breaks where it is any, cut where it is long."""
    try:
        text = json.dumps(json.loads(raw))
    except ValueError:
        text = raw
    return text if len(text) <= RAW_SHOWN_MAX else f"{text[:RAW_SHOWN_MAX]} ... (whole: --json)"


def _short(symbol: str) -> str:
    return symbol if len(symbol) <= SYMBOL_SHOWN_MAX else symbol[:SYMBOL_SHOWN_MAX] + "..."


def _stamp(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _width() -> int:
    return console().width
