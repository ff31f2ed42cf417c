"""barfill's own venue adapters against the simulated venues: around the clock, over outages, walls and other venues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN, BackfillReport
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.client import ProviderClient
from barfill.providers.limiter import Quota
from barfill.simulate import SimulatedExchange
from barfill.simulate.market.maintenance import windows
from barfill.store.database import Database
from tests.engine.rig import Bars, Rig, days

H1, D1 = Timeframe.H1, Timeframe.D1
HOUR = timedelta(hours=1)
SYMBOL = "BTC/USD"
#: Binance was down for five, three, one and four whole hours.
YEAR = days("2020-02-01", "2021-02-01")
WEEK = days("2026-07-06", "2026-07-13")
BARS_ENDPOINTS = {"klines", "candles", "ohlc"}


@dataclass
class VenueRig(Rig):
    """Backfills from one crypto venue of the exchange."""

    venue: str = "binance"

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client of the venue with short waits."""
        provider = make_venue(self.venue, self.exchange.venue_url(self.venue), requests_per_minute=100_000)
        return self.client_of(provider, quota)

    def fill(self, timeframe: Timeframe, wanted: Range) -> BackfillReport:
        """One backfill of the symbol."""
        return self.backfill([SYMBOL], [timeframe], wanted)

    def truth(self, ticker: str, timeframe: Timeframe, wanted: Range) -> Bars:
        """What was traded on the venue within *wanted*."""
        last = wanted.end - timedelta(microseconds=1)
        frame = self.exchange.crypto_truth(self.venue, ticker, timeframe.value, wanted.start, last)
        starts = frame["ts"].dt.epoch("us").to_list()
        return dict(zip(starts, frame.select("open", "high", "low", "close", "volume").iter_rows(), strict=True))

    def calls(self) -> int:
        """How many requests for bars the exchange has seen since the last time, whichever venue they went to."""
        count = len([one for one in self.exchange.requests if one.endpoint in BARS_ENDPOINTS])
        self.exchange.forget_requests()
        return count

    def gaps(self) -> list[tuple[Range, str]]:
        """Every gap on record, the oldest first."""
        rows = self.query("select gap_from, gap_to, kind from gaps order by gap_from")
        return [(Range(gap_from, gap_to), kind) for gap_from, gap_to, kind in rows]


@pytest.fixture
def venues(exchange: SimulatedExchange, database: Database) -> VenueRig:
    """A rig of Binance."""
    return VenueRig(exchange, database)


def outages_of(venue: str, wanted: Range) -> list[Range]:
    """The runs of whole hours within *wanted* in which the venue was down."""
    minute = timedelta(minutes=1)
    return [
        Range(start + -start.minute % 60 * minute, end - end.minute * minute)
        for start, end in windows(venue)
        if wanted.start <= start and end <= wanted.end
    ]


