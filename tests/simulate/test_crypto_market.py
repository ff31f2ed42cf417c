"""The crypto side of the synthetic market."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.maintenance import is_down, windows
from barfill.simulate.market.sessions import MINUTE_NS, to_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.utc_buckets import DAY_NS, utc_start_ns
from barfill.simulate.market.venues import VENUES
from barfill.simulate.market.wanted import Wanted

MARKET = CryptoMarket(1)
NOW_NS = to_ns(datetime(2026, 8, 17, 18, 0, 30, tzinfo=UTC))
MINUTE, HOUR, DAY = Timeframe(1, "Min"), Timeframe(1, "Hour"), Timeframe(1, "Day")
PAIRS = [(venue.name, traded.symbol) for venue in VENUES.values() for traded in venue.traded]


def read(venue: str, symbol: str, timeframe: Timeframe, start: str, end: str, market: CryptoMarket = MARKET) -> Bars:
    """Bars from *start* to *end*, the end left out."""
    bounds = (to_ns(datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in (start, end))
    first_ns, end_ns = bounds
    return market.read(symbol, Wanted(timeframe, first_ns, end_ns - 1, venue, NOW_NS))


@settings(max_examples=12)
@given(pair=st.sampled_from(PAIRS), back=st.integers(0, 800))
def test_minutes_add_up_to_the_day(pair: tuple[str, str], back: int) -> None:
    """A day's open, high, low, close and volume are those of its minutes, exactly, today's too; each row is ordered."""
    day = (datetime(2026, 8, 17, tzinfo=UTC) - timedelta(days=back)).date().isoformat()
    after = (datetime.fromisoformat(day) + timedelta(days=1)).date().isoformat()

    minutes, daily = (read(*pair, timeframe, day, after) for timeframe in (MINUTE, DAY))

    assert len(daily) == 1
    assert (minutes.open[0], minutes.high.max(), minutes.low.min(), minutes.close[-1], minutes.volume.sum()) == (
        daily.open[0], daily.high[0], daily.low[0], daily.close[0], daily.volume[0],
    )  # fmt: skip
    assert (minutes.low <= np.minimum(minutes.open, minutes.close)).all()
    assert (minutes.high >= np.maximum(minutes.open, minutes.close)).all()
    assert (minutes.volume > 0).all()
    assert not is_down(pair[0], minutes.ts).any()


def test_it_never_closes() -> None:
    """A Saturday and a holiday of New York have a trade in each of their 1,440 minutes where a venue is liquid."""
    for day, after in (("2026-08-15", "2026-08-16"), ("2025-12-25", "2025-12-26")):
        assert len(read("binance", "BTC/USDT", MINUTE, day, after)) == 1440


def test_venues_differ_a_little() -> None:
    """Closes of the same pair lie some basis points apart, never far; minutes without a trade are each venue's own."""
    first, second = (read(name, "BTC/USD", DAY, "2025-01-01", "2026-01-01") for name in ("binance", "kraken"))
    gaps = np.abs(first.close / second.close - 1)

    assert (gaps > 0).mean() > 0.95
    assert gaps.max() < 0.005
    assert not np.array_equal(first.volume, second.volume)
    one, other = (
        set(read(name, "SOL/USD", MINUTE, "2026-05-05", "2026-05-06").ts) for name in ("kraken", "coinbaseexchange")
    )
    assert one - other
    assert other - one


def test_the_same_seed_is_the_same_market() -> None:
    """Another object with the seed has the same bars, another seed has others."""
    wanted = ("coinbaseexchange", "ETH/USD", HOUR, "2026-01-01", "2026-01-02")
    bars = read(*wanted)

    assert np.array_equal(bars.close, read(*wanted, CryptoMarket(1)).close)
    assert not np.array_equal(bars.close, read(*wanted, CryptoMarket(2)).close)


def test_illiquid_pairs_have_empty_hours_and_young_ones_no_past() -> None:
    """DUST trades in some hours only, SOL not before its listing, and a market that is closed has nothing."""
    assert 300 < len(read("coinbaseexchange", "DUST/USD", HOUR, "2026-07-01", "2026-08-01")) < 640
    first = read("binance", "SOL/USDT", DAY, "2019-01-01", "2020-09-01")
    assert first.ts[0] == to_ns(datetime(2020, 8, 11, tzinfo=UTC))
    assert not len(read("kraken", "BTC/USD", DAY, "2026-01-01", "2026-02-01", CryptoMarket(1, is_open=False)))


@pytest.mark.parametrize(
    ("venue", "first", "end", "known"),
    [
        ("binance", "2019-05-15T03:00", "2019-05-15T13:00", 0),
        ("binance", "2026-08-12T02:00", "2026-08-12T04:30", 0),
        ("coinbaseexchange", "2026-06-13T13:00", "2026-06-13T15:00", 0),
        ("kraken", "2026-07-14T04:10", "2026-07-14T06:40", 150),
        ("alpaca", "2026-08-09T09:00", "2026-08-09T10:00", 0),
    ],
)
def test_maintenance(venue: str, first: str, end: str, known: int) -> None:
    """In its windows a venue has no trade, and rows of volume 0 on Kraken only; right before and after it trades."""
    symbol = VENUES[venue].traded[0].symbol
    bounds = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, end))
    start_ns, end_ns = map(to_ns, bounds)
    wanted = Wanted(MINUTE, start_ns, end_ns - 1, venue, NOW_NS)
    around = MARKET.read(symbol, Wanted(MINUTE, start_ns - 20 * MINUTE_NS, end_ns + 20 * MINUTE_NS, venue, NOW_NS))

    assert bounds in windows(venue)
    assert not len(MARKET.read(symbol, wanted))
    assert len(MARKET.read_filled(symbol, wanted)) == known
    assert around.ts[0] < start_ns < end_ns <= around.ts[-1]


def test_buckets_are_counted_in_utc() -> None:
    """Days from 1970, weeks from Monday (seven days from Thursday), months from the first; anchors move them."""
    at_ns = to_ns(datetime(2026, 8, 16, 5, 30, tzinfo=UTC))

    def start(amount: int, unit: str, anchor_h: int = 0) -> str:
        found = utc_start_ns(at_ns, Timeframe(amount, unit), anchor_h * DAY_NS // 24)
        return str(np.datetime64(found, "ns"))[5:16]

    assert [start(4, "Hour"), start(1, "Day"), start(1, "Week"), start(7, "Day"), start(1, "Month")] == [
        "08-16T04:00", "08-16T00:00", "08-10T00:00", "08-13T00:00", "08-01T00:00",
    ]  # fmt: skip
    assert [start(1, "Day", 6), start(1, "Week", 6), start(1, "Month", 6)] == [
        "08-15T06:00", "08-10T06:00", "08-01T06:00",
    ]  # fmt: skip
