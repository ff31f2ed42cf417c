"""What `barfill import` tells: how the files are read, and what became of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

import click

from barfill.cli.terminal import clean, counted, print_json, say, shown_duration
from barfill.core.ranges import from_us
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN

if TYPE_CHECKING:
    from barfill.engine.importing import ImportReport, ImportRequest, ImportTally
    from barfill.providers.files import BarFile, RowRule, Staged

EXIT_INTERRUPTED = 130
FIRST_ROWS = 5
NAMED_MAX = 10


@dataclass(frozen=True, slots=True)
class Found:
    """The files, the rules by which they are read, and what was found in them."""

    files: tuple[tuple[BarFile, RowRule], ...]
    staged: Staged
    request: ImportRequest

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Symbols of which no row has a time that can be read."""
        return tuple(one.ticker for one in self.staged.symbols if one.span is None)


def exit_code_of(found: Found, tally: ImportTally, report: ImportReport | None = None) -> int:
    """By what became of the rows: all kept, some, or none."""
    if report is not None and report.was_interrupted:
        return EXIT_INTERRUPTED
    kept = tally.inserted + tally.changed + tally.unchanged
    if (report is not None and report.failures) or found.unplaced or kept == 0:
        return EXIT_FAILED
    return EXIT_GAPS_REMAIN if tally.quarantined else EXIT_COMPLETE


def show_plan(found: Found, tally: ImportTally, *, as_json: bool) -> None:
    """How the files are read, the first rows as they would be stored, and what the rules make of all of them."""
    if as_json:
        print_json({"dry_run": True} | _as_json(found, tally) | {"first_rows": _first_rows(found)})
        return
    _show_files(found)
    click.echo("\nThe first bars, as they would be stored:")
    for row in _first_rows(found):
        values = " ".join(f"{name} {row[name]}" for name in ("open", "high", "low", "close", "volume"))
        kept_out = f"   kept out: {row['reason']}" if row["reason"] else ""
        click.echo(clean(f"  {row['symbol']} {row['ts'] or '?'} {values}{kept_out}"))
    click.echo()
    _show_rows(found, tally, new="to store")
    click.echo("\nNothing was stored. Run it without --dry-run to do it.")


def show_report(found: Found, report: ImportReport, *, as_json: bool) -> None:
    """What was stored, what was not, and why."""
    if as_json:
        told = {
            "added": report.added,
            "derived": asdict(report.derived),
            "gaps": dict(report.gaps),
            "failures": [
                asdict(one) | {"timeframe": one.timeframe.label if one.timeframe else None} for one in report.failures
            ],
            "resumed": report.resumed,
            "interrupted": report.was_interrupted,
            "duration_s": report.duration_s,
        }
        print_json(_as_json(found, report.tally) | told)
        return
    _show_files(found)
    if report.added:
        click.echo(f"Added     {counted(len(report.added), 'symbol')}: {_named(report.added)}")
    if report.resumed:
        click.echo("Resumed   an interrupted import, at the page it had reached")
    _show_rows(found, report.tally, new="new")
    if report.derived.bars:
        click.echo(f"Derived   {counted(report.derived.bars, 'coarser bar')}, {report.derived.written:,} of them new")
    if report.gaps:
        shown = ", ".join(f"{kind} {bars:,}" for kind, bars in sorted(report.gaps.items()))
        click.echo(f"Absent    expected bars that the files do not have: {shown}. See: barfill gaps")
    click.echo(f"Took      {shown_duration(report.duration_s)}")
    for failure in report.failures:
        say(failure.message)


def _show_files(found: Found) -> None:
    for file, rule in found.files:
        kind = "Parquet" if file.kind == "parquet" else f"CSV, delimiter {file.delimiter!r}"
        columns = ", ".join(f"{name}={column}" for name, column in rule.columns.shown().items())
        symbol = f"symbol {rule.symbol}, " if rule.symbol else ""
        click.echo(clean(f"File      {file.path} ({kind}): {symbol}{columns}"))
    request, rule = found.request, found.files[0][1]
    zone = f", times of {rule.stamps.zone.key}" if rule.stamps.zone else ""
    stamped = f"stamped by their {'end' if rule.stamps.is_end else 'start'}{zone}"
    click.echo(f"Bars      {request.timeframe.label}, {stamped}; feed {request.feed}, {request.basis} prices")


def _show_rows(found: Found, tally: ImportTally, *, new: str) -> None:
    claims = found.request.claims
    if claims:
        first, last = min(one.start for one in claims.values()), max(one.end for one in claims.values())
        click.echo(f"Symbols   {len(claims):,} ({_named(list(claims))}), {_day(first)} to {_day(last)}")
    parts = [
        (tally.inserted, new),
        (tally.changed, "changed"),
        (tally.unchanged, "stored already"),
        (tally.collapsed, "equal to another row"),
        (tally.out_of_session, "outside of regular hours"),
        (tally.held, "held: not over yet, or not believed yet"),
        (tally.out_of_range, "out of range"),
        (found.staged.left_out, "outside of --start and --end"),
        (found.staged.row_count - tally.rows, "of symbols that were not brought in, or of earlier pages"),
    ]
    shown = "; ".join(f"{count:,} {what}" for count, what in parts if count)
    click.echo(f"Rows      {found.staged.row_count + found.staged.left_out:,}: {shown or 'none kept'}")
    if tally.quarantined:
        rules = ", ".join(f"{rule} {count:,}" for rule, count in tally.by_rule.most_common())
        click.echo(
            f"Bad       {counted(tally.quarantined, 'row')} broke a rule ({rules}); see: barfill quarantine list"
        )
    if found.unplaced:
        click.echo(f"Unread    no time can be read of any row of {_named(found.unplaced)}")


def _as_json(found: Found, tally: ImportTally) -> dict[str, object]:
    request, staged = found.request, found.staged
    counts = {one.name: getattr(tally, one.name) for one in fields(tally)}
    return {
        "files": [
            {
                "path": str(file.path),
                "kind": file.kind,
                "delimiter": file.delimiter or None,
                "symbol": rule.symbol,
                "columns": rule.columns.shown(),
            }
            for file, rule in found.files
        ],
        "timeframe": request.timeframe.label,
        "feed": request.feed,
        "basis": request.basis,
        "symbols": {ticker: {"from": one.start, "to": one.end} for ticker, one in request.claims.items()},
        "unreadable_symbols": found.unplaced,
        "rows": {"in_files": staged.row_count + staged.left_out, "left_out": staged.left_out} | counts,
    }


def _first_rows(found: Found) -> list[dict[str, object]]:
    rows = []
    for row in found.staged.rows(0, FIRST_ROWS).iter_rows(named=True):
        ts = None if row["ts"] is None else from_us(row["ts"]).isoformat()
        told = {name: value for name, value in row.items() if name != "ticker"}
        known = {name: None if value != value else value for name, value in told.items()}  # noqa: PLR0124  NaN is none
        rows.append({"symbol": row["ticker"] or "?"} | known | {"ts": ts})
    return rows


def _named(tickers: Sequence[str]) -> str:
    hidden = len(tickers) - NAMED_MAX
    return ", ".join(tickers[:NAMED_MAX]) + (f" and {hidden:,} more" if hidden > 0 else "")


def _day(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}" if instant.hour or instant.minute else f"{instant:%Y-%m-%d}"