@pytest.mark.parametrize(
    ("venue", "pages", "kind"), [("binance", 9, "unavailable"), ("coinbaseexchange", 30, "no_trade")]
)
def test_a_year_of_hours_is_the_venues(venues: VenueRig, venue: str, pages: int, kind: str) -> None:
    """T12: each hour as traded there; outages are settled, Binance's by its table; a second run costs nothing."""
    venues.venue = venue

    report = venues.fill(H1, YEAR)
    calls = venues.calls()
    again = venues.fill(H1, YEAR)

    stored, outages = venues.stored(SYMBOL, H1), outages_of(venue, YEAR)
    assert stored == venues.truth(SYMBOL, H1, YEAR)
    assert len(outages) == 4
    assert len(stored) == 366 * 24 - sum(one.length // HOUR for one in outages)
    assert venues.gaps() == [(one, kind) for one in outages]
    assert calls == pages
    assert report.exit_code == again.exit_code == EXIT_COMPLETE
    assert venues.calls() == 0


def test_maintenance_stays_settled_when_it_is_read_again(venues: VenueRig) -> None:
    """T12: within the hour a second answer without the hours of an outage on file raises no doubt about them."""
    day = days("2020-12-21", "2020-12-22")
    report = venues.fill(H1, day)
    again = venues.backfill([SYMBOL], [H1], day, is_full=True)

    assert report.exit_code == again.exit_code == EXIT_COMPLETE
    assert venues.gaps() == [(one, "unavailable") for one in outages_of("binance", day)]


def test_same_hours_at_another_time_are_missing(venues: VenueRig) -> None:
    """T12: what is absent outside of the table's windows is a hole, asked for again, also where a venue was down."""
    minute, day = Timeframe.M1, days("2026-08-12", "2026-08-13")
    report = venues.fill(minute, day)

    assert report.exit_code == EXIT_GAPS_REMAIN
    assert [kind for _, kind in venues.gaps()] == ["missing"]


def test_no_series_mixes_two_venues(venues: VenueRig) -> None:
    """The second venue's bars of a series are refused with a text that names both, and nothing of it is stored."""
    venues.venue = "coinbaseexchange"
    venues.fill(H1, WEEK)
    before = venues.stored(SYMBOL, H1)
    venues.venue = "binance"

    report = venues.fill(H1, days("2026-06-29", "2026-07-20"))

    assert report.exit_code == EXIT_FAILED
    (message,) = {failure.message for failure in report.failures}
    assert "'coinbaseexchange'" in message
    assert "'binance'" in message
    assert venues.stored(SYMBOL, H1) == before
    assert venues.query("select distinct provider, feed from ohlc_bars") == [("coinbaseexchange", "coinbaseexchange")]


def test_what_lies_before_krakens_wall_is_not_taken_for_fetched(venues: VenueRig) -> None:
    """Of 40 days of hours the newest 718 come in one call; the rest is neither covered nor asked for again."""
    venues.venue = "kraken"
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    wanted = Range(hour - 40 * 24 * HOUR, hour - HOUR)

    venues.fill(H1, wanted)
    calls = venues.calls()
    venues.fill(H1, wanted)

    ((covered,),) = venues.query("select lower(covered) from coverage_status")
    reached, stored = Range(covered, wanted.end), venues.stored(SYMBOL, H1)
    assert 716 <= reached.length // HOUR <= 718
    traded = {start: bar for start, bar in stored.items() if bar[4] > 0}
    assert traded == venues.truth(SYMBOL, H1, reached)
    # In maintenance, and wherever nothing was traded, Kraken sends rows of volume 0.
    assert len(stored) == reached.length // HOUR
    assert (calls, venues.calls()) == (1, 0)


@pytest.mark.parametrize("venue", ["binance", "coinbaseexchange"])
def test_d33_two_rows_for_a_bar_are_kept_out_until_one_comes(venues: VenueRig, venue: str) -> None:
    """D33: of two venues' rows of one bar neither is believed (Q11); later the venue's own one fills the gap."""
    venues.venue = venue
    wanted = days("2026-07-06", "2026-07-07")
    venues.exchange.set_faults([{"match": {"provider": venue}, "fault": "D33"}])

    lied_to = venues.fill(H1, wanted)
    kept_out = venues.query("select rule, count(*) from quarantined_bars group by rule")
    doubtful = venues.stored(SYMBOL, H1)
    venues.exchange.set_faults([])
    venues.change("update series_gaps set next_check_at = now() - interval '1 second'")
    healed = venues.fill(H1, wanted)

    assert (lied_to.exit_code, healed.exit_code) == (EXIT_GAPS_REMAIN, EXIT_COMPLETE)
    assert (kept_out, doubtful) == ([("Q11", 2 * 24)], {})
    assert venues.stored(SYMBOL, H1) == venues.truth(SYMBOL, H1, wanted)


@pytest.mark.parametrize("venue", ["binance", "coinbaseexchange", "kraken"])
def test_d33_days_from_another_hour_are_refused(venues: VenueRig, venue: str) -> None:
    """D33: days that begin at 06:00 UTC are other days; not one is stored, and the text says so. The right ones are."""
    venues.venue = venue
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = Range(today - timedelta(days=10), today - timedelta(days=2))
    venues.exchange.set_faults([{"match": {"provider": venue}, "fault": "D33", "args": {"form": "anchor"}}])

    refused = venues.fill(D1, wanted)
    other_days = venues.stored(SYMBOL, D1)
    venues.exchange.set_faults([])
    accepted = venues.fill(D1, wanted)

    assert (refused.exit_code, accepted.exit_code) == (EXIT_FAILED, EXIT_COMPLETE)
    (failure,) = refused.failures
    assert failure.error_code == "BAD_RESPONSE"
    assert f"The days of {venue} begin at 06:00 UTC, barfill's at 00:00" in failure.message
    assert other_days == {}
    assert venues.stored(SYMBOL, D1) == venues.truth(SYMBOL, D1, wanted)
