"""What is tried again, what waits, what pauses: over real HTTP, in a time of our own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from barfill.errors import (
    BadResponse,
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooRecent,
)
from barfill.providers.base import OfferedSymbol
from barfill.providers.client import ProviderClient, RequestCounts
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from tests.providers.conftest import KEY, SECRET, Bench, bars_query
from tests.providers.servers import Answer, Exchange

ROW = {"t": "2024-03-05T15:00:00Z", "o": 1, "h": 2, "l": 1, "c": 2, "v": 10, "n": 1, "vw": 1.5}
GOOD = Answer({"bars": {"AAPL": [ROW]}, "next_page_token": None})
HTML = {"Content-Type": "text/html"}


def refusal(message: str, status: int, **headers: str) -> Answer:
    """An error in Alpaca's form."""
    return Answer({"message": message}, status, {name.replace("_", "-"): value for name, value in headers.items()})


def page_of(rows: object, **extra: object) -> Answer:
    """A page with such rows."""
    return Answer({"bars": rows, "next_page_token": None, **extra})


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_tried_again(exchange: Exchange, bench: Bench, status: int) -> None:
    """One 5xx with a web page costs one more request and no more (H04)."""
    exchange.answers(Answer(b"<html>down</html>", status, HTML), GOOD)

    page = await bench.client.fetch_page(bars_query(), None)

    assert len(page.rows) == 1
    assert len(exchange.requests) == 2
    assert [code for _, code in bench.waits] == ["PROVIDER_UNAVAILABLE"]


async def test_waits_between_attempts_double_with_full_jitter(exchange: Exchange, bench: Bench) -> None:
    """The n-th wait lies between nothing and 2^(n-1) seconds."""
    exchange.answers(refusal("sorry", 500))

    with pytest.raises(ProviderUnavailable):
        await bench.client.fetch_page(bars_query(), None)

    assert len(bench.waits) == 4
    assert all(0 <= wait_s <= 2**n for n, (wait_s, _) in enumerate(bench.waits))
    assert sum(wait_s for wait_s, _ in bench.waits) > 0
    assert bench.clock.slept_s == [wait_s for wait_s, _ in bench.waits]


FAILURES: list[tuple[Answer, int, type[ProviderError], str]] = [
    (refusal("sorry", 503), 5, ProviderUnavailable, ""),
    (Answer({"error": "no"}), 5, BadResponse, "body"),
    (Answer({"message": "no", "bars": {}}), 5, BadResponse, "body"),
    (Answer({"status": "ERROR", "bars": {}}), 5, BadResponse, "body"),
    (Answer(b"<html>hello</html>"), 5, BadResponse, "body"),
    (Answer(b"{}", headers=HTML), 5, BadResponse, "body"),
    (Answer(b""), 5, BadResponse, "body"),
    (Answer(b"null"), 5, BadResponse, "body"),
    (Answer(status=204), 5, BadResponse, "body"),
    (Answer(b'{"bars":{"AAPL":['), 5, BadResponse, "json"),
    (page_of({"AAPL": [{**ROW, "t": "2021-03-05T15:00:00Z"}]}), 2, BadResponse, "out_of_range"),
    (page_of({"AAPL": [ROW]}, count=2), 2, BadResponse, "count"),
    (page_of({"AAPL": [{"open": 1}]}), 1, BadResponse, "schema"),
    (page_of({"MSFT": [ROW]}), 1, BadResponse, "wrong_symbol"),
    (page_of({"AAPL": [ROW]}, currency="EUR"), 1, BadResponse, "wrong_variant"),
    (page_of({"AAPL": [ROW] * 20_001}), 1, BadResponse, "too_large"),
    (Answer(b"", 302, {"Location": "http://127.0.0.2/"}), 1, BadResponse, "redirect"),
    (refusal("no", 418), 1, BadResponse, "refused"),
    (refusal("invalid symbol: AAPL", 400), 1, SymbolNotOffered, ""),
    (refusal("not found", 404), 1, SymbolNotOffered, ""),
    (refusal("invalid page_token", 400), 1, StalePageToken, ""),
    (refusal("forbidden.", 403), 1, CredentialsRejected, ""),
    (refusal("your plan lacks this", 403), 1, PlanTooSmall, ""),
    (refusal("subscription does not permit querying recent SIP data", 403), 1, TooRecent, ""),
    (refusal("too long", 414), 1, RequestTooLong, ""),
]


