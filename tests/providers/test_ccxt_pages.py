"""What is read from the answers of crypto venues, page by page and as a chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.page import BarsQuery, Page
from barfill.core.proof import ChainState, prove
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse
from barfill.providers.base import HttpResponse
from barfill.providers.ccxt_venue_traits import Traits
from barfill.providers.ccxt_venue_windows import CUT_ROWS_MIN
from tests.providers.dialects import at
from tests.providers.test_ccxt_requests import EACH_VENUE, query_of
from tests.providers.venues import JSON, NOW, WIRES, Bars, Parameters, prepared

HOUR = timedelta(hours=1)
START = at("2024-03-05")
BAR = (10.0, 12.0, 9.0, 11.0, 1.5)
WINDOWED = sorted(set(WIRES) - {"kraken"})


def hours(positions: Sequence[int] | set[int]) -> Bars:
    """The same bar at each of these hours after `START`."""
    return {int((START + position * HOUR).timestamp()): BAR for position in positions}


@dataclass(frozen=True)
class Chain:
    """What a chain of pages brought."""

    pages: list[Page]
    proved: Ranges
    not_looked_at: Ranges

    @property
    def starts(self) -> list[int]:
        """The starts of all rows in the order sent, in hours after `START`."""
        return [int((from_us(ts) - START) / HOUR) for page in self.pages for ts in page.rows.ts.tolist()]


def chain_of(
    venue: str, bars: Bars, query: BarsQuery, *, cap: int = 10_000, now: datetime = NOW, **changes: int
) -> Chain:
    """All pages that the adapter asks for, over a venue with *bars* that sends the oldest *cap* rows of a window."""
    provider, wire = prepared(venue, **changes), WIRES[venue]
    pages: list[Page] = []
    token, state, proved, not_looked_at = None, ChainState(), Ranges(), Ranges()
    while not pages or token is not None:
        assert len(pages) < 500
        params = provider.bars_request(query, token).params
        body = json.dumps(wire.page({query.timeframe: capped(wire.page, bars, params, query, cap)}, params)).encode()
        page = provider.parse_page(query, token, HttpResponse(200, JSON, body, now))
        proof = prove(query, page, state, page_size=provider.capabilities.page_size)
        for _, one in proof.proved:
            assert not proved & one
            proved = proved | one
        not_looked_at = not_looked_at | Ranges(one for _, one in proof.not_looked_at)
        state, token = proof.state, page.next_token
        pages.append(page)
    return Chain(pages, proved, not_looked_at)


def capped(page: Callable[..., object], bars: Bars, params: Parameters, query: BarsQuery, cap: int) -> Bars:
    """The oldest *cap* of those bars that a request would get."""
    sent = [ts for ts in sorted(bars) if page({query.timeframe: {ts: bars[ts]}}, params) not in ([], {"candles": []})]
    return {ts: bars[ts] for ts in sent[:cap]} if len(sent) > cap else bars


@EACH_VENUE
@settings(max_examples=15, deadline=None)
@given(
    present=st.sets(st.integers(-3, 60)),
    length=st.integers(1, 45),
    page_size=st.integers(1, 20),
)
def test_pages_cover_the_range_once_whatever_is_empty(
    venue: str, present: set[int], length: int, page_size: int
) -> None:
    """Every bar of the range comes on one page, none from outside, in order; and the chain proves all of the range."""
    query = query_of(venue, Timeframe.H1, hours=length)

    chain = chain_of(venue, hours(present), query, page_size=page_size, now=START + 60 * HOUR)

    assert chain.starts == sorted(position for position in present if 0 <= position < length)
    assert chain.proved == Ranges([query.range])
    windows = 1 if venue == "kraken" else -(-length // page_size)
    assert len(chain.pages) == windows


@pytest.mark.parametrize("venue", WINDOWED)
def test_a_page_that_was_cut_in_silence_is_gone_on_from_its_end(venue: str) -> None:
    """A venue that sends 100 rows at most, unlike what ccxt says of it: the next window begins behind them (H19)."""
    query = query_of(venue, Timeframe.H1, hours=270)

    chain = chain_of(venue, hours(range(-1, 300)), query, cap=100 + (venue == "coinbaseexchange"))

    assert chain.starts == list(range(270))
    assert len(chain.pages) == 3
    assert CUT_ROWS_MIN <= 100


def test_kraken_proves_nothing_of_what_it_no_longer_has() -> None:
    """Rows begin at the wall, and before it nobody looked; a range wholly behind the wall is not looked at at all."""
    now = START + 800 * HOUR + HOUR / 2
    bars = hours(range(801))

    across = chain_of("kraken", bars, query_of("kraken", Timeframe.H1, hours=700), now=now)
    behind = chain_of("kraken", bars, query_of("kraken", Timeframe.H1, hours=50), now=now)

    assert across.starts == list(range(81, 700))
    assert across.proved == Ranges([Range(START + 81 * HOUR, START + 700 * HOUR)])
    assert across.not_looked_at == Ranges([Range(START, START + 81 * HOUR)])
    assert behind.starts == []
    assert not behind.proved
    assert behind.not_looked_at == Ranges([query_of("kraken", Timeframe.H1, hours=50).range])


def test_a_full_answer_of_kraken_tells_the_wall_better_than_a_slow_clock() -> None:
    """A clock that is 20 hours late puts the wall too far back; the answer is full, so its first row is the wall."""
    query = query_of("kraken", Timeframe.H1, hours=700)

    chain = chain_of("kraken", hours(range(801)), query, now=START + 780 * HOUR)

    assert chain.proved == Ranges([Range(START + 81 * HOUR, START + 700 * HOUR)])


def test_silence_at_the_start_of_a_young_market_is_not_taken_for_looked_at_by_kraken() -> None:
    """Fewer rows than a full answer, and a range from before the wall: what lies before it stays open."""
    now = START + 800 * HOUR + HOUR / 2

    chain = chain_of("kraken", hours(range(600, 801)), query_of("kraken", Timeframe.H1, hours=790), now=now)

    assert chain.proved == Ranges([Range(START + 81 * HOUR, START + 790 * HOUR)])


def test_an_unknown_venue_proves_nothing_before_its_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have sent its newest rows whatever it was asked for: silence before them is left open."""
    provider = prepared("binance", page_size=20)
    monkeypatch.setattr(provider, "_traits", Traits())
    query = query_of("binance", Timeframe.H1, hours=60)
    tokens, pages = [None, at_ms(20), at_ms(40)], []
    for token in tokens:
        body = json.dumps(
            [[int((START + n * HOUR).timestamp() * 1000), *map(str, BAR)] for n in range(45, 90)]
        ).encode()
        pages.append(provider.parse_page(query, token, HttpResponse(200, JSON, body, NOW)))

    assert [len(page.rows) for page in pages] == [0, 0, 15]
    assert [page.looked_from for page in pages] == [START + 20 * HOUR, START + 40 * HOUR, START + 40 * HOUR]
    assert [page.next_token for page in pages] == [*tokens[1:], None]


