"""
Every recorded sample is parsed by what barfill parses such an answer with, or says here why it is never asked for.

Most are read by the `*_samples` modules beside this one; skipped where the samples are not beside the checkout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.judged import RowCounts
from barfill.core.page import BarsQuery
from barfill.core.ranges import Range, from_us
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.core.told_sessions import ToldSessions, session_differences
from barfill.errors import BadResponse
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_sessions import AlpacaSessions
from barfill.providers.base import HttpResponse
from barfill.providers.finnhub_sessions import FinnhubSessions
from barfill.providers.instants import label_of, read_instant, session_labels
from barfill.providers.massive_days import read_day
from barfill.providers.massive_sessions import MassiveSessions
from barfill.providers.sessions import SessionsProvider, SessionsQuery
from barfill.providers.tradier_sessions import TradierSessions
from tests.providers import (
    test_alpaca_samples,
    test_ccxt_samples,
    test_event_samples,
    test_finnhub_samples,
    test_massive_samples,
    test_tradier_samples,
    test_yahoo_samples,
)
from tests.providers.conftest import KEY, SECRET
from tests.providers.dialects import JSON

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ELSEWHERE: Mapping[str, tuple[ModuleType, ...]] = {
    "alpaca": (test_alpaca_samples, test_event_samples),
    "polygon": (test_massive_samples, test_event_samples),
    "tradier": (test_tradier_samples,),
    "finnhub": (test_finnhub_samples, test_event_samples),
    "yahoo": (test_yahoo_samples,),
    "ccxt": (test_ccxt_samples,),
}
"""The modules that read samples of each vendor, and name them."""

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def sample(name: str) -> Any:
    """The JSON in a sample."""
    return json.loads((SAMPLES / name).read_text())


def answer(name: str) -> HttpResponse:
    """A sample as the answer that it was."""
    return HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW)


def told(provider: SessionsProvider, first: str, end: str) -> Callable[[str], list[object]]:
    """
    From when to when a calendar speaks, its first session in UTC, its closed weekdays, its short days, and on which
    days it differs from barfill's.
    """

    def read(name: str) -> list[object]:
        query = SessionsQuery(date.fromisoformat(first), date.fromisoformat(first), date.fromisoformat(end))
        said = provider.parse_sessions(query, answer(name))
        differing = session_differences(said, trading_calendar("XNYS", 2026))
        sessions = sorted(said.hours)
        hours = said.hours[sessions[0]]
        return [
            f"{said.first} to {said.end - timedelta(days=1)}",
            f"{hours.start:%H:%M}-{hours.end:%H:%M}",
            closed_weekdays(said),
            [f"{day}" for day in sessions if said.hours[day].end - said.hours[day].start < timedelta(hours=6)],
            [f"{one.on}" for one in differing],
        ]

    return read


def closed_weekdays(said: ToldSessions) -> list[str]:
    """Those of which it says so."""
    days = (said.first + timedelta(days=number) for number in range((said.end - said.first).days))
    return [f"{day}" for day in days if day.weekday() < 5 and day not in said.hours]


def judged(symbols: str, timeframe: Timeframe, start: str, end: str) -> Callable[[str], RowCounts]:
    """Where the rows of Alpaca's answer go, which is of any calendar."""

    def read(name: str) -> RowCounts:
        wanted = Range(datetime.fromisoformat(start), datetime.fromisoformat(end))
        query = BarsQuery(tuple(symbols.split()), timeframe, wanted, "sip")
        page = Alpaca(KEY, SECRET).parse_bars(query, answer(name))
        calendar = trading_calendar("24/7" if "/" in symbols else "XNYS", 2022)
        return judge(page, query, calendar, now=NOW, grace=timedelta()).counts

    return read