@pytest.mark.parametrize("failure", FAILURES, ids=[f"{one[2].__name__} {one[3]} {i}" for i, one in enumerate(FAILURES)])
async def test_each_failure_is_tried_as_often_as_its_table_says(
    exchange: Exchange, bench: Bench, failure: tuple[Answer, int, type[ProviderError], str]
) -> None:
    """A lasting failure costs 5, 2 or 1 requests by its kind, then is raised with all its facts."""
    answer, requests, error, reason = failure
    exchange.answers(Answer(answer.body, answer.status, {**answer.headers, "X-Request-ID": "id-7"}))

    with pytest.raises(ProviderError) as caught:
        await bench.client.fetch_page(bars_query(), "token")

    raised = caught.value
    assert type(raised) is error
    assert (raised.reason, len(exchange.requests)) == (reason, requests)
    assert raised.provider == "alpaca"
    assert raised.request.startswith("/v2/stocks/bars AAPL 1m [2024-03-05, 2024-03-06)")
    assert raised.status == answer.status
    assert raised.request_id == ("" if reason == "redirect" else "id-7")


async def test_a_page_out_of_range_may_be_right_the_second_time(exchange: Exchange, bench: Bench) -> None:
    """The one retry of a refused page can succeed (H28)."""
    exchange.answers(page_of({"AAPL": [{**ROW, "t": "2021-03-05T15:00:00Z"}]}), GOOD)

    assert len((await bench.client.fetch_page(bars_query(), None)).rows) == 1


async def test_a_rejected_key_costs_one_request_in_all(exchange: Exchange, bench: Bench) -> None:
    """However many tasks start together, one asks; all fail at once and the text says what to set (H05)."""
    exchange.answers(refusal("unauthorized", 401))

    failures = await asyncio.gather(
        *(bench.client.fetch_page(bars_query(), None) for _ in range(20)),
        bench.client.find_symbols(["AAPL"]),
        return_exceptions=True,
    )
    with pytest.raises(CredentialsRejected):
        await bench.client.fetch_page(bars_query(), None)

    assert len(exchange.requests) == 1
    assert all(isinstance(failure, CredentialsRejected) for failure in failures)
    assert "ALPACA_API_KEY" in str(failures[0])
    assert "ALPACA_API_SECRET" in str(failures[0])


async def test_a_key_that_is_withdrawn_later_pauses_too(exchange: Exchange, bench: Bench) -> None:
    """After a 401 in the middle of work nothing more is sent."""
    exchange.answers(GOOD, refusal("unauthorized", 401))
    await bench.client.fetch_page(bars_query(), None)

    for _ in range(3):
        with pytest.raises(CredentialsRejected):
            await bench.client.fetch_page(bars_query(), None)

    assert len(exchange.requests) == 2


async def test_a_paused_key_takes_nothing_of_the_quota(exchange: Exchange, bench: Bench) -> None:
    """Whoever asks with a rejected key fails at once, even where no request would be allowed for a minute."""
    exchange.answers(refusal("unauthorized", 401))
    quota = SlidingQuota(1, clock=bench.clock, sleep=bench.clock.sleep)
    async with HttpClient(bench.provider.base_urls) as http:
        client = ProviderClient(bench.provider, http, quota)
        for _ in range(3):
            with pytest.raises(CredentialsRejected):
                await client.fetch_page(bars_query(), None)

    assert bench.clock.slept_s == []


