"""Faults as they look in Massive's format, and the vendor's own."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Drain = Callable[..., list[dict[str, Any]]]
Spoil = Callable[..., None]
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks/2026-08-12"
WEEKS = "1/day/2026-07-20/2026-08-12"


def stamps(pages: list[dict[str, Any]]) -> list[int]:
    return [row["t"] for page in pages for row in page.get("results", [])]


@pytest.mark.parametrize("body", ["json", "empty", "text"])
def test_h02_429_with_and_without_a_body(aggs: Ask, spoil: Spoil, body: str) -> None:
    """No header tells how long to wait; the body is the vendor's, or nothing."""
    spoil("H02", body=body)

    answer = aggs()

    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers
    if body == "json":
        assert answer.json()["error"].startswith("You've exceeded the maximum requests per minute")
    if body == "empty":
        assert answer.content == b""


@pytest.mark.parametrize("status", [502, 504])
def test_h04_html(aggs: Ask, spoil: Spoil, status: int) -> None:
    """A gateway's page instead of JSON."""
    spoil("H04", status=status)

    assert (aggs().status_code, aggs().text[:6]) == (status, "<html>")


def test_h05_rejects_the_key(aggs: Ask, spoil: Spoil) -> None:
    """401 in the vendor's words."""
    spoil("H05")

    assert (aggs().status_code, aggs().json()["error"]) == (401, "Unknown API Key")


@pytest.mark.parametrize(
    ("form", "text"), [("time", "Your plan doesn't include this data timeframe."), ("data", "You are not entitled")]
)
def test_h07_is_beyond_the_plan(aggs: Ask, spoil: Spoil, form: str, text: str) -> None:
    """403 with the key message."""
    spoil("H07", form=form)

    answer = aggs()

    assert (answer.status_code, answer.json()["status"]) == (403, "NOT_AUTHORIZED")
    assert answer.json()["message"].startswith(text)


def test_h08_finds_nothing(massive: httpx.Client, spoil: Spoil) -> None:
    """404 with the status NOT_FOUND."""
    spoil("H08", {"endpoint": "ticker"})

    answer = massive.get("/v3/reference/tickers/AAPL")

    assert (answer.status_code, answer.json()["status"]) == (404, "NOT_FOUND")


def test_h11_no_rows_though_there_are(aggs: Ask, massive: httpx.Client, spoil: Spoil) -> None:
    """Results are absent and counted as none, of a range and of a grouped day; with keep_token the page leads on."""
    spoil("H11")
    page, grouped = aggs(limit=2).json(), massive.get(GROUPED).json()
    spoil("H11", keep_token=True)

    assert "results" not in page
    assert "next_url" not in page
    assert (page["resultsCount"], page["status"], grouped["resultsCount"]) == (0, "OK", 0)
    assert "next_url" in aggs(limit=2).json()


def test_h11_leaves_one_ticker_out_of_a_day(massive: httpx.Client, spoil: Spoil) -> None:
    """With a symbol in the match only its row is missing."""
    right = massive.get(GROUPED).json()
    spoil("H11", {"symbol": "AAPL"})

    left = massive.get(GROUPED).json()

    assert left["results"] == [row for row in right["results"] if row["T"] != "AAPL"]
    assert left["count"] == right["count"] - 1


def test_h12_misshapen_results(aggs: Ask, spoil: Spoil) -> None:
    """null, absent, a text, an object instead of a list."""
    shapes = {}
    for form in ("null", "absent", "text", "object"):
        spoil("H12", form=form)
        shapes[form] = aggs().json()

    assert shapes["null"]["results"] is None
    assert "results" not in shapes["absent"]
    assert shapes["text"]["results"] == "null"
    assert isinstance(shapes["object"]["results"], dict)


def test_h13_declares_another_count(aggs: Ask, spoil: Spoil) -> None:
    """Both counts are off."""
    spoil("H13", delta=2)

    page = aggs().json()

    assert (page["count"], page["resultsCount"], len(page["results"])) == (5, 5, 3)


