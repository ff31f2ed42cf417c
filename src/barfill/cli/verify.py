"""`barfill verify`: stored bars judged again by the rules, or compared with those of another provider."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from barfill.cli.inputs import FIRST_YEAR, parse_tickers, parse_timeframes, parse_window
from barfill.cli.naming import symbol_ids
from barfill.cli.opening import open_store
from barfill.cli.terminal import counted, json_option, print_json, say, shown_duration
from barfill.cli.verify_shown import show_across, show_comparison, show_plan, show_recheck
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings
from barfill.wiring import PROVIDERS, check_provider, open_clients

if TYPE_CHECKING:
    from barfill.engine.verify_plan import VerifyPlan
    from barfill.store.database import Database

COMPARED_DAYS = 30
_FIRST_SESSION = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
DEFAULT_LIMIT = 20
CALLS_BETWEEN_WORDS = 50
SERIES_BETWEEN_WORDS = 1_000

EPILOG = """\
\b
Examples:
  barfill verify                              all that is stored: rules, sources, ledger
  barfill verify AAPL --timeframes 1m,1d
  barfill verify AAPL MSFT --provider massive     the last 30 days, with Massive's
  barfill verify --watchlist tech --provider massive --dry-run
  barfill verify AAPL --provider yahoo --price-tolerance 0.002

\b
No bar is changed. Only what was fetched here is compared, in regular hours, and a
bar counts as missing there only where the answers prove it. Exit codes: 0 nothing
found, 1 a provider failed or a series could not be compared, 2 usage or settings,
3 bars differ or break a rule, or --max-calls left some out.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    named: tuple[str, ...]
    watchlist: str | None
    wants_all: bool
    timeframes: tuple[Timeframe, ...]
    is_chosen: bool
    window: Range | None
    limit: int
    as_json: bool


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--watchlist", metavar="NAME", help="The symbols of this watchlist.")
@click.option(
    "--all", "wants_all", is_flag=True, help="All active symbols. [default without --provider: all there are]"
)
@click.option(
    "--provider",
    metavar="NAME",
    help=f"Compare with this one: {', '.join(PROVIDERS)} or another venue of ccxt. [default: only check the rules]",
)
@click.option(
    "--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Of 1m 5m 15m 30m 1h 4h 1d 1w. [default: all]"
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"The last N days. [default: {COMPARED_DAYS} with --provider, else all that is stored]",
)
@click.option("--start", metavar="D", help="From this date or instant on.")
@click.option("--end", metavar="D", help="Up to this date or instant, which is excluded. [default: now]")
@click.option(
    "--price-tolerance",
    type=float,
    metavar="SHARE",
    help="Prices so far apart are equal: 0.001 is 0.1 %. [default: 0.000001, and half a tick of US stocks]",
)
@click.option(
    "--volume-tolerance",
    type=float,
    metavar="SHARE",
    help="The same for volumes. [default: 0.1, and one lot of US stocks]",
)
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Make no more than N requests.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Show what would be asked; ask nothing.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=DEFAULT_LIMIT, show_default=True, help="Bars told one by one."
)
@json_option
def verify(
    symbols: tuple[str, ...],
    watchlist: str | None,
    wants_all: bool,
    provider: str | None,
    timeframes: tuple[str, ...],
    days: int | None,
    start: str | None,
    end: str | None,
    price_tolerance: float | None,
    volume_tolerance: float | None,
    max_calls: int | None,
    is_dry_run: bool,
    limit: int,
    as_json: bool,
) -> int:
    """
    Check stored bars: by the rules, or against another provider.

    Without --provider every stored bar is judged again by the hard rules that it passed on the way in, derived bars are
    compared with what they were made of, and coverage, gaps and counts with the table. With it, the provider is asked
    for the same bars, and what differs is told by kind.
    """
    has_window = (days, start, end) != (None, None, None)
    span = days if has_window or provider is None else COMPARED_DAYS
    options = Options(
        named=parse_tickers(symbols),
        watchlist=watchlist,
        wants_all=wants_all,
        timeframes=parse_timeframes(timeframes),
        is_chosen=bool(timeframes),
        window=parse_window(days=span, start=start, end=end, now=datetime.now(UTC))
        if has_window or provider is not None
        else None,
        limit=limit,
        as_json=as_json,
    )
    if provider is None:
        if (price_tolerance, volume_tolerance, max_calls) != (None, None, None) or is_dry_run:
            raise InvalidInput("--price-tolerance, --volume-tolerance, --max-calls and --dry-run need --provider.")
        return _recheck(options)
    if not (options.named or watchlist or wants_all):
        raise InvalidInput("No symbols are named. Give some (barfill verify AAPL), --watchlist NAME or --all.")
    settings = read_settings()
    check_provider(settings, provider)
    with open_store(settings) as database:
        ids = _chosen(options, database)
        comparing = _compare(
            settings,
            database,
            options,
            provider,
            ids or [],
            tolerances=(price_tolerance, volume_tolerance),
            max_calls=max_calls,
            is_dry_run=is_dry_run,
        )
        return asyncio.run(comparing)


