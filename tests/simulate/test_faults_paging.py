"""Faults of paging, as they look on the wire."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]
Drain = Callable[..., list[dict[str, Any]]]


def keys(pages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(symbol, row["t"]) for page in pages for symbol, rows in page["bars"].items() for row in rows]


def tokens(pages: list[dict[str, Any]]) -> list[str | None]:
    return [page["next_page_token"] for page in pages]


def test_h20_short_pages_lose_nothing(drain: Drain, spoil: Spoil) -> None:
    """A page of fewer rows than asked has a token that goes on right behind it."""
    whole = drain()
    spoil("H20", {"nth": 1}, form="short", rows=2)

    pages = drain()

    assert len(keys(pages[:1])) == 2
    assert keys(pages) == keys(whole)


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("times", [1, 3])
def test_h20_empty_pages_lose_nothing(drain: Drain, spoil: Spoil, times: int, sort: str) -> None:
    """Up to three empty pages in a row, each with another token, and then all rows."""
    whole = drain(limit=4, sort=sort)
    spoil("H20", {"times": times}, form="empty")

    pages = drain(limit=4, sort=sort)

    assert [page["bars"] for page in pages[:times]] == [{}] * times
    assert len(set(tokens(pages))) == len(pages)
    assert keys(pages) == keys(whole)


def test_h20_empty_pages_in_the_middle(drain: Drain, spoil: Spoil) -> None:
    """An empty page may come after rows, too."""
    whole = drain(limit=2)
    spoil("H20", {"nth": 2}, form="empty")

    pages = drain(limit=2)

    assert pages[1]["bars"] == {}
    assert keys(pages) == keys(whole)


def test_h20_a_last_page_with_a_token(drain: Drain, spoil: Spoil) -> None:
    """The last page, though not full, carries a token that leads to an empty page."""
    spoil("H20", {"times": 1}, form="full_last")

    pages = drain()

    assert len(pages) == 2
    assert pages[1] == {"bars": {}, "next_page_token": None}


def test_h21_a_token_leads_to_itself(drain: Drain, spoil: Spoil) -> None:
    """A, A, A: the page behind the token carries the same token."""
    spoil("H21", form="AA")

    pages = drain(pages_max=5, limit=2)

    assert len(set(tokens(pages))) == 1
    assert keys(pages[1:2]) == keys(pages[2:3]) != keys(pages[:1])


def test_h21_two_tokens_lead_to_each_other(drain: Drain, spoil: Spoil) -> None:
    """A, B, A, B."""
    spoil("H21", form="ABAB")

    pages = drain(pages_max=6, limit=1)

    assert tokens(pages)[:2] == tokens(pages)[2:4] == tokens(pages)[4:6]
    assert len(set(tokens(pages))) == 2
    assert keys(pages[1:3]) == keys(pages[3:5])


def test_h21_ever_new_tokens(drain: Drain, spoil: Spoil) -> None:
    """Each answer has a token never seen, and all lead to the same page, until the count is reached."""
    spoil("H21", form="distinct", count=50)

    pages = drain()

    assert len(pages) == 51
    assert len(set(tokens(pages))) == 51
    assert all(page["bars"] == pages[0]["bars"] for page in pages)


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_h22_the_boundary_row_comes_twice(drain: Drain, spoil: Spoil, sort: str) -> None:
    """Later pages begin with the last row of the page before."""
    spoil("H22", form="equal")

    pages = drain(limit=2, sort=sort)
    first, second = pages[0]["bars"]["AAPL"], pages[1]["bars"]["AAPL"]

    assert second[0] == first[-1]
    assert list(pages[1]["bars"]) == ["AAPL", "MSFT"]


def test_h22_the_boundary_row_differs(drain: Drain, spoil: Spoil) -> None:
    """Repeated with another close."""
    spoil("H22", form="different", by=0.05)

    pages = drain(limit=2)
    first, second = pages[0]["bars"]["AAPL"][-1], pages[1]["bars"]["AAPL"][0]

    assert second["t"] == first["t"]
    assert second["c"] == pytest.approx(first["c"] + 0.05)
    assert second["h"] >= second["c"]


def test_h23_makes_no_progress(drain: Drain, spoil: Spoil) -> None:
    """Every later page holds only the row before it; its token leads to the same again."""
    spoil("H23")

    pages = drain(pages_max=6, limit=2)

    assert all(keys([page]) == keys(pages[:1])[-1:] for page in pages[1:])
    assert None not in tokens(pages)


def test_tokens_with_a_serial_stay_opaque(ask: Ask, spoil: Spoil) -> None:
    """The extra tokens of these faults are base64 as the others are."""
    spoil("H20", form="empty")

    token = ask().json()["next_page_token"]

    assert base64.b64decode(token).startswith(b"AAPL|D|")
