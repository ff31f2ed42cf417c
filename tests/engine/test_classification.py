"""What absent bars are called, beside why they are absent: the short form of `python -m bench.classification`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from bench.classification.market import Size, parts_of, troubles_of
from bench.classification.matrix import Matrix, matrix_of, rendered
from bench.classification.rounds import ask_until_settled

SIZE = Size(symbols=110, days=120, weeks=2, minute_symbols=6, minute_weeks=1)
SEED = 3
SURE = ("before listing", "after delisting", "withheld, 3 or more", "spoiled")


@pytest.fixture
def troubled() -> Iterator[SimulatedExchange]:
    """An exchange of sixty generated symbols, most of them with a history, beside the named fifty."""
    config = ExchangeConfig(
        port=0, seed=SEED, symbols=SIZE.symbols, is_eventful=True, plan="paid", requests_per_minute=1_000_000
    )
    with running_exchange(config) as exchange:
        yield exchange


@pytest.mark.timeout(300)
def test_absent_bars_are_called_by_their_names(troubled: SimulatedExchange, database: Database) -> None:
    """None is lost, none invented; all days, and what lies outside of a symbol's time, have their right names."""
    parts = parts_of(SIZE, troubled.listings)
    troubles = troubles_of(parts, troubled.listings, SEED)

    ask_until_settled(troubled, database, parts, troubles, lambda _: None)

    matrix = matrix_of(troubled, database, parts, troubles)
    assert len(rendered(matrix, is_markdown=True).splitlines()) == 2 + len(matrix.rows())
    assert (matrix.lost, matrix.invented) == (0, 0)
    assert not [row for row in matrix.rows() if row[1] == "traded"]
    for title, why in matrix.rows():
        share = matrix.right(title, why) / matrix.absent(title, why)
        days_count = why.startswith("withheld, ") and title == "15m"  # what was traded in them
        if days_count or (why in SURE and title == "1d"):
            assert share == 1, (title, why)
        elif why == "withheld, 3 or more":  # of a week of minutes there are too few sessions to compare
            like_a_halt = matrix.cells[title, why, "halted"] / matrix.absent(title, why)
            assert share + like_a_halt > 0.85, (title, why)
        elif why in SURE or why == "no trade":
            assert share > 0.85, (title, why)
    assert matrix.right_share > 0.95
    _a_record_that_lacks_something_is_found_out(troubled, database, matrix)


def _a_record_that_lacks_something_is_found_out(
    exchange: SimulatedExchange, database: Database, before: Matrix
) -> None:
    """Bars that are deleted are lost, what is on no record any more is not right, and bars moved are invented."""
    parts = parts_of(SIZE, exchange.listings)
    with database.connection() as conn:
        gone = conn.execute("delete from series_gaps where timeframe = 'd1'").rowcount
        deleted = conn.execute("delete from ohlc_bars where timeframe = 'd1' and ts = '2026-08-03'").rowcount
        conn.execute(
            "update ohlc_bars set ts = ts + interval '1 minute' where timeframe = 'm15' and ts = '2026-08-05 15:00Z'"
        )
    assert gone
    assert deleted

    after = matrix_of(exchange, database, parts, troubles_of(parts, exchange.listings, SEED))

    assert after.lost >= deleted
    assert after.cells["1d", "traded", "lost"] == deleted
    assert after.invented > 50
    assert after.right_share < before.right_share