async def test_requests_run_together_once_the_key_has_proved_itself(exchange: Exchange, bench: Bench) -> None:
    """One request is under way until the first success, then as many as there are tasks."""
    under_way: list[int] = []
    open_count = 0

    async def handle(_request: object) -> Answer:
        nonlocal open_count
        open_count += 1
        under_way.append(open_count)
        await asyncio.sleep(0.02)
        open_count -= 1
        return refusal("later", 503) if len(under_way) <= 2 else GOOD

    exchange.handler = handle
    await asyncio.gather(*(bench.client.fetch_page(bars_query(), None) for _ in range(6)))

    assert under_way[:3] == [1, 1, 1]
    assert max(under_way) > 1


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "3"}, 3),
        ({"Retry-After": "Fri, 01 Mar 2024 00:00:07 GMT", "Date": "Fri, 01 Mar 2024 00:00:00 GMT"}, 7),
        ({"X-RateLimit-Reset": "1709251221", "Date": "Fri, 01 Mar 2024 00:00:00 GMT"}, 21),
        ({"X-RateLimit-Reset": "1709251221500", "Date": "Fri, 01 Mar 2024 00:00:00 GMT"}, 21.5),
        ({"Retry-After": "abc", "X-RateLimit-Reset": "1709251221", "Date": "Fri, 01 Mar 2024 00:00:00 GMT"}, 21),
    ],
)
async def test_a_429_waits_as_told_and_spends_no_attempt(
    exchange: Exchange, bench: Bench, headers: dict[str, str], wait_s: float
) -> None:
    """Seconds, dates and resets in s or ms are kept to; 9 refusals and 4 failures still leave an attempt (H01)."""
    refused = Answer({"message": "too many requests."}, 429, headers)
    exchange.answers(*[refused] * 9, *[refusal("down", 500)] * 4, GOOD)

    page = await bench.client.fetch_page(bars_query(), None)

    assert len(page.rows) == 1
    assert bench.waits[0][0] == pytest.approx(wait_s)
    assert bench.waits[0][1] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize("body", [b"", b"Too many", b'{"message":"too many requests."}'])
@pytest.mark.parametrize("told", [None, "-1", "abc", "999999", "", "0", "1e3", "99999999999999999999999"])
async def test_a_429_that_tells_nothing_usable_backs_off(
    exchange: Exchange, bench: Bench, told: str | None, body: bytes
) -> None:
    """Without a credible header the wait is 2 s and at least a fifth more (H02)."""
    headers = {"Retry-After": told} if told is not None else {}
    exchange.answers(Answer(body, 429, {"Content-Type": "text/plain", **headers}), GOOD)

    await bench.client.fetch_page(bars_query(), None)

    assert 2 * 1.2 <= bench.waits[0][0] <= 2 * 1.5


async def test_a_wait_of_more_than_an_hour_pauses_the_key(exchange: Exchange, bench: Bench) -> None:
    """It is raised instead of waited out, for all who ask, until its time is over (H02)."""
    exchange.answers(refusal("daily limit", 429, Retry_After="7200"), GOOD)

    failures = await asyncio.gather(
        *(bench.client.fetch_page(bars_query(), None) for _ in range(5)), return_exceptions=True
    )

    assert [type(failure) for failure in failures] == [RateLimited] * 5
    assert len(exchange.requests) == 1
    assert (failures[0].code, failures[0].retry_after_s) == ("RATE_LIMIT_EXCEEDED", 7200)  # type: ignore[union-attr]
    bench.clock.now_s += 7200
    assert len((await bench.client.fetch_page(bars_query(), None)).rows) == 1


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3"}])
async def test_five_minutes_of_429_to_eight_callers_cost_at_most_12_requests(
    exchange: Exchange, bench: Bench, headers: dict[str, str]
) -> None:
    """Eight callers of a good key are refused for so long: one probe at a time asks, then all get through (H03)."""
    await bench.client.fetch_page(bars_query(), None)
    refused = 0

    async def handle(_request: object) -> Answer:
        nonlocal refused
        await asyncio.sleep(0.01)
        if bench.clock() >= 300:
            return GOOD
        refused += 1
        return Answer({"message": "too many requests."}, 429, headers)

    exchange.handler = handle
    pages = await asyncio.gather(*(bench.client.fetch_page(bars_query(), None) for _ in range(8)))

    assert len(pages) == 8
    assert refused <= 12


async def test_none_remaining_is_waited_out_before_the_next_request(exchange: Exchange, bench: Bench) -> None:
    """A good answer that says 0 left until a reset delays the next request to that reset."""
    headers = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1709251221",
        "Date": "Fri, 01 Mar 2024 00:00:00 GMT",
    }
    exchange.answers(Answer(GOOD.body, 200, headers), GOOD)

    await bench.client.fetch_page(bars_query(), None)
    assert bench.clock() == 0
    await bench.client.fetch_page(bars_query(), None)

    assert bench.clock() == pytest.approx(21)