def test_h15_cut_but_valid(aggs: Ask, spoil: Spoil) -> None:
    """Fewer rows, no next_url, valid JSON."""
    spoil("H15", fraction=0.5)

    page = aggs(window=WEEKS, limit=10).json()

    assert len(page["results"]) == 5
    assert "next_url" not in page


@pytest.mark.parametrize("form", ["cut", "trailing", "NaN", "duplicate"])
def test_h16_bad_json(aggs: Ask, spoil: Spoil, form: str) -> None:
    """The body is no strict JSON."""
    spoil("H16", form=form)

    text = aggs().text

    if form in {"cut", "trailing"}:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    else:
        assert {"NaN": '"c":NaN', "duplicate": '{"results":[],"ticker"'}[form] in text


@pytest.mark.parametrize(("form", "kept"), [("first", slice(0, 4)), ("last", slice(-4, None))])
def test_h19_caps_in_silence(aggs: Ask, spoil: Spoil, form: str, kept: slice) -> None:
    """Only the first or last rows, nothing leads on; a shorter page is none to cap."""
    right = aggs(window=WEEKS).json()["results"]
    spoil("H19", form=form, rows=4)

    page = aggs(window=WEEKS, limit=50_000).json()

    assert page["results"] == right[kept]
    assert page["count"] == 4
    assert len(aggs().json()["results"]) == 3


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("match", [{"nth": 1}, {"nth": 2}, {"times": 3}])
def test_h20_empty_pages_lose_nothing(drain_aggs: Drain, spoil: Spoil, match: dict[str, int], sort: str) -> None:
    """Pages without results that lead on, and then all rows."""
    whole = drain_aggs("AAPL", WEEKS, limit=5, sort=sort)
    spoil("H20", match, form="empty")

    pages = drain_aggs("AAPL", WEEKS, limit=5, sort=sort)

    empty = [page for page in pages if "results" not in page]
    assert len(empty) == match.get("times", 1)
    assert all("next_url" in page for page in empty)
    assert stamps(pages) == stamps(whole)


def test_h20_short_and_full_pages(drain_aggs: Drain, spoil: Spoil) -> None:
    """A short page leads on behind its rows; a last page with next_url leads to an empty one."""
    whole = drain_aggs("AAPL", WEEKS)
    spoil("H20", {"nth": 1}, form="short", rows=2)
    short = drain_aggs("AAPL", WEEKS)
    spoil("H20", {"times": 1}, form="full_last")
    full = drain_aggs("AAPL", WEEKS)

    assert len(short[0]["results"]) == 2
    assert stamps(short) == stamps(full) == stamps(whole)
    assert "results" not in full[1]


@pytest.mark.parametrize(("form", "distinct"), [("AA", 1), ("ABAB", 2), ("distinct", 6)])
def test_h21_never_ends(drain_aggs: Drain, spoil: Spoil, form: str, distinct: int) -> None:
    """next_url leads to itself, back and forth, or ever anew."""
    spoil("H21", form=form)

    pages = drain_aggs("AAPL", WEEKS, pages_max=6, limit=2)

    assert len(pages) == 6
    assert len({page["next_url"] for page in pages}) == distinct


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_h22_the_boundary_row_comes_twice(drain_aggs: Drain, spoil: Spoil, sort: str) -> None:
    """Later pages begin with the last row of the page before."""
    spoil("H22")

    pages = drain_aggs("AAPL", WEEKS, limit=5, sort=sort)

    assert len(pages) > 2
    for before, after in pairwise(pages):
        assert after["results"][0] == before["results"][-1]
        assert after["count"] == len(after["results"])


def test_h23_makes_no_progress(drain_aggs: Drain, spoil: Spoil) -> None:
    """Every later page holds the row before it, and leads to the same again."""
    spoil("H23")

    pages = drain_aggs("AAPL", WEEKS, pages_max=5, limit=3)

    assert stamps(pages[1:]) == stamps(pages[:1])[-1:] * 4


