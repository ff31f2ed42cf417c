"""Market calendars on the wire: what is asked, of which days an answer speaks, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from barfill.core.told_sessions import ToldSessions
from barfill.errors import BadResponse, RateLimited
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_sessions import AlpacaSessions
from barfill.providers.base import HttpResponse
from barfill.providers.finnhub_sessions import FinnhubSessions
from barfill.providers.massive_sessions import MassiveSessions
from barfill.providers.sessions import SessionsProvider, SessionsQuery
from barfill.providers.tradier_sessions import TradierSessions
from tests.providers.conftest import KEY, SECRET
from tests.providers.dialects import JSON

NOW = datetime(2026, 12, 15, 15, tzinfo=UTC)
QUERY = SessionsQuery(date(2026, 11, 16), date(2026, 12, 15), date(2027, 12, 16))
TRADIER = TradierSessions(KEY, plan="paid")
PROVIDERS: dict[str, SessionsProvider] = {
    "alpaca": AlpacaSessions(KEY, SECRET),
    "massive": MassiveSessions(KEY),
    "tradier": TRADIER,
    "finnhub": FinnhubSessions(KEY),
}


def answer(document: object) -> HttpResponse:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpResponse(200, JSON, body, NOW)


def parsed(provider: str, document: object) -> ToldSessions:
    return PROVIDERS[provider].parse_sessions(QUERY, answer(document))


def hours(told: ToldSessions) -> dict[str, str]:
    """The sessions as text, in UTC."""
    return {f"{day}": f"{one.start:%H:%M}-{one.end:%H:%M}" for day, one in sorted(told.hours.items())}


@pytest.mark.parametrize(
    ("provider", "urls", "params"),
    [
        ("alpaca", ["https://paper-api.alpaca.markets/v2/calendar"], [{"start": "2026-11-16", "end": "2027-12-15"}]),
        ("massive", ["https://api.massive.com/v1/marketstatus/upcoming"], [{}]),
        ("tradier", ["https://api.tradier.com/v1/markets/calendar"] * 2,
         [{"month": "12", "year": "2026"}, {"month": "01", "year": "2027"}]),
        ("finnhub", ["https://finnhub.io/api/v1/stock/market-holiday"], [{"exchange": "US"}]),
    ],
)  # fmt: skip
def test_requests(provider: str, urls: list[str], params: list[dict[str, str]]) -> None:
    """One call a provider, two of Tradier's months; the key is in a header only."""
    requests = PROVIDERS[provider].sessions_requests(QUERY)

    assert [request.url for request in requests] == urls
    assert [request.params for request in requests] == params
    assert all(KEY not in f"{request!r}" and KEY in str(request.headers) for request in requests)


ALPACA_DAY: dict[str, Any] = {"date": "2026-12-24", "open": "09:30", "close": "13:00", "session_open": "0400"}
MASSIVE_DAY: dict[str, Any] = {"exchange": "NYSE", "name": "Christmas", "date": "2026-12-25", "status": "closed"}
FINNHUB_DAY: dict[str, Any] = {"eventName": "Christmas", "atDate": "2026-12-24", "tradingHour": "09:30-13:00"}
TRADIER_DAY: dict[str, Any] = {"date": "2026-12-24", "status": "open", "open": {"start": "09:30", "end": "13:00"}}


def tradier(*days: object) -> dict[str, Any]:
    return {"calendar": {"days": {"day": list(days)}}}


def finnhub(*days: object, **changes: str) -> dict[str, Any]:
    return {"data": list(days), "exchange": "US", "timezone": "America/New_York", **changes}


def test_alpaca_lists_open_days() -> None:
    """Any other day up to the last one is closed; what follows it, or was not asked for, is not spoken of."""
    told = parsed("alpaca", [ALPACA_DAY | {"date": "2026-11-13"}, ALPACA_DAY, ALPACA_DAY | {"date": "2027-12-16"}])

    assert (told.first, told.end) == (QUERY.first, date(2026, 12, 25))
    assert hours(told) == {"2026-12-24": "14:30-18:00"}


def test_massive_lists_what_is_not_regular() -> None:
    """From tomorrow to the last day listed; weekends are closed; rows of other exchanges are passed over."""
    short = {"status": "early-close", "open": "2026-12-18T14:30:00.000Z", "close": "2026-12-18T18:00:00.000Z"}
    told = parsed(
        "massive",
        [MASSIVE_DAY | {"date": "2026-12-18"} | short, MASSIVE_DAY | {"date": "2026-12-21"},
         MASSIVE_DAY | {"exchange": "NASDAQ", "date": "2026-12-17"}],
    )  # fmt: skip

    assert (told.first, told.end, told.names) == (
        date(2026, 12, 16),
        date(2026, 12, 22),
        dict.fromkeys((date(2026, 12, 18), date(2026, 12, 21)), "Christmas"),
    )
    assert hours(told) == {"2026-12-16": "14:30-21:00", "2026-12-17": "14:30-21:00", "2026-12-18": "14:30-18:00"}


def test_massive_may_list_today() -> None:
    """Then it is spoken of; a day that is over is not."""
    told = parsed("massive", [MASSIVE_DAY | {"date": day} for day in ("2026-12-14", "2026-12-15")])

    assert (told.first, told.end, told.hours) == (QUERY.today, date(2026, 12, 16), {})