def counts(received: int, **gone: int) -> RowCounts:
    """Of so many rows, all accepted that are not gone."""
    rest = dict.fromkeys(("quarantined", "held", "collapsed", "out_of_range", "out_of_session", "close_prints"), 0)
    return RowCounts(received=received, accepted=received - sum(gone.values()), **rest | gone)


def grouped(day: str, part: str = "") -> Callable[[str], list[object]]:
    """
    Symbol, date, close and volume of each row of a day of the whole market, asked for as of today at raw prices.

    What was cut out of a longer answer still declares all rows: without that it is read.
    """

    def read(name: str) -> list[object]:
        sent = sample(name)[part] if part else sample(name)
        body = {"status": "OK", **sent, "adjusted": False, "resultsCount": len(sent["results"])}
        start = datetime.fromisoformat(f"{day}T00:00Z")
        query = BarsQuery(
            tuple(sorted(row["T"] for row in sent["results"])), Timeframe.D1, Range(start, start + timedelta(1)), "sip"
        )
        page = read_day(query, None, HttpResponse(200, JSON, json.dumps(body).encode(), NOW), page_size=50_000)
        assert page.rejected == ()
        symbols = [page.symbols[index] for index in page.rows.symbol]
        dates = [f"{from_us(ts):%Y-%m-%d}" for ts in page.rows.ts]
        return list(zip(symbols, dates, page.rows.close.tolist(), page.rows.volume.tolist(), strict=True))

    return read


PARSED: Mapping[str, tuple[Callable[[str], object], object]] = {
    "alpaca/calendar_v1_broker.json": (
        told(AlpacaSessions(KEY, SECRET), "2022-05-16", "2022-05-18"),
        ["2022-05-16 to 2022-05-17", "13:30-20:00", [], [], []],
    ),
    "alpaca/calendar_v2.json": (
        told(AlpacaSessions(KEY, SECRET), "2025-01-02", "2025-01-03"),
        ["2025-01-02 to 2025-01-02", "14:30-21:00", [], [], []],
    ),
    "tradier/clock.json": (
        lambda name: TradierSessions(KEY, plan="free").parse_clock(answer(name)).isoformat(),
        "2013-06-11T02:39:13+00:00",
    ),
    "tradier/calendar_2013_06.json": (
        told(TradierSessions(KEY, plan="free"), "2013-05-11", "2014-06-11"),
        ["2013-06-01 to 2013-06-30", "13:30-20:00", [], [], []],
    ),
    "polygon/marketstatus_upcoming.json": (
        told(MassiveSessions(KEY), "2022-04-28", "2023-04-28"),
        [
            "2022-04-29 to 2022-12-26",
            "13:30-20:00",
            ["2022-05-30", "2022-06-20", "2022-07-04", "2022-09-05", "2022-11-24", "2022-12-26"],
            ["2022-11-25"],
            [],
        ],
    ),
    # The two rows of the vendor's sample are all that is left of a list; Labor Day and Thanksgiving are missing.
    "finnhub/market_holiday.json": (
        told(FinnhubSessions(KEY), "2023-06-03", "2024-07-03"),
        [
            "2023-07-03 to 2023-12-25",
            "13:30-17:00",
            ["2023-12-25"],
            ["2023-07-03"],
            ["2023-07-04", "2023-09-04", "2023-11-23", "2023-11-24"],
        ],
    ),
    "alpaca/stock_bars_15min.json": (
        judged("AMZN", Timeframe.M15, "2021-10-15T16:00Z", "2021-10-15T17:00Z"),
        counts(5, out_of_range=1),
    ),
    "polygon/grouped_daily_2005_04_04.json": (grouped("2020-10-14"), [("GIK", "2020-10-14", 10.02, 895345.0)]),
    "polygon/grouped_daily_2026_08_07_excerpt.json": (
        grouped("2026-08-07"),
        [("XLRE", "2026-08-07", 44.98, 3863635.4)],
    ),
    "polygon/grouped_vs_range_TTMI_2023_01_09.json": (
        grouped("2023-01-09", "grouped"),
        [("TTMI", "2023-01-09", 16.08, 394280.0)],
    ),
    "yahoo/chart_BTC-USD_1d_end_inclusive.json": (
        lambda name: test_yahoo_samples.parsed(
            Path(name).name, "BTC.USD", end=datetime(2020, 1, 3, tzinfo=UTC)
        ).rows.close.tolist(),
        [7200.17431640625, 6985.47021484375],
    ),
    "polygon/spec_grouped_stocks_t_is_close.json": (
        grouped("2020-10-14"),
        [
            ("KIMpL", "2020-10-14", 25.9102, 4369.0),
            ("TANH", "2020-10-14", 23.4, 25933.6),
            ("VSAT", "2020-10-14", 34.24, 312583.0),
        ],
    ),
}
"""What reads the sample, and what comes of it."""