def at_ms(position: int) -> str:
    """The hour as a token."""
    return str(int((START + position * HOUR).timestamp() * 1000))


@EACH_VENUE
def test_an_empty_window_is_a_page_that_leads_on(venue: str) -> None:
    """As each venue writes it; it is no sign of anything."""
    query = query_of(venue, Timeframe.H1, hours=1000)

    page = parsed(venue, WIRES[venue].empty, query)

    assert page.received == 0
    assert page.is_window
    assert (page.next_token is None) == (venue in ("binance", "kraken"))


def parsed(venue: str, body: object, query: BarsQuery | None = None, **headers: str) -> Page:
    """The first page of an answer."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = HttpResponse(200, {**JSON, **headers}, sent, NOW)
    return prepared(venue).parse_bars(query or query_of(venue, Timeframe.H1), response)


def one_row(venue: str, **bar: float) -> object:
    """An answer with one bar at the start."""
    wire = WIRES[venue]
    params = prepared(venue).bars_request(query_of(venue, Timeframe.H1), None).params
    bars = {int(START.timestamp()): tuple({**dict(zip("ohlcv", BAR, strict=True)), **bar}.values())}
    return wire.page({Timeframe.H1: bars}, params)  # type: ignore[dict-item]


@EACH_VENUE
@pytest.mark.parametrize("volume", [0.0, 1.300741e06, 9099.618093, 1e-8])
def test_volumes_are_kept_as_sent(venue: str, volume: float) -> None:
    """Also that of an interval without trades: the venue sends its row, and nothing is repaired (D18)."""
    page = parsed(venue, one_row(venue, v=volume))

    assert page.rows.volume.tolist() == [volume]
    assert page.rows.open.tolist() == [BAR[0]]
    assert page.rows.low.tolist() == [BAR[2]]


@EACH_VENUE
@pytest.mark.parametrize(
    ("old", "new"),
    [(b"12.0", b"null"), (b"12.0", b'"N/A"'), (b"12.0", b'"Infinity"')],
    ids=["null", "text", "infinite"],
)
def test_a_row_without_a_number_is_set_aside(venue: str, old: bytes, new: bytes) -> None:
    """It is rejected with its rule beside the good ones, not dropped (Q04, D01)."""
    wire, query = WIRES[venue], query_of(venue, Timeframe.H1)
    params = prepared(venue).bars_request(query, None).params
    odd = int((START + HOUR).timestamp())
    bars = {**hours(range(5)), odd: (10.0, 12.25, 9.0, 11.0, 1.5)}
    body = json.dumps(wire.page({Timeframe.H1: bars}, params)).encode()
    spoiled = body.replace(b'"12.25"', new).replace(b"12.25", new)

    page = parsed(venue, spoiled, query)

    assert page.received == 5
    assert [(row.rule, row.ts) for row in page.rejected] == [("Q04", odd * 1_000_000)]


@EACH_VENUE
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body"),
        (b"<html>busy</html>", "body"),
        (b'[{"a": NaN}]', "json"),
        (b"[1, 2", "json"),
        (b"[] []", "json"),
        (b'{"a": 1, "a": 2}', "json"),
        (b"[" * 100_000, "too_large|json"),
        (b" " * 10_000_000 + b"[]", "too_large"),
        (json.dumps([["x"] * 6] * 60).encode(), "schema"),
        (json.dumps({"rows": [[1, 2, 3, 4, 5, 6]] * 100}).encode(), "schema"),
    ],
    ids=["empty", "html", "nan", "cut", "two", "twice", "deep", "huge", "texts", "renamed"],
)
def test_what_is_no_page_is_refused(venue: str, body: bytes, reason: str) -> None:
    """Before ccxt reads it, or because ccxt finds nothing that can be read in it (H10, H16, H30, H31)."""
    with pytest.raises(BadResponse) as caught:
        parsed(venue, body)
    assert caught.value.reason in (*reason.split("|"), *(("refused",) if venue.startswith("coinbase") else ()))


@pytest.mark.parametrize("venue", WINDOWED)
def test_rows_of_another_time_refuse_the_page(venue: str) -> None:
    """Rows of 2017 in a window of 2024 are no answer to it (H28)."""
    params = prepared(venue).bars_request(query_of(venue, Timeframe.H1), None).params
    body = json.dumps(WIRES[venue].page({Timeframe.H1: hours(range(9))}, params)).encode()
    old = {"binance": (b"1709", b"1509"), "coinbase": (b"1709", b"1509"), "coinbaseexchange": (b"1709", b"1509")}

    with pytest.raises(BadResponse) as caught:
        parsed(venue, body.replace(*old[venue]))
    assert caught.value.reason == "out_of_range"


@EACH_VENUE
def test_days_that_begin_at_another_hour_are_refused(venue: str) -> None:
    """Days from 16:00 UTC are other days (D33); those from 00:00 are taken as they are."""
    query = query_of(venue, Timeframe.D1, hours=240)
    params = prepared(venue).bars_request(query, None).params
    days = {int((START + timedelta(days=n)).timestamp()): BAR for n in range(5)}
    late = {ts + 16 * 3600: bar for ts, bar in days.items()}

    page = parsed(venue, WIRES[venue].page({Timeframe.D1: days}, params), query)

    assert [from_us(ts) for ts in page.rows.ts.tolist()] == [START + timedelta(days=n) for n in range(5)]
    with pytest.raises(BadResponse, match="begin at 16:00 UTC"):
        parsed(venue, WIRES[venue].page({Timeframe.D1: late}, params), query)