def test_finnhub_speaks_of_what_lies_between_its_rows() -> None:
    """Of what was asked for, in summer time too."""
    rows = [FINNHUB_DAY | {"atDate": day, "tradingHour": ""} for day in ("2027-07-05", "2020-01-01", "2027-03-12")]
    told = parsed("finnhub", finnhub(*rows))

    assert (told.first, told.end) == (QUERY.first, date(2027, 7, 6))
    assert date(2027, 7, 5) not in told.hours
    assert (hours(told)["2027-03-11"], hours(told)["2027-03-15"]) == ("14:30-21:00", "13:30-20:00")


def test_tradier_tells_each_day() -> None:
    """One day comes as an object; days that are over long since are not spoken of."""
    several = parsed("tradier", tradier({"date": "2026-12-23", "status": "closed"}, TRADIER_DAY))
    single = parsed("tradier", {"calendar": {"days": {"day": TRADIER_DAY}}})
    old = parsed("tradier", tradier(TRADIER_DAY | {"date": "2013-06-03"}))

    assert (several.first, several.end, hours(several)) == (
        date(2026, 12, 23),
        date(2026, 12, 25),
        {"2026-12-24": "14:30-18:00"},
    )
    assert (single.first, hours(single)) == (date(2026, 12, 24), hours(several))
    assert old.first == old.end


@pytest.mark.parametrize(
    ("provider", "document"),
    [
        ("alpaca", []),
        ("massive", []),
        ("massive", [MASSIVE_DAY | {"exchange": "NASDAQ"}]),
        ("finnhub", finnhub()),
        ("tradier", {"calendar": None}),
        ("tradier", tradier()),
    ],
)
def test_nothing_is_told(provider: str, document: object) -> None:
    """An answer without rows closes no day."""
    told = parsed(provider, document)

    assert (told.end, told.hours) == (told.first, {})


@pytest.mark.parametrize(
    ("provider", "document", "reason"),
    [
        ("alpaca", {"message": "x"}, "schema"),
        ("alpaca", [ALPACA_DAY | {"open": "0930"}], "schema"),
        ("alpaca", [ALPACA_DAY | {"close": "24:00"}], "schema"),
        ("alpaca", [ALPACA_DAY | {"close": "09:30"}], "schema"),
        ("alpaca", [ALPACA_DAY, ALPACA_DAY | {"close": "16:00"}], "schema"),
        ("alpaca", [ALPACA_DAY | {"date": "2026-02-30"}], "schema"),
        ("alpaca", b"<html>", "body"),
        ("massive", [MASSIVE_DAY | {"status": "early-close"}], "schema"),
        ("massive", [MASSIVE_DAY | {"status": "late-open", "open": "2026-12-25T14:30:00Z", "close": "soon"}], "schema"),
        ("massive", [MASSIVE_DAY | {"status": "x", "open": "2026-12-25T14:30:00Z", "close": "2026-12-25T14:30:00Z"}],
         "schema"),
        ("massive", {"status": "ERROR", "error": "x"}, "schema"),
        ("massive", b"[", "json"),
        ("finnhub", finnhub(FINNHUB_DAY, exchange="UK"), "wrong_variant"),
        ("finnhub", finnhub(FINNHUB_DAY, timezone="../etc"), "wrong_variant"),
        ("finnhub", finnhub(FINNHUB_DAY | {"tradingHour": "morning"}), "schema"),
        ("finnhub", finnhub(FINNHUB_DAY, FINNHUB_DAY | {"tradingHour": ""}), "schema"),
        ("finnhub", {"error": "x"}, "schema"),
        ("tradier", {"fault": {"faultstring": "x"}}, "body"),
        ("tradier", {"clock": {}}, "schema"),
        ("tradier", tradier({"status": "open"}), "schema"),
        ("tradier", tradier(TRADIER_DAY | {"status": "perhaps"}), "schema"),
        ("tradier", tradier(TRADIER_DAY | {"open": None}), "schema"),
        ("tradier", tradier("Monday"), "schema"),
        ("tradier", tradier(TRADIER_DAY | {"date": "9999-12-31", "open": {"start": "09:30", "end": "20:00"}}),
         "schema"),
        ("tradier", tradier(TRADIER_DAY, TRADIER_DAY | {"date": "2026-12-26"}), "count"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(provider: str, document: object, reason: str) -> None:
    """No day is ever closed by an answer that is not understood."""
    with pytest.raises(BadResponse) as refusal:
        parsed(provider, document)

    assert refusal.value.reason == reason


@pytest.mark.parametrize("stamp", [None, "soon", True, -1, 1.5])
def test_a_clock_without_a_time_is_refused(stamp: object) -> None:
    """Its text is not read."""
    with pytest.raises(BadResponse, match="timestamp"):
        TRADIER.parse_clock(answer({"clock": {"timestamp": stamp}}))


def test_tradiers_quota_is_known_by_its_words() -> None:
    """With whatever status it comes."""
    spent = HttpResponse(200, {}, b"Quota Violation ... 1797346800001", NOW)

    for parse in (TRADIER.parse_clock, lambda response: TRADIER.parse_sessions(QUERY, response)):
        with pytest.raises(RateLimited):
            parse(spent)


def test_a_server_without_a_calendar_is_not_alpaca() -> None:
    """404 there is about the address, never about a symbol of that name."""
    (request,) = PROVIDERS["alpaca"].sessions_requests(QUERY)

    error = Alpaca(KEY, SECRET).error_of(request, HttpResponse(404, JSON, b'{"message":"Not Found"}', NOW))

    assert "ALPACA_BASE_URL" in str(error)
