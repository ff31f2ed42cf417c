"""
Who had which ticker when: a ticker is not a company. Companies are renamed, and tickers are used again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from barfill.simulate.market.listings import Listing

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tenure:
    """The days on which a company had a ticker, both included."""

    ticker: str
    listing: Listing
    first: date
    last: date

    def holds(self, day: date) -> bool:
        return self.first <= day <= self.last


class Names:
    """The tenures of all companies. The first one has no beginning, the last one no end, listed or not."""

    def __init__(self, listings: Iterable[Listing]) -> None:
        self._by_company = {listing.ticker: _tenures(listing) for listing in listings}
        self._by_ticker: dict[str, list[Tenure]] = {}
        for tenures in self._by_company.values():
            for tenure in tenures:
                self._by_ticker.setdefault(tenure.ticker, []).append(tenure)
        for held in self._by_ticker.values():
            held.sort(key=lambda tenure: tenure.first)

    @property
    def by_ticker(self) -> Mapping[str, list[Tenure]]:
        """Whoever had each ticker, the earliest first."""
        return self._by_ticker

    def of(self, listing: Listing) -> tuple[Tenure, ...]:
        """The tickers that a company had, the earliest first."""
        return self._by_company[listing.ticker]

    def holder(self, ticker: str, on: date) -> Listing | None:
        """The company that has *ticker* on a day."""
        return next((tenure.listing for tenure in self._by_ticker.get(ticker, ()) if tenure.holds(on)), None)

    def ticker(self, listing: Listing, on: date) -> str:
        """The ticker of a company on a day."""
        return next(tenure.ticker for tenure in self.of(listing) if tenure.holds(on))


def _tenures(listing: Listing) -> tuple[Tenure, ...]:
    first = date.min
    tenures = []
    for former in listing.formerly:
        tenures.append(Tenure(former.ticker, listing, first, former.until))
        first = former.until + _DAY
    return (*tenures, Tenure(listing.ticker, listing, first, date.max))
