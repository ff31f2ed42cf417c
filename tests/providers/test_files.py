"""Files as a source of pages: what their columns are, which bar a time means, and every row once, in order."""

from __future__ import annotations

import asyncio
import gzip
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, StalePageToken
from barfill.providers.files import BarFile, FilesClient, Reading, RowRule, Staged, open_file, rule_for, stage
from barfill.providers.files.columns import has_adjusted_close, map_columns, parse_columns
from barfill.providers.files.rows import read_rows
from barfill.providers.files.stamps import StampRule, read_stamps, starts_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
HEADER = "ts,symbol,open,high,low,close,volume"
MINUTES = Reading(timeframe=Timeframe.M1, until=NOW)
DAYS = Reading(timeframe=Timeframe.D1, until=NOW)


def written(directory: Path, text: str | bytes, name: str = "bars.csv") -> Path:
    path = directory / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def opened(directory: Path, text: str | bytes, delimiter: str | None = None) -> BarFile:
    return open_file(written(directory, text), delimiter, directory)


def rows_of(directory: Path, text: str | bytes, reading: Reading) -> pl.DataFrame:
    """All rows of a file, as they go into pages."""
    file = opened(directory, text)
    rule = rule_for(file, reading)
    return pl.concat([read_rows(batch, rule).frame for batch in file.batches(rule.columns.names)])


def starts(values: pl.Series, timeframe: Timeframe, *, is_crypto: bool = False, **options: object) -> list[str | None]:
    """The starts of the bars that a column of stamps means; None where there is none."""
    rule = replace(StampRule(timeframe=timeframe, until=NOW), **options)  # type: ignore[arg-type]
    found = starts_of(read_stamps([values], rule.format), rule, np.full(len(values), is_crypto))
    return [None if us < 0 else from_us(us).isoformat().replace("+00:00", "Z") for us in found.tolist()]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("Date,Open,High,Low,Close,Volume", "Date open=Open volume=Volume"),
        ("ticker,volume,open,close,high,low,window_start,transactions", "window_start trade_count=transactions"),
        ("timestamp,symbol,o,h,l,c,v,vw,n", "timestamp symbol=symbol volume=v vwap=vw trade_count=n"),
        ("DATE,TIME,OPEN,HIGH,LOW,CLOSE,VOL", "DATE+TIME volume=VOL"),
        ("open_time,open,high,low,close,volume,close_time,number_of_trades", "open_time trade_count=number_of_trades"),
        ("Datetime,Open,High,Low,Close,Adj Close,Volume", "Datetime close=Close"),
    ],
)
def test_usual_headers_are_found(headers: str, expected: str) -> None:
    """Of the exports of vendors, terminals and libraries."""
    names = headers.split(",")
    found = map_columns(names, {}, has_one_symbol="ymbol" not in headers and "ticker" not in headers).shown()
    stamp, *fields = expected.split()
    assert found["ts"] == stamp
    assert dict(one.split("=") for one in fields).items() <= found.items()


@pytest.mark.parametrize(
    ("headers", "given", "told"),
    [
        ("Date,timestamp,open,high,low,close,volume", {}, "--columns 'ts=Date'"),
        ("ts,open,o,high,low,close,volume", {}, "--columns 'open=open'"),
        ("ts,open,high,low,close", {}, "--columns volume=NAME"),
        ("open,high,low,close,volume", {}, "--columns ts=NAME"),
        ("ts,open,high,low,close,volume", {"volume": "Shares"}, "no column 'Shares'"),
    ],
)
def test_what_could_be_two_columns_or_none_is_asked_for(headers: str, given: dict[str, str], told: str) -> None:
    """The error names the option that decides."""
    with pytest.raises(InvalidInput) as refused:
        map_columns(headers.split(","), given, has_one_symbol=True)
    assert told in str(refused.value)


