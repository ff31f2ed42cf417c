"""
Which column of a file is what: by what is said, else by the usual names.

Nothing is guessed: where two columns could be meant, or none, the error names the option that decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from barfill.errors import InvalidInput

PRICES = ("open", "high", "low", "close")
REQUIRED = ("ts", *PRICES, "volume")
FIELDS = ("ts", "symbol", *PRICES, "volume", "vwap", "trade_count")
"""What a row of a file can tell, by the names that `--columns` takes."""

# Of exports by pandas, Yahoo, Massive's flat files, Alpaca, Binance, freqtrade, MetaTrader and NinjaTrader; letters and
# digits alone, in lower case.
_USUAL_NAMES: Mapping[str, frozenset[str]] = {
    "ts": frozenset(
        {"ts", "t", "time", "timestamp", "date", "datetime", "dt", "opentime", "windowstart", "datetimeutc", "timeutc"}
    ),
    "symbol": frozenset({"symbol", "ticker", "sym"}),
    "open": frozenset({"open", "o", "openprice"}),
    "high": frozenset({"high", "h", "highprice"}),
    "low": frozenset({"low", "l", "lowprice"}),
    "close": frozenset({"close", "c", "closeprice"}),
    "volume": frozenset({"volume", "v", "vol"}),
    "vwap": frozenset({"vwap", "vw", "volumeweightedaverageprice"}),
    "trade_count": frozenset(
        {"tradecount", "trades", "n", "count", "transactions", "numberoftrades", "numtrades", "tradescount"}
    ),
}
_DATE, _TIME = "date", "time"
_ADJUSTED = re.compile(r"adj(usted)?(close|closeprice)")
_OTHER_SIGNS = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """
    The columns of a file by what they hold.

    Attributes:
        ts: One column, or a date's and a time's.
        symbol, vwap, trade_count: None where the file has none.
    """

    ts: tuple[str, ...]
    open: str
    high: str
    low: str
    close: str
    volume: str
    symbol: str | None = None
    vwap: str | None = None
    trade_count: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read, each once."""
        single = (self.symbol, self.open, self.high, self.low, self.close, self.volume, self.vwap, self.trade_count)
        return tuple(dict.fromkeys((*self.ts, *(name for name in single if name is not None))))

    def shown(self) -> dict[str, str]:
        """Field by field, for people."""
        values = {"ts": "+".join(self.ts)} | {name: getattr(self, name) for name in FIELDS if name != "ts"}
        return {name: value for name, value in values.items() if value is not None}


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """
    What `--columns ts=Date,open=Open` says, by field.

    Raises:
        InvalidInput: A part is no `field=column`, or names a field that there is not.
    """
    given: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",") if part.strip()):
        name, equals, column = (one.strip() for one in part.partition("="))
        if not (equals and column) or name not in FIELDS:
            raise InvalidInput(
                f"--columns {part.strip()!r} says nothing. Write field=column, such as ts=Date,open=Open; the fields "
                f"are {', '.join(FIELDS)}, and ts=Date+Time joins two columns."
            )
        if name in given:
            raise InvalidInput(f"--columns names {name} twice: {given[name]!r} and {column!r}. Give one of them.")
        given[name] = column
    return given


def map_columns(headers: Sequence[str], given: Mapping[str, str], *, has_one_symbol: bool) -> ColumnMap:
    """
    The map for a file with these *headers*.

    Args:
        given: By field, what was said; two columns of a stamp are joined by `+`.
        has_one_symbol: All rows are of one symbol, so that no column of symbols is looked for.

    Raises:
        InvalidInput: A column that was named is not there, one is needed and not found, or two fit.
    """
    found: dict[str, str] = {}
    for field in FIELDS:
        if field == "ts" or (field == "symbol" and has_one_symbol):
            continue
        named = _named(field, headers, given)
        if named is not None:
            found[field] = named
    if "symbol" not in found and not has_one_symbol:
        raise InvalidInput(
            f"No column tells the symbols; the file has {_shown(headers)}. Give --symbol AAPL if all of it is of one, "
            "or --symbol-column NAME."
        )
    missing = [field for field in REQUIRED[1:] if field not in found]
    if missing:
        raise InvalidInput(
            f"No column holds the {missing[0]}; the file has {_shown(headers)}. Say which it is: "
            f"--columns {missing[0]}=NAME"
        )
    return ColumnMap(ts=_stamp_columns(headers, given), **found)


def has_adjusted_close(headers: Sequence[str]) -> bool:
    """Whether a second close says that the file is of a vendor whose other prices may be adjusted, too."""
    return any(_ADJUSTED.fullmatch(_plain(header)) for header in headers)


def _named(field: str, headers: Sequence[str], given: Mapping[str, str]) -> str | None:
    if field in given:
        return _present(given[field], field, headers)
    fitting = [header for header in headers if _plain(header) in _USUAL_NAMES[field]]
    fitting = [header for header in fitting if header not in given.values()]
    if len(fitting) > 1:
        option = "--symbol-column" if field == "symbol" else "--columns"
        said = fitting[0] if field == "symbol" else f"{field}={fitting[0]}"
        raise InvalidInput(f"{_shown(fitting)} could each be the {field}. Say which it is: {option} {said!r}")
    return fitting[0] if fitting else None


def _stamp_columns(headers: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...]:
    if "ts" in given:
        if given["ts"] in headers:
            return (given["ts"],)
        return tuple(_present(part.strip(), "ts", headers) for part in given["ts"].split("+"))
    fitting = [header for header in headers if _plain(header) in _USUAL_NAMES["ts"]]
    fitting = [header for header in fitting if header not in given.values()]
    if [_plain(header) for header in fitting] == [_DATE, _TIME]:
        return tuple(fitting)
    if len(fitting) > 1:
        raise InvalidInput(
            f"{_shown(fitting)} could each be the time of the bars. Say which it is: --columns 'ts={fitting[0]}' "
            f"(or 'ts={fitting[0]}+{fitting[1]}' for a date and its time)"
        )
    if not fitting:
        raise InvalidInput(
            f"No column holds the time of the bars; the file has {_shown(headers)}. Say which it is: --columns ts=NAME"
        )
    return (fitting[0],)


def _present(name: str, field: str, headers: Sequence[str]) -> str:
    if name in headers:
        return name
    alike = [header for header in headers if header.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    raise InvalidInput(f"There is no column {name!r} for {field}; the file has {_shown(headers)}.")


def _plain(header: str) -> str:
    return _OTHER_SIGNS.sub("", header.lower())


def _shown(headers: Sequence[str]) -> str:
    most = 20
    hidden = len(headers) - most
    shown = ", ".join(repr(header[:40]) for header in headers[:most])
    return shown + (f" and {hidden} more" if hidden > 0 else "")
