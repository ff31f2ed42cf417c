"""What becomes of bars that answers lack for good: settled with evidence, filled when they are back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from barfill.cli.gap_words import asked_text
from barfill.core.bars import BarColumns
from barfill.core.page import BarsQuery, Page
from barfill.core.plan import Resampling
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.core.traded import Traded
from barfill.engine.absent import find_absent
from barfill.engine.completeness import series_states
from barfill.engine.uncovered import find_uncovered
from barfill.engine.volumes import traded_in
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import Quota, SlidingQuota
from barfill.store.decisions import make_due, settle, unsettle
from barfill.store.gaps import list_gaps, read_answers
from tests.engine.honesty import FaultyRig, is_complete
from tests.engine.rig import NYSE, days

M1, M15, H1, D1 = Timeframe.M1, Timeframe.M15, Timeframe.H1, Timeframe.D1
OPEN, CLOSE = datetime(2026, 9, 15, 13, 30, tzinfo=UTC), datetime(2026, 9, 15, 20, tzinfo=UTC)
SESSION = Range(OPEN, CLOSE)
WEEK = days("2026-09-08", "2026-09-16")
MONTH = days("2026-08-17", "2026-09-16")
HALT_AROUND = days("2026-07-01", "2026-08-01")
PEERS = ("MSFT", "SPY", "QQQ")


class Losing(Alpaca):
    """Alpaca without some bars of one symbol, or of all."""

    lost: dict[str | None, set[datetime]]

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page without them."""
        page = super().parse_bars(query, response)
        rows = page.rows
        is_lost = np.zeros(len(rows), np.bool_)
        for ticker, starts in self.lost.items():
            of_symbol = np.array([ticker is None or one == ticker for one in page.symbols], np.bool_)[rows.symbol]
            is_lost |= of_symbol & np.isin(rows.ts, [to_us(one) for one in starts])
        return replace(page, rows=rows.take(~is_lost))


@dataclass
class LosingRig(FaultyRig):
    """A rig with such a provider."""

    lost: dict[str | None, set[datetime]] = field(default_factory=dict)

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client that loses rows."""
        provider = Losing(self.key, "secret", base_url=self.exchange.alpaca_url, page_size=self.page_size)
        provider.lost = self.lost
        return ProviderClient(provider, HttpClient(provider.base_urls), quota or SlidingQuota(10_000))

    def kinds(self, ticker: str, timeframe: Timeframe = M15) -> list[tuple[Any, ...]]:
        """Kind, start, bars and whether it is settled, of the symbol's gaps."""
        return [
            (one.gap.kind, one.gap.range.start, one.gap.expected_bars, one.gap.settled_at is not None)
            for one in self.database.run(list_gaps, timeframes=[timeframe])
            if one.ticker == ticker
        ]

    def time_passes(self, **length: int) -> None:
        """Everything on record has been there for longer, and is due."""
        moved = timedelta(**length).total_seconds()
        self.change(
            f"update series_gaps set first_seen_at = first_seen_at - interval '{moved} seconds', "
            "next_check_at = now() - interval '1 second' where settled_by is distinct from 'person'"
        )


@pytest.fixture
def losing(faulty: FaultyRig) -> LosingRig:
    """A rig whose provider loses nothing yet."""
    return LosingRig(faulty.exchange, faulty.database, settings=replace(faulty.settings, gap_attempts=0))


def quarters(first: int, end: int) -> set[datetime]:
    """Starts of quarter hours of the session."""
    return {OPEN + number * M15.length for number in range(first, end)}


