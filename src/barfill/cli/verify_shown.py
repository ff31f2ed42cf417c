"""What `barfill verify` has found, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING

import click

from barfill.cli.terminal import clean, counted, print_json, print_table, shown_duration
from barfill.core.comparison import Kind
from barfill.core.ranges import from_us

if TYPE_CHECKING:
    from barfill.core.comparison import Difference
    from barfill.engine.across import LookedAcross
    from barfill.engine.recheck import RecheckReport
    from barfill.engine.verify_plan import NotCompared, VerifyPlan
    from barfill.engine.verify_report import SeriesCompared, VerifyReport

SENTENCES_SHOWN_MAX = 20
SERIES_SHOWN_MAX = 60
NAMES_SHOWN_MAX = 5

TITLES = ("symbol", "timeframe", "made of", "compared", "equal", "missing\nhere", "missing\nthere", "price", "volume")
WORDS = ("symbol", "timeframe", "made of", "start (UTC)", "difference")
SHOWN_KINDS = {Kind.MISSING_HERE: "missing here", Kind.MISSING_THERE: "missing there"}


def show_recheck(report: RecheckReport, limit: int) -> None:
    """Series with bars that break a rule, *limit* of these bars, and the sums."""
    rules = list(report.by_rule)
    if rules:
        rows = [
            (one.ticker, one.timeframe.label, f"{one.checked:,}", *(f"{one.by_rule.get(rule, 0):,}" for rule in rules))
            for one in report.broken[:SERIES_SHOWN_MAX]
        ]
        _table(("symbol", "timeframe", "bars", *rules), rows)
        if len(report.broken) > SERIES_SHOWN_MAX:
            click.echo(f"... and {len(report.broken) - SERIES_SHOWN_MAX:,} more series: --json")
        click.echo()
        breaches = ((series, one) for series in report.broken for one in series.breaches)
        for series, one in islice(breaches, limit):
            stamp = f"{one.ts:%Y-%m-%d %H:%M:%S}"
            click.echo(clean(f"{one.rule}  {series.ticker} {series.timeframe.label} {stamp}: {one.reason}"))
        click.echo()
    live = f"; {counted(report.live, 'live bar')} left alone" if report.live else ""
    checked = f"{counted(report.checked, 'bar')} of {counted(report.series_count, 'series', 'series')} checked{live}"
    broken = ", ".join(f"{rule}: {count:,}" for rule, count in report.by_rule.items())
    click.echo(f"{checked}: {broken or 'all keep the rules'}.")
    if broken:
        click.echo(
            "What the rules say: docs/verify.md. To fetch such bars anew: barfill backfill SYMBOL --full; "
            "derived ones: barfill resample SYMBOL --rebuild"
        )


def show_across(across: LookedAcross) -> None:
    """How many sessions were compared by their timeframes, and what looks odd."""
    if not across.sessions:
        return
    odd = ", ".join(f"{rule}: {count:,}" for rule, count in sorted(across.by_rule.items()))
    sessions = f"{counted(across.sessions, 'session')} compared by their timeframes"
    click.echo(f"{sessions}: {f'{odd}; kept in bar_warnings' if odd else 'nothing looks odd'}.")


def show_plan(plan: VerifyPlan, *, as_json: bool) -> None:
    """What would be asked."""
    by_source: dict[str, int] = {}
    for one in (one for unit in plan.units for one in unit.slices):
        by_source[one.timeframe.label] = by_source.get(one.timeframe.label, 0) + one.calls
    if as_json:
        print_json(
            {
                "dry_run": True,
                "provider": plan.capabilities.provider,
                "series": plan.series_count,
                "calls": plan.calls,
                "minutes": plan.minutes,
                "by_timeframe": by_source,
                "not_compared": [
                    {
                        "symbol": one.ticker,
                        "timeframe": one.timeframe.label if one.timeframe else None,
                        "reason": one.reason,
                    }
                    for one in plan.not_compared
                ],
            }
        )
        return
    fetched = ", ".join(f"{label}: {calls:,}" for label, calls in by_source.items())
    click.echo(f"Series    {plan.series_count:,}")
    click.echo(f"Calls     {plan.calls:,}" + (f" ({fetched})" if fetched else ""))
    click.echo(f"Time      {shown_duration(plan.minutes * 60)} at the rate limit")
    _show_not_compared(plan.not_compared)
    click.echo("\nNothing was asked. Run it without --dry-run to do it.")


def show_comparison(report: VerifyReport, limit: int) -> None:
    """The series, the worst *limit* differences, and what could not be compared."""
    _show_series(report.series)
    _show_differences(report.series, report.provider, limit)
    _show_notes(report.series)
    _show_not_compared(report.not_compared)
    for failure in report.failures[:SENTENCES_SHOWN_MAX]:
        more = " and others" if len(failure.symbols) > NAMES_SHOWN_MAX else ""
        symbols = ", ".join(failure.symbols[:NAMES_SHOWN_MAX]) + more
        click.echo(clean(f"{failure.error_code}: {symbols} {failure.timeframe.label}: {failure.message}"))
    if len(report.failures) > SENTENCES_SHOWN_MAX:
        click.echo(f"... and {len(report.failures) - SENTENCES_SHOWN_MAX:,} more: --json")
    _show_sums(report)


def _show_series(series: Sequence[SeriesCompared]) -> None:
    """All of them; of very many only those that are not equal."""
    shown = series if len(series) <= SERIES_SHOWN_MAX else [one for one in series if not one.is_equal]
    if shown:
        _table(TITLES, [_cells(one) for one in shown[:SERIES_SHOWN_MAX]])
    if len(shown) > SERIES_SHOWN_MAX:
        click.echo(f"... and {len(shown) - SERIES_SHOWN_MAX:,} more that are not equal: --json")
    if len(shown) < len(series):
        click.echo(f"{len(series) - len(shown):,} other series are equal.")
    if series:
        click.echo()


def _show_sums(report: VerifyReport) -> None:
    compared = sum(one.comparison.compared for one in report.series)
    equal = sum(one.comparison.equal for one in report.series)
    click.echo(
        f"{counted(compared, 'bar')} compared with {report.provider}, {equal:,} equal within tolerance; "
        f"{counted(report.calls, 'call')} made. Nothing was changed."
    )
    for text, count in (
        ("are out of its reach", sum(one.out_of_reach for one in report.series)),
        ("were kept out there by a hard rule", sum(one.kept_out for one in report.series)),
        ("were not answered for", sum(one.unanswered for one in report.series)),
    ):
        if count:
            click.echo(f"Not compared: {counted(count, 'expected bar')} that {text}.")
    if report.bound:
        click.echo(clean(f"Stopped. {report.bound}"))


def _cells(one: SeriesCompared) -> tuple[str, ...]:
    """What stands below TITLES."""
    found = one.comparison
    kinds = (Kind.MISSING_HERE, Kind.MISSING_THERE, Kind.PRICE, Kind.VOLUME)
    numbers = (found.compared, found.equal, *(found.counts[kind] for kind in kinds))
    made_of = one.source.label if one.source is not one.timeframe else ""
    return one.ticker, one.timeframe.label, made_of, *(f"{number:,}" for number in numbers)


def _show_differences(series: Sequence[SeriesCompared], provider: str, limit: int) -> None:
    """The worst of all series: prices by size, then bars that are missing, then volumes."""
    order = list(Kind)
    found = [(one, difference) for one in series for difference in one.comparison.differences]
    if not found:
        return
    worst = nsmallest(limit, found, key=lambda pair: (order.index(pair[1].kind), -pair[1].size, -pair[1].ts))
    rows = [_difference_cells(one, difference) for one, difference in worst]
    _table(("symbol", "timeframe", "start (UTC)", "difference", "here", provider, "apart"), rows)
    total = sum(one.comparison.counts[kind] for one in series for kind in Kind)
    if total > len(rows):
        click.echo(f"... the worst of {total:,}: --limit N shows more")
    click.echo()


def _difference_cells(one: SeriesCompared, difference: Difference) -> tuple[str, ...]:
    what = SHOWN_KINDS.get(difference.kind, difference.column)
    is_both = difference.here is not None and difference.there is not None
    return (
        one.ticker,
        one.timeframe.label,
        f"{from_us(difference.ts):%Y-%m-%d %H:%M}",
        what,
        _value(difference.here),
        _value(difference.there),
        f"{difference.size * 100:.4g} %" if is_both else "",
    )


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.10g}"


def _show_notes(series: Sequence[SeriesCompared]) -> None:
    """Each note once, with the series that it is about."""
    about: dict[str, list[str]] = {}
    for one in series:
        for text in one.notes:
            about.setdefault(text, []).append(f"{one.ticker} {one.timeframe.label}")
    for text, names in about.items():
        more = f" and {len(names) - NAMES_SHOWN_MAX:,} more" if len(names) > NAMES_SHOWN_MAX else ""
        click.echo(clean(f"Note: {', '.join(names[:NAMES_SHOWN_MAX])}{more}: {text}."))


def _show_not_compared(found: Sequence[NotCompared]) -> None:
    for one in found[:SENTENCES_SHOWN_MAX]:
        timeframe = f" {one.timeframe.label}" if one.timeframe else ""
        click.echo(clean(f"Not compared: {one.ticker}{timeframe}: {one.reason}"))
    if len(found) > SENTENCES_SHOWN_MAX:
        click.echo(f"... and {len(found) - SENTENCES_SHOWN_MAX:,} more: --json")


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="left" if title in WORDS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    print_table(table)
