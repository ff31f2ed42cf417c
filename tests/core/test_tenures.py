"""Who bore which ticker when, and whose a change of tickers is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.corporate import TickerChange
from barfill.core.ranges import Range
from barfill.core.renames import match_changes
from barfill.core.tenures import Moved, Renamed, Tenures

META, METV = 1, 2
TODAY = date(2026, 11, 27)
FB_TO_META = Renamed(date(2022, 6, 9), META, "FB", "META")
META_TO_METV = Renamed(date(2022, 1, 31), METV, "META", "METV")


def change(one: Renamed) -> TickerChange:
    return TickerChange(ticker=one.old, on=one.on, filed_on=one.on, new_ticker=one.new)


def days(start: str, end: str) -> Range:
    return Range(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end)))


@pytest.fixture
def both() -> Tenures:
    return Tenures({META: "META", METV: "METV"}, [FB_TO_META, META_TO_METV])


@pytest.mark.parametrize(
    ("ticker", "on", "holder"),
    [
        ("FB", "2012-05-18", META),
        ("FB", "2022-06-08", META),
        ("FB", "2022-06-09", None),
        ("META", "2022-01-30", METV),
        ("META", "2022-03-01", None),
        ("META", "2022-06-09", META),
        ("METV", "2022-01-31", METV),
    ],
)
def test_a_ticker_is_not_a_company(both: Tenures, ticker: str, on: str, holder: int | None) -> None:
    """META was the fund's until 2022-01-30, nobody's until 2022-06-08, and is FB's since (D28, R22)."""
    assert both.holder(ticker, date.fromisoformat(on)) == holder


def test_bars_are_asked_for_under_the_ticker_of_their_time(both: Tenures) -> None:
    """One series over two tickers at a provider that knows tickers only; sessions are not cut."""
    assert both.tickers_over(META, days("2022-06-01", "2022-06-15")) == [
        ("FB", days("2022-06-01", "2022-06-09")),
        ("META", days("2022-06-09", "2022-06-15")),
    ]
    assert both.tickers_over(META, days("2024-01-01", "2024-02-01")) == [("META", days("2024-01-01", "2024-02-01"))]


def test_one_change_that_two_providers_date_differently_is_one() -> None:
    """The earliest day counts: a later one would leave bars under a ticker that had gone."""
    late = Renamed(date(2022, 6, 11), META, "FB", "META")

    tenures = Tenures({META: "META"}, [late, FB_TO_META])

    assert [(one.ticker, one.first) for one in tenures.names_of(META, date.min, date.max)] == [
        ("FB", date.min),
        ("META", FB_TO_META.on),
    ]


def test_tickers_that_go_back_and_forth_end() -> None:
    """A, then B, then A again: three tenures, no endless walk."""
    tenures = Tenures({1: "A"}, [Renamed(date(2020, 1, 1), 1, "A", "B"), Renamed(date(2021, 1, 1), 1, "B", "A")])

    assert [one.ticker for one in tenures.names_of(1, date.min, date.max)] == ["A", "B", "A"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=4, unique=True).map(sorted),
    st.integers(0, 3200),
    st.integers(1, 400),
)
def test_tenures_cover_all_days_without_overlap(offsets: list[int], start: int, length: int) -> None:
    """Whatever range is wanted, its parts follow each other, and together are the range."""
    first = date(2015, 1, 1).toordinal()
    names = ["A", "B", "C", "D", "E"][: len(offsets) + 1]
    renames = [
        Renamed(date.fromordinal(first + offset), 7, old, new)
        for offset, old, new in zip(offsets, names, names[1:], strict=False)
    ]
    begin, end = (datetime.fromordinal(first + start + days).replace(tzinfo=UTC) for days in (0, length))
    wanted = Range(begin, end)

    parts = Tenures({7: names[-1]}, renames).tickers_over(7, wanted)

    assert parts[0][1].start == wanted.start
    assert parts[-1][1].end == wanted.end
    assert all(one.end == other.start for (_, one), (_, other) in pairwise(parts))
    assert len({ticker for ticker, _ in parts}) == len(parts)


NEW_FB = 9


@pytest.mark.parametrize("ids", [(META, NEW_FB), (NEW_FB, META)])
def test_a_ticker_begins_where_another_series_gave_it_up(ids: tuple[int, int]) -> None:
    """Today's FB is FB since Meta Platforms gave that ticker up, and asks for nothing older (D28)."""
    names = {META: "META", NEW_FB: "FB"}
    tenures = Tenures({one: names[one] for one in ids}, [FB_TO_META])

    assert tenures.holder("FB", date(2022, 6, 8)) == META
    assert tenures.holder("FB", date(2022, 6, 9)) == NEW_FB
    assert tenures.tickers_over(NEW_FB, days("2022-06-01", "2022-06-15")) == [("FB", days("2022-06-09", "2022-06-15"))]
    assert tenures.tickers_over(NEW_FB, days("2022-06-01", "2022-06-09")) == []
    former = tenures.taken_from(NEW_FB)
    assert former is not None
    assert (former.symbol_id, former.end) == (META, FB_TO_META.on)
    assert tenures.taken_from(META) is None