def test_a_session_s_hole_of_a_liquid_symbol_is_no_halt_because_others_traded(losing: LosingRig) -> None:
    """A halt and a vendor's hole look alike where nothing else was asked for: missing, and no hour is made of it."""
    losing.lost = {"AAPL": quarters(8, 14)}
    tickers = ["AAPL", *PEERS]

    assert losing.backfill(tickers, [M15, H1], WEEK).exit_code == 3
    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, 6, False)]
    losing.time_passes(hours=2)
    losing.backfill(tickers, [M15, H1], WEEK)

    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, 6, True)]
    (listed,) = losing.database.run(list_gaps, kinds=["missing"], timeframes=[M15])
    assert "no other timeframe that was fetched by itself" in listed.gap.reason
    answers = losing.database.run(read_answers, [listed.gap.id or 0])[listed.gap.id or 0]
    assert [one["provider"] for one in answers] == ["alpaca", "alpaca"]
    assert all(one["run_id"] and one["asked_at"] for one in answers)
    (derived,) = losing.database.run(list_gaps, kinds=["missing"], timeframes=[H1])
    assert derived.gap.attempts == 0  # nobody was asked for hours
    assert asked_text(derived, ()).startswith("never: it is derived of 15m, which lacks bars")
    hours = {OPEN + timedelta(hours=2), OPEN + timedelta(hours=3)}
    assert hours.isdisjoint(from_us(ts) for ts in losing.stored("AAPL", H1))
    assert losing.backfill(tickers, [M15, H1], WEEK).summary.calls_made == 0


def test_a_gap_is_due_twice_at_once_and_then_after_an_hour(losing: LosingRig) -> None:
    """S1: by how often answers have lacked it, not by how much time went by."""
    losing.lost = {"AAPL": quarters(8, 14)}
    waits = []

    for _ in range(3):
        losing.backfill(["AAPL"], [M15], WEEK)
        waits += losing.query("select extract(epoch from next_check_at - last_checked_at)::int from series_gaps")
        losing.change("update series_gaps set next_check_at = now() - interval '1 second'")

    assert [wait for (wait,) in waits] == [60, 60, 3600]


def test_one_answer_more_settles_nothing_within_the_hour(losing: LosingRig) -> None:
    """Vendors are empty for minutes under load: two silent answers are believed only when an hour lies between them."""
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL", *PEERS], [M15], WEEK)
    losing.time_passes(minutes=58)

    assert losing.backfill(["AAPL", *PEERS], [M15], WEEK).exit_code == 3
    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, 6, False)]


def test_what_was_taken_for_a_halt_fills_when_it_comes_back(losing: LosingRig) -> None:
    """What is settled is read again, rarely; nothing is settled for ever."""
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL", *PEERS], [M15], WEEK)
    losing.time_passes(hours=2)
    losing.backfill(["AAPL", *PEERS], [M15], WEEK)

    losing.lost.clear()
    losing.time_passes(days=7)
    losing.backfill(["AAPL", *PEERS], [M15], WEEK)

    assert losing.kinds("AAPL") == []
    assert losing.holds_the_truth(M15, WEEK, ["AAPL"])


def test_a_hole_without_others_to_compare_with_stays_missing_but_settled(losing: LosingRig) -> None:
    """Nobody can tell it from a halt: accounted for as missing, and exit code 0."""
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL"], [M15], WEEK)
    losing.time_passes(hours=2)

    report = losing.backfill(["AAPL"], [M15], WEEK)

    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, 6, True)]
    is_complete(report)


def test_finer_bars_in_it_contradict_a_halt(losing: LosingRig) -> None:
    """Minutes that lie there were traded: the quarter hours are missing."""
    losing.settings = replace(losing.settings, gap_attempts=0, resampling=Resampling(from_m1=False))
    losing.backfill(["AAPL", *PEERS], [M1], SESSION)
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL", *PEERS], [M15], WEEK)
    losing.time_passes(hours=2)

    losing.backfill(["AAPL", *PEERS], [M15], WEEK)

    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, 6, True)]


@pytest.mark.parametrize("length", [1, 2, 6])
def test_a_hole_that_its_day_counts_is_no_quiet_one_and_no_halt(losing: LosingRig, length: int) -> None:
    """A day that was fetched by itself holds what was traded in the hole: not one quarter is called quiet or halted."""
    tickers = ["AAPL", *PEERS]
    losing.backfill(tickers, [D1], MONTH)
    losing.lost = {"AAPL": quarters(8, 8 + length)}

    losing.backfill(tickers, [M15], MONTH)
    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, length, False)]
    losing.time_passes(hours=2)
    losing.backfill(tickers, [M15], MONTH)

    assert losing.kinds("AAPL") == [("missing", OPEN + 8 * M15.length, length, True)]
    losing.lost = {}
    losing.time_passes(days=7)
    losing.backfill(tickers, [M15], MONTH)
    assert losing.kinds("AAPL") == []
    assert losing.holds_the_truth(M15, MONTH, ["AAPL"])


