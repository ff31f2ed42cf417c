"""`barfill gaps`: expected bars that are not there, each with its kind and reason."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.inputs import parse_tickers, parse_timeframes
from barfill.cli.naming import symbol_ids
from barfill.cli.opening import open_store
from barfill.cli.terminal import ago, clean, console, counted, json_option, print_json, print_table, say
from barfill.core.timeframe import Timeframe
from barfill.engine.listed_gaps import KINDS, GapChoice, counts_by_kind, gap_to_json, list_chosen
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings
from barfill.store.writes import NEVER, OPEN_KINDS, GapKind

if TYPE_CHECKING:
    from datetime import datetime

    from barfill.engine.absent import AbsentBars
    from barfill.engine.uncovered import UncoveredBars
    from barfill.store.database import Database
    from barfill.store.gaps import ListedGap

DEFAULT_LIMIT = 50
TITLES = ("symbol", "timeframe", "from", "to (UTC, excluded)", "bars", "kind")
WIDE = 130
"""From so many columns on, a line holds the reason as well."""
INDENT = " " * 4

CHECKED_BARS_MAX, CHECKED_SERIES_MAX = 5_000_000, 1_000
"""Of more than this the table is not compared with the ledger unless symbols are named, or --check is given."""
SETTLED_AS: tuple[GapKind, ...] = ("no_trade", "halted", "unavailable")

EPILOG = """\
\b
Examples:
  barfill gaps                          what may still fill, or needs a look
  barfill gaps THIN --kind no_trade
  barfill gaps --settled --timeframes 1d --json
  barfill gaps AAPL --explain           what was expected, who was asked, what is next
  barfill gaps AAPL MSFT --fill         ask again now, due or not
  barfill gaps --id 17 --settle "trading halt T12, see the exchange's notice" --as halted
  barfill gaps --id 17 --unsettle       take that back

