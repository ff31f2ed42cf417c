"""
The symbols of the synthetic market.

The first ten are always served first, so that ten symbols are enough to meet every special case:

| ticker | what is special (dates are fixed, chosen around 2026-08-17) |
|---|---|
| `BRK.B` | a ticker with a dot |
| `THIN` | illiquid: about 6 % of the regular minutes trade, 1 % of the extended ones, a few thousand shares a session |
| `HLTD` | halted: 2026-07-22 from 11:00 to 14:00 New York, 2026-08-05 all day (no bar at all, daily included) |
| `SPLT` | split 4:1 with ex-date 2026-03-16: raw prices before it are four times as high |
| `NEWC` | listed on 2026-05-18: nothing before |
| `GONE` | delisted, last session 2025-03-14: asset status `inactive`, nothing after |

Of the forty well-known tickers behind them three have a history:

| ticker | what is special |
|---|---|
| `META` | was `FB` until 2022-06-08 |
| `METV` | listed on 2021-06-30 as `META`, renamed after 2022-01-28: the ticker `META` was another company's before |
| `GE` | a reverse split 1:8 on 2021-08-02, and a spin-off that vendors list as a split 1253:1000 on 2024-04-02 |

Symbols beyond the named fifty are `SYM0001`, `SYM0002` and so on, thinner the higher the number's hash says.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

#: The first session of the synthetic market.
MARKET_START = date(2016, 1, 4)
#: How many symbols are no generated ones.
NAMED = 50


@dataclass(frozen=True, slots=True)
class Halt:
    """No trade on *day*, between minutes of the New York day (None: the whole session)."""

    day: date
    from_minute: int | None = None
    to_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """From the session *on* there are *to* shares for *of* old ones; *of* above *to* is a reverse split."""

    on: date
    to: int
    of: int = 1

    @property
    def ratio(self) -> float:
        return self.to / self.of


@dataclass(frozen=True, slots=True)
class Former:
    """A ticker that a company had, and the last day on which it had it."""

    ticker: str
    until: date


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One company: what is said of it and how it trades. *ticker* is its newest one and stands for it.

    *minute_share* is the part of the regular minutes that has a trade, *extended_share* that of the extended ones;
    *dividend_yield* is that of a year on the base price.
    """

    ticker: str
    name: str
    exchange: str
    listed_on: date = MARKET_START
    delisted_on: date | None = None
    base_price: float = 100.0
    daily_volume: int = 2_000_000
    minute_share: float = 1.0
    extended_share: float = 0.7
    decimals: int = 2
    splits: tuple[Split, ...] = ()
    halts: tuple[Halt, ...] = ()
    formerly: tuple[Former, ...] = ()
    dividend_yield: float = 0.0
    kind: str = "stock"

    @property
    def is_active(self) -> bool:
        return self.delisted_on is None


_SPECIAL = (
    Listing("AAPL", "Apple Inc. Common Stock", "NASDAQ", base_price=190, daily_volume=52_000_000,
            dividend_yield=0.005),
    Listing("MSFT", "Microsoft Corporation Common Stock", "NASDAQ", base_price=390, daily_volume=21_000_000,
            dividend_yield=0.008),
    Listing("SPY", "SPDR S&P 500 ETF Trust", "ARCA", base_price=480, daily_volume=68_000_000, extended_share=0.9,
            dividend_yield=0.013, kind="fund"),
    Listing("QQQ", "Invesco QQQ Trust", "NASDAQ", base_price=400, daily_volume=41_000_000, extended_share=0.9,
            dividend_yield=0.006, kind="fund"),
    Listing("BRK.B", "Berkshire Hathaway Inc. Class B", "NYSE", base_price=360, daily_volume=3_500_000),
    Listing("THIN", "Thinly Traded Holdings", "AMEX", base_price=14, daily_volume=6_000, minute_share=0.06,
            extended_share=0.01),
    Listing("HLTD", "Halted Therapeutics Inc.", "NASDAQ", base_price=32, daily_volume=900_000, halts=(
        Halt(date(2026, 7, 22), 11 * 60, 14 * 60), Halt(date(2026, 8, 5)))),
    Listing("SPLT", "Splitting Systems Inc.", "NASDAQ", base_price=75, daily_volume=8_000_000,
            splits=(Split(date(2026, 3, 16), 4),)),
    Listing("NEWC", "Newly Listed Company Inc.", "NYSE", listed_on=date(2026, 5, 18), base_price=28,
            daily_volume=1_500_000),
    Listing("GONE", "Gone Private Corporation", "NYSE", delisted_on=date(2025, 3, 14), base_price=41,
            daily_volume=700_000, dividend_yield=0.02),
)  # fmt: skip