def stamps(rows: list[dict[str, Any]]) -> list[str]:
    """The instants of rows by their `t`, to microseconds."""
    found = [read_instant(row["t"]) for row in rows]
    return [from_us(one).isoformat() for one in found if one is not None]


def trades(name: str) -> list[object]:
    """The symbols of a page of trades, how many rows it has, whether they are in order, and whether it leads on."""
    sent = sample(name)
    rows = [row for symbol in sent["trades"].values() for row in symbol]
    return [list(sent["trades"]), len(rows), stamps(rows) == sorted(stamps(rows)), sent["next_page_token"] is not None]


def snapshots(name: str) -> list[object]:
    """The pairs, the date that each day means, and the minutes that are made of quotes alone."""
    pairs = sample(name)["snapshots"]
    days = [read_instant(pair[kind]["t"]) for pair in pairs.values() for kind in ("dailyBar", "prevDailyBar")]
    minutes = [pair["minuteBar"] for pair in pairs.values()]
    return [
        list(pairs),
        [f"{from_us(one):%Y-%m-%dT%H}" for one in days if one is not None],
        [(minute["n"], minute["v"], minute["vw"]) for minute in minutes],
    ]


def auctions(name: str) -> list[object]:
    """The symbols, and the first official print of open and close of each, as instant and price."""
    sent = sample(name)
    days = [day for of_symbol in sent["auctions"].values() for day in of_symbol]
    firsts = [day[kind][0] for day in days for kind in ("o", "c")]
    prints = [(stamp[11:19], row["p"]) for row, stamp in zip(firsts, stamps(firsts), strict=True)]
    return [list(sent["auctions"]), [day["d"] for day in days], prints, bool(sent["next_page_token"])]


def crypto_day(name: str) -> list[object]:
    """Closes and times of day of a grouped day of pairs."""
    rows = sample(name)["results"]
    found = [read_instant(row["t"]) for row in rows]
    return [[row["c"] for row in rows], [f"{from_us(one):%Y-%m-%dT%H:%M}" for one in found if one is not None]]


def chart(name: str) -> list[object]:
    """Zone, first and last stamp, closes, volumes of a chart."""
    result = sample(name)["chart"]["result"][0]
    quote, seconds = result["indicators"]["quote"][0], result["timestamp"]
    found = [f"{datetime.fromtimestamp(one, UTC):%Y-%m-%dT%H:%M}" for one in (seconds[0], seconds[-1])]
    return [result["meta"]["exchangeTimezoneName"], found, [round(one, 2) for one in quote["close"]], quote["volume"]]


def ticks(name: str) -> list[object]:
    """How many there are, whether many share a second, and what each has."""
    rows = sample(name)["series"]["data"]
    return [len(rows), len({row["time"] for row in rows}) < len(rows) / 2, sorted(rows[0])]