\b
Kinds: missing (asked, expected, absent), failed (asked, never answered),
quarantined (rows that broke a rule), and the settled no_trade, halted, unavailable
(before listing, after delisting, beyond the plan's history), not_entitled. A missing
one that two answers an hour apart lack is settled too, and read again now and then.
Bars that were fetched and are gone from the table are found, and are missing again.
Ranges that were never asked for, or are to be derived again, are listed with --uncovered.

\b
Exit codes of --fill: those of barfill backfill.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; may be repeated.")
@click.option(
    "--id", "ids", multiple=True, type=int, metavar="N", help="Only this one, as --json names it; repeatable."
)
@click.option("--settled", "with_settled", is_flag=True, help="Settled ones too.")
@click.option(
    "--uncovered",
    "with_uncovered",
    is_flag=True,
    help="Also what was never asked for between what was, or is to be derived again.",
)
@click.option("--check", "is_checked", is_flag=True, help="Compare the table with the ledger, however many bars.")
@click.option("--explain", "is_explained", is_flag=True, help="Say of each what is known and what happens next.")
@click.option("--fill", "is_filled", is_flag=True, help="Ask for them again now, due or not.")
@click.option("--settle", "settled_because", metavar="REASON", help="They are accounted for, because you say so.")
@click.option(
    "--as", "settled_as", type=click.Choice(SETTLED_AS), help="With --settle: what they are. [default: as is]"
)
@click.option("--unsettle", "is_unsettled", is_flag=True, help="Settled ones are open again, and due.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def gaps(
    symbols: tuple[str, ...],
    timeframes: tuple[str, ...],
    kinds: tuple[GapKind, ...],
    ids: tuple[int, ...],
    with_settled: bool,
    with_uncovered: bool,
    is_checked: bool,
    is_explained: bool,
    is_filled: bool,
    settled_because: str | None,
    settled_as: GapKind | None,
    is_unsettled: bool,
    limit: int,
    as_json: bool,
) -> int:
    """Expected bars that are not there, each with its reason."""
    acts = [is_filled, settled_because is not None, is_unsettled]
    if sum(acts) > 1:
        raise InvalidInput("--fill, --settle and --unsettle exclude each other. Give one of them.")
    if settled_as and settled_because is None:
        raise InvalidInput('--as says what --settle settles them as. Give both: --settle "REASON" --as halted')
    tickers, chosen = parse_tickers(symbols), parse_timeframes(timeframes)
    if (settled_because is not None or is_unsettled) and not (tickers or ids):
        raise InvalidInput("Name the symbols, or the gaps with --id, that are meant: all at once would be a mistake.")
    settings = read_settings()
    with open_store(settings) as database:
        choice = GapChoice(
            symbol_ids=symbol_ids(database, tickers),
            timeframes=chosen,
            kinds=kinds,
            ids=ids,
            with_settled=with_settled or is_unsettled,
            limit=limit,
        )
        absent = _gone(database, choice, is_checked=is_checked)
        if is_filled:
            return _fill(database, settings, choice, as_json=as_json)
        if settled_because is not None or is_unsettled:
            return _decide(database, choice, settled_because, settled_as, as_json=as_json)
        return _list(
            database,
            choice,
            absent,
            with_uncovered=with_uncovered,
            is_explained=is_explained,
            as_json=as_json,
        )


def _gone(database: Database, choice: GapChoice, *, is_checked: bool) -> list[AbsentBars]:
    """Bars that the table has lost, now on record as missing."""
    from barfill.engine.absent import find_absent  # noqa: PLC0415  slow to load
    from barfill.store.series import read_series  # noqa: PLC0415

    if choice.ids:
        return []
    if choice.symbol_ids is None and not is_checked:
        rows = database.run(read_series, None, choice.timeframes)
        stored = sum(row.bar_count for row in rows.values())
        if stored > CHECKED_BARS_MAX or len(rows) > CHECKED_SERIES_MAX:
            say(
                f"{stored:,} bars of {len(rows):,} series were not compared with the ledger, as that takes a while. "
                "Name symbols, or give --check."
            )
            return []
    found = find_absent(database, choice.symbol_ids, choice.timeframes, records=True)
    if found:
        bars = counted(sum(one.bars for one in found), "bar")
        say(f"{bars} that were fetched are gone from the table: missing again, the next backfill asks for them.")
    return found


def _fill(database: Database, settings: Settings, choice: GapChoice, *, as_json: bool) -> int:
    from barfill.cli.gap_filling import fill  # noqa: PLC0415  slow to load

    found = list_chosen(database, replace(choice, limit=1_000_000))
    if not found:
        if as_json:
            print_json({"filled": [], "settled": [], "remaining": [], "calls_made": 0})
        else:
            click.echo("There is no such gap to ask for.")
        return 0
    done = fill(found, settings, database)
    figures = done.report.summary
    if as_json:
        told = {
            name: [gap_to_json(one) for one in gaps]
            for name, gaps in (("filled", done.filled), ("settled", done.settled), ("remaining", done.remaining))
        }
        failures = done.report.to_json()["failures"]
        print_json(
            told | {"bars_written": figures.bars_written, "calls_made": figures.calls_made, "failures": failures}
        )
        return done.report.exit_code
    for one in done.filled[: choice.limit]:
        symbol, timeframe, start, end, bars, kind = _cells(one)
        click.echo(clean(f"filled  {symbol} {timeframe}  {start} to {end}: {bars} of kind {kind}"))
    click.echo(
        f"{counted(len(found), 'gap')} asked for in {counted(figures.calls_made, 'call')}: "
        f"{len(done.filled):,} filled, {len(done.settled):,} settled, {len(done.remaining):,} still open."
    )
    for failure in done.report.failures:
        say(failure.message)
    return done.report.exit_code


def _decide(
    database: Database,
    choice: GapChoice,
    reason: str | None,
    kind: GapKind | None,
    *,
    as_json: bool,
) -> int:
    """Settles, or with no reason takes that back."""
    from barfill.store.decisions import settle, unsettle  # noqa: PLC0415  slow to load

    if reason is not None and not reason.strip():
        raise InvalidInput('Say why: --settle "what you know". It is kept with the gap.')
    found = list_chosen(database, replace(choice, limit=1_000_000))
    known = [one.gap.id for one in found if one.gap.id is not None]
    done = database.run(unsettle, known) if reason is None else database.run(settle, known, reason.strip(), kind)
    rejected = _rejected(database, found) if reason is None else []
    if as_json:
        named = {"rejected": [{"id": gap_id, "rows": rows} for gap_id, rows in rejected]} if rejected else {}
        print_json({"unsettled" if reason is None else "settled": sorted(done)} | named)
        return 0
    what = "open again and due" if reason is None else "settled; --unsettle takes it back"
    if done or not rejected:
        click.echo(f"{counted(len(done), 'gap')} {what}." if done else "Nothing changed: there is no such gap.")
    for gap_id, rows in rejected:
        numbers = " ".join(str(row) for row in rows)
        click.echo(f"Gap {gap_id} is of rejected rows, and stays. To open it: barfill quarantine undo {numbers}")
    return 0


def _rejected(database: Database, found: Sequence[ListedGap]) -> list[tuple[int, list[int]]]:
    """The ids of those gaps that rejected rows have left, each with the rows'."""
    from barfill.store.quarantine import QuarantineFilter, list_quarantined  # noqa: PLC0415  slow to load

    left = []
    for one in found:
        gap = one.gap
        if gap.id is not None and gap.kind == "quarantined" and gap.next_check_at == NEVER:
            wanted = QuarantineFilter(
                symbol_ids=(gap.symbol_id,),
                timeframes=(one.timeframe,),
                states=("rejected",),
                start=gap.range.start,
                end=gap.range.end,
            )
            left.append((gap.id, [row.id for row in database.run(list_quarantined, wanted)]))
    return left


def _list(
    database: Database,
    choice: GapChoice,
    absent: Sequence[AbsentBars],
    *,
    with_uncovered: bool,
    is_explained: bool,
    as_json: bool,
) -> int:
    found = list_chosen(database, choice)
    now = database.now()
    by_kind = counts_by_kind(database, choice)
    explained = _explained(database, found, now) if is_explained else {}
    uncovered = _uncovered(database, choice) if with_uncovered else []
    if as_json:
        listed = [gap_to_json(one) | ({"explained": explained[one.gap.id]} if is_explained else {}) for one in found]
        lost = sum(one.bars for one in absent)
        told = {"gaps": listed, "counts": by_kind, "gone_from_the_table": lost}
        print_json(told | ({"uncovered": [_uncovered_json(one) for one in uncovered]} if with_uncovered else {}))
        return 0
    if explained:
        _show_explained(found, explained)
    elif found:
        _show(found, now)
    elif choice.kinds:
        click.echo("No gaps of this kind." if len(choice.kinds) == 1 else "No gaps of these kinds.")
    listed_count = _meant(by_kind, choice)
    if listed_count > len(found) and not choice.ids:
        click.echo(f"... and {listed_count - len(found):,} more: --limit {listed_count}")
    for one in uncovered[: choice.limit]:
        span = f"{one.range.start:%Y-%m-%d %H:%M} to {one.range.end:%Y-%m-%d %H:%M}"
        bars = counted(one.bars, "bar")
        click.echo(clean(f"uncovered  {one.ticker} {one.timeframe.label} {span}: {bars} {_uncovered_text(one)}"))
    _show_counts(by_kind, choice)
    return 0


def _meant(by_kind: Mapping[str, Mapping[str, int]], choice: GapChoice) -> int:
    """How many gaps are meant, of all symbols that are."""
    kinds = choice.kinds or KINDS
    if choice.is_settled is False:
        return sum(by_kind[kind]["open_gaps"] for kind in kinds if kind in by_kind)
    return sum(by_kind[kind]["gaps"] for kind in kinds if kind in by_kind)


def _explained(database: Database, found: Sequence[ListedGap], now: datetime) -> dict[int | None, dict[str, Any]]:
    from barfill.cli.gap_words import explain  # noqa: PLC0415  slow to load
    from barfill.store.gaps import read_answers  # noqa: PLC0415
    from barfill.store.series import read_series  # noqa: PLC0415
    from barfill.store.symbols import find_by_ids  # noqa: PLC0415

    answers = database.run(read_answers, [one.gap.id for one in found if one.gap.id is not None])
    ids = sorted({one.gap.symbol_id for one in found})
    rows = database.run(read_series, ids, list(Timeframe))
    calendars = {symbol.id: symbol.calendar for symbol in database.run(find_by_ids, ids).values()}
    return {
        one.gap.id: explain(
            one,
            answers.get(one.gap.id or 0, ()),
            rows.get((one.gap.symbol_id, one.timeframe)),
            calendars[one.gap.symbol_id],
            now,
        )
        for one in found
    }


def _show_explained(found: Sequence[ListedGap], explained: Mapping[int | None, Mapping[str, Any]]) -> None:
    from barfill.cli.gap_words import explained_lines  # noqa: PLC0415  slow to load

    for one in found:
        symbol, timeframe, start, end, *_ = _cells(one)
        click.secho(clean(f"{symbol} {timeframe}  {start} to {end} UTC   (--id {one.gap.id})"), bold=True)
        for line in explained_lines(explained[one.gap.id]):
            click.echo(INDENT + clean(line))


def _uncovered(database: Database, choice: GapChoice) -> list[UncoveredBars]:
    from barfill.engine.uncovered import find_uncovered  # noqa: PLC0415  slow to load

    return find_uncovered(database, choice.symbol_ids, choice.timeframes)


def _uncovered_text(one: UncoveredBars) -> str:
    return "to be derived again" if one.is_to_derive else "never asked for"


def _uncovered_json(one: UncoveredBars) -> dict[str, Any]:
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "gap_from": one.range.start,
        "gap_to": one.range.end,
        "expected_bars": one.bars,
        "kind": "uncovered",
        "why": _uncovered_text(one),
    }


