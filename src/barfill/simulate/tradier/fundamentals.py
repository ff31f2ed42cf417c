"""
Dividends and splits, the beta endpoints: a list of results by symbol, with tables of which one row alone is an object.

providers.md 5.3 names the tables and that shape; the fields in them are those of the vendor's public documentation as
we remember it, not verified.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from barfill.simulate.market.events import dividends_of
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.source import Market
from barfill.simulate.tradier.queries import Plan, market_ticker
from barfill.simulate.tradier.refusals import invalid


def dividends(market: Market, params: Mapping[str, str], plan: Plan) -> list[dict[str, Any]]:
    """The declared dividends of each of ``symbols``, the newest first."""
    return [_result(symbol, listing, "cash_dividends", _dividend_rows(listing, plan)) for symbol, listing in
            _companies(market, params, plan)]  # fmt: skip


def corporate_actions(market: Market, params: Mapping[str, str], plan: Plan) -> list[dict[str, Any]]:
    """The splits of each of ``symbols`` that have happened, the newest first."""
    return [_result(symbol, listing, "stock_splits", _split_rows(listing, plan)) for symbol, listing in
            _companies(market, params, plan)]  # fmt: skip


def _companies(market: Market, params: Mapping[str, str], plan: Plan) -> Iterator[tuple[str, Listing | None]]:
    symbols = [symbol for symbol in params.get("symbols", "").split(",") if symbol]
    if not symbols:
        raise invalid("symbols", "is required")
    return ((symbol, market.names.holder(market_ticker(symbol), plan.today)) for symbol in symbols)


def _result(symbol: str, listing: Listing | None, table: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    if listing is None:
        return {"request": symbol, "type": "Symbol", "error": "Symbol not found"}
    shown = rows[0] if len(rows) == 1 else rows or None
    return {"request": symbol, "type": "Symbol", "results": [{"type": "Stock", "tables": {table: shown}}]}


def _dividend_rows(listing: Listing | None, plan: Plan) -> list[dict[str, Any]]:
    rows = [
        {
            "dividend_type": "CD",
            "ex_date": one.ex_on.isoformat(),
            "cash_amount": one.amount,
            "currency_i_d": "USD",
            "declaration_date": one.declared_on.isoformat(),
            "frequency": 4,
            "pay_date": one.paid_on.isoformat(),
            "record_date": one.record_on.isoformat(),
        }
        for one in (dividends_of(listing) if listing else ())
        if one.declared_on <= plan.today
    ]
    return rows[::-1]


def _split_rows(listing: Listing | None, plan: Plan) -> list[dict[str, Any]]:
    rows = [
        {
            "ex_date": split.on.isoformat(),
            "adjustment_factor": split.ratio,
            "split_from": float(split.of),
            "split_to": float(split.to),
            "split_type": "SS" if split.ratio > 1 else "RS",
        }
        for split in (listing.splits if listing else ())
        if split.on <= plan.today
    ]
    return rows[::-1]