def chart_events(name: str) -> list[object]:
    """The first open of a chart, and its events by date: the amount of a dividend, the ratio of a split."""
    result = sample(name)["chart"]["result"][0]
    found = [
        (f"{datetime.fromtimestamp(one['date'], UTC):%Y-%m-%d}", one.get("amount", one.get("splitRatio")))
        for kind in result["events"].values()
        for one in kind.values()
    ]
    return [round(result["indicators"]["quote"][0]["open"][0], 2), *sorted(found)]


OTHER_EVENTS = "corporate actions come from others; prices before a split are adjusted for it already"
OTHER_CALENDAR = "shares of other countries, currencies, futures and coins have other calendars: not offered"
NO_TRADES = "bars are asked for; single trades are not stored"

NOT_ASKED: Mapping[str, tuple[str, Callable[[str], object], object]] = {
    "alpaca/crypto_bars_1min_BCHUSD.json": (
        "crypto comes from its venues by ccxt; the same decoder and rules drop the row before the start",
        judged("BCH/USD", Timeframe.M1, "2021-11-11T11:12Z", "2021-11-11T11:22Z"),
        counts(11, out_of_range=1),
    ),
    "alpaca/crypto_bars_2hour_duplicate_timestamps.json": (
        "as before; of three rows with one stamp and different values none is believed",
        judged("BCH/USD BTC/USD ETH/USD LTC/USD", Timeframe.H1, "2021-11-20T20:00Z", "2021-11-20T22:00Z"),
        counts(12, quarantined=12),
    ),
    "alpaca/crypto_trades_pages_1_of_4.json": (NO_TRADES, trades, [["BAT/USD"], 4, True, True]),
    "alpaca/crypto_trades_pages_2_of_4.json": (NO_TRADES, trades, [["SUSHI/USD"], 4, True, True]),
    "alpaca/crypto_trades_pages_3_of_4.json": (NO_TRADES, trades, [["SUSHI/USD"], 4, True, True]),
    "alpaca/crypto_trades_pages_4_of_4.json": (NO_TRADES, trades, [[], 0, True, False]),
    "alpaca/crypto_snapshots_BTC_LTC_2024_11_02.json": (
        "a snapshot is of this moment; days begin at midnight in Chicago, minutes may have no trade",
        snapshots,
        [["BTC/USD", "LTC/USD"], ["2024-11-01T05", "2024-10-31T05"] * 2, [(0, 0, 0)] * 2],
    ),
    "alpaca/stock_auctions_AAPL_IBM.json": (
        "a day's open and close are those of its bar; the official prints are not stored",
        auctions,
        [
            ["AAPL", "IBM"],
            ["2022-10-17"] * 2,
            [("13:30:00", 141.13), ("20:00:00", 142.4), ("13:30:00", 121.8), ("20:00:00", 121.595)],
            True,
        ],
    ),
    "polygon/spec_grouped_crypto.json": (
        "crypto comes from its venues by ccxt; stamps are no session's",
        crypto_day,
        [[0.0550762, 0.0272983, 0.00028531], ["2020-02-02T20:48", "2020-02-02T20:08", "2020-02-02T19:18"]],
    ),
    "polygon/open_close_AAPL_2005_04_01.json": (
        "the bars of a day have it; the body is of another day than its file says",
        lambda name: [sample(name)[key] for key in ("from", "symbol", "open", "close", "volume", "afterHours")],
        ["2021-04-01", "AAPL", 123.66, 123, 75089134, 123],
    ),
    "polygon/marketstatus_now.json": (
        "of this moment alone; doctor takes the time from the database, and Tradier's clock",
        lambda name: [sample(name)["market"], stamps([{"t": sample(name)["serverTime"]}])],
        ["extended-hours", ["2022-04-28T20:48:08+00:00"]],
    ),
    "polygon/exchanges.json": (
        "bars are of the consolidated tape, whatever the exchange; an id is not one of one exchange",
        lambda name: [(sample(name)["count"], [one["id"] for one in sample(name)["results"]].count(4))],
        [(24, 4)],
    ),
    "polygon/conditions_stocks.json": (
        "what a trade counts towards the vendor has decided in its bars",
        lambda name: [one["id"] for one in sample(name)["results"]],
        list(range(1, 11)),
    ),
    "polygon/ticker_types.json": (
        "a fixed list; the codes by which funds are told from stocks are among it",
        lambda name: {"CS", "ETF", "ETN", "FUND"} <= {one["code"] for one in sample(name)["results"]},
        True,
    ),
    "polygon/ticker_details_AAPL.json": (
        "the list of tickers tells the same of many; here it is one object",
        lambda name: [sample(name)["results"][key] for key in ("ticker", "market", "type", "active", "list_date")],
        ["AAPL", "stocks", "CS", True, "1980-12-12"],
    ),
    "finnhub/crypto_symbol.json": (
        "crypto comes from its venues by ccxt; not every symbol names its exchange",
        lambda name: [(one["displaySymbol"], one["symbol"]) for one in sample(name)],
        [("ETH/BTC", "ETHBTC"), ("LTC/BTC", "BINANCE:LTCBTC"), ("BNB/BTC", "BINANCE:BNBBTC")],
    ),
    "finnhub/market_status.json": (
        "of this moment alone",
        lambda name: [sample(name)[key] for key in ("isOpen", "session", "holiday")] + stamps([sample(name)]),
        [False, "pre-market", None, "2023-10-11T09:54:01+00:00"],
    ),
    "finnhub/quote.json": (
        "of this moment alone",
        lambda name: [sample(name)[key] for key in "ohlc"] + stamps([sample(name)]),
        [261.07, 263.31, 260.68, 261.74, "2020-02-25T14:30:00+00:00"],
    ),
    "finnhub/stock_dividend2.json": (
        "/stock/dividend has currency and dates besides, on the same plans",
        lambda name: [(one["exDate"], one["amount"]) for one in sample(name)["data"]],
        [("2019-11-07", 0.77), ("2019-08-09", 0.77), ("2019-05-10", 0.77)],
    ),
    "finnhub/stock_earnings.json": (
        "the ends of quarters, not the days of the reports, which events are filed by",
        lambda name: [(one["period"], one["actual"], one["estimate"]) for one in sample(name)],
        [("2023-03-31", 1.88, 1.9744), ("2022-12-31", 1.29, 1.2957), ("2022-09-30", 1.2, 1.1855)],
    ),
    "tradier/timesales_tick_head60.json": (
        NO_TRADES,
        ticks,
        [60, True, ["price", "time", "volume"]],
    ),
    "yahoo/chart_AAPL_1d_split_and_dividend.json": (
        OTHER_EVENTS,
        chart_events,
        [127.58, ("2020-08-31", "4:1"), ("2020-11-06", 0.205)],
    ),
    "yahoo/chart_MSFT_1d_1y_dividends.json": (
        OTHER_EVENTS,
        chart_events,
        [235.06, ("2021-02-17", 0.56), ("2021-05-19", 0.56), ("2021-08-18", 0.56), ("2021-11-17", 0.62)],
    ),
    "yahoo/chart_NVDA_1d_1y_split.json": (OTHER_EVENTS, chart_events, [13.05, ("2021-07-20", "4:1")]),
    "yahoo/chart_EURUSD_1d.json": (
        OTHER_CALENDAR,
        chart,
        ["Europe/London", ["2020-01-01T00:00", "2020-01-03T00:00"], [1.12, 1.12, 1.12], [0, 0, 0]],
    ),
    "yahoo/chart_GC=F_1d_future.json": (
        OTHER_CALENDAR,
        chart,
        ["America/New_York", ["2020-01-02T05:00", "2020-01-02T05:00"], [1524.5], [214]],
    ),
    "yahoo/chart_WSU.DE_1d.json": (
        OTHER_CALENDAR,
        chart,
        ["Europe/Berlin", ["2023-08-04T07:00", "2023-08-08T07:00"], [34.45, 34.0, 33.2], [1251, 336, 10846]],
    ),
}
"""Why it, or what is looked at here, is not asked for; how it is looked at; what index and file say of it."""


