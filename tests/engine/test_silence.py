"""Which silence is believed, and from when on: what was said before, how long ago, and what else the answer holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import Quota, SlidingQuota
from tests.engine.honesty import FaultyRig, is_complete, leaves_gaps, nothing_is_silently_successful
from tests.engine.rig import days

M15, D1 = Timeframe.M15, Timeframe.D1
SESSION = Range(datetime(2026, 9, 15, 13, 30, tzinfo=UTC), datetime(2026, 9, 15, 20, tzinfo=UTC))
DAY_BEFORE = Range(SESSION.start - timedelta(days=1), SESSION.end - timedelta(days=1))


def quarter(number: int) -> datetime:
    """The start of one of the session's 26 quarter hours."""
    return SESSION.start + number * M15.length


@dataclass
class Losses:
    """Starts of bars that do not come, and of bars that come with a high below their low."""

    absent: set[datetime] = field(default_factory=set)
    broken: set[datetime] = field(default_factory=set)


class Losing(Alpaca):
    """Alpaca on a bad day."""

    losses: Losses
    tells_trades = False

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page without what is lost, and with what is broken."""
        page = super().parse_bars(query, response)
        rows = page.rows.take(~np.isin(page.rows.ts, _stamps(self.losses.absent)))
        if not self.tells_trades:
            rows.trade_count[:] = NO_TRADE_COUNT
        rows.high[np.isin(rows.ts, _stamps(self.losses.broken))] = 0.5 * rows.low.min(initial=1.0)
        return replace(page, rows=rows)


@dataclass
class LosingRig(FaultyRig):
    """A rig with such a provider; nothing is asked again within a backfill unless a test wants it."""

    losses: Losses = field(default_factory=Losses)
    tells_trades: bool = False

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client that loses rows."""
        provider = Losing(self.key, "secret", base_url=self.exchange.alpaca_url, page_size=self.page_size)
        provider.losses, provider.tells_trades = self.losses, self.tells_trades
        return ProviderClient(provider, HttpClient(provider.base_urls), quota or SlidingQuota(10_000))

    def kinds(self) -> set[tuple[Any, ...]]:
        """Kind and start of all gaps on record."""
        return set(self.query("select kind, gap_from from series_gaps"))

    def an_hour_passes(self) -> None:
        """All gaps on record have been there for longer than an hour, and are due."""
        self.change(
            "update series_gaps set first_seen_at = now() - interval '61 minutes', "
            "next_check_at = now() - interval '1 second'"
        )


@pytest.fixture
def losing(faulty: FaultyRig) -> LosingRig:
    """A rig that has stored a day of AAPL before."""
    settings = replace(faulty.settings, gap_attempts=0)
    rig = LosingRig(faulty.exchange, faulty.database, settings=settings)
    is_complete(rig.backfill(["AAPL"], [M15], DAY_BEFORE))
    return rig


@pytest.mark.parametrize("page_size", [25, 10_000], ids=["on an empty last page", "on the same page"])
def test_the_last_bar_of_an_answer_is_asked_for_again(losing: LosingRig, page_size: int) -> None:
    """Where an answer ends it may have been cut: of a symbol that never lacks a bar, not even one is quiet there."""
    losing.page_size = page_size
    losing.losses.absent = {quarter(25)}

    report = losing.backfill(["AAPL"], [M15], SESSION)

    assert losing.kinds() == {("missing", quarter(25))}
    leaves_gaps(report, "missing")


def test_the_first_bar_of_an_answer_is_asked_for_again(losing: LosingRig) -> None:
    """Where an answer begins it may have been cut as well."""
    losing.losses.absent = {quarter(0)}

    report = losing.backfill(["AAPL"], [M15], SESSION)

    assert losing.kinds() == {("missing", quarter(0))}
    leaves_gaps(report, "missing")