def test_a_halt_is_told_by_its_day_though_no_other_symbol_was_asked_for(losing: LosingRig) -> None:
    """D32: the day has no more volume than the quarters that are there, so nothing was traded in the others."""
    losing.backfill(["HLTD"], [D1], HALT_AROUND)

    losing.backfill(["HLTD"], [M15], HALT_AROUND)
    losing.time_passes(hours=2)
    losing.backfill(["HLTD"], [M15], HALT_AROUND)

    assert ("halted", datetime(2026, 7, 22, 15, tzinfo=UTC), 12, True) in losing.kinds("HLTD")


def test_a_symbol_of_which_nothing_was_learned_is_judged_by_what_is_stored(losing: LosingRig) -> None:
    """H11: first answers that may have lacked rows teach no density; a halt is told all the same."""
    losing.backfill(["HLTD", *PEERS], [D1, M15], HALT_AROUND)
    losing.change("update series set density = null where symbol_id = (select id from symbols where ticker = 'HLTD')")
    losing.time_passes(hours=2)

    losing.backfill(["HLTD", *PEERS], [M15], HALT_AROUND)

    assert ("halted", datetime(2026, 7, 22, 15, tzinfo=UTC), 12, True) in losing.kinds("HLTD")


def test_bars_that_were_derived_bear_no_witness_about_their_source(losing: LosingRig) -> None:
    """An hour made of its quarters has their volume whatever the provider holds back; one that was fetched counts."""
    absent = np.array(sorted(to_us(one) for one in quarters(8, 10)))

    def told() -> Traded:
        ((symbol_id,),) = losing.query("select id from symbols where ticker = 'AAPL'")
        return losing.database.run(traded_in, symbol_id, M15, NYSE, absent, BarColumns.empty(), {H1: True})

    losing.backfill(["AAPL"], [M15, H1], MONTH)
    gone = " or ".join(f"ts = '{one.isoformat()}'" for one in quarters(8, 10))
    losing.change(f"delete from ohlc_bars where timeframe = 'm15' and ({gone})")

    assert told() is Traded.UNKNOWN
    losing.change("delete from derived_ranges")
    assert told() is Traded.YES


def test_a_fault_of_the_provider_is_no_halt_of_every_symbol(losing: LosingRig) -> None:
    """S4, D21: where others lack the same bars it is asked for again the next day; D22: after a week it is settled."""
    losing.lost = {None: quarters(8, 14)}
    tickers = ["AAPL", *PEERS]
    losing.backfill(tickers, [M15], WEEK)
    losing.time_passes(hours=2)

    losing.backfill(tickers, [M15], WEEK)

    assert {losing.kinds(one)[0][0] for one in tickers} == {"missing"}
    assert not any(losing.kinds(one)[0][3] for one in tickers)
    losing.time_passes(days=7)
    is_complete(losing.backfill(tickers, [M15], WEEK))
    assert all(losing.kinds(one)[0][3] for one in tickers)


def test_days_that_are_gone_come_back_and_go_again(losing: LosingRig) -> None:
    """D22: settled as missing, filled when they are back a month later, kept when the provider lacks them again."""
    wanted = days("2026-07-01", "2026-09-16")
    gone = {datetime(2026, 8, 5, tzinfo=UTC), datetime(2026, 8, 6, tzinfo=UTC)}
    losing.lost = {"AAPL": gone}
    losing.backfill(["AAPL"], [D1], wanted)
    losing.time_passes(hours=2)
    summary = losing.backfill(["AAPL"], [D1], wanted).summary
    assert (summary.gaps_detected, summary.gaps_filled, summary.gaps_settled, summary.gaps_remaining) == (1, 0, 1, 0)
    assert [(kind, bars, settled) for kind, _, bars, settled in losing.kinds("AAPL", D1)] == [("missing", 2, True)]

    losing.lost.clear()
    losing.time_passes(days=30)
    is_complete(losing.backfill(["AAPL"], [D1], wanted))
    assert losing.kinds("AAPL", D1) == []

    losing.lost["AAPL"] = gone
    losing.backfill(["AAPL"], [D1], wanted, is_full=True)

    assert losing.kinds("AAPL", D1) == []
    assert losing.holds_the_truth(D1, wanted, ["AAPL"])


