"""Pages of Alpaca's, made by hand, and what the adapter makes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.errors import BadResponse
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from tests.providers.conftest import KEY, SECRET, bars_query

NOW = datetime(2024, 6, 1, tzinfo=UTC)
JSON = {"content-type": "application/json"}

Row = dict[str, object]


def row(**changes: object) -> Row:
    """A good one-minute bar of 2024-03-05, with changes; None takes a key away."""
    good: Row = {"t": "2024-03-05T15:00:00Z", "o": 10.5, "h": 12, "l": 10, "c": 11.25, "v": 100, "n": 7, "vw": 11.1}
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


def parse(page: object, query: BarsQuery | None = None, *, page_size: int = 10_000) -> Page:
    """What the adapter makes of a page that arrived now."""
    body = page if isinstance(page, bytes) else json.dumps(page).encode()
    provider = Alpaca(KEY, SECRET, page_size=page_size)
    return provider.parse_bars(query or bars_query(), HttpResponse(200, JSON, body, NOW))


def page_of(*rows: object, token: object = None) -> dict[str, object]:
    """A page of AAPL."""
    return {"bars": {"AAPL": list(rows)}, "next_page_token": token}


def refusal(page: object, query: BarsQuery | None = None, *, page_size: int = 10_000) -> str:
    """The reason for which a page is refused."""
    with pytest.raises(BadResponse) as caught:
        parse(page, query, page_size=page_size)
    return caught.value.reason