async def test_requests_are_counted_by_status(exchange: Exchange, bench: Bench) -> None:
    """All requests count, for the client and for who asked: refused, failed and answered ones."""
    exchange.answers(refusal("slow down", 429), refusal("down", 500), GOOD)
    counts = RequestCounts()

    await bench.client.fetch_page(bars_query(), None, counts=counts)
    await bench.client.fetch_page(bars_query(), None)

    assert (counts.all, dict(counts.by_status)) == (3, {429: 1, 500: 1, 200: 1})
    assert bench.client.requests_made.all == 4


async def test_an_unanswered_request_counts_with_status_0(bench: Bench, exchange: Exchange) -> None:
    """A request that got no answer was still sent."""

    async def vanish(request: Any) -> Answer:
        request.transport.abort()
        return GOOD

    exchange.handler = vanish
    with pytest.raises(ProviderUnavailable):
        await bench.client.fetch_page(bars_query(), None)

    assert dict(bench.client.requests_made.by_status) == {0: 5}


def asset(symbol: str, **changes: object) -> dict[str, object]:
    """An asset as the trading host gives it."""
    return {"id": "1", "class": "us_equity", "symbol": symbol, "name": symbol, "status": "active", **changes}


async def test_symbols_are_looked_up_one_by_one(exchange: Exchange, bench: Bench) -> None:
    """Each known ticker comes with its data, an unknown one as None, and none costs the others (H08)."""
    known = {"AAPL": asset("AAPL", name="Apple Inc."), "SPY": asset("SPY", name="SPDR S&P 500 ETF Trust")}

    async def handle(request: Any) -> Answer:
        ticker = request.path.rpartition("/")[2]
        return Answer(known[ticker]) if ticker in known else refusal(f"asset not found for {ticker}", 404)

    exchange.handler = handle
    found = await bench.client.find_symbols(["AAPL", "SPY", "NOPE"])

    assert found == {
        "AAPL": OfferedSymbol("AAPL", "Apple Inc.", "stock", is_active=True),
        "SPY": OfferedSymbol("SPY", "SPDR S&P 500 ETF Trust", "etf", is_active=True),
        "NOPE": None,
    }


async def test_many_symbols_are_looked_up_in_one_call(exchange: Exchange, bench: Bench) -> None:
    """Beyond 20 the whole list is read; of a reused ticker the active owner counts, and crypto is not offered."""
    listed = [asset("T1"), asset("T1", status="inactive", name="old"), asset("T2", status="inactive")]
    exchange.answers(Answer([*listed, asset("T3", **{"class": "crypto"}), asset("ELSE")]))

    found = await bench.client.find_symbols([f"T{number}" for number in range(1, 31)])

    assert len(exchange.requests) == 1
    assert len(found) == 30
    assert (found["T1"], found["T2"]) == (
        OfferedSymbol("T1", "T1", "stock", is_active=True),
        OfferedSymbol("T2", "T2", "stock", is_active=False),
    )
    assert found["T3"] is None


@pytest.mark.parametrize("answer", [Answer({"symbol": 1}), Answer([{"x": 1}]), Answer(b"[{"), Answer(b"<html>")])
async def test_assets_that_are_none_are_refused(exchange: Exchange, bench: Bench, answer: Answer) -> None:
    """An answer that is no asset never reads as 'not offered'."""
    exchange.answers(answer)

    with pytest.raises(BadResponse):
        await bench.client.find_symbols(["AAPL"])


async def test_an_answer_that_echoes_the_key_shows_it_nowhere(exchange: Exchange, bench: Bench) -> None:
    """Neither an error's text nor a quarantined row holds a key that the provider sent back (X15)."""
    exchange.answers(
        page_of({"AAPL": [ROW, {**ROW, "o": None, "note": SECRET}]}), refusal(f"key {KEY} may not {SECRET * 9}", 418)
    )

    page = await bench.client.fetch_page(bars_query(), None)
    with pytest.raises(BadResponse) as caught:
        await bench.client.fetch_page(bars_query(), None)

    assert "[redacted]" in page.rejected[0].raw
    shown = page.rejected[0].raw + str(caught.value)
    assert KEY not in shown
    assert SECRET[:20] not in shown