def test_a_person_settles_a_gap_and_takes_it_back(losing: LosingRig) -> None:
    """It is accounted for and not asked for again, a full reading included, until it is taken back and fills."""
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL"], [M15], WEEK)
    ids = [one.gap.id or 0 for one in losing.database.run(list_gaps)]

    assert losing.database.run(settle, ids, "T12, says the exchange", "halted") == ids
    report = losing.backfill(["AAPL"], [M15], WEEK)
    is_complete(report)
    assert report.summary.calls_made == 0
    losing.backfill(["AAPL"], [M15], WEEK, is_full=True)
    (kept,) = losing.database.run(list_gaps)
    assert (kept.gap.kind, kept.gap.reason, kept.gap.settled_by) == ("halted", "T12, says the exchange", "person")

    losing.lost.clear()
    assert losing.database.run(unsettle, [kept.gap.id or 0]) == [kept.gap.id]
    assert losing.kinds("AAPL")[0][0] == "missing"
    is_complete(losing.backfill(["AAPL"], [M15], WEEK))
    assert losing.holds_the_truth(M15, WEEK, ["AAPL"])


def test_only_gaps_asks_for_nothing_that_was_never_asked_for(losing: LosingRig) -> None:
    """What a person wants filled now is asked for whenever it was due; the day before it was never wanted."""
    losing.lost = {"AAPL": quarters(8, 14)}
    losing.backfill(["AAPL"], [M15], SESSION)
    losing.lost.clear()
    losing.database.run(make_due, [one.gap.id or 0 for one in losing.database.run(list_gaps)])

    report = losing.backfill(["AAPL"], [M15], WEEK, only_gaps=True)

    assert report.summary.bars_written == 6
    assert losing.stored("AAPL", M15).keys() == losing.truth("AAPL", M15, SESSION).keys()


@pytest.mark.parametrize("is_deleted", [True, False], ids=["deleted from the table", "never delivered"])
def test_24_of_26_quarter_hours_of_a_summer_session_are_told_and_refilled(losing: LosingRig, is_deleted: bool) -> None:
    """All 24, whoever lost them; once they are to be had they are stored, and not one is invented."""
    july = days("2026-07-06", "2026-07-18")
    day = datetime(2026, 7, 14, 13, 30, tzinfo=UTC)
    lost = {day + number * M15.length for number in range(26) if number not in {3, 17}}
    if is_deleted:
        is_complete(losing.backfill(["AAPL"], [M15], july))
        marks = ", ".join(f"'{one.isoformat()}'" for one in sorted(lost))
        losing.change(f"delete from ohlc_bars where timeframe = 'm15' and ts in ({marks})")
        found = find_absent(losing.database, None, [M15], records=True)
        assert sum(one.bars for one in found) == 24
        assert find_absent(losing.database, None, [M15]) == []
    else:
        losing.lost = {"AAPL": lost}
        losing.backfill(["AAPL"], [M15], july)
    on_record = losing.kinds("AAPL")
    assert sum(bars for *_, bars, _ in on_record) == 24
    assert {kind for kind, *_ in on_record} == {"missing"}
    (state,) = series_states(losing.database, ["AAPL"])
    assert (state.expected - state.present, state.is_complete) == (24, False)

    losing.lost.clear()
    losing.time_passes(minutes=2)
    is_complete(losing.backfill(["AAPL"], [M15], july))

    assert losing.kinds("AAPL") == []
    assert losing.holds_the_truth(M15, july, ["AAPL"])