def _show(found: Sequence[ListedGap], now: datetime) -> None:
    width = console().width
    if width < WIDE:
        _show_narrow(found, width)
    else:
        _show_wide(found, now)


def _show_wide(found: Sequence[ListedGap], now: datetime) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (*TITLES, "asked", "last", "reason"):
        table.add_column(title, justify="right" if title in ("bars", "asked") else "left", no_wrap=title != "reason")
    for one in found:
        gap = one.gap
        last = ago(gap.last_checked_at, now) if gap.last_checked_at else ""
        table.add_row(*(Text(clean(cell)) for cell in (*_cells(one), f"{gap.attempts} x", last, gap.reason)))
    print_table(table)


def _show_narrow(found: Sequence[ListedGap], width: int) -> None:
    """Two lines or more for each: what is missing, and below it the reason."""
    rows = [_cells(one) for one in found]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    click.secho(_line(TITLES, widths), bold=True)
    for one, row in zip(found, rows, strict=True):
        click.echo(clean(_line(row, widths)))
        reason = clean(one.gap.reason)
        for line in textwrap.wrap(reason, width, initial_indent=INDENT, subsequent_indent=INDENT):
            click.echo(line)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    bars = TITLES.index("bars")
    padded = (
        f"{cell:>{width}}" if position == bars else f"{cell:<{width}}"
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _cells(one: ListedGap) -> tuple[str, ...]:
    """What stands below TITLES."""
    gap = one.gap
    start, end = f"{gap.range.start:%Y-%m-%d %H:%M}", f"{gap.range.end:%Y-%m-%d %H:%M}"
    kind = f"{gap.kind}, settled" if gap.settled_at is not None and gap.kind in OPEN_KINDS else gap.kind
    return one.ticker, one.timeframe.label, start, end, f"{gap.expected_bars:,}", kind


def _show_counts(by_kind: Mapping[str, Mapping[str, int]], choice: GapChoice) -> None:
    if not choice.kinds and not choice.ids and not any(count["open_gaps"] for count in by_kind.values()):
        click.echo("No open gaps: every expected bar that was asked for is there or accounted for.")
    for kind, count in by_kind.items():
        settled_gaps, settled_bars = count["gaps"] - count["open_gaps"], count["bars"] - count["open_bars"]
        if count["open_gaps"]:
            click.echo(f"{kind:<12} {counted(count['open_bars'], 'bar')} in {counted(count['open_gaps'], 'gap')}")
        if settled_gaps:
            text = f"{kind:<12} {counted(settled_bars, 'bar')} in {counted(settled_gaps, 'gap')}"
            click.echo(f"{text}   (settled; list them: --kind {kind})")