@pytest.mark.parametrize(("length", "kind"), [(2, "no_trade"), (3, "missing")])
def test_a_hole_in_the_middle_is_judged_by_its_length(losing: LosingRig, length: int, kind: str) -> None:
    """Two quarters of an hour without a trade may be; three in a row of a symbol that never lacks any are asked for."""
    losing.losses.absent = {quarter(10 + number) for number in range(length)}

    losing.backfill(["AAPL"], [M15], SESSION)

    assert losing.kinds() == {(kind, quarter(10))}


def test_a_hole_among_busy_bars_is_none_however_short(losing: LosingRig) -> None:
    """Where the provider says how many trades its bars hold, one quarter of an hour among busy ones is asked for."""
    losing.losses.absent, losing.tells_trades = {quarter(12)}, True

    leaves_gaps(losing.backfill(["AAPL"], [M15], SESSION), "missing")

    assert losing.kinds() == {("missing", quarter(12))}


def test_silence_that_has_lasted_is_believed_of_a_lossy_answer_too(losing: LosingRig) -> None:
    """A bar that was absent an hour ago, and is absent from an answer with an empty page in it, was not traded."""
    losing.losses.absent = {quarter(12)}
    losing.inject("H20", {"nth": 1}, form="empty")
    leaves_gaps(losing.backfill(["AAPL"], [M15], SESSION), "missing")
    losing.an_hour_passes()
    losing.inject("H20", {"nth": 1}, form="empty")

    report = losing.backfill(["AAPL"], [M15], SESSION, is_full=True)

    assert "H20" in losing.fired()
    assert losing.kinds() == {("no_trade", quarter(12))}
    is_complete(report)


def test_the_tail_begins_behind_a_row_that_was_kept_out(losing: LosingRig) -> None:
    """The answer went on to a row that broke a rule: a quiet bar before it is no cut end."""
    losing.losses.absent, losing.losses.broken = {quarter(24)}, {quarter(25)}

    report = losing.backfill(["AAPL"], [M15], SESSION)

    assert losing.kinds() == {("no_trade", quarter(24)), ("quarantined", quarter(25))}
    leaves_gaps(report, "quarantined")


def test_silence_about_a_broken_row_is_believed_after_an_hour(losing: LosingRig) -> None:
    """A row came once, and broke a rule; until then there is a bar, later an answer without it is believed."""
    losing.losses.broken = {quarter(12)}
    leaves_gaps(losing.backfill(["AAPL"], [M15], SESSION), "quarantined")
    losing.losses.broken, losing.losses.absent = set(), {quarter(12)}

    soon = losing.backfill(["AAPL"], [M15], SESSION, is_full=True)
    kinds_soon = losing.kinds()
    losing.an_hour_passes()
    later = losing.backfill(["AAPL"], [M15], SESSION, is_full=True)

    leaves_gaps(soon, "quarantined")
    assert kinds_soon == {("quarantined", quarter(12))}
    assert losing.kinds() == {("no_trade", quarter(12))}
    is_complete(later)


def test_a_hole_between_rows_shows_no_last_bar(losing: LosingRig) -> None:
    """
    A symbol that no longer trades lacks a day between two others, and two hasty answers lack all of a later month:
    only an answer that ends with rows shows where it ended.
    """
    losing.settings = replace(losing.settings, gap_attempts=2)
    wanted, stored = days("2024-11-01", "2025-03-01"), days("2025-01-01", "2025-02-01")
    losing.backfill(["GONE"], [D1], stored)
    later = {stored.end + timedelta(days=number) for number in range(28)}
    losing.losses.absent = {datetime(2024, 12, 4, tzinfo=UTC), *later}

    report = losing.backfill(["GONE"], [D1], wanted)

    nothing_is_silently_successful(losing, report, D1, wanted, ["GONE"])
    leaves_gaps(report, "missing")
    assert len(losing.kinds()) == 2
    losing.losses.absent = set()
    losing.heal()
    is_complete(losing.backfill(["GONE"], [D1], wanted))


def _stamps(instants: Collection[datetime]) -> list[int]:
    return [to_us(instant) for instant in instants]