def names() -> set[str]:
    """The samples that there are."""
    return {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.glob("*/*")}


def is_named(name: str) -> bool:
    """Whether a module that reads samples of the vendor has the name as a text."""
    vendor, stem = Path(name).parts[0], re.escape(Path(name).stem)
    sources = (Path(str(module.__file__)).read_text() for module in ELSEWHERE[vendor])
    return any(re.search(rf"[\"/]{stem}[\".]", source) for source in sources)


def test_no_sample_is_forgotten() -> None:
    """Each file is in the index and read by a test, here or elsewhere; nothing here is of a file that is gone."""
    indexed = re.findall(r"^\| ([\w.=-]+\.(?:json|csv)) \|", (SAMPLES / "INDEX.md").read_text(), re.MULTILINE)

    assert sorted(indexed) == sorted(Path(name).name for name in names())
    assert {name for name in names() if name not in PARSED.keys() | NOT_ASKED.keys() and not is_named(name)} == set()
    assert PARSED.keys() | NOT_ASKED.keys() <= names()


@pytest.mark.parametrize("name", PARSED)
def test_it_parses_to_its_values(name: str) -> None:
    """What barfill reads such an answer with gives what the sample says."""
    read, expected = PARSED[name]

    assert read(name) == expected


@pytest.mark.parametrize("name", NOT_ASKED)
def test_what_is_not_asked_for_is_what_it_is_taken_for(name: str) -> None:
    """The reason not to ask rests on what the sample says."""
    _, look, expected = NOT_ASKED[name]

    assert look(name) == expected


