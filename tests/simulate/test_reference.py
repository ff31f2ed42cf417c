"""Assets, calendar and clock."""

from datetime import UTC, datetime

import httpx
import pytest

from barfill.simulate import SimulatedExchange


def test_assets_have_the_vendors_fields(client: httpx.Client) -> None:
    """One asset by symbol or by id, with the fields that the vendor documents."""
    asset = client.get("/v2/assets/BRK.B").json()

    assert asset["symbol"] == "BRK.B"
    assert (asset["class"], asset["exchange"], asset["status"]) == ("us_equity", "NYSE", "active")
    assert client.get(f"/v2/assets/{asset['id']}").json() == asset


def test_an_unknown_asset_is_not_found(client: httpx.Client) -> None:
    """404 with the trading host's code and the name."""
    answer = client.get("/v2/assets/NOSUCH")

    assert answer.status_code == 404
    assert answer.json() == {"code": 40410000, "message": "asset not found for NOSUCH"}


def test_assets_can_be_filtered(client: httpx.Client) -> None:
    """Status, class and exchange narrow the list; the delisted symbol is the inactive one."""
    everything = client.get("/v2/assets").json()
    inactive = client.get("/v2/assets", params={"status": "inactive"}).json()
    active = client.get("/v2/assets", params={"status": "active", "asset_class": "us_equity"}).json()

    crypto = client.get("/v2/assets", params={"asset_class": "crypto"}).json()

    assert len(everything) == 60 + 4
    assert [asset["symbol"] for asset in inactive] == ["GONE"]
    assert len(active) == 59
    assert [asset["symbol"] for asset in crypto] == ["BTC/USD", "DUST/USD", "ETH/USD", "SOL/USD"]
    assert client.get("/v2/assets/BTC%2FUSD").json() == client.get("/v2/assets/BTCUSD").json() == crypto[0]
    assert {asset["exchange"] for asset in client.get("/v2/assets", params={"exchange": "ARCA"}).json()} == {"ARCA"}
    assert client.get("/v2/assets", params={"status": "dead"}).status_code == 422


def test_a_symbol_is_no_asset_before_its_listing(client: httpx.Client, exchange: SimulatedExchange) -> None:
    """NEWC appears among the assets on its first day."""
    exchange.set_clock(datetime(2026, 5, 15, tzinfo=UTC))

    assert client.get("/v2/assets/NEWC").status_code == 404
    assert len(client.get("/v2/assets").json()) == 59 + 4


def test_the_calendar_lists_open_days(client: httpx.Client) -> None:
    """Sessions from start to end, both included, with New York hours; half days close at 13:00 and 17:00."""
    days = client.get("/v2/calendar", params={"start": "2025-11-27", "end": "2025-12-01"}).json()

    assert [day["date"] for day in days] == ["2025-11-28", "2025-12-01"]
    assert days[0] == {
        "date": "2025-11-28",
        "open": "09:30",
        "close": "13:00",
        "session_open": "0400",
        "session_close": "1700",
        "settlement_date": "2025-12-01",
    }


def test_the_calendar_reaches_from_1970_to_2029(client: httpx.Client) -> None:
    """Without bounds every session of sixty years is listed."""
    days = client.get("/v2/calendar").json()

    assert (days[0]["date"], days[-1]["date"]) == ("1970-01-02", "2029-12-31")
    assert sum(day["date"].startswith("2024") for day in days) == 252


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-08-17T18:00:00Z", (True, "2026-08-18T09:30:00-04:00", "2026-08-17T16:00:00-04:00")),
        ("2026-08-17T13:29:59Z", (False, "2026-08-17T09:30:00-04:00", "2026-08-17T16:00:00-04:00")),
        ("2026-08-17T13:30:00Z", (True, "2026-08-18T09:30:00-04:00", "2026-08-17T16:00:00-04:00")),
        ("2026-08-17T20:00:00Z", (False, "2026-08-18T09:30:00-04:00", "2026-08-18T16:00:00-04:00")),
        ("2026-11-26T15:00:00Z", (False, "2026-11-27T09:30:00-05:00", "2026-11-27T13:00:00-05:00")),
    ],
)
def test_the_clock_tells_the_session(
    client: httpx.Client, exchange: SimulatedExchange, now: str, expected: tuple[bool, str, str]
) -> None:
    """is_open, next_open and next_close follow the calendar and the moved clock."""
    exchange.set_clock(datetime.fromisoformat(now))

    clock = client.get("/v2/clock").json()

    assert (clock["is_open"], clock["next_open"], clock["next_close"]) == expected
    assert datetime.fromisoformat(clock["timestamp"]) == datetime.fromisoformat(now)
