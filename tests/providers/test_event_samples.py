"""The recorded answers about corporate actions; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from barfill.core.corporate import CorporateEvent, Delisting, Dividend, Earnings, EventKind, Split, TickerChange
from barfill.providers.alpaca_events import AlpacaEvents
from barfill.providers.base import HttpResponse
from barfill.providers.events import EventsPage, EventsProvider, EventsQuery
from barfill.providers.finnhub_events import FinnhubEvents
from barfill.providers.massive_events import MassiveEvents
from tests.providers.conftest import KEY, SECRET
from tests.providers.dialects import JSON

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ALPACA, MASSIVE, FINNHUB = AlpacaEvents(KEY, SECRET), MassiveEvents(KEY), FinnhubEvents(KEY)

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def parsed(provider: EventsProvider, kind: EventKind, name: str, *tickers: str) -> EventsPage:
    """The page in a sample, as the answer to a question for all days."""
    query = EventsQuery(kind, date(1990, 1, 1), date(2030, 1, 1), tickers or None)
    return provider.parse_events(query, HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW))


def told(page: EventsPage) -> list[tuple[Any, ...]]:
    """What counts of each event, in short."""
    assert page.rejected == ()
    return [_short(event) for event in page.events]


def _short(event: CorporateEvent) -> tuple[Any, ...]:
    match event:
        case Split():
            return event.ticker, event.on.isoformat(), event.form, f"{event.numerator}:{event.denominator}"
        case Dividend():
            return (
                event.ticker,
                event.on.isoformat(),
                event.form,
                f"{event.amount} {event.currency}",
                str(event.paid_on),
            )
        case Earnings():
            return event.ticker, event.on.isoformat(), event.hour, event.eps_estimate, event.eps_actual
        case TickerChange():
            return event.ticker, event.new_ticker, event.on.isoformat()
        case Delisting():
            return event.ticker, event.on.isoformat(), event.form, event.successor
    raise AssertionError(event)


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        (
            EventKind.SPLITS,
            [
                ("SRE", "2023-08-22", "split", "2:1"),
                ("MNTS", "2023-08-24", "split", "1:50"),
                ("MSBC", "2023-05-19", "stock_dividend", "21:20"),
            ],
        ),
        (EventKind.DIVIDENDS, [("FCF", "2023-05-04", "cash", "0.125 USD", "2023-05-19")]),
        (EventKind.CHANGES, [("BSAQ", "VFS", "2023-08-15")]),
        (
            EventKind.DELISTINGS,
            [
                ("GLOP", "2023-07-17", "cash_merger", ""),
                ("LSI", "2023-07-20", "stock_merger", "EXR"),
                ("MLVF", "2023-07-18", "stock_and_cash_merger", "FRBA"),
                ("ATNXQ", "2023-10-11", "worthless", ""),
            ],
        ),
    ],
)
def test_alpacas_mixed_page(kind: EventKind, events: list[tuple[Any, ...]]) -> None:
    """Each kind takes its own groups; exact ratios, process dates and ids with it; the token leads on."""
    page = parsed(ALPACA, kind, "alpaca/corporate_actions_mixed.json")

    assert told(page) == events
    assert all(event.event_id.startswith("a7932b15") for event in page.events)
    assert page.more is not None
    assert page.more.params["page_token"].startswith("MDA3Q1ZSMDIw")


def test_alpacas_week() -> None:
    """Rows without ids and numbers; nine changes of names; the end of the chain."""
    splits = parsed(ALPACA, EventKind.SPLITS, "alpaca/corporate_actions_week.json")
    changes = parsed(ALPACA, EventKind.CHANGES, "alpaca/corporate_actions_week.json")
    gone = parsed(ALPACA, EventKind.DELISTINGS, "alpaca/corporate_actions_week.json")

    assert told(splits) == [("FBL", "2024-03-13", "split", "5:1"), ("NVDL", "2024-03-13", "split", "6:1")]
    assert len(told(changes)) == 9
    assert told(changes)[2] == ("INPX", "XTIA", "2024-03-13")
    assert [row[0] for row in told(gone)] == ["FAZE", "LBBBR", "EACPW", "ZSANQ"]
    assert splits.more is None


def test_alpacas_row_examples() -> None:
    """The specification's own example of each type is read, in the groups that barfill reads."""
    examples = json.loads((SAMPLES / "alpaca/corporate_action_row_examples.json").read_text())
    body = json.dumps({"corporate_actions": {f"{kind}s": [row] for kind, row in examples.items()}}).encode()
    found = {}
    for kind in ALPACA.offers:
        query = EventsQuery(kind, date(1990, 1, 1), date(2030, 1, 1))
        found[kind] = told(ALPACA.parse_events(query, HttpResponse(200, JSON, body, NOW)))

    assert [len(found[kind]) for kind in (EventKind.SPLITS, EventKind.DIVIDENDS, EventKind.CHANGES)] == [3, 1, 1]
    assert [row[0] for row in found[EventKind.DELISTINGS]] == ["GLOP", "LSI", "MLVF", "BLPH"]


def test_massives_splits() -> None:
    """Ten rows without ids; two of SHOP on different days; 4 for 3, and 1 for 2."""
    page = parsed(MASSIVE, EventKind.SPLITS, "polygon/splits.json")

    assert len(told(page)) == 10
    assert told(page)[-3:] == [
        ("BRW", "2022-05-20", "split", "1:2"),
        ("CM", "2022-05-16", "split", "2:1"),
        ("CIG.C", "2022-05-02", "split", "4:3"),
    ]
    assert page.more is None


def test_massives_dividends() -> None:
    """Declared years ahead, no currency told; amounts to the last digit."""
    page = parsed(MASSIVE, EventKind.DIVIDENDS, "polygon/dividends.json")

    assert len(told(page)) == 10
    assert told(page)[0] == ("CSSEN", "2025-06-12", "cash", "0.59375 ", "2025-06-30")
    assert isinstance(page.events[0], Dividend)
    assert page.events[0].declared_on == date(2020, 9, 9)


def test_massives_ticker_events() -> None:
    """Two names make one change, dated by the newer one."""
    page = parsed(MASSIVE, EventKind.CHANGES, "polygon/ticker_events_META.json", "META")

    assert told(page) == [("FB", "META", "2022-06-11")]


@pytest.mark.parametrize(
    ("kind", "name", "events"),
    [
        (EventKind.SPLITS, "stock_split", [("AAPL", "2014-06-09", "split", "7:1")]),
        (
            EventKind.DIVIDENDS,
            "stock_dividend",
            [
                ("AAPL", "2019-11-07", "cash", "0.77 USD", "2019-11-14"),
                ("AAPL", "2019-08-09", "cash", "0.77 USD", "2019-08-15"),
                ("AAPL", "2019-05-10", "cash", "0.77 USD", "2019-05-16"),
                ("AAPL", "2019-02-08", "cash", "0.73 USD", "2019-02-14"),
            ],
        ),
        (
            EventKind.EARNINGS,
            "calendar_earnings",
            [
                ("AAPL", "2020-01-28", "after_close", Decimal("4.5474"), Decimal("4.99")),
                ("AAPL", "2019-10-30", "after_close", Decimal("2.8393"), Decimal("3.03")),
            ],
        ),
        (EventKind.CHANGES, "symbol_change", [("PPC.L", "MEN.L", "2022-10-05")]),
    ],
)
def test_finnhubs_answers(kind: EventKind, name: str, events: list[tuple[Any, ...]]) -> None:
    """The vendor's own samples; the raw amount, not the adjusted one."""
    assert told(parsed(FINNHUB, kind, f"finnhub/{name}.json")) == events
