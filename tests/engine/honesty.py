"""
What must hold after every backfill, however the provider lied: nothing is silently successful.

Judged by the exchange's own truth, not by what barfill thinks of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN, BackfillReport
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import Quota, SlidingQuota
from barfill.store.gaps import ListedGap, list_gaps
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import find_symbols
from tests.engine.rig import Bars, Rig, days

PAIR = ("AAPL", "MSFT")
TWO_DAYS = days("2026-09-14", "2026-09-16")
QUARTER = days("2026-07-01", "2026-09-16")
KEY = "PKCANARY7Q2Z9X4M1V6B"
SETTLED = frozenset({"no_trade", "halted", "unavailable"})
ENDING_ALL = frozenset({"UNAUTHORIZED", "RATE_LIMIT_EXCEEDED", "PROVIDER_UNAVAILABLE"})
"""After these nothing more is asked; runs that have not begun are taken up by the next backfill."""
ERROR_TEXT_MAX = 900
"""A sentence or three, with at most 200 characters of a body among them."""


@dataclass
class FaultyRig(Rig):
    """A rig whose provider may be told of another plan or another place."""

    key: str = KEY
    plan: str = "free"
    base_url: str | None = None

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client of the exchange with short waits."""
        url = self.base_url or self.exchange.alpaca_url
        provider = Alpaca(self.key, "secret", base_url=url, plan=self.plan, page_size=self.page_size)
        http = HttpClient(provider.base_urls, timeouts=self.timeouts)
        return ProviderClient(provider, http, quota or SlidingQuota(10_000), attempts=self.attempts, backoff_s=0.01)

    def inject(self, fault: str, match: Mapping[str, Any] | None = None, **args: Any) -> None:
        """From now on only this fault fires, on requests for bars."""
        self.exchange.set_faults([line(fault, match, **args)])

    def heal(self) -> None:
        """No fault fires any more, and every gap on record is due."""
        self.exchange.set_faults([])
        self.change("update series_gaps set next_check_at = now() - interval '1 second'")

    def fired(self) -> list[str]:
        """The faults that fired, in order."""
        return [one.fault for one in self.exchange.requests if one.fault]

    def holds_the_truth(self, timeframe: Timeframe, wanted: Range, tickers: Sequence[str] = PAIR) -> bool:
        """Whether every regular bar of the exchange is stored with its values, and nothing else."""
        return all(self.stored(one, timeframe) == self.truth(one, timeframe, wanted) for one in tickers)


def line(fault: str, match: Mapping[str, Any] | None = None, **args: Any) -> dict[str, Any]:
    """A line of a fault script about requests for bars."""
    return {"match": {"endpoint": "bars", **(match or {})}, "fault": fault, "args": args}


