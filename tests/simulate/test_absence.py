"""Why a bar is absent, by the market's own account, and the histories of an eventful market."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from barfill.errors import InvalidInput
from barfill.simulate import ExchangeConfig, SimulatedExchange

NOW = datetime(2026, 8, 17, 18, tzinfo=UTC)
MINUTE_US = 60_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def why(exchange: SimulatedExchange, symbol: str, timeframe: str, *starts: str) -> list[str]:
    reasons: list[str] = exchange.why_absent(symbol, timeframe, np.array([us(start) for start in starts])).tolist()
    return reasons


@pytest.mark.parametrize(
    ("symbol", "timeframe", "reasons"),
    [
        ("NEWC", "m15", {"2026-05-15T14:00": "before_listing", "2026-05-18T14:00": "traded"}),
        ("NEWC", "d1", {"2026-05-15T04:00": "before_listing", "2026-05-18T04:00": "traded"}),
        ("GONE", "d1", {"2025-03-14T04:00": "traded", "2025-03-17T04:00": "after_delisting"}),
        ("METV", "d1", {"2021-06-29T04:00": "before_listing", "2022-01-28T05:00": "traded"}),
        ("META", "d1", {"2022-06-08T04:00": "traded", "2022-06-09T04:00": "traded"}),
        (
            "HLTD",
            "m15",
            {
                "2026-07-22T14:45": "traded",
                "2026-07-22T15:00": "halted",
                "2026-07-22T17:45": "halted",
                "2026-07-22T18:00": "traded",
                "2026-08-05T14:00": "halted",
            },
        ),
        ("HLTD", "d1", {"2026-07-22T04:00": "traded", "2026-08-05T04:00": "halted", "2026-08-08T04:00": "closed"}),
        ("AAPL", "m15", {"2026-08-08T14:00": "closed", "2026-08-10T13:30": "traded", "2026-08-10T20:00": "traded"}),
        ("AAPL", "m1", {"2025-11-28T17:59": "traded", "2026-08-17T17:59": "traded"}),
    ],
)
def test_the_market_says_why_a_bar_is_absent(
    exchange: SimulatedExchange, symbol: str, timeframe: str, reasons: dict[str, str]
) -> None:
    """Listed, delisted, halted in part or all day, closed; a company has its bars of before it was renamed."""
    assert why(exchange, symbol, timeframe, *reasons) == list(reasons.values())


def test_a_bar_is_traded_exactly_where_the_exchange_has_one(exchange: SimulatedExchange) -> None:
    """Of a thin symbol's regular minutes those with a bar are traded, and all others are without a trade."""
    start = us("2026-08-11T13:30")
    starts = start + MINUTE_US * np.arange(390)
    reasons = exchange.why_absent("THIN", "m1", starts)

    held = exchange.truth(
        "THIN", "m1", datetime(2026, 8, 11, 13, 30, tzinfo=UTC), datetime(2026, 8, 11, 20, tzinfo=UTC)
    )
    is_held = np.isin(starts, held["ts"].dt.epoch("us").to_numpy())

    assert (reasons[is_held] == "traded").all()
    assert (reasons[~is_held] == "no_trade").all()
    assert 300 < np.count_nonzero(~is_held) < 390


def test_what_the_market_cannot_know_is_refused(exchange: SimulatedExchange) -> None:
    """A ticker of nobody's, a former one included, and weeks."""
    with pytest.raises(InvalidInput, match="newest ticker"):
        why(exchange, "FB", "d1", "2026-08-05T04:00")
    with pytest.raises(InvalidInput, match="1Week"):
        why(exchange, "AAPL", "w1", "2026-08-03T04:00")


def eventful(seed: int) -> SimulatedExchange:
    return SimulatedExchange(ExchangeConfig(seed=seed, symbols=400, is_eventful=True, start_clock=NOW))


def test_an_eventful_market_has_everything_and_is_the_same_for_the_same_seed() -> None:
    """The generated symbols have histories by the seed; the named fifty are as ever."""
    one, again, other = (eventful(seed).listings for seed in (1, 1, 2))
    generated = list(one.values())[50:]
    plain = SimulatedExchange(ExchangeConfig(symbols=50, start_clock=NOW)).listings

    assert one == again
    assert one != other
    assert {ticker: one[ticker] for ticker in plain} == plain
    histories = [
        [each for each in generated if each.halts],
        [each for each in generated if each.listed_on > date(2024, 1, 1)],
        [each for each in generated if each.delisted_on is not None],
        [each for each in generated if each.formerly],
        [each for each in generated if each.minute_share < 0.35],
    ]
    assert all(20 <= len(each) <= 100 for each in histories), [len(each) for each in histories]


def test_a_renamed_company_of_an_eventful_market_is_known_under_both_tickers() -> None:
    """Its former ticker is its own until the day of the change."""
    exchange = eventful(1)
    company = next(each for each in exchange.listings.values() if each.formerly and each.ticker.startswith("SYM"))

    assert company.formerly[0].ticker == company.ticker.replace("SYM", "OLD")
    assert date(2024, 8, 1) < company.formerly[0].until < date(2026, 8, 14)