def test_what_is_said_of_columns_counts() -> None:
    """A named column is taken, and one that is taken is no candidate for anything else."""
    given = parse_columns(["ts=Date+Time,open=first", "volume=Shares"])
    columns = map_columns(
        ["Date", "Time", "first", "open", "high", "low", "close", "Shares", "volume"], given, has_one_symbol=True
    )
    assert (columns.ts, columns.open, columns.volume) == (("Date", "Time"), "first", "Shares")
    for text in ("ts", "price=x", "ts=", "ts=a,ts=b"):
        with pytest.raises(InvalidInput):
            parse_columns([text])
    assert has_adjusted_close(["Close", "Adj Close"])
    assert not has_adjusted_close(["Close", "adj_volume"])


@settings(deadline=None, max_examples=60)
@given(st.datetimes(datetime(1990, 1, 2), datetime(2029, 12, 30), timezones=st.just(UTC)))
def test_an_instant_is_read_however_it_is_written(instant: datetime) -> None:
    """As a number of any unit, as a text with any zone, as a value of Parquet: always the same bar."""
    instant = instant.replace(second=0, microsecond=0)
    us, naive = to_us(instant), instant.replace(tzinfo=None)
    india, new_york = (instant.astimezone(ZoneInfo(zone)) for zone in ("Asia/Kolkata", "America/New_York"))
    written_as = [
        *(us // unit for unit in (1_000_000, 1_000, 1)),
        us * 1_000,
        us / 1e6,
        *(str(us // unit) for unit in (1_000_000, 1_000, 1)),
        str(us * 1_000),
        instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
        instant.strftime("%Y-%m-%d %H:%M+00:00"),
        instant.strftime("%Y/%m/%d %H:%M:%S.000 UTC"),
        india.strftime("%Y-%m-%dT%H:%M:%S%z"),
        new_york.isoformat(),
    ]
    columns = [pl.Series([value]) for value in written_as]
    columns += [pl.Series([instant], dtype=pl.Datetime(unit, "UTC")) for unit in ("ms", "us", "ns")]
    expected = instant.isoformat().replace("+00:00", "Z")
    for column in columns:
        assert starts(column, Timeframe.M1) == [expected], column
    of_the_clock = [
        pl.Series([naive]),
        *(
            pl.Series([naive.strftime(form)])
            for form in ("%Y-%m-%d %H:%M:%S", "%Y%m%d %H%M%S", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y.%m.%d %H:%M")
        ),
    ]
    for column in of_the_clock:
        assert starts(column, Timeframe.M1, zone=ZoneInfo("UTC")) == [expected], column
        assert starts(column, Timeframe.M1) == [None]
    assert starts(pl.Series([us]), Timeframe.M1, is_end=True) == starts(pl.Series([us - 60_000_000]), Timeframe.M1)


def test_a_wall_clock_that_shows_a_time_twice_or_never_tells_none() -> None:
    """Summer time begins and ends (T02): those bars are kept out, those around them are right."""
    clock = ["2025-03-09 01:59", "2025-03-09 02:30", "2025-03-09 03:00", "2025-11-02 00:59", "2025-11-02 01:30"]
    assert starts(pl.Series(clock), Timeframe.M1, zone=NEW_YORK) == [
        "2025-03-09T06:59:00Z",
        None,
        "2025-03-09T07:00:00Z",
        "2025-11-02T04:59:00Z",
        None,
    ]


@pytest.mark.parametrize(
    "stamp",
    ["2024-01-03", "20240103", "2024-01-03 00:00:00", "2024-01-03T00:00:00Z", "2024-01-03T05:00:00Z",
     "2024-01-03T14:30:00Z", "2024-01-03T21:00:00Z", "2024-01-03T00:00:00-05:00", "1704258000", "1704258000000"],
)  # fmt: skip
def test_a_day_is_its_session_whatever_it_is_stamped_by(stamp: str) -> None:
    """By its date, by midnight here or there, by the open or by the close (D15)."""
    assert starts(pl.Series([stamp]), Timeframe.D1) == ["2024-01-03T00:00:00Z"]


def test_days_and_weeks_have_further_conventions() -> None:
    """The end of a day, the days of another zone, the days of crypto, weeks by Sunday, Monday or Friday."""
    day, week = Timeframe.D1, Timeframe.W1
    assert starts(pl.Series(["2024-01-04T00:00:00Z"]), day, is_end=True, is_crypto=True) == ["2024-01-03T00:00:00Z"]
    assert starts(pl.Series(["2024-01-03 16:00"]), day, is_end=True) == ["2024-01-03T00:00:00Z"]
    assert starts(pl.Series(["2024-01-03"]), day, is_end=True) == ["2024-01-03T00:00:00Z"]
    assert starts(pl.Series(["2024-01-02T18:30:00Z"]), day, zone=ZoneInfo("Asia/Kolkata")) == ["2024-01-03T00:00:00Z"]
    assert starts(pl.Series(["2024-01-03T23:00:00Z"]), day, is_crypto=True) == ["2024-01-03T00:00:00Z"]
    assert starts(pl.Series([date(2024, 1, 7), date(2024, 1, 8), date(2024, 1, 12)]), week) == (
        ["2024-01-08T00:00:00Z"] * 3
    )
    assert starts(pl.Series(["2024-01-12"]), week, is_end=True) == ["2024-01-08T00:00:00Z"]
    assert starts(pl.Series(["2024-01-07", "2024-01-08"]), week, is_crypto=True) == [
        "2024-01-07T00:00:00Z", "2024-01-08T00:00:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "stamp", ["", "NA", "1970-01-01", "55840", "2024-13-01", "2024-02-30", "02/01/2024", "1e400", "2031-01-01", "-1"]
)
def test_what_is_no_time_of_a_bar_is_none(stamp: str) -> None:
    """Not of this epoch, not in this calendar, or written so that day and month could be either (D14)."""
    assert starts(pl.Series([stamp]), Timeframe.D1) == [None]


def test_a_format_that_is_said_is_followed() -> None:
    """Also where it holds no time of day."""
    assert starts(pl.Series(["02/01/2024"]), Timeframe.D1, format="%d/%m/%Y") == ["2024-01-02T00:00:00Z"]
    zoned = starts(pl.Series(["01/02/2024 09:30", "x"]), Timeframe.M1, format="%m/%d/%Y %H:%M", zone=NEW_YORK)
    assert zoned == ["2024-01-02T14:30:00Z", None]


@pytest.mark.parametrize(
    ("text", "reading", "told"),
    [
        ("Date,Open,High,Low,Close,Volume\n01/02/2024,1,1,1,1,1\n", DAYS, "--time-format"),
        ("Date,Open,High,Low,Close,Volume\n2024-01-02 09:30,1,1,1,1,1\n", MINUTES, "--time-zone"),
        ("2024-01-02,1,2,1,2,5\n2024-01-03,1,2,1,2,5\n", DAYS, "no header"),
        ("Date;Open,High;Low\n", DAYS, "--delimiter"),
        ("Date,Open,Open,High,Low,Close,Volume\n", DAYS, "two columns 'Open'"),
        ("Date,Open,High,Low,Close,Volume\n", DAYS, "no rows"),
        ("\n\n", DAYS, "empty"),
        ("\xff\xfeD\0a\0".encode("latin-1"), DAYS, "UTF-16"),
        (b"PAR1 and no more", DAYS, "cannot be read"),
        (gzip.compress(b"Date,Open\n" * 100, mtime=0)[:-10], DAYS, "cannot be decompressed"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str | bytes, reading: Reading, told: str) -> None:
    """And what to do, before anything is stored."""
    with pytest.raises(InvalidInput) as refused:
        rule_for(opened(tmp_path, text), replace(reading, symbol="X"))
    assert told in str(refused.value)


def test_a_line_with_too_many_values_refuses_the_file(tmp_path: Path) -> None:
    """Which of its values are which nobody can tell: `1,234` has moved all that follow."""
    with pytest.raises(InvalidInput, match="more values than the header"):
        rows_of(tmp_path, f"{HEADER}\n2024-01-02,A,1,1,1,1,1\n2024-01-03,A,1,1,1,1,1,234\n", DAYS)


def test_tickers_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    """NA is no absence, TRUE no truth and 1E5 no number (D29)."""
    tickers = ["NA", "NAN", "NULL", "TRUE", "ON", "NO", "Y", "INF", "PRN", "CON", "1E5", "BRK.B", "BTC/USD"]
    lines = [f"2024-01-02,{ticker},1,1,1,1,1" for ticker in tickers]
    assert rows_of(tmp_path, "\n".join([HEADER, *lines]), DAYS)["ticker"].to_list() == tickers
    lower = rows_of(tmp_path, f'{HEADER}\n2024-01-02," brk.b",1,1,1,1,1\n', DAYS)
    assert lower["ticker"].to_list() == ["BRK.B"]


def test_garbage_stays_in_its_row(tmp_path: Path) -> None:
    """Each row that cannot be read has its rule and its text; those around it are whole (D01, D30)."""
    lines = [
        b"2024-01-02,A,1,2,1,2,5", b"2024-01-03,A,x,2,1,2,5", b"2024-01-04,A,1,,1,2,5", b"2024-01-05,A,1,2,1,2,true",
        b"never,A,1,2,1,2,5", b"2024-01-08,\xff\xfe,1,2,1,2,5", b"2024-01-08,A\0B,1,2,1,2,5", b"",
        b"2024-01-08," + b"A" * 10_000 + b",1,2,1,2,5", b"2024-01-08,,1,2,1,2,5", b"2024-01-09,A,1,2,1,2,5",
    ]  # fmt: skip
    found = rows_of(tmp_path, HEADER.encode() + b"\r\n" + b"\r\n".join(lines) + b"\r\n", DAYS)
    assert found["rule"].to_list() == [None, "Q04", "Q04", "Q04", "Q01", "Q16", "Q16", "Q16", "Q16", None]
    faulty = found.filter(pl.col("rule").is_not_null())
    assert faulty["raw"].null_count() == faulty["reason"].null_count() == 0
    assert '"x"' in faulty["raw"][0]
    assert max(len(raw) for raw in faulty["raw"]) < 500


def test_what_need_not_be_there_may_be_absent_or_wrong(tmp_path: Path) -> None:
    """A vwap or a trade count that is not told is none; one that is no number breaks rule Q10."""
    text = "t,o,h,l,c,v,vw,n\n" + "".join(
        f"2024-01-0{day},1,2,1,2,5,{rest}\n" for day, rest in enumerate(["1.5,7", ",", "NaN,null", "x,1", "1,1.5"], 1)
    )
    found = rows_of(tmp_path, text, replace(DAYS, symbol="A"))
    assert found["rule"].to_list() == [None, None, None, "Q10", "Q10"]
    assert found["trade_count"].to_list()[:3] == [7, -1, -1]
    assert np.isnan(found["vwap"].to_numpy()[1:3]).all()


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 40))
def test_every_row_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, run_rows: int, page_rows: int
) -> None:
    """However many files in whatever order, however little fits into memory, however small the pages are."""
    chance, directory = random.Random(seed), tmp_path_factory.mktemp("staged")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    keys = [
        (ticker, start + timedelta(minutes=chance.randint(0, 200_000)))
        for ticker in ("A", "AB", "B.C", "Z")
        for _ in range(chance.randint(1, 30))
    ]
    chance.shuffle(keys)
    rules: list[tuple[BarFile, RowRule]] = []
    for number, part in enumerate(np.array_split(np.arange(len(keys)), chance.randint(1, 4))):
        lines = [f"{keys[i][1].isoformat()},{keys[i][0]},1,1,1,1,{i}" for i in part.tolist()]
        if lines:
            file = open_file(written(directory, "\n".join([HEADER, *lines]), f"{number}.csv"), None, directory)
            rules.append((file, rule_for(file, MINUTES)))
    staged = stage(rules, directory, run_rows=run_rows)

    tickers = tuple(one.ticker for one in staged.symbols)
    wanted = Range(start, start + timedelta(days=200))
    pages = read_all(client_of(staged, page_rows), BarsQuery(tickers, Timeframe.M1, wanted, "files"))
    expected = sorted(keys, key=lambda key: (key[0].encode(), key[1]))
    came = [(page.symbols[index], from_us(ts)) for page in pages for index, ts in
            zip(page.rows.symbol.tolist(), page.rows.ts.tolist(), strict=True)]  # fmt: skip
    assert came == expected
    assert sorted(float(v) for page in pages for v in page.rows.volume) == [float(i) for i in range(len(keys))]
    assert all(page.received == page_rows for page in pages[:-1])
    assert pages[-1].received < page_rows
    assert staged.fingerprint == stage(rules, directory).fingerprint
    for one in staged.symbols:
        own = [ts for ticker, ts in expected if ticker == one.ticker]
        assert one.span == Range(own[0], own[-1] + timedelta(minutes=1))


def test_a_part_of_the_symbols_and_of_the_range_can_be_asked_for(tmp_path: Path) -> None:
    """As pieces of a run do; rows that name no symbol come with the first one, once."""
    lines = [f"2024-01-{day:02},{ticker},1,1,1,1,1" for day in range(2, 6) for ticker in ("B", "A", "$$", "C")]
    file = opened(tmp_path, "\n".join([HEADER, *lines]))
    client = client_of(stage([(file, rule_for(file, DAYS))], tmp_path), 3)
    wanted = Range(datetime(2024, 1, 3, tzinfo=UTC), datetime(2024, 1, 5, tzinfo=UTC))

    asked = [read_all(client, BarsQuery(symbols, Timeframe.D1, wanted, "files")) for symbols in (("A", "C"), ("B",))]

    assert [[ts_of(page) for page in pages if page.received] for pages in asked] == [
        [[], ["A 3"], ["A 4"], ["C 3", "C 4"]], [["B 3", "B 4"]],
    ]  # fmt: skip
    assert [sum(len(page.rejected) for page in pages) for pages in asked] == [4, 0]


def test_a_page_of_other_files_is_refused(tmp_path: Path) -> None:
    """A value that has changed meanwhile makes them others."""
    tokens = []
    for volume in (1, 2):
        file = opened(tmp_path, f"{HEADER}\n2024-01-02,A,1,1,1,1,{volume}\n2024-01-03,A,1,1,1,1,1\n")
        staged = stage([(file, rule_for(file, DAYS))], tmp_path)
        client, query = (
            client_of(staged, 1),
            BarsQuery(("A",), Timeframe.D1, Range(NOW - timedelta(3650), NOW), "files"),
        )
        tokens.append(asyncio.run(client.fetch_page(query, None)).next_token)
    with pytest.raises(StalePageToken):
        asyncio.run(client.fetch_page(query, tokens[0]))
    assert asyncio.run(client.fetch_page(query, tokens[1])).received == 1


def client_of(staged: Staged, page_rows: int) -> FilesClient:
    claims = {one.ticker: one.span for one in staged.symbols if one.span is not None}
    return FilesClient(staged, Timeframe.M1, feed="files", basis="raw", claims=claims, page_rows=page_rows)


def read_all(client: FilesClient, query: BarsQuery) -> list[Page]:
    """The pages of a chain to its end."""
    pages = [asyncio.run(client.fetch_page(query, None))]
    while pages[-1].next_token is not None:
        pages.append(asyncio.run(client.fetch_page(query, pages[-1].next_token)))
    return pages


def ts_of(page: Page) -> list[str]:
    """`A 3` for a row of A on the third."""
    pairs = zip(page.rows.symbol.tolist(), page.rows.ts.tolist(), strict=True)
    return [f"{page.symbols[index]} {from_us(ts).day}" for index, ts in pairs]