def test_h24_forgets_cursors(aggs: Ask, massive: httpx.Client, spoil: Spoil) -> None:
    """400 to a next_url, once."""
    spoil("H24", {"times": 1})
    following = aggs(limit=2).json()["next_url"]

    assert [massive.get(following).status_code for _ in range(2)] == [400, 200]


@pytest.mark.parametrize(
    ("form", "changed"),
    [
        ("host", "http://elsewhere.invalid/massive/v2/aggs/"),
        ("scheme", "https://127.0.0.1:{port}/massive/v2/aggs/"),
        ("port", "http://127.0.0.1:{next}/massive/v2/aggs/"),
        ("user", "http://127.0.0.1:{port}@elsewhere.invalid/massive/v2/aggs/"),
        ("path", "http://127.0.0.1:{port}/elsewhere/massive/v2/aggs/"),
    ],
)
def test_h25_leads_elsewhere(aggs: Ask, exchange: SimulatedExchange, spoil: Spoil, form: str, changed: str) -> None:
    """next_url is on another host, scheme, port, behind user-info or another path."""
    spoil("H25", form=form)
    port = int(exchange.url.rsplit(":", 1)[1])

    following = aggs(limit=2).json()["next_url"]

    assert following.startswith(changed.format(port=port, next=port + 1))
    assert "next_url" not in aggs().json()


def test_h27_rows_of_another_ticker(aggs: Ask, massive: httpx.Client, spoil: Spoil) -> None:
    """The page, or a row of a grouped day, names another ticker."""
    spoil("H27")

    assert aggs().json()["ticker"] == "ZVZZT"
    assert massive.get(GROUPED).json()["results"][0]["T"] == "ZVZZT"


@pytest.mark.parametrize("told", [True, False])
def test_h29_another_basis(aggs: Ask, spoil: Spoil, told: bool) -> None:
    """Raw rows where adjusted ones were asked for; the page says so or not."""
    window = "1/day/2026-03-10/2026-03-12"
    raw = aggs("SPLT", window, adjusted="false").json()
    spoil("H29", form="basis", told=told)

    page = aggs("SPLT", window).json()

    assert page["results"] == raw["results"]
    assert page["adjusted"] is not told


def test_d27_a_split_between_two_pages(drain_aggs: Drain, spoil: Spoil) -> None:
    """The first page is raw as asked, those after it are adjusted."""
    window = "1/day/2026-03-02/2026-03-13"
    raw = drain_aggs("SPLT", window, adjusted="false", limit=5)
    spoil("D27")

    pages = drain_aggs("SPLT", window, adjusted="false", limit=5)

    assert pages[0] == raw[0]
    assert [page["adjusted"] for page in pages] == [False, True]
    assert pages[1]["results"][0]["c"] == pytest.approx(raw[1]["results"][0]["c"] / 4)


@pytest.mark.parametrize(
    ("fault", "args"),
    [("H28", {}), ("H30", {}), ("H32", {}), ("H33", {}), ("D01", {}), ("D02", {}), ("D03", {}), ("D04", {}),
     ("D05", {}), ("D06", {}), ("D07", {}), ("D08", {}), ("D11", {}), ("D12", {}), ("D13", {}), ("D14", {"form": "s"}),
     ("D14", {"form": "1970"}), ("D14", {"form": "55840"}), ("D15", {}), ("D18", {}), ("D20", {}),
     ("D20", {"at": "2026-08-11T04:00:00Z"})],
)  # fmt: skip
def test_rows_are_spoiled_as_elsewhere(aggs: Ask, spoil: Spoil, fault: str, args: dict[str, Any]) -> None:
    """Each fault of rows changes the rows, and a page without faults is right again."""
    right = aggs().json()
    spoil(fault, **args)

    spoiled = aggs().json()
    spoil(fault, {"provider": "alpaca"}, **args)

    assert spoiled["results"] != right["results"]
    assert spoiled["count"] == len(spoiled["results"]) or fault == "H30"
    assert aggs().json() == right


