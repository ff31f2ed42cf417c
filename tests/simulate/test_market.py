"""The synthetic market: what its bars are and how they hang together."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def new_york(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(local=pl.col("ts").dt.convert_time_zone("America/New_York"))


def regular(frame: pl.DataFrame, close: str = "16:00") -> pl.DataFrame:
    clock = pl.col("local").dt.strftime("%H:%M")
    return new_york(frame).filter((clock >= "09:30") & (clock < close))


@pytest.mark.parametrize("symbol", ["AAPL", "F", "THIN", "HLTD", "SPLT", "SYM0001"])
def test_minutes_make_up_the_daily_bars(exchange: SimulatedExchange, symbol: str) -> None:
    """Open, high, low and close of regular minutes and the volume of all minutes are those of the daily bar."""
    start, end = at("2026-02-01"), at("2026-08-15")
    minutes, days = exchange.truth(symbol, "m1", start, end), exchange.truth(symbol, "d1", start, end)

    by_day = pl.col("local").dt.date().alias("day")
    prices = regular(minutes).group_by(by_day, maintain_order=True).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close")
    )  # fmt: skip
    volumes = new_york(minutes).group_by(by_day, maintain_order=True).agg(pl.sum("volume"))

    assert prices.drop("day").equals(days.select("open", "high", "low", "close"))
    assert volumes["volume"].to_list() == days["volume"].to_list()


def test_bars_are_well_formed(exchange: SimulatedExchange) -> None:
    """Every bar has low <= open, close, vwap <= high, a volume and a trade."""
    for symbol in ("AAPL", "THIN", "BRK.B"):
        for timeframe in ("m1", "m15", "h4", "d1", "w1"):
            bars = exchange.truth(symbol, timeframe, at("2026-07-01"), at("2026-08-15"))
            assert bars.select(
                (pl.col("low") > 0).all()
                & (pl.col("low") <= pl.min_horizontal("open", "close")).all()
                & (pl.col("high") >= pl.max_horizontal("open", "close")).all()
                & pl.col("vwap").is_between(pl.col("low"), pl.col("high")).all()
                & (pl.col("volume") > 0).all()
                & (pl.col("trades") > 0).all()
                & pl.col("ts").is_sorted()
                & pl.col("ts").is_unique().all()
            ).item(), (symbol, timeframe)


def test_daily_bars_lie_on_the_sessions(exchange: SimulatedExchange) -> None:
    """There is a daily bar at New York midnight of each XNYS session and of no other day (2025: 250 of them)."""
    days = new_york(exchange.truth("MSFT", "1Day", at("2025-01-01"), at("2026-01-01")))

    dates = days["local"].dt.date().to_list()

    assert len(dates) == 250
    assert {stamp.strftime("%H:%M") for stamp in days["local"]} == {"00:00"}
    assert date(2025, 1, 9) not in dates  # announced late
    assert date(2025, 11, 28) in dates  # a half day


def test_minutes_run_from_four_to_eight(exchange: SimulatedExchange) -> None:
    """Minutes cover 04:00 to 20:00 New York, in winter and in summer."""
    for day in ("2026-01-20", "2026-07-20"):
        minutes = new_york(exchange.truth("SPY", "m1", at(day), at(f"{day}T23:59")))
        clocks = [stamp.strftime("%H:%M") for stamp in minutes["local"] if stamp.date() == date.fromisoformat(day)]
        assert "04:00" <= clocks[0] < "04:20"
        assert "19:00" < clocks[-1] < "20:00" or day == "2026-01-20"


def test_half_days_end_early(exchange: SimulatedExchange) -> None:
    """On a half day regular minutes end at 13:00 and extended ones at 17:00 New York."""
    minutes = new_york(exchange.truth("SPY", "m1", at("2025-11-28T05:00"), at("2025-11-29T04:00")))

    clocks = minutes["local"].dt.strftime("%H:%M")

    assert ((clocks >= "09:30") & (clocks < "13:00")).sum() == 210
    assert "16:30" < clocks[-1] < "17:00"


def test_volume_has_the_shape_of_a_u(exchange: SimulatedExchange) -> None:
    """The first and the last half hour each trade far more than half an hour at noon."""
    minutes = regular(exchange.truth("AAPL", "m1", at("2026-06-01"), at("2026-06-30")))

    by_half_hour = minutes.group_by(pl.col("local").dt.strftime("%H").alias("hour")).agg(pl.mean("volume"))
    mean = dict(by_half_hour.iter_rows())

    assert mean["09"] > 2 * mean["12"]
    assert mean["15"] > 1.5 * mean["12"]


def test_liquid_symbols_have_every_regular_minute(exchange: SimulatedExchange) -> None:
    """A liquid symbol has 390 regular minutes a session and about 800 to 900 minutes in all."""
    minutes = exchange.truth("AAPL", "m1", at("2026-06-02T04:00"), at("2026-06-03T03:59"))

    assert len(regular(minutes)) == 390
    assert 750 < len(minutes) < 900


def test_the_illiquid_symbol_rarely_trades(exchange: SimulatedExchange) -> None:
    """THIN trades in about 6 % of the regular minutes, yet has a daily bar each session."""
    minutes = regular(exchange.truth("THIN", "m1", at("2026-06-01"), at("2026-07-01")))
    days = exchange.truth("THIN", "d1", at("2026-06-01"), at("2026-07-01"))

    assert len(days) == 21
    assert 0.04 < len(minutes) / (21 * 390) < 0.08


def test_the_halted_symbol_has_its_holes(exchange: SimulatedExchange) -> None:
    """HLTD has no minute from 11:00 to 14:00 on 2026-07-22 and nothing at all on 2026-08-05."""
    day = new_york(exchange.truth("HLTD", "m1", at("2026-07-22T04:00"), at("2026-07-22T23:59")))
    clocks = day["local"].dt.strftime("%H:%M")

    assert not ((clocks >= "11:00") & (clocks < "14:00")).any()
    assert (clocks >= "14:00").any()
    for timeframe in ("m1", "d1"):
        assert exchange.truth("HLTD", timeframe, at("2026-08-05T04:00"), at("2026-08-06T03:59")).is_empty()


def test_the_split_cuts_raw_prices_by_four(exchange: SimulatedExchange) -> None:
    """SPLT's raw price falls to a quarter on 2026-03-16; adjusted, earlier bars fit and later ones are as they were."""
    start, end = at("2026-03-13T04:00"), at("2026-03-17")
    raw = exchange.truth("SPLT", "d1", start, end)
    adjusted = exchange.truth("SPLT", "d1", start, end, adjustment="split")

    assert raw["close"][0] / raw["open"][1] == pytest.approx(4, rel=0.05)
    assert adjusted["close"][0] == pytest.approx(raw["close"][0] / 4)
    assert adjusted["volume"][0] == raw["volume"][0] * 4
    assert adjusted.tail(1).equals(raw.tail(1))