def test_the_rows_of_alpacas_chain_of_trades_are_sorted_by_symbol() -> None:
    """Not in the order in which they were asked for; the chain ends with an empty page."""
    pages = [sample(f"alpaca/crypto_trades_pages_{number}_of_4.json") for number in range(1, 5)]

    symbols = [symbol for page in pages for symbol in page["trades"]]
    assert symbols == sorted(symbols)
    assert [bool(page["next_page_token"]) for page in pages] == [True, True, True, False]


def test_chicagos_days_mean_their_own_date() -> None:
    """05:00Z is taken for the midnight of a day, whatever its season (D15)."""
    pair = sample("alpaca/crypto_snapshots_BTC_LTC_2024_11_02.json")["snapshots"]["BTC/USD"]
    stamp = read_instant(pair["dailyBar"]["t"])

    assert session_labels(np.array([stamp], np.int64)).tolist() == [label_of(date(2024, 11, 1))]


def test_a_cut_answer_is_refused_for_its_count() -> None:
    """It declares 12,414 rows and holds one."""
    cut = sample("polygon/grouped_daily_2026_08_07_excerpt.json")
    start = datetime(2026, 8, 7, tzinfo=UTC)
    query = BarsQuery(("XLRE",), Timeframe.D1, Range(start, start + timedelta(days=1)), "sip")
    body = json.dumps(cut | {"adjusted": False}).encode()

    with pytest.raises(BadResponse, match="12,414"):
        read_day(query, None, HttpResponse(200, JSON, body, NOW), page_size=50_000)


@pytest.mark.parametrize(
    ("vendor", "rows"), [("alpaca", 7), ("polygon", 6), ("tradier", 7), ("finnhub", 5), ("yahoo", 4), ("ccxt", 6)]
)
def test_every_row_of_the_recorded_errors_is_mapped(vendor: str, rows: int) -> None:
    """The module of the vendor maps so many, and there are no more."""
    (tests, *_) = ELSEWHERE[vendor]

    assert len(sample(f"{vendor}/error_bodies.json")) == rows
    assert hasattr(tests, "test_every_recorded_error_maps_to_its_class")
