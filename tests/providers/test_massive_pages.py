"""Massive's pages, beyond what all providers' pages must keep: where they lead, what they count, where they begin."""

from __future__ import annotations

from datetime import timedelta

import pytest

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.providers.base import HttpResponse
from barfill.providers.massive import Massive
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import JSON, MASSIVE, NOW, at
from tests.providers.test_origins import ATTACKS

row, page_of, parse, refusal = MASSIVE.row, MASSIVE.page, MASSIVE.parse, MASSIVE.refusal
PATH = "/v2/aggs/ticker/AAPL/range/1/minute/1709650860000/2024-03-06?cursor=bGltaXQ9Mg"
KEPT = "1709650860000/2024-03-06?cursor=bGltaXQ9Mg"


@pytest.mark.parametrize(
    "next_url",
    [
        f"https://api.massive.com{PATH}",
        f"https://api.polygon.io{PATH}",
        f"https://api.polygon.io:443{PATH}",
        f"https://api.massive.com{PATH}&apiKey=hunter2",
        f"https://api.massive.com{PATH}&APIKEY=[redacted]",
    ],
)
def test_what_is_kept_of_the_next_page_has_no_host_and_no_key(next_url: str) -> None:
    """The vendor's two hosts are the same place; a key in the URL is left out of what is stored."""
    assert parse(page_of(row(), next_url=next_url)).next_token == KEPT


def test_a_configured_place_is_the_pages_own() -> None:
    """Below a base URL the next page lies at that host and path, or names the vendor's and is asked for there."""
    provider = Massive(KEY, base_url="http://127.0.0.1:8900/massive")
    pages = [
        page_of(row(), next_url=f"{base}{PATH}")
        for base in ("http://127.0.0.1:8900/massive", "https://api.massive.com")
    ]

    tokens = [
        provider.parse_bars(bars_query(), HttpResponse(200, JSON, MASSIVE.encoded(page), NOW)).next_token
        for page in pages
    ]

    assert tokens == [KEPT, KEPT]
    assert provider.bars_request(bars_query(), KEPT).url.startswith(
        "http://127.0.0.1:8900/massive/v2/aggs/ticker/AAPL/"
    )


@pytest.mark.parametrize(
    "next_url",
    [
        *[attack for attack in ATTACKS if attack],
        f"https://api.massive.com.evil.example{PATH}",
        f"http://api.massive.com{PATH}",
        f"https://api.massive.com:8443{PATH}",
        f"https://key@api.massive.com{PATH}",
        f"https://api.massive.com/v2{PATH}",
        f"http://127.0.0.1:8900/massive{PATH}",
        PATH,
        "https://api.massive.com" + PATH.replace("AAPL", "MSFT"),
        "https://api.massive.com" + PATH.replace("1/minute", "1/day"),
        "https://api.massive.com" + PATH.replace("AAPL", "AAPL/../MSFT"),
        "https://api.massive.com/v3/reference/tickers?cursor=x",
    ],
    ids=lambda url: url[:40],
)
def test_a_next_page_elsewhere_is_refused(next_url: str) -> None:
    """Another scheme, host, port, path, symbol or timeframe: nothing of it is kept or sent (H25, X20)."""
    assert refusal(page_of(row(), next_url=next_url)) == "foreign_next_url"


@pytest.mark.parametrize("key", ["resultsCount", "count"])
def test_counts_are_those_of_the_rows(key: str) -> None:
    """An answer that declares rows and holds none, or others, is asked for once more (H13, H15)."""
    assert refusal(page_of(row(), **{key: 2})) == "count"
    assert refusal(page_of(results=..., **{key: 2})) == "count"
    assert refusal(page_of(results=None, **{key: 1})) == "count"


def test_minutes_that_were_counted_and_did_not_come_may_be_lost() -> None:
    """Behind a minute or a day stands one base bar; more of them than rows means that rows are lacking (S2)."""
    whole, lossy = parse(page_of(row(), queryCount=1)), parse(page_of(row(), queryCount=2))
    quarters = parse(page_of(row(), queryCount=15), bars_query(timeframe=Timeframe.M15))

    assert [page.may_lack_rows for page in (whole, lossy, quarters)] == [False, True, False]
    assert [page.taken for page in (whole, lossy, quarters)] == [1, 2, 15]


