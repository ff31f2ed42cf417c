"""Faults of the page as a whole, as they look on the wire."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]


def test_h11_no_rows_though_there_are(ask: Ask, spoil: Spoil) -> None:
    """A valid empty page, with a null token or with the page's own."""
    spoil("H11")
    assert ask(limit=2).json() == {"bars": {}, "next_page_token": None}

    spoil("H11", keep_token=True)
    assert ask(limit=2).json()["next_page_token"] is not None


def test_h11_leaves_one_symbol_out(ask: Ask, spoil: Spoil) -> None:
    """With a symbol in the match only its rows are missing."""
    spoil("H11", {"symbol": "AAPL"})

    assert list(ask().json()["bars"]) == ["MSFT"]


def test_h11_on_the_single_symbol_endpoint(client: httpx.Client, spoil: Spoil) -> None:
    """The single-symbol form stays a list."""
    spoil("H11")

    page = client.get("/v2/stocks/AAPL/bars", params={"timeframe": "1Day", "start": "2026-08-10"}).json()

    assert page == {"bars": [], "symbol": "AAPL", "next_page_token": None}


def test_h12_misshapen_bars(ask: Ask, spoil: Spoil) -> None:
    """bars is null, absent or a text, or a symbol's rows are an object."""
    shapes = {}
    for form in ("null", "absent", "text", "object"):
        spoil("H12", form=form)
        shapes[form] = ask().json()

    assert shapes["null"]["bars"] is None
    assert "bars" not in shapes["absent"]
    assert shapes["text"]["bars"] == "null"
    assert isinstance(shapes["object"]["bars"]["AAPL"], dict)
    assert all("next_page_token" in page for page in shapes.values())


def test_h13_declares_another_count(ask: Ask, spoil: Spoil) -> None:
    """A field count is off by delta."""
    spoil("H13", delta=-2)

    assert ask().json()["count"] == 6 - 2


def test_h27_rows_under_another_name(ask: Ask, spoil: Spoil) -> None:
    """The first symbol's rows come under a symbol that was not asked for."""
    right = ask().json()["bars"]
    spoil("H27", symbol="ZVZZT")

    bars = ask().json()["bars"]

    assert bars == {"ZVZZT": right["AAPL"], "MSFT": right["MSFT"]}


def test_h27_the_same_rows_for_all(ask: Ask, spoil: Spoil) -> None:
    """Every symbol gets the rows of the first."""
    spoil("H27", form="same_rows")

    bars = ask().json()["bars"]

    assert bars["AAPL"] == bars["MSFT"]


def test_h27_on_the_single_symbol_endpoint(client: httpx.Client, spoil: Spoil) -> None:
    """The page names another symbol."""
    spoil("H27")

    page = client.get("/v2/stocks/AAPL/bars", params={"timeframe": "1Day", "start": "2026-08-10"}).json()

    assert page["symbol"] == "ZVZZT"


@pytest.mark.parametrize(("rows", "expected"), [(0, ["2023", "2023", "2023"]), (1, ["2023", "2026", "2026"])])
def test_h28_rows_of_other_years(ask: Ask, spoil: Spoil, rows: int, expected: list[str]) -> None:
    """All rows, or the first few, lie years before the range."""
    spoil("H28", years=3, rows=rows)

    assert [row["t"][:4] for row in ask().json()["bars"]["MSFT"]] == expected


def test_h29_another_variant(ask: Ask, spoil: Spoil, exchange: SimulatedExchange) -> None:
    """Another currency, the other feed's bars or the other basis, named in a field or not."""
    query = {"symbols": "SPLT", "start": "2026-03-10", "end": "2026-03-12"}
    right, iex, split = ask(**query), ask(**query, feed="iex"), ask(**query, adjustment="split")
    answers: dict[str, Any] = {}
    for form in ("currency", "feed", "basis"):
        spoil("H29", form=form)
        answers[form] = ask(**query).json()
    spoil("H29", form="feed", told=False)

    assert answers["currency"] == {**right.json(), "currency": "EUR"}
    assert answers["feed"] == {**iex.json(), "feed": "iex"}
    assert answers["basis"] == {**split.json(), "adjustment": "split"}
    assert ask(**query).json() == iex.json() != right.json()


def test_h30_a_broken_schema(ask: Ask, spoil: Spoil) -> None:
    """In one row a field is missing, renamed, a text, or there is one more."""
    right = ask().json()["bars"]["AAPL"]
    rows = {}
    for form in ("missing", "renamed", "text", "extra"):
        spoil("H30", form=form, field="h", row=1)
        rows[form] = ask().json()["bars"]["AAPL"]

    rest = {name: value for name, value in right[1].items() if name != "h"}
    assert rows["missing"][1] == rest
    assert rows["renamed"][1] == {**rest, "h_": right[1]["h"]}
    assert rows["text"][1] == {**rest, "h": str(right[1]["h"])}
    assert rows["extra"][1] == {**right[1], "x": "unknown"}
    assert all(spoiled[0] == right[0] and spoiled[2] == right[2] for spoiled in rows.values())


def test_h30_columns_of_unequal_length(ask: Ask, spoil: Spoil) -> None:
    """Rows come as columns, one of them a value short."""
    spoil("H30", form="lengths")

    columns = ask().json()["bars"]["AAPL"]

    assert {len(values) for name, values in columns.items() if name != "c"} == {3}
    assert len(columns["c"]) == 2


@pytest.mark.parametrize("form", ["descending", "unsorted"])
def test_h32_rows_in_another_order(ask: Ask, spoil: Spoil, form: str) -> None:
    """The same rows, backwards or shuffled."""
    query = {"symbols": "AAPL", "timeframe": "1Min", "start": "2026-08-12T14:00:00Z", "end": "2026-08-12T15:00:00Z"}
    right = ask(**query).json()["bars"]["AAPL"]
    spoil("H32", form=form)

    rows = ask(**query).json()["bars"]["AAPL"]

    assert rows != right
    assert sorted(rows, key=lambda row: str(row["t"])) == right
    assert (rows == right[::-1]) == (form == "descending")


def test_h33_is_right_the_second_time(ask: Ask, spoil: Spoil) -> None:
    """The first answer to each request has a wrong close, the same request again is right."""
    right = ask().json()
    spoil("H33", factor=1.01)

    first, second, other = ask().json(), ask().json(), ask(start="2026-08-11").json()

    assert first["bars"]["AAPL"][0]["c"] == pytest.approx(right["bars"]["AAPL"][0]["c"] * 1.01)
    assert second == right
    assert other["bars"]["AAPL"][0]["c"] != right["bars"]["AAPL"][1]["c"]
