"""Alpaca's corporate actions, read by the vendor's own client and looked at on the wire."""

from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest

from barfill.simulate import SimulatedExchange

PATH = "/v1/corporate-actions"


def test_the_vendors_client_reads_them(exchange: SimulatedExchange) -> None:
    """Unchanged, over several pages: splits both ways, dividends, changes of names, a merger."""
    client: Any = CorporateActionsClient("k", "s", url_override=exchange.alpaca_url)
    wanted = CorporateActionsRequest(start=date(2016, 1, 1), end=date(2026, 12, 31), limit=None)

    found = client.get_corporate_actions(wanted).data

    assert [(row.symbol, row.new_rate, row.old_rate) for row in found["forward_splits"]] == [
        ("GE", 1253, 1000), ("SPLT", 4, 1),
    ]  # fmt: skip
    assert [(row.symbol, row.ex_date) for row in found["reverse_splits"]] == [("GE", date(2021, 8, 2))]
    assert [(row.old_symbol, row.new_symbol, row.process_date) for row in found["name_changes"]] == [
        ("META", "METV", date(2022, 1, 29)), ("FB", "META", date(2022, 6, 9)),
    ]  # fmt: skip
    assert [row.acquiree_symbol for row in found["cash_mergers"]] == ["GONE"]
    assert len(found["cash_dividends"]) > 1000
    assert len([one for one in exchange.requests if one.path.endswith(PATH)]) > 1


def test_they_are_chosen_by_type_symbol_and_day_of_processing(client: httpx.Client) -> None:
    """A dividend by the day it is paid, not its ex date; both bounds are included; groups without rows are absent."""
    params = {"symbols": "AAPL", "types": "cash_dividend", "start": "2026-01-01", "end": "2026-12-31"}
    rows = client.get(PATH, params=params).json()["corporate_actions"]["cash_dividends"]
    paid, ex_on = rows[0]["payable_date"], rows[0]["ex_date"]

    on_day = client.get(PATH, params=params | {"start": paid, "end": paid}).json()["corporate_actions"]
    at_ex_date = client.get(PATH, params=params | {"start": ex_on, "end": ex_on}).json()["corporate_actions"]

    assert on_day == {"cash_dividends": [rows[0]]}
    assert at_ex_date == {}
    assert client.get(PATH).json() == {"corporate_actions": {}, "next_page_token": None}  # today: nothing


def test_they_appear_when_they_are_announced(client: httpx.Client, exchange: SimulatedExchange) -> None:
    """A split two weeks ahead, a new name and a merger on their day."""
    seen = []
    for day in (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)):
        exchange.set_clock(day)
        params = {"types": "forward_split", "symbols": "SPLT", "start": "2026-01-01", "end": "2026-12-31"}
        seen.append(client.get(PATH, params=params).json()["corporate_actions"])

    assert [len(one) for one in seen] == [0, 1]


@pytest.mark.parametrize(
    "params",
    [{"limit": "1001"}, {"limit": "x"}, {"types": "gift"}, {"start": "soon"}, {"page_token": "!"},
     {"start": "2026-02-01", "end": "2026-01-01"}],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(client: httpx.Client, params: dict[str, str]) -> None:
    """400 with a message."""
    answer = client.get(PATH, params=params)

    assert answer.status_code == 400
    assert answer.json()["message"]
