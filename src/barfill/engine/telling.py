"""What people read about work: a page that went in; and of what failed what happened, where, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence

from barfill.core.page import BarsQuery
from barfill.engine.desk import Processed
from barfill.engine.events import PageWritten
from barfill.engine.run import RunInHand
from barfill.errors import BadResponse, BarfillError, ProviderTimeout, ProviderUnavailable, StalePageToken

_MAY_PASS = (ProviderUnavailable, ProviderTimeout, BadResponse, StalePageToken)
"""The texts of all other errors say themselves what to set or to spell otherwise."""
_LATER = "What is missing stays listed; run barfill backfill again later."


def advised(error: BarfillError) -> str:
    """What happened and what can be done: the same for all series that fail alike."""
    told = [str(error), *getattr(error, "__notes__", ())]
    return " ".join([*told, _LATER] if isinstance(error, _MAY_PASS) else told)


def located(error: BarfillError, provider: str, query: BarsQuery) -> str:
    """The same, with what was asked of whom."""
    request_id = getattr(error, "request_id", "")
    request = f", request {request_id}" if request_id else ""
    return f"{advised(error)} Asked for: {provider} {query}{request}."


def page_written(run: RunInHand, processed: Processed) -> PageWritten:
    """A page of *run* that was committed."""
    return PageWritten(
        run_id=run.run_id,
        timeframe=run.query.timeframe,
        symbols=_shortened(run.query.symbols),
        page_no=run.page_no,
        expected_bars=processed.proved_bars,
        inserted=processed.outcome.inserted,
        changed=processed.outcome.changed,
        unchanged=processed.outcome.unchanged,
    )


def _shortened(tickers: Sequence[str]) -> str:
    return tickers[0] if len(tickers) == 1 else f"{tickers[0]} and {len(tickers) - 1} more"