def test_a_complete_two_weeks_of_days_has_no_gap_and_gains_no_row(losing: LosingRig) -> None:
    """No false gap, no invented day, no call the second time."""
    wanted = days("2026-08-31", "2026-09-12")  # Labor Day among it
    is_complete(losing.backfill(["AAPL"], [D1], wanted))
    before = losing.stored("AAPL", D1)

    again = losing.backfill(["AAPL"], [D1], wanted)

    assert len(before) == 9
    assert losing.kinds("AAPL", D1) == []
    assert find_absent(losing.database, None, [D1], records=True) == []
    assert (again.summary.calls_made, again.summary.bars_written) == (0, 0)
    assert losing.stored("AAPL", D1) == before


def test_a_bar_deleted_from_a_quiet_stretch_is_found(losing: LosingRig) -> None:
    """One more absent than the provider's answer lacked: nobody knows which, so all of the stretch is asked for."""
    is_complete(losing.backfill(["THIN"], [M1], SESSION))
    before = losing.stored("THIN", M1)
    assert find_absent(losing.database, None, [M1]) == []
    one = sorted(before)[len(before) // 2]
    losing.change(f"delete from ohlc_bars where ts = to_timestamp({one // 1_000_000})")

    assert find_absent(losing.database, None, [M1], records=True)
    losing.backfill(["THIN"], [M1], SESSION)

    assert losing.stored("THIN", M1) == before


def test_derived_bars_that_are_gone_are_made_anew(losing: LosingRig) -> None:
    """No call is needed for what is made of quarter hours."""
    is_complete(losing.backfill(["AAPL"], [M15, H1], WEEK))
    before = losing.stored("AAPL", H1)
    losing.change("delete from ohlc_bars where timeframe = 'h1' and ts > '2026-09-14'")

    assert sum(one.bars for one in find_absent(losing.database, None, [H1], records=True)) == 14
    report = losing.backfill(["AAPL"], [M15, H1], WEEK)

    is_complete(report)
    assert (losing.stored("AAPL", H1), report.summary.calls_made) == (before, 0)


@pytest.mark.parametrize(("losers", "kind"), [(2, "missing"), (1, "no_trade")])
def test_the_same_bar_absent_from_a_fifth_of_the_liquid_symbols_is_a_fault(
    losing: LosingRig, losers: int, kind: str
) -> None:
    """D21, S4: one minute of one symbol may be quiet; of two symbols among ten it is asked for again the next day."""
    tickers = ["AAPL", "AMD", "AMZN", "JPM", "MSFT", "NVDA", "QQQ", "SPY", "TSLA", "XOM"]
    losing.backfill(tickers, [M1], days("2026-09-08", "2026-09-12"))
    losing.lost = {ticker: quarters(9, 10) for ticker in tickers[:losers]}

    losing.backfill(tickers, [M1], SESSION)

    (due,) = set(losing.query("select next_check_at > now() + interval '23 hours' from series_gaps"))
    assert losing.kinds("AAPL", M1) == [(kind, OPEN + 9 * M15.length, 1, False)]
    assert due == ((True,) if losers > 1 else (None,))


def test_derived_bars_whose_source_is_gone_are_to_be_derived_again(losing: LosingRig) -> None:
    """They were asked for: what is uncovered says so, from the start of the first such bar to the end of the last."""
    is_complete(losing.backfill(["AAPL"], [M15, H1], WEEK))
    gone = sorted(quarters(9, 11))
    marks = ", ".join(f"'{one.isoformat()}'" for one in gone)
    losing.change(f"delete from ohlc_bars where timeframe = 'm15' and ts in ({marks})")
    find_absent(losing.database, None, [M15], records=True)

    (found,) = find_uncovered(losing.database, None, [M15, H1])

    starts = NYSE.expected_starts(H1, WEEK).tolist()
    assert (found.timeframe, found.is_to_derive) == (H1, True)
    assert {to_us(found.range.start), to_us(found.range.end) - H1.length_us} <= set(starts)
    assert found.range.start <= gone[0]
    assert gone[-1] < found.range.end
    assert found.bars == len(NYSE.expected_starts(H1, found.range))