def test_d14_another_unit(aggs: Ask, spoil: Spoil) -> None:
    """Stamps are seconds, or milliseconds taken for seconds."""
    found = {}
    for form in ("s", "ns", "1970", "55840"):
        spoil("D14", form=form)
        found[form] = aggs(window="1/day/2026-08-12/2026-08-12").json()["results"][0]["t"]

    assert found == {
        "s": 1786507200, "ns": 1786507200000000000, "1970": 1786507200, "55840": 1786507200000000,
    }  # fmt: skip


def test_d18_a_volume_in_exponents(aggs: Ask, spoil: Spoil) -> None:
    """As older deployments wrote it."""
    spoil("D18", value="1.300741e+06", literal=True)

    assert '"v":1.300741e+06,' in aggs().text


@pytest.mark.parametrize("fault", ["D16", "D17"])
def test_minutes_too_many(aggs: Ask, spoil: Spoil, fault: str) -> None:
    """More extended hours, or a bar at the close, in order and counted."""
    window = "1/minute/2026-08-12/2026-08-12"
    right = stamps([aggs(window=window, limit=50_000).json()])
    spoil(fault)

    page = aggs(window=window, limit=50_000).json()

    assert stamps([page]) == sorted(set(stamps([page])))
    assert set(stamps([page])) >= set(right)
    assert page["count"] == len(page["results"])


def test_d23_the_forming_bar(aggs: Ask, spoil: Spoil) -> None:
    """The minute that holds now is the last row."""
    spoil("D23")

    rows = aggs(window="1/minute/2026-08-17/2026-08-17", limit=50_000).json()["results"]

    assert rows[-1]["t"] == rows[-2]["t"] + 60_000 == 1786989600000


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("doubled", [("SPLT", "2026-03-16", 1, 4)] * 2),
        ("other_id", [("SPLT", "2026-03-16", 1, 4)] * 2),
        ("conflict", [("SPLT", "2026-03-16", 1, 4), ("SPLT", "2026-03-16", 1, 8)]),
        ("missing", []),
        ("day_off", [("SPLT", "2026-03-15", 1, 4)]),
        ("inverted", [("SPLT", "2026-03-16", 4, 1)]),
        ("odd_ratio", [("SPLT", "2026-03-16", 1000, 1046)]),
        ("other_ticker", [("SPLX", "2026-03-16", 1, 4)]),
    ],
)
def test_d26_splits_that_are_wrong(
    massive: httpx.Client, spoil: Spoil, form: str, expected: list[tuple[str, str, int, int]]
) -> None:
    """One split of the symbol that the match names is spoiled, the others are right."""
    spoil("D26", {"symbol": "SPLT"}, form=form, ticker="SPLX")

    rows = massive.get("/v3/reference/splits", params={"ticker": "SPLT"}).json()["results"]

    assert [(row["ticker"], row["execution_date"], row["split_from"], row["split_to"]) for row in rows] == expected
    assert len({row["id"] for row in rows}) == (2 if form in {"other_id", "conflict"} else len(expected[:1]))


def test_d26_dividends_twice(massive: httpx.Client, spoil: Spoil) -> None:
    """Without a symbol the first row of the list is the one."""
    spoil("D26", {"endpoint": "dividends"})

    rows = massive.get("/v3/reference/dividends", params={"ticker": "AAPL"}).json()["results"]

    assert rows[0] == rows[1] != rows[2]


def test_a_fault_of_events_leaves_bars_alone(aggs: Ask, exchange: SimulatedExchange, spoil: Spoil) -> None:
    """It does not fire there, and does not count."""
    spoil("D26")

    assert aggs().json()["count"] == 3
    assert exchange.requests[-1].fault is None