COMPANIES = range(1, 5)
TICKERS = ("A", "B", "C", "D", "E")


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[date, int, str]]:
    """Who took which ticker when; nobody takes one that another has."""
    bearer: dict[int, str] = {}
    day, told = date(2015, 1, 1), []
    for _ in range(draw(st.integers(1, 12))):
        day += timedelta(days=draw(st.integers(60, 400)))
        company = draw(st.sampled_from(COMPANIES))
        free = [one for one in TICKERS if one not in bearer.values()]
        if free:
            bearer[company] = draw(st.sampled_from(free))
            told.append((day, company, bearer[company]))
    return told


@settings(max_examples=150, deadline=None)
@given(histories(), st.sets(st.sampled_from(COMPANIES), min_size=1))
def test_no_ticker_is_that_of_two_series_on_a_day(told: list[tuple[date, int, str]], on_record: set[int]) -> None:
    """Of any history, whoever of it is on record: each ticker has one holder a day, and that is the one who had it."""
    had: dict[int, list[tuple[date, str]]] = {}
    for day, company, ticker in told:
        if company in on_record:
            had.setdefault(company, []).append((day, ticker))
    renames = [
        Renamed(day, company, old, new) for company, names in had.items() for (_, old), (day, new) in pairwise(names)
    ]

    tenures = Tenures({company: names[-1][1] for company, names in had.items()}, renames)

    every = [one for company in had for one in tenures.names_of(company, date.min, date.max)]
    for one in every:
        others = [other for other in every if other.ticker == one.ticker and other.symbol_id != one.symbol_id]
        assert all(other.end <= one.first or one.end <= other.first for other in others)
    for company, names in had.items():
        for (day, ticker), (until, _) in zip(names, [*names[1:], (date(2099, 1, 1), "")], strict=True):
            assert {tenures.holder(ticker, on) for on in (day, until - timedelta(days=1))} == {company}


def test_what_a_change_moves() -> None:
    """FB is known to have become META: META's days before that are FB's, and today's FB has none of them."""
    names = {META: "META", NEW_FB: "FB", 3: "AAPL"}

    moved = Tenures(names, [FB_TO_META]).moved_since(Tenures(names, []))

    assert moved == [
        Moved(META, date.min, FB_TO_META.on, "FB"),
        Moved(NEW_FB, date.min, FB_TO_META.on, None),
    ]
    assert Tenures(names, [FB_TO_META]).moved_since(Tenures(names, [FB_TO_META])) == []


def test_what_a_new_ticker_moves() -> None:
    """A series that has a new ticker since a day stands under it from then on."""
    moved = Tenures({META: "META"}, [FB_TO_META]).moved_since(Tenures({META: "FB"}, [FB_TO_META]))

    assert moved == [Moved(META, FB_TO_META.on, date.max, "META")]


def matched(tickers: dict[int, str], *renames: Renamed, offered_after: frozenset[int] = frozenset()) -> set[Renamed]:
    found = match_changes(
        tickers, [], [change(one) for one in renames], today=TODAY, is_same=lambda one, _: one not in offered_after
    )
    return {Renamed(one.on, symbol_id, one.ticker, one.new_ticker) for symbol_id, one in found.changes}


def test_changes_find_their_series() -> None:
    """Whatever is on record: both companies, one of them, or the one under its former ticker (D28)."""
    assert matched({META: "META", METV: "METV"}, FB_TO_META, META_TO_METV) == {FB_TO_META, META_TO_METV}
    assert matched({META: "META"}, META_TO_METV, FB_TO_META) == {FB_TO_META}
    assert matched({METV: "METV"}, FB_TO_META, META_TO_METV) == {META_TO_METV}
    assert matched({META: "FB"}, FB_TO_META, META_TO_METV) == {FB_TO_META}
    assert matched({3: "AAPL"}, FB_TO_META, META_TO_METV) == set()


def test_who_was_offered_later_is_another_company() -> None:
    """FB, offered long after FB had become META, is somebody else."""
    assert matched({META: "FB"}, FB_TO_META, offered_after=frozenset({META})) == set()


def test_a_chain_of_changes_is_followed() -> None:
    """From A to B to C, in one answer, though C was not known before."""
    one, other = Renamed(date(2020, 1, 6), 5, "A", "B"), Renamed(date(2021, 1, 4), 5, "B", "C")

    assert matched({5: "A"}, one, other) == {one, other}


def test_two_series_of_one_company_are_told() -> None:
    """Old and new ticker are both on record: the change belongs to the new one, and nothing is merged."""
    found = match_changes({META: "META", 9: "FB"}, [], [change(FB_TO_META)], today=TODAY, is_same=lambda *_: True)

    assert [symbol_id for symbol_id, _ in found.changes] == [META]
    assert [one.ticker for one in found.twins] == ["FB"]


@pytest.mark.parametrize("is_same", [True, False])
def test_two_series_of_one_company_are_told_again(is_same: bool) -> None:
    """So they are once the change is on record; two companies are not."""
    found = match_changes(
        {META: "META", 9: "FB"}, [FB_TO_META], [change(FB_TO_META)], today=TODAY, is_same=lambda *_: is_same
    )

    assert [symbol_id for symbol_id, _ in found.changes] == [META]
    assert len(found.twins) == is_same
