"""What becomes of a run's work when its chain fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.page import BarsQuery
from barfill.core.proof import ChainState
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.recovery import Piece, Recovery, recover, remaining
from barfill.errors import (
    AnswerTooLong,
    BadResponse,
    BarfillError,
    ProviderUnavailable,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooOld,
    TooRecent,
)

START = datetime(2024, 3, 4, tzinfo=UTC)
WHOLE = Range(START, START + timedelta(days=10))
BATCH = BarsQuery(("A", "B", "C", "D"), Timeframe.D1, WHOLE, "sip")
UNTOUCHED = ChainState()


def recovery(error: BarfillError, *, state: ChainState = UNTOUCHED, horizon_days: float = 5) -> Recovery:
    return recover(BATCH, state, error, horizon=START + timedelta(days=horizon_days), is_restart=False)


def test_what_remains_is_the_open_symbols_rest_and_the_unseen() -> None:
    """After B was half read, B's rest and all symbols without rows so far are still to be fetched."""
    state = ChainState("B", START + timedelta(days=4), frozenset({"A", "B"}))

    assert remaining(BATCH, state) == (
        Piece(("B",), Range(START + timedelta(days=4), WHOLE.end)),
        Piece(("C", "D"), WHOLE),
    )


def test_a_named_bad_symbol_is_cut_out() -> None:
    """The other symbols go on in one run, the named one fails alone."""
    assert recovery(SymbolNotOffered("no", symbol="C")) == Recovery((Piece(("A", "B", "D"), WHOLE),), refused="C")


def test_an_unnamed_bad_symbol_is_bisected() -> None:
    """Where no symbol is named the batch is halved."""
    assert recovery(SymbolNotOffered("no", symbol=None)).pieces == (Piece(("A", "B"), WHOLE), Piece(("C", "D"), WHOLE))


def test_a_lone_bad_symbol_fails() -> None:
    """A batch of one is the offender itself."""
    query = BarsQuery(("A",), Timeframe.D1, WHOLE, "sip")

    assert recover(
        query, UNTOUCHED, SymbolNotOffered("no", symbol=None), horizon=WHOLE.end, is_restart=False
    ) == Recovery(refused="A", is_failure=True)


def test_a_list_too_long_is_halved() -> None:
    """414 halves the batch."""
    assert len(recovery(RequestTooLong("long")).pieces) == 2


@pytest.mark.parametrize(
    ("timeframe", "days", "middle"), [(Timeframe.M1, 10, 5), (Timeframe.M1, 3, 1), (Timeframe.D1, 1000, 500)]
)
def test_an_answer_too_long_has_its_range_halved(timeframe: Timeframe, days: int, middle: int) -> None:
    """The halves meet at a midnight, the newer one goes first, and together they are the range."""
    wanted, bound = Range(START, START + timedelta(days=days)), START + timedelta(days=middle)
    query = BarsQuery(("A",), timeframe, wanted, "sip")

    halved = recover(query, UNTOUCHED, AnswerTooLong("long"), horizon=wanted.end, is_restart=True)

    assert halved == Recovery((Piece(("A",), Range(bound, wanted.end)), Piece(("A",), Range(START, bound))))


def test_halving_comes_to_an_end() -> None:
    """Who calls a few bars too long would call everything so."""
    for timeframe in (Timeframe.M1, Timeframe.D1):
        query = BarsQuery(("A",), timeframe, Range(START, START + timedelta(hours=47)), "sip")
        assert recover(query, UNTOUCHED, AnswerTooLong("long"), horizon=WHOLE.end, is_restart=False).is_failure


def test_a_start_too_old_is_cut_to_what_is_offered() -> None:
    """What is offered goes on apart from what is not; what is wholly older, or refused all the same, fails."""
    cut = [recovery(TooOld("old", offered_from=START + timedelta(days=day))) for day in (4, 10, 0)]

    bound = START + timedelta(days=4)
    newer, older = Piece(BATCH.symbols, Range(bound, WHOLE.end)), Piece(BATCH.symbols, Range(START, bound))
    assert cut[0] == Recovery((newer, older))
    assert cut[1:] == [Recovery(is_failure=True)] * 2


def test_an_end_too_recent_is_cut_to_the_horizon() -> None:
    """The range goes on up to the horizon; what is beyond is not due yet."""
    assert recovery(TooRecent("recent")).pieces == (Piece(BATCH.symbols, Range(START, START + timedelta(days=5))),)


def test_an_old_end_called_too_recent_is_tried_once_more() -> None:
    """A range that ends before the horizon and is refused all the same is a failure the second time, not a loop."""
    error = TooRecent("recent")

    assert recovery(error, horizon_days=20).pieces == (Piece(BATCH.symbols, WHOLE),)
    assert recover(BATCH, UNTOUCHED, error, horizon=START + timedelta(days=20), is_restart=True).is_failure


@pytest.mark.parametrize("error", [StalePageToken("stale"), BadResponse("empty", reason="empty_pages")])
def test_a_chain_is_restarted_once(error: BarfillError) -> None:
    """The rest is asked for once more, and no more often."""
    assert recovery(error).pieces == (Piece(BATCH.symbols, WHOLE),)
    assert recover(BATCH, UNTOUCHED, error, horizon=WHOLE.end, is_restart=True).is_failure


@pytest.mark.parametrize("error", [ProviderUnavailable("down"), BadResponse("odd", reason="schema")])
def test_what_cannot_be_helped_fails(error: BarfillError) -> None:
    """Everything else ends the run."""
    assert recovery(error) == Recovery(is_failure=True)