def test_listing_and_delisting_bound_the_bars(exchange: SimulatedExchange) -> None:
    """NEWC begins on 2026-05-18 and GONE ends on 2025-03-14."""
    new, gone = exchange.truth("NEWC", "d1"), exchange.truth("GONE", "d1")

    assert new["ts"][0] == at("2026-05-18T04:00")
    assert gone["ts"][-1] == at("2025-03-14T04:00")
    assert exchange.truth("NEWC", "m1", at("2026-05-01"), at("2026-05-17")).is_empty()


def test_feeds_differ(exchange: SimulatedExchange) -> None:
    """IEX has fewer minutes and 2 to 3 % of the volume, and its history starts in 2020."""
    span = at("2026-06-01"), at("2026-06-30")
    sip, iex = (exchange.truth("AAPL", "m1", *span, feed=feed) for feed in ("sip", "iex"))
    sip_days, iex_days = (exchange.truth("AAPL", "d1", *span, feed=feed) for feed in ("sip", "iex"))
    share = (iex_days["volume"] / sip_days["volume"]).to_numpy()

    assert len(iex) < 0.8 * len(sip)
    assert set(iex["ts"]) < set(sip["ts"])
    assert ((share > 0.019) & (share < 0.031)).all()
    assert exchange.truth("AAPL", "d1", feed="iex")["ts"][0] == at("2020-07-27T04:00")