_ORDINARY = """
AMZN NASDAQ 170 45|GOOG NASDAQ 150 20|GOOGL NASDAQ 150 27|META NASDAQ 420 15|NVDA NASDAQ 120 210|TSLA NASDAQ 220 95
JPM NYSE 190 9|V NYSE 270 6|JNJ NYSE 155 7|WMT NYSE 65 17|PG NYSE 160 6|MA NYSE 450 2.5|HD NYSE 350 3.4|DIS NYSE 100 10
BAC NYSE 36 40|XOM NYSE 110 16|CVX NYSE 150 8|KO NYSE 62 13|PEP NASDAQ 170 5|ABBV NYSE 165 5|MRK NYSE 120 9
PFE NYSE 28 35|CSCO NASDAQ 50 18|INTC NASDAQ 34 50|AMD NASDAQ 150 55|NFLX NASDAQ 600 3|ADBE NASDAQ 540 3
CRM NYSE 270 6|ORCL NYSE 120 9|T NYSE 18 33|VZ NYSE 40 18|NKE NYSE 95 9|MCD NYSE 280 3|BA NYSE 190 7|CAT NYSE 330 2.8
GE NYSE 150 6|IBM NYSE 180 4|F NYSE 12 55|IWM ARCA 200 30|METV ARCA 12 0.4
"""
#: What is special about some of them; dates as they were.
_FACTS: dict[str, dict[str, Any]] = {
    "META": {"formerly": (Former("FB", date(2022, 6, 8)),)},
    "METV": {"formerly": (Former("META", date(2022, 1, 28)),), "listed_on": date(2021, 6, 30)},
    "GE": {"splits": (Split(date(2021, 8, 2), 1, 8), Split(date(2024, 4, 2), 1253, 1000))},
}
#: Companies on this exchange pay dividends.
_PAYING_EXCHANGE, _USUAL_YIELD = "NYSE", 0.02
_GENERATED_SHARES = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)


def listings(count: int) -> dict[str, Listing]:
    """The first *count* symbols: the ten above, forty well-known tickers, then generated ones."""
    table = [*_SPECIAL, *_ordinary()]
    table += [_generated(number) for number in range(1, count - len(table) + 1)]
    return {listing.ticker: listing for listing in table[:count]}


def _ordinary() -> list[Listing]:
    rows = [entry.split() for line in _ORDINARY.strip().splitlines() for entry in line.split("|")]
    return [
        Listing(
            ticker,
            f"{ticker} (simulated)",
            exchange,
            base_price=float(price),
            daily_volume=int(float(millions) * 1_000_000),
            decimals=4 if ticker in {"F", "T"} else 2,
            dividend_yield=_USUAL_YIELD if exchange == _PAYING_EXCHANGE else 0.0,
            kind="fund" if exchange == "ARCA" else "stock",
            **_FACTS.get(ticker, {}),
        )
        for ticker, exchange, price, millions in rows
    ]


def _generated(number: int) -> Listing:
    spread = number * 2_654_435_761 % 1000
    exchange = ("NYSE", "NASDAQ", "AMEX")[number % 3]
    return Listing(
        f"SYM{number:04d}",
        f"Simulated Company {number}",
        exchange,
        base_price=8.0 + spread * 0.3,
        daily_volume=60_000 + spread * 4_000,
        minute_share=_GENERATED_SHARES[spread % len(_GENERATED_SHARES)],
        extended_share=0.1,
        decimals=4 if spread % 10 == 0 else 2,
        dividend_yield=_USUAL_YIELD if exchange == _PAYING_EXCHANGE else 0.0,
    )
