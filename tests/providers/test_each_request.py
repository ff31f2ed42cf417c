"""What every provider is asked, what its refusals mean, and what it promises to the planner."""

from __future__ import annotations

import pytest

from barfill.core.timeframe import Timeframe
from barfill.errors import EXCERPT_LENGTH_MAX, InvalidInput, ProviderUnavailable, RateLimited, SymbolNotOffered
from barfill.providers.origins import Origin
from tests.providers.conftest import KEY, SECRET, bars_query
from tests.providers.dialects import EACH, PAGED, Dialect


@EACH
@pytest.mark.parametrize("timeframe", Timeframe)
def test_bars_off_our_anchors_are_not_offered(dialect: Dialect, timeframe: Timeframe) -> None:
    """What the capabilities promise can be asked for, and nothing else; clock hours and weeks are derived."""
    query = bars_query(timeframe=timeframe, start="2024-03-04", end="2024-03-11")

    if timeframe in dialect.provider.capabilities.timeframes:
        assert dialect.provider.bars_request(query, None).params
    else:
        with pytest.raises(InvalidInput, match="derive"):
            dialect.provider.bars_request(query, None)


@EACH
@pytest.mark.parametrize(
    "ticker",
    [
        "",
        "aapl",
        "A,B",
        "A..B",
        "../../v1/admin",
        "..",
        ".",
        "A?apiKey=x",
        "A#x",
        "A%2e",
        "A\r\nX: y",
        "\u0410",
        "A" * 21,
    ],
)
def test_what_is_no_ticker_is_never_sent(dialect: Dialect, ticker: str) -> None:
    """Neither a list of symbols nor a path is ever made of other text (X08); the error names the symbol."""
    with pytest.raises(SymbolNotOffered, match="Write 1 to 20") as raised:
        dialect.provider.bars_request(bars_query(ticker), None)
    assert raised.value.symbol == ticker
    assert not dialect.provider.symbol_requests([ticker])


@EACH
@pytest.mark.parametrize("ticker", ["AAPL", "BRK.B", "BTC/USD", "X:BTCUSD", "NULL", "TRUE", "1E5", "CON"])
def test_requests_stay_within_the_pinned_places(dialect: Dialect, ticker: str) -> None:
    """Every URL that is built, for whatever ticker, lies below a base URL (D29, X20)."""
    origins = [Origin.parse(base_url) for base_url in dialect.provider.base_urls]
    tokens = () if ticker in dialect.without else (None, dialect.kept)
    asked = [dialect.provider.bars_request(bars_query(ticker), token) for token in tokens]

    for request in [*asked, *dialect.provider.symbol_requests([ticker])]:
        assert any(origin.admits(request.url) for origin in origins)


@EACH
def test_keys_are_in_the_headers_and_nowhere_else(dialect: Dialect) -> None:
    """Neither URL, parameters, text for messages nor any `repr` holds the key."""
    provider = dialect.provider
    requests = [provider.bars_request(bars_query(), dialect.kept), *provider.symbol_requests(["AAPL"])]

    assert all(dict(request.headers) == dict(dialect.headers) for request in requests)
    assert KEY in provider.secrets
    shown = repr(provider) + repr(requests) + "".join(request.shown for request in requests)
    assert KEY not in shown
    assert SECRET not in shown


@PAGED
def test_the_range_of_a_page_that_follows_is_that_of_the_first(dialect: Dialect) -> None:
    """A kept token leads to the same host and path, and never says less than the first request."""
    first, later = (dialect.provider.bars_request(bars_query(), token) for token in (None, dialect.kept))

    assert later.url.split("/range/")[0] == first.url.split("/range/")[0]
    assert dict(later.params) != dict(first.params)


@EACH
def test_capabilities_are_whole(dialect: Dialect) -> None:
    """What the planner divides by is there for every timeframe."""
    capabilities = dialect.make(500).capabilities

    assert set(capabilities.bars_per_session) == capabilities.timeframes
    assert capabilities.page_size == (dialect.fixed_page_size or 500)
    assert min(capabilities.symbols_per_call_max, capabilities.requests_per_minute, capabilities.page_size) > 0
    assert capabilities.feed == "sip"


@EACH
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b'{"message": "busy"}'])
def test_a_server_that_cannot_answer_is_asked_again(dialect: Dialect, status: int, body: bytes) -> None:
    """HTML as well as JSON (H04)."""
    assert type(dialect.meaning(status, body)) is ProviderUnavailable


@EACH
def test_each_refusal_has_its_class(dialect: Dialect) -> None:
    """Status and words decide; plain text and HTML are understood as well as JSON."""
    for status, body, error in dialect.refusals:
        assert type(dialect.meaning(status, body)) is error, body


@EACH
@pytest.mark.parametrize("body", [b"", b"too many requests", b"<html>429</html>", b'{"error":"limit"}'])
def test_a_429_is_a_limit_with_any_body(dialect: Dialect, body: bytes) -> None:
    """It tells how long to wait where a header does (H01, H02)."""
    plain, told = dialect.meaning(429, body), dialect.meaning(429, body, **{"retry-after": "3"})

    assert isinstance(plain, RateLimited)
    assert isinstance(told, RateLimited)
    assert (plain.retry_after_s, told.retry_after_s) == (None, 3.0)


@EACH
def test_the_providers_own_words_are_cut_and_made_harmless(dialect: Dialect) -> None:
    """At most 200 characters of a body are shown, control characters as escapes (X11)."""
    error = dialect.meaning(418, {"message": "\x1b[31m" + "x" * 5000})

    assert "\x1b" not in str(error)
    assert len(str(error)) < EXCERPT_LENGTH_MAX + 60
    assert (error.reason, error.status) == ("refused", 418)