def _chosen(options: Options, database: Database) -> list[int] | None:
    """The ids of the symbols that were asked for; None, which stands for all, where none were."""
    from barfill.store import symbols, watchlists  # noqa: PLC0415  slow to load

    if not (options.named or options.watchlist or options.wants_all):
        return None
    chosen = dict.fromkeys(symbol_ids(database, options.named) or ())
    if options.watchlist is not None:
        members = database.run(watchlists.read_members, options.watchlist)
        chosen |= dict.fromkeys(symbol_ids(database, members) or ())
    if options.wants_all:
        chosen |= dict.fromkeys(symbol.id for symbol in database.run(symbols.read_active))
    if not chosen:
        empty = f"The watchlist {options.watchlist!r} is empty" if options.watchlist else "There are no active symbols"
        raise InvalidInput(f"{empty}. Nothing is stored that could be compared.")
    return list(chosen)


def _recheck(options: Options) -> int:
    from barfill.engine.across import look_across  # noqa: PLC0415  slow to load
    from barfill.engine.recheck import RecheckRequest, recheck  # noqa: PLC0415

    def tell(done: int, count: int) -> None:
        if done % SERIES_BETWEEN_WORDS == 0:
            say(f"{done:,} of {count:,} series")

    with open_store(read_settings()) as database:
        ids = _chosen(options, database)
        request = RecheckRequest(
            symbol_ids=None if ids is None else tuple(ids),
            timeframes=options.timeframes,
            window=options.window,
            examples_max=options.limit,
        )
        report = recheck(database, request, on_series=tell)
        across = look_across(database, ids, options.window or Range(_FIRST_SESSION, database.now()))
    if options.as_json:
        print_json(report.to_json() | {"across": {"sessions": across.sessions, "by_rule": dict(across.by_rule)}})
    else:
        show_recheck(report, options.limit)
        show_across(across)
    return report.exit_code


async def _compare(
    settings: Settings,
    database: Database,
    options: Options,
    provider: str,
    ids: Sequence[int],
    *,
    tolerances: tuple[float | None, float | None],
    max_calls: int | None,
    is_dry_run: bool,
) -> int:
    from barfill.engine.events import SilentListener  # noqa: PLC0415  slow to load
    from barfill.engine.verify import Verify  # noqa: PLC0415
    from barfill.engine.verify_plan import VerifyRequest  # noqa: PLC0415

    class Listener(SilentListener):
        def waiting(self, seconds: float, reason: str) -> None:
            say(f"waiting {shown_duration(seconds)}: {reason}")

    assert options.window is not None
    request = VerifyRequest(
        symbol_ids=tuple(ids),
        timeframes=options.timeframes,
        window=options.window,
        is_chosen=options.is_chosen,
        price_tolerance=tolerances[0],
        volume_tolerance=tolerances[1],
        calls_max=max_calls,
        worst_max=options.limit,
    )
    async with open_clients(settings, database, Listener(), only=provider) as clients:
        engine = Verify(database, clients[provider], concurrency=settings.max_concurrent_jobs)
        plan = await engine.plan(request)
        say(_estimate_line(plan))
        if is_dry_run:
            show_plan(plan, as_json=options.as_json)
            return 0
        report = await engine.run(plan, on_page=lambda calls: _tell_calls(calls, plan.calls))
    if options.as_json:
        print_json({"window": {"start": options.window.start, "end": options.window.end}} | report.to_json())
    else:
        show_comparison(report, options.limit)
    return report.exit_code


def _tell_calls(calls: int, expected: int) -> None:
    if calls % CALLS_BETWEEN_WORDS == 0:
        say(f"{calls:,} of about {expected:,} calls made")


def _estimate_line(plan: VerifyPlan) -> str:
    series = counted(plan.series_count, "series", "series")
    took = f", {shown_duration(plan.minutes * 60)} at the rate limit" if plan.calls else ""
    return f"{series} to compare with {plan.capabilities.provider}: about {counted(plan.calls, 'call')}{took}"
