"""What each of Massive's refusals means."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from barfill.core.page import BarsQuery
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, PlanTooSmall, ProviderError, StalePageToken, SymbolNotOffered, TooRecent
from barfill.providers.base import HttpResponse
from barfill.providers.massive import Massive
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import MASSIVE, NOW, at

TIMEFRAME = {"status": "NOT_AUTHORIZED", "message": "Your plan doesn't include this data timeframe. Please upgrade."}


def meaning(
    status: int, body: object, query: BarsQuery | None = None, *, token: str | None = None, now: datetime = NOW
) -> ProviderError:
    """The error for such an answer to a request for bars."""
    request = Massive(KEY).bars_request(query or bars_query(), token)
    return Massive(KEY).error_of(request, HttpResponse(status, {}, json.dumps(body).encode(), now))


@pytest.mark.parametrize(
    ("timeframe", "now", "error"),
    [
        (Timeframe.M1, "2024-03-06T04:59", TooRecent),
        (Timeframe.M1, "2024-03-06T05:01", PlanTooSmall),
        (Timeframe.D1, "2024-03-06T04:59", TooRecent),
        (Timeframe.D1, "2024-03-06T05:01", PlanTooSmall),
        (Timeframe.M1, "2026-03-06T05:01", PlanTooSmall),
    ],
)
def test_one_sentence_means_too_old_or_too_young(timeframe: Timeframe, now: str, error: type[ProviderError]) -> None:
    """A range that goes on into a day that is not over in New York is too recent; any other is beyond the plan."""
    query = bars_query(
        timeframe=timeframe, start="2024-03-05", end="2024-03-06" if timeframe is Timeframe.D1 else "2024-03-06T05:00"
    )

    assert type(meaning(403, TIMEFRAME, query, now=at(now))) is error


def test_a_refusal_names_the_settings() -> None:
    """The text says which variable to look at."""
    assert "MASSIVE_API_KEY" in str(meaning(401, {"status": "ERROR", "error": "Unknown API Key"}))
    assert "MASSIVE_PLAN" in str(meaning(403, {"status": "NOT_AUTHORIZED", "message": "You are not entitled."}))


def test_a_stale_cursor_is_told_from_other_bad_requests() -> None:
    """Only a page that follows on can be refused for its cursor (H24)."""
    body = {"status": "ERROR", "error": "invalid cursor"}

    assert type(meaning(400, body, token=MASSIVE.kept)) is StalePageToken
    assert type(meaning(400, body)) is BadResponse


def test_an_unknown_ticker_is_named() -> None:
    """A 404 in Massive's own words is about the ticker of the path, unquoted, or of the look-up."""
    body = {"status": "NOT_FOUND", "request_id": "x"}
    of_bars = meaning(404, body, bars_query("BTC/USD"))
    (lookup,) = Massive(KEY).symbol_requests(["ZZZZ"])
    of_lookup = Massive(KEY).error_of(lookup, HttpResponse(404, {}, json.dumps(body).encode(), NOW))

    assert isinstance(of_bars, SymbolNotOffered)
    assert isinstance(of_lookup, SymbolNotOffered)
    assert (of_bars.symbol, of_lookup.symbol) == ("BTC/USD", "ZZZZ")


def test_a_server_without_the_path_is_a_wrong_address() -> None:
    """What is not in Massive's words says nothing about a ticker."""
    error = MASSIVE.meaning(404, b"404 page not found")

    assert error.reason == "address"
    assert "Check MASSIVE_BASE_URL" in str(error)
