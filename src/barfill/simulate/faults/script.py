"""
The fault script: which fault fires on which request.

A script is a list of lines, read in order for each request:

    {"match": {"provider": "alpaca", "endpoint": "bars", "symbol": "AAPL", "timeframe": "m1",
               "nth": 3, "every": null, "rate": null, "times": null},
     "fault": "H11", "args": {"keep_token": true}}

Every key of ``match`` is optional and narrows: ``symbol`` (is among those asked for), ``endpoint``, ``timeframe``
(m1 or 1Min), then of the requests that fit: only the ``nth``, each ``every``-th, a share ``rate`` (seeded), at most
``times``. A symbol in the match also narrows what a page fault spoils to that symbol's rows.

All page faults that fire are applied in order; the first reply or wire fault that fires decides how the reply looks. A
fault that finds nothing to spoil (no rows of the symbol, no token, rows that an earlier fault made unusable) does not
count towards ``times``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Any

from barfill.errors import InvalidInput
from barfill.simulate.faults.catalogue import VENDORS, Fault, Laboratory, Occasion, catalogue, find_fault
from barfill.simulate.market.timeframes import Timeframe, named_timeframe
from barfill.simulate.vendor import Asked, Vendor

#: By vendor.
ENDPOINTS = {
    "alpaca": (
        "asset",
        "assets",
        "bars",
        "calendar",
        "clock",
        "corporate_actions",
        "crypto_bars",
        "symbol_bars",
    ),
    "massive": (
        "aggs",
        "grouped",
        "crypto_grouped",
        "prev",
        "open_close",
        "tickers",
        "ticker",
        "ticker_events",
        "splits",
        "dividends",
        "new_splits",
        "new_dividends",
        "market_now",
        "market_upcoming",
    ),
    "tradier": ("timesales", "history", "calendar", "clock", "quotes", "dividends", "corporate_actions"),
    "finnhub": (
        "candle",
        "split",
        "dividend",
        "dividend2",
        "earnings",
        "earnings_calendar",
        "symbols",
        "symbol_change",
        "holidays",
        "market_status",
        "quote",
        "search",
    ),
    "binance": ("exchange_info", "klines", "ping", "time"),
    "coinbaseexchange": ("candles", "currencies", "product", "products", "time"),
    "kraken": ("asset_pairs", "assets", "ohlc", "system_status", "time"),
}
_MATCH_KEYS = ("provider", "symbol", "endpoint", "timeframe", "nth", "every", "rate", "times")
_DURATIONS = ("seconds", "interval_s")
_LINE_KEYS = ("match", "fault", "args")


@dataclass(slots=True)
class _Line:
    """A line of the script and what happened to it so far."""

    fault: Fault
    args: dict[str, Any]
    match: dict[str, Any]
    rng: Random
    timeframe: Timeframe | None
    seen: int = 0
    fired: int = 0
    state: dict[str, Any] = field(default_factory=dict)

    def fits(self, vendor: str, endpoint: str, symbols: Sequence[str], timeframe: Timeframe | None) -> bool:
        wanted = self.match
        return (
            vendor in self.fault.vendors
            and wanted.get("provider") in {None, vendor}
            and wanted.get("endpoint") in {None, endpoint}
            and (wanted.get("symbol") is None or wanted["symbol"] in symbols)
            and (self.timeframe is None or self.timeframe == timeframe)
        )

    def fires(self) -> bool:
        """Count a request that fits and say whether this is one to fire on."""
        self.seen += 1
        wanted = self.match
        nth, every, rate, times = (wanted.get(key) for key in ("nth", "every", "rate", "times"))
        dice = self.rng.random()
        return (
            (nth is None or self.seen == nth)
            and (every is None or self.seen % every == 0)
            and (rate is None or dice < rate)
            and (times is None or self.fired < times)
        )

    def unfire(self) -> None:
        """The last firing found nothing to do."""
        self.fired -= 1


class FaultScript:
    """A script under way. Invalid lines are refused when it is made, with what is known instead."""

    def __init__(self, lines: Sequence[Mapping[str, Any]], seed: int) -> None:
        self._lines = [_parse_line(number, line, seed) for number, line in enumerate(lines, start=1)]

    def firing(self, vendor: Vendor, asked: Asked, lab: Laboratory) -> Iterator[tuple[Fault, Occasion]]:
        """The faults that fire on a request, in the order of the script."""
        symbols, timeframe = vendor.symbols(asked), vendor.timeframe(asked)
        for line in self._lines:
            if not line.fits(vendor.name, asked.endpoint, symbols, timeframe) or not line.fires():
                continue
            line.fired += 1
            yield (
                line.fault,
                Occasion(
                    asked=asked,
                    dialect=vendor.dialect,
                    symbols=symbols,
                    args=line.args,
                    count=line.fired,
                    state=line.state,
                    rng=line.rng,
                    lab=lab,
                    symbol=line.match.get("symbol"),
                    on_decline=line.unfire,
                ),
            )


def random_script(
    seed: int,
    count: int,
    ids: Sequence[str] | None = None,
    *,
    rate: float = 0.02,
    seconds_max: float | None = None,
    vendor: str = "alpaca",
) -> list[dict[str, Any]]:
    """
    A script of *count* lines drawn from the catalogue, the same for the same seed.

    Args:
        ids: What to draw from; None is everything that happens to bars.
        rate: Share of the requests that each line fires on.
        seconds_max: Caps how long waits and hangs last, for tests that cannot wait minutes.
    """
    rng = Random(seed)
    entries = [find_fault(id_, vendor) for id_ in ids] if ids is not None else _of_bars(vendor)
    lines = []
    for entry in rng.choices(entries, k=count):
        args = {name: rng.choice(arg.choices) for name, arg in entry.args.items() if arg.choices}
        if seconds_max is not None:
            capped = {name: min(entry.args[name].default, seconds_max) for name in _DURATIONS if name in entry.args}
            args |= capped
        lines.append({"match": {"provider": vendor, "rate": rate}, "fault": entry.id, "args": args})
    return lines


def _of_bars(vendor: str) -> list[Fault]:
    """Without those of calendars, which no request for bars meets."""
    return [entry for entry in catalogue(vendor).values() if entry.stage != "calendar"]


def _parse_line(number: int, line: Mapping[str, Any], seed: int) -> _Line:
    where = f"Fault script, line {number}"
    _refuse_unknown(where, line, _LINE_KEYS)
    match, args = line.get("match") or {}, line.get("args") or {}
    _refuse_unknown(f"{where}, match", match, _MATCH_KEYS)
    for key, allowed in (("endpoint", [*chain(*ENDPOINTS.values())]), ("provider", sorted(VENDORS))):
        if match.get(key) is not None and match[key] not in allowed:
            raise InvalidInput(f"{where}: {key} '{match[key]}' is unknown. Use one of {', '.join(allowed)}.")
    for key in ("nth", "every", "times"):
        if match.get(key) is not None and (not isinstance(match[key], int) or match[key] < 1):
            raise InvalidInput(f"{where}: {key} must be a whole number from 1, not {match[key]!r}.")
    timeframe = None
    if match.get("timeframe") is not None:
        timeframe = named_timeframe(match["timeframe"])
        if timeframe is None:
            raise InvalidInput(f"{where}: timeframe '{match['timeframe']}' is unknown. Write m1 or 1Min and the like.")
    provider = match.get("provider")
    entry = find_fault(str(line.get("fault")), provider)
    return _Line(entry, entry.arguments(args), dict(match), Random(f"{seed}|{number}"), timeframe)


def _refuse_unknown(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{where} must be an object with {', '.join(known)}, not {given!r}.")
    unknown = [key for key in given if key not in known]
    if unknown:
        raise InvalidInput(f"{where}: '{unknown[0]}' is unknown. Use {', '.join(known)}.")