def test_the_same_seed_gives_the_same_market() -> None:
    """Two exchanges of one seed hold equal bars, another seed other ones."""
    frames = []
    for seed in (1, 1, 2):
        exchange = SimulatedExchange(ExchangeConfig(seed=seed, symbols=5, start_clock=at("2026-08-17")))
        frames.append(exchange.truth("AAPL", "m1", at("2026-06-01"), at("2026-06-03")))

    assert frames[0].equals(frames[1])
    assert not frames[0].equals(frames[2])


def test_any_part_can_be_asked_first(exchange: SimulatedExchange) -> None:
    """What a range holds does not depend on what was asked before or on the range's bounds."""
    whole = exchange.truth("MSFT", "m15", at("2026-04-01"), at("2026-06-30"))
    part = exchange.truth("MSFT", "m15", at("2026-05-12"), at("2026-05-13"))

    assert part.equals(whole.filter(pl.col("ts").is_between(at("2026-05-12"), at("2026-05-13"))))


def test_coarse_bars_are_made_of_minutes(exchange: SimulatedExchange) -> None:
    """An hour's bar is the aggregate of its minutes, keyed by the clock hour, extended hours included."""
    span = at("2026-06-02T04:00"), at("2026-06-03T03:59")
    minutes, hours = exchange.truth("AAPL", "m1", *span), exchange.truth("AAPL", "h1", *span)

    by_hand = minutes.group_by(pl.col("ts").dt.truncate("1h"), maintain_order=True).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume"), pl.sum("trades")
    )  # fmt: skip

    assert by_hand.equals(hours.drop("vwap"))


@pytest.mark.parametrize("day", ["2026-01-20", "2026-07-21"])
def test_four_hours_start_on_new_york_hours(exchange: SimulatedExchange, day: str) -> None:
    """4Hour bars start at 04, 08, 12 and 16 New York, winter and summer."""
    bars = new_york(exchange.truth("SPY", "4Hour", at(f"{day}T06:00"), at(f"{day}T23:59")))

    assert [stamp.hour for stamp in bars["local"]] == [4, 8, 12, 16]


def test_weeks_are_keyed_by_monday(exchange: SimulatedExchange) -> None:
    """A week's bar is keyed by the New York midnight of its Monday, a holiday Monday too."""
    weeks = exchange.truth("SPY", "1Week", at("2026-01-01"), at("2026-02-28"))
    days = exchange.truth("SPY", "1Day", at("2026-01-20"), at("2026-01-24"))

    assert at("2026-01-19T05:00") in weeks["ts"].to_list()  # Martin Luther King Day
    week = weeks.filter(pl.col("ts") == at("2026-01-19T05:00"))
    assert week["volume"].item() == days["volume"].sum()
    assert week["open"].item() == days["open"][0]


def test_the_clock_hides_the_future(exchange: SimulatedExchange) -> None:
    """At 14:00 New York the last minute is 13:59 and today's daily bar is made of the minutes so far."""
    minutes = exchange.truth("AAPL", "m1", at("2026-08-17T04:00"))
    today = exchange.truth("AAPL", "d1", at("2026-08-17T04:00"))

    assert minutes["ts"][-1] == at("2026-08-17T17:59")
    assert today["volume"].to_list() == [minutes["volume"].sum()]
    assert today["close"].item() == minutes["close"][-1]


def test_five_thousand_symbols_are_quick() -> None:
    """Generated tickers are well-formed and their daily bars need no minutes."""
    exchange = SimulatedExchange(ExchangeConfig(symbols=5000, start_clock=at("2026-08-17")))

    volumes = [
        int(exchange.truth(symbol, "d1", at("2026-08-03"))["volume"].sum()) for symbol in list(exchange.listings)[:600]
    ]

    assert len(exchange.listings) == 5000
    assert sum(volume > 0 for volume in volumes) == 599  # all but GONE