@pytest.mark.parametrize(("base_bars", "taken"), [(85, 85), (86, 100), (99, 100), (100, 100), (110, 110)])
def test_a_page_is_full_where_the_next_bar_no_longer_fits(base_bars: int, taken: int) -> None:
    """A bar that is cut off by the end of a page is left out, so a full page of quarters may lack up to 14 minutes."""
    query = bars_query(timeframe=Timeframe.M15)

    page = parse(page_of(row(), queryCount=base_bars), query, page_size=100)

    assert page.taken == taken


@pytest.mark.parametrize("results", [None, "null", row()])
def test_results_that_are_no_list_may_lack_rows(results: object) -> None:
    """`null` came under load where there were rows (H12); an absent key is how nothing is told."""
    count = 1 if isinstance(results, dict) else 0
    counts = {"resultsCount": count, "count": count, "queryCount": count}

    assert parse(page_of(**{**counts, "results": results})).may_lack_rows
    assert not parse(page_of(results=...)).may_lack_rows


@pytest.mark.parametrize("status", ["OK", "DELAYED"])
def test_delayed_data_are_data(status: str) -> None:
    """Both words mean success."""
    assert parse(page_of(row(), status=status)).received == 1


@pytest.mark.parametrize("status", ["NOT_AUTHORIZED", "NOT_FOUND", "PARTIAL", ""])
def test_any_other_status_is_no_success(status: str) -> None:
    """Only what calls itself a success is one (H10)."""
    assert refusal(page_of(row(), status=status)) == "body"


def test_rows_that_the_widened_range_brings_are_kept_for_the_rules() -> None:
    """The bar that a bound falls into comes along; it is no error, and the rules drop and count it (W01)."""
    query = bars_query(timeframe=Timeframe.M15, start="2024-03-05T15:05", end="2024-03-05T16:00")

    page = parse(page_of(row("2024-03-05T15:00"), row("2024-03-05T15:15")), query)

    assert page.received == 2


WALL = at("2022-06-02")
"""Two years of 365 days before NOW."""


def around_the_wall(start: str, *rows: str, timeframe: Timeframe = Timeframe.D1) -> BarsQuery:
    """A query from *start* on, for a month."""
    return BarsQuery(("AAPL",), timeframe, Range(at(start), at(start) + timedelta(days=30)), "sip")


@pytest.mark.parametrize(
    ("start", "first", "looked_from"),
    [
        ("2022-05-20", "2022-06-03T04:00", "2022-06-03"),
        ("2022-05-20", "2022-06-13T04:00", "2022-06-09"),
        ("2022-05-20", "2022-05-23T04:00", "2022-05-23"),
        ("2022-05-20", None, "2022-06-09"),
        ("2022-06-03", "2022-06-07T04:00", "2022-06-07"),
        ("2022-06-09", "2022-06-13T04:00", None),
        ("2023-06-09", None, None),
    ],
)
def test_near_the_wall_only_what_lies_behind_the_first_row_was_looked_at(
    start: str, first: str | None, looked_from: str | None
) -> None:
    """The old part of a straddling range is missing in silence; a week after the wall nothing is doubted (H19)."""
    rows = [] if first is None else [row(first)]

    page = parse(page_of(*rows), around_the_wall(start))

    assert page.looked_from == (None if looked_from is None else at(looked_from))


@pytest.mark.parametrize(
    ("plan", "start", "is_doubted"),
    [
        ("starter", "2019-05-20", True),
        ("starter", "2019-07-01", False),
        ("developer", "2014-05-20", True),
        ("developer", "2019-05-20", False),
        ("paid", "2014-05-20", True),
        ("paid", "2019-07-01", False),
        ("advanced", "2003-09-01", True),
        ("advanced", "2014-05-20", False),
    ],
)
def test_each_plan_has_its_wall(plan: str, start: str, is_doubted: bool) -> None:
    """`paid` does not tell which plan it is, so only what the smallest of them has is beyond doubt."""
    body = MASSIVE.encoded(page_of())

    page = Massive(KEY, plan=plan).parse_bars(around_the_wall(start), HttpResponse(200, JSON, body, NOW))

    assert (page.looked_from is not None) == is_doubted


def test_the_wall_moves_on_while_a_process_runs() -> None:
    """It counts from when the answer came, not from when the adapter was made."""
    provider, body = Massive(KEY), MASSIVE.encoded(page_of())
    query = around_the_wall("2022-06-20")

    now, later = (
        provider.parse_bars(query, HttpResponse(200, JSON, body, instant)).looked_from
        for instant in (NOW, NOW + timedelta(days=60))
    )

    assert (now, later) == (None, WALL + timedelta(days=67))
