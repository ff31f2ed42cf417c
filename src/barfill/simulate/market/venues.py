"""
The crypto pairs of the synthetic market, and the venues on which they trade, around the clock.

| coin | what is special |
|---|---|
| `BTC`, `ETH` | since 2017-08-17; on Binance and Massive a trade in every minute |
| `SOL` | since 2020-08-11: nothing before |
| `DUST` | since 2024-06-03; illiquid: about 2 % of the minutes trade, so that about a third of the hours have none |

Each venue has prices and volumes of its own, a few hundredths of a percent apart, and minutes of its own without a
trade. What is quoted in USDT is a pair of its own, apart from that in USD by a little again.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Coin:
    """
    What is traded: *price* in dollars on its first day, *daily_volume* in coins over all venues.

    *minute_share* is the part of the minutes in which the most liquid venue has a trade.
    """

    name: str
    title: str
    listed_on: date
    price: float
    daily_volume: int
    minute_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Traded:
    """A pair on a venue: its coin, its quote currency, and the decimals of its prices there."""

    coin: Coin
    quote: str
    decimals: int

    @property
    def symbol(self) -> str:
        """As barfill and ccxt write it: ``BTC/USD``."""
        return f"{self.coin.name}/{self.quote}"


@dataclass(frozen=True, slots=True)
class Venue:
    """
    A venue: which part of all volume it sees, and in which part of a coin's minutes it has a trade.

    *is_filled*: an interval without a trade has a row of volume 0; *is_filled_when_down*: in maintenance as well.
    """

    name: str
    volume_share: float
    activity: float
    traded: tuple[Traded, ...]
    is_filled: bool = False
    is_filled_when_down: bool = False

    def find(self, symbol: str) -> Traded | None:
        """The pair with this symbol."""
        return next((one for one in self.traded if one.symbol == symbol), None)


BTC = Coin("BTC", "Bitcoin", date(2017, 8, 17), 45_000, 60_000)
ETH = Coin("ETH", "Ether", date(2017, 8, 17), 2_400, 700_000)
SOL = Coin("SOL", "Solana", date(2020, 8, 11), 95, 6_000_000, 0.98)
DUST = Coin("DUST", "Dust (simulated)", date(2024, 6, 3), 0.8, 120_000, 0.02)
COINS = (BTC, ETH, SOL, DUST)

_IN_DOLLARS = (Traded(BTC, "USD", 2), Traded(ETH, "USD", 2), Traded(SOL, "USD", 2), Traded(DUST, "USD", 4))
#: By name. "massive" is the consolidated tape of all venues.
VENUES = {
    venue.name: venue
    for venue in (
        Venue(
            "binance", 0.5, 1.0,
            (
                Traded(BTC, "USDT", 2), Traded(ETH, "USDT", 2), Traded(SOL, "USDT", 2), Traded(DUST, "USDT", 4),
                Traded(BTC, "USD", 2), Traded(ETH, "USD", 2),
            ),
            is_filled=True,
        ),
        Venue("coinbaseexchange", 0.15, 0.97, (*_IN_DOLLARS, Traded(BTC, "USDT", 2))),
        Venue(
            "kraken", 0.05, 0.7,
            (
                Traded(BTC, "USD", 1), Traded(ETH, "USD", 2), Traded(SOL, "USD", 2), Traded(DUST, "USD", 4),
                Traded(BTC, "USDT", 1),
            ),
            is_filled=True,
            is_filled_when_down=True,
        ),
        Venue("alpaca", 0.002, 0.5, _IN_DOLLARS, is_filled=True),
        Venue("massive", 0.75, 1.0, _IN_DOLLARS),
    )
}  # fmt: skip