def in_turn(fault: str, forms: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A script in which each form fires once, on every second request: the request after it is answered well."""
    return [line(fault, {"nth": 2 * number}, **form) for number, form in enumerate(forms, start=1)]


def nothing_is_silently_successful(
    rig: Rig,
    report: BackfillReport,
    timeframe: Timeframe,
    wanted: Range,
    tickers: Sequence[str] = PAIR,
    *,
    lost: Collection[int] = (),
) -> None:
    """
    Every bar of the exchange is stored as it is there, or named as what is wrong; the ledger agrees with the table.

    Args:
        lost: Starts of bars that the fault takes away for good, so that nobody can know of them.
    """
    ids = {ticker: one.id for ticker, one in rig.database.run(find_symbols, tickers).items()}
    ledger = rig.database.run(read_series, list(ids.values()), [timeframe])
    listed = rig.database.run(list_gaps, timeframes=[timeframe])
    for ticker in tickers:
        row = ledger.get((ids[ticker], timeframe))
        gaps = [one for one in listed if one.ticker == ticker]
        stored, truth = rig.stored(ticker, timeframe), rig.truth(ticker, timeframe, wanted)
        _bars_are_true(ticker, stored, truth)
        absent = sorted(truth.keys() - stored.keys() - set(lost))
        _absence_is_told(rig, ticker, timeframe, absent, row, gaps, report)
        _gaps_are_no_bars(ticker, stored, row, gaps)
        _counters_fit(rig, ticker, timeframe, row)
    _runs_are_over(rig, report)
    _texts_are_fit_to_show(rig, report)


def fails_with(
    report: BackfillReport, code: str, reason: str | None = None, *, symbols: Collection[str] = PAIR
) -> None:
    """The report says that exactly *symbols* failed, why, and what can be done."""
    assert report.exit_code == EXIT_FAILED
    assert {ticker for failure in report.failures for ticker in failure.symbols} == set(symbols)
    for failure in report.failures:
        assert failure.error_code == code
        assert reason is None or failure.reason == reason
        assert any(word in failure.message for word in ("again", "Check", "later")), failure.message


def leaves_gaps(report: BackfillReport, *kinds: str) -> None:
    """The report lists gaps of these kinds and no others, and does not call itself complete."""
    assert report.exit_code == EXIT_GAPS_REMAIN
    assert {gap.kind for gap in report.gaps_remaining} == set(kinds)


def is_complete(report: BackfillReport) -> None:
    """The report says that all is there."""
    assert report.failures == ()
    assert report.gaps_remaining == ()
    assert report.exit_code == EXIT_COMPLETE
    assert all(state.is_complete for state in report.matrix)


def _bars_are_true(ticker: str, stored: Bars, truth: Bars) -> None:
    """No bar is invented, and none has another value than the exchange's."""
    invented = [_shown(ts) for ts in stored.keys() - truth.keys()]
    assert not invented, f"{ticker}: stored, but the exchange has no such bar: {invented[:3]}"
    wrong = [(_shown(ts), bar, truth[ts]) for ts, bar in stored.items() if bar != truth[ts]]
    assert not wrong, f"{ticker}: {len(wrong)} bars are stored with wrong values: {wrong[:2]}"


def _absence_is_told(
    rig: Rig,
    ticker: str,
    timeframe: Timeframe,
    absent: Sequence[int],
    row: SeriesRow | None,
    gaps: Sequence[ListedGap],
    report: BackfillReport,
) -> None:
    """A bar that is not stored is not covered in silence, not settled away, and the report does not end in success."""
    covered = row.covered if row is not None else Ranges()
    has_failed = any(ticker in failure.symbols for failure in report.failures)
    told = (*report.gaps_remaining, *report.not_come_to)
    seen = [Range(gap.gap_from, gap.gap_to) for gap in told if gap.symbol == ticker]
    quarantined = {ts for (ts,) in rig.query("select ts from quarantined_bars where symbol = %s", ticker) if ts}
    for ts in absent:
        bar = Range(from_us(ts), from_us(ts) + timeframe.length)
        kinds = {one.gap.kind for one in gaps if one.gap.range & bar}
        assert not (kinds and kinds <= SETTLED), f"{ticker} {_shown(ts)} was settled as {kinds}, but it exists"
        is_told = bool(kinds) or bar.start in quarantined
        assert is_told or not covered & bar, f"{ticker} {_shown(ts)} is covered, absent and nobody knows"
        is_seen = has_failed or any(one & bar for one in seen) or "not_entitled" in kinds
        assert is_seen, f"{ticker} {_shown(ts)} is absent from the report"
        assert report.exit_code != EXIT_COMPLETE or "not_entitled" in kinds


def _gaps_are_no_bars(ticker: str, stored: Bars, row: SeriesRow | None, gaps: Sequence[ListedGap]) -> None:
    """What is stored and covered is not on record as a gap."""
    for one in gaps:
        gap = one.gap
        is_covered = row is not None and row.covered.covers(gap.range)
        inside = [ts for ts in stored if gap.range.start <= from_us(ts) < gap.range.end]
        if is_covered and gap.kind not in SETTLED:
            assert not inside, f"{ticker}: {gap.kind} gap {gap.range} holds bars that are stored"


def _counters_fit(rig: Rig, ticker: str, timeframe: Timeframe, row: SeriesRow | None) -> None:
    """The ledger of the series counts what the table holds."""
    counted = rig.query(
        "select count(*), min(ts), max(ts) from ohlc_bars join symbols on symbols.id = symbol_id "
        "where ticker = %s and timeframe = %s",
        ticker,
        timeframe.value,
    )[0]
    assert counted == ((row.bar_count, row.oldest_ts, row.newest_ts) if row is not None else (0, None, None))


def _runs_are_over(rig: Rig, report: BackfillReport) -> None:
    """
    Every run came to a recorded end, or waits for the next backfill where this one ended early; the runs count the
    pages and bars that were seen going in.
    """
    assert rig.query("select id from job_runs where status = 'running'") == []
    ended_early = report.was_bounded or {one.error_code for one in report.failures} & ENDING_ALL
    assert ended_early or rig.query("select id from job_runs where status = 'queued'") == []
    assert rig.query("select id from job_runs where status = 'failed' and coalesce(error_message, '') = ''") == []
    if report.exit_code == EXIT_FAILED:
        assert report.failures
    pages, written, received = rig.query("select sum(page_no), sum(rows_written), sum(rows_received) from job_runs")[0]
    told = rig.listener.pages
    assert (pages or 0) == len(told)
    assert (written or 0) == sum(page.inserted + page.changed for page in told)
    assert (received or 0) >= sum(page.inserted + page.changed + page.unchanged for page in told)


def _texts_are_fit_to_show(rig: Rig, report: BackfillReport) -> None:
    """No key, no URL and no long piece of a body in what people read."""
    texts = [failure.message for failure in report.failures] + rig.listener.notes
    texts += [str(text) for (text,) in rig.query("select error_message from job_runs where error_message is not null")]
    texts += [str(text) for (text,) in rig.query("select last_error from series where last_error is not null")]
    texts += [str(text) for (text,) in rig.query("select reason from series_gaps")]
    for text in texts:
        assert rig.key not in text
        assert "://" not in text
        assert len(text) <= ERROR_TEXT_MAX
        assert text.isprintable()


def _shown(ts: int) -> str:
    return from_us(ts).isoformat()
