"""Any pages over any stored state leave what a plain dictionary would hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.bars import read_bars, stored_starts
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.series import read_series
from barfill.store.writes import PageOutcome
from tests.store.builders import MINUTE_US, START, add, claimed_run, minute, minutes, page, query

MINUTES = 24
SYMBOLS = 3

closes = st.sampled_from([10.0, 10.5, 11.0])
rows = st.dictionaries(
    st.integers(0, SYMBOLS - 1), st.dictionaries(st.integers(0, MINUTES - 1), closes, min_size=1), max_size=SYMBOLS
)
proofs = st.dictionaries(
    st.integers(0, SYMBOLS - 1),
    st.tuples(st.integers(0, MINUTES - 2), st.integers(1, MINUTES)).filter(lambda pair: pair[0] < pair[1]),
)
pages = st.lists(st.tuples(rows, proofs, st.sampled_from(["final", "final", "live"])), min_size=1, max_size=5)


@dataclass
class Model:
    """What the store should hold: bars as (close, status), coverage as minutes, revisions as closes."""

    bars: dict[tuple[int, int], tuple[float, str]] = field(default_factory=dict)
    covered: dict[int, Ranges] = field(default_factory=dict)
    revisions: list[float] = field(default_factory=list)

    def put(self, key: tuple[int, int], close: float, status: str) -> str:
        """What becomes of one row."""
        if status == "live" and minute(key[1]) in self.covered.get(key[0], Ranges()):
            return "unchanged"
        had = self.bars.get(key)
        if had is not None and (had == (close, status) or (status == "live" and had[1] == "final")):
            return "unchanged"
        self.bars[key] = (close, status)
        if had is None:
            return "inserted"
        if had[1] == "final" and had[0] != close:
            self.revisions.append(had[0])
        return "changed"

    def prove(self, proved: dict[int, Range]) -> None:
        """What is final now holds no live bar."""
        for symbol_id, part in proved.items():
            self.covered[symbol_id] = self.covered.get(symbol_id, Ranges()) | part
        for (symbol_id, at), (_, status) in list(self.bars.items()):
            if status == "live" and minute(at) in self.covered.get(symbol_id, Ranges()):
                del self.bars[symbol_id, at]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages=pages)
def test_pages_do_what_a_dictionary_would_do(
    database: Database, pages: list[tuple[dict[int, dict[int, float]], dict[int, tuple[int, int]], str]]
) -> None:
    """
    After any pages, in any order and overlap, bars, statuses, coverage, counters and revisions equal the model's. Live
    pages prove nothing, and change nothing that is final.
    """
    query(database, "truncate symbols, series, ohlc_bars, job_runs, bar_revisions, series_gaps, watchlists cascade")
    ids = add(database, *(f"S{number}" for number in range(SYMBOLS)))
    run = claimed_run(database, ids)
    model = Model()

    for number, (given_rows, given_proofs, status) in enumerate(pages):
        by_id = {ids[symbol]: bars for symbol, bars in given_rows.items()}
        proved = {ids[symbol]: minutes(*pair) for symbol, pair in given_proofs.items()}
        fates = [
            model.put((symbol_id, at), close, status) for symbol_id, bars in by_id.items() for at, close in bars.items()
        ]
        if status == "final":
            model.prove(proved)

        outcome = database.run(
            write_page, page(run, by_id, proved, page_no=number, data_status=status, next_token="t", ids=ids)
        )

        assert outcome == PageOutcome(*(fates.count(fate) for fate in ("inserted", "changed", "unchanged")))
    _assert_equal(database, ids, model)


def _assert_equal(database: Database, ids: list[int], model: Model) -> None:
    found = query(
        database,
        """select symbol_id, (extract(epoch from ts - %s) / 60)::integer, close, data_status from ohlc_bars""",
        START,
    )
    assert {(symbol_id, at): (close, status) for symbol_id, at, close, status in found} == model.bars
    revised = [close for (close,) in query(database, "select close from bar_revisions")]
    assert sorted(revised) == sorted(model.revisions)
    series = database.run(read_series, ids, [Timeframe.M1])
    starts = database.run(stored_starts, ids, Timeframe.M1, minutes(0, MINUTES))
    for symbol_id in ids:
        stored = sorted(at for one, at in model.bars if one == symbol_id)
        assert ((starts[symbol_id] - to_us(START)) // MINUTE_US).tolist() == stored
        row = series[symbol_id, Timeframe.M1]
        assert row.covered == model.covered.get(symbol_id, Ranges())
        assert row.bar_count == len(stored)
        assert row.oldest_ts == (minute(stored[0]) if stored else None)
        assert row.newest_ts == (minute(stored[-1]) if stored else None)
        bars = database.run(read_bars, symbol_id, Timeframe.M1, minutes(0, MINUTES))
        assert bars.close.tolist() == [model.bars[symbol_id, at][0] for at in stored]
