"""Several providers at once: who is asked, who takes over, and that nothing is mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from barfill.core.ranges import Range
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import AddedSymbols, add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.schedule import Schedule
from barfill.engine.tick import tick
from barfill.engine.worker import QueueWorker
from barfill.errors import DailyBudgetSpent, NoProvider, ProviderUnavailable
from barfill.providers.base import Provider
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from barfill.store.definitions import keep_series
from barfill.store.symbols import NewSymbol
from barfill.store.symbols import add_symbols as write_symbols
from tests.engine.rig import Rig, days

D1, M15 = Timeframe.D1, Timeframe.M15
WEEKS = days("2026-08-03", "2026-08-29")
SILENT = {"match": {"endpoint": "bars"}, "fault": "H04"}


class SpentQuota(SlidingQuota):
    """The day's budget is used up."""

    def slot(self) -> Any:
        """Nothing is let through."""
        raise DailyBudgetSpent("Today's budget of 5 requests is used up.", day_budget=5)


def massive(rig: Rig, plan: str = "free") -> Massive:
    """Massive at the rig's exchange."""
    return Massive("key", base_url=rig.exchange.massive_url, plan=plan, requests_per_minute=10_000)


def backfill(
    rig: Rig,
    timeframe: Timeframe = D1,
    *,
    tickers: Sequence[str] = ("AAPL", "MSFT"),
    fallbacks: Sequence[str] = (),
    others: Sequence[Provider] | None = None,
    wanted: Range = WEEKS,
    is_spent: bool = False,
) -> BackfillReport:
    """A backfill by Alpaca first, then by the others (Massive, unless others are given)."""

    async def run() -> BackfillReport:
        further = [massive(rig)] if others is None else others
        first = rig.client(SpentQuota(1) if is_spent else None)
        if is_spent:
            rig.database.run(write_symbols, [NewSymbol(ticker) for ticker in tickers])
            rig.change("update symbols set confirmed_at = now()")
        clients = Clients(first, *(rig.client_of(one) for one in further), fallbacks=fallbacks)
        try:
            await add_symbols(rig.database, clients, tickers)
            request = BackfillRequest(tickers=tuple(tickers), windows={timeframe: wanted})
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    return asyncio.run(run())


def sources(rig: Rig) -> set[tuple[Any, ...]]:
    """Who the stored bars are from."""
    return set(rig.query("select distinct provider, feed from ohlc_bars"))


def aggs(rig: Rig) -> int:
    """How many requests for bars Massive has had."""
    return len([one for one in rig.exchange.requests if "/v2/aggs" in one.path])


def test_the_first_in_the_order_brings_all_that_it_has(rig: Rig) -> None:
    """A second key changes nothing about who is asked."""
    report = backfill(rig, fallbacks=["massive"])

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("alpaca", "sip")}
    assert aggs(rig) == 0


def test_nobody_takes_over_unless_it_is_configured(rig: Rig) -> None:
    """A provider that is down is a failure, though another has a key."""
    rig.exchange.set_faults([SILENT])

    report = backfill(rig)

    assert report.exit_code == EXIT_FAILED
    assert (sources(rig), aggs(rig)) == (set(), 0)


@pytest.mark.parametrize("timeframe", [D1, M15])
def test_a_fallback_takes_over_from_one_that_is_down(rig: Rig, timeframe: Timeframe) -> None:
    """Each bar says who it is from, the bars are the exchange's, and it is told."""
    rig.exchange.set_faults([SILENT])

    report = backfill(rig, timeframe, fallbacks=["massive"])

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("massive", "sip")}
    assert rig.stored("AAPL", timeframe) == rig.truth("AAPL", timeframe, WEEKS)
    assert [note for note in rig.listener.notes if note.startswith("massive takes over from alpaca: ")]
    states = rig.query("select provider, status, reason like 'split: massive takes over: %%' from job_runs order by id")
    assert states == [("alpaca", "cancelled", True), ("massive", "success", None), ("massive", "success", None)]


def test_one_that_is_down_is_not_tried_again_for_each_run(rig: Rig) -> None:
    """While somebody stands in for it, the next runs go there at once."""
    rig.exchange.set_faults([SILENT])
    rig.attempts = 2
    rig.page_size = 100
    rig.settings = type(rig.settings)(max_concurrent_jobs=1, gap_retry_waits_s=(0.0,))

    backfill(rig, wanted=days("2022-01-01", "2026-08-29"), fallbacks=["massive"], tickers=["AAPL"])

    runs = rig.query("select count(*) from job_runs where provider = 'alpaca'")[0][0]
    assert runs > 1
    assert rig.bar_requests() == rig.attempts


def test_a_fallback_takes_over_when_the_budget_is_spent(rig: Rig) -> None:
    """Out of quota is a reason, too; the backfill is not cut short."""
    report = backfill(rig, fallbacks=["massive"], is_spent=True)

    assert report.exit_code == EXIT_COMPLETE
    assert not report.was_bounded
    assert sources(rig) == {("massive", "sip")}


def test_a_fallback_takes_over_what_the_plan_does_not_include(rig: Rig) -> None:
    """Massive's free plan refuses a range wholly before its wall; who comes next in the list has it."""

    async def run() -> BackfillReport:
        clients = Clients(rig.client_of(massive(rig)), rig.client(), fallbacks=["alpaca"])
        try:
            await add_symbols(rig.database, clients, ["AAPL"])
            request = BackfillRequest(tickers=("AAPL",), windows={D1: WEEKS})
            rig.exchange.set_faults([{"match": {"endpoint": "aggs"}, "fault": "H07"}])
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    report = asyncio.run(run())

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("alpaca", "sip")}


def test_a_fallback_in_the_list_before_the_failing_one_takes_over(rig: Rig) -> None:
    """The list is who may take over, in its order; the one that is down is passed over."""
    rig.exchange.set_faults([SILENT])

    report = backfill(rig, fallbacks=["massive", "alpaca"])

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("massive", "sip")}


def test_two_that_are_down_do_not_hand_round_in_circles(rig: Rig) -> None:
    """Each is tried once."""
    rig.exchange.set_faults([SILENT, {"match": {"endpoint": "aggs"}, "fault": "H04"}])
    rig.attempts = 1

    report = backfill(rig, tickers=["AAPL"], fallbacks=["massive", "alpaca"])

    assert report.exit_code == EXIT_FAILED
    assert sources(rig) == set()


def test_what_a_fallback_does_not_reach_waits_for_the_first(rig: Rig) -> None:
    """Its own wall is no truth about the range: nothing is recorded as not entitled, and the first brings the rest."""
    rig.exchange.set_faults([SILENT])
    wanted = days("2023-06-01", "2026-08-29")
    backfill(rig, tickers=["AAPL"], wanted=wanted, fallbacks=["massive"])
    kinds = rig.query("select distinct kind from series_gaps")
    rig.exchange.set_faults([])

    report = backfill(rig, tickers=["AAPL"], wanted=wanted, fallbacks=["massive"])

    assert ("not_entitled",) not in kinds
    assert report.exit_code == EXIT_COMPLETE
    assert rig.stored("AAPL", D1) == rig.truth("AAPL", D1, wanted)
    assert {name for name, _ in sources(rig)} == {"alpaca", "massive"}


def test_a_rejected_key_is_not_papered_over(rig: Rig) -> None:
    """Whoever mistyped a key learns of it, instead of using up another's calls."""
    backfill(rig, tickers=["AAPL"], wanted=days("2026-08-03", "2026-08-05"))
    rig.key = "wrong"

    report = backfill(rig, tickers=["AAPL"], fallbacks=["massive"])

    assert report.exit_code == EXIT_FAILED
    assert {failure.error_code for failure in report.failures} == {"UNAUTHORIZED"}
    assert aggs(rig) == 0


def test_r37_a_fallback_of_another_feed_brings_nothing(rig: Rig) -> None:
    """R37: not a row, and the text names both providers and how they differ."""
    rig.feed = "iex"
    rig.exchange.set_faults([SILENT])

    report = backfill(rig, fallbacks=["massive"])

    assert report.exit_code == EXIT_FAILED
    assert sources(rig) == set()
    (message,) = {failure.message for failure in report.failures}
    assert "massive could not take over: its bars are feed 'sip', raw prices, those of alpaca feed 'iex'" in message


def test_a_series_keeps_to_its_feed_whoever_comes_first(rig: Rig) -> None:
    """Stored from iex, it stays with who has iex; the newcomer first in the order is not asked."""
    rig.feed = "iex"
    backfill(rig, tickers=["AAPL"], wanted=days("2026-08-03", "2026-08-15"))

    async def run() -> BackfillReport:
        clients = Clients(rig.client_of(massive(rig)), rig.client())
        try:
            request = BackfillRequest(tickers=("AAPL",), windows={D1: WEEKS})
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    report = asyncio.run(run())

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("alpaca", "iex")}
    assert aggs(rig) == 0


def test_what_the_plan_does_not_reach_is_asked_of_the_next_that_does(rig: Rig) -> None:
    """Massive's two years from Massive, the year before from Alpaca, each instant once; weeks are made of both."""

    async def run() -> BackfillReport:
        clients = Clients(rig.client_of(massive(rig)), rig.client())
        try:
            await add_symbols(rig.database, clients, ["AAPL"])
            windows = dict.fromkeys([D1, Timeframe.W1], days("2023-06-01", "2026-08-29"))
            request = BackfillRequest(tickers=("AAPL",), windows=windows)
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    report = asyncio.run(run())

    assert report.exit_code == EXIT_COMPLETE
    counts = rig.query("select provider, min(ts) < max(ts) from ohlc_bars where timeframe = 'd1' group by 1 order by 1")
    assert counts == [("alpaca", True), ("massive", True)]
    assert rig.query(
        "select count(*) from ohlc_bars as a where provider = 'alpaca' and timeframe = 'd1' and ts >= "
        "(select min(ts) from ohlc_bars where provider = 'massive' and timeframe = 'd1')"
    ) == [(0,)]
    assert rig.stored("AAPL", D1) == rig.truth("AAPL", D1, days("2023-06-01", "2026-08-29"))
    assert {state.timeframe: state.expected == state.present for state in report.matrix} == {
        D1: True,
        Timeframe.W1: True,
    }
    assert rig.query(
        "select count(*) > 100, bool_and(week.provider = day.provider) from ohlc_bars as week join ohlc_bars as day "
        "on day.timeframe = 'd1' and day.ts >= week.ts and day.ts < week.ts + interval '7 days' "
        "where week.timeframe = 'w1'"
    ) == [(True, True)]
    again = asyncio.run(run())
    assert again.did_nothing


def test_what_no_provider_has_is_refused_with_what_to_do(rig: Rig) -> None:
    """An index has no bars at any of them."""
    rig.database.run(write_symbols, [NewSymbol("SPX", asset_type="index")])
    rig.change("update symbols set confirmed_at = now()")

    with pytest.raises(NoProvider, match="No provider that has a key has 1d bars of index symbols such as SPX"):
        backfill(rig, tickers=["SPX"])


def test_a_worker_takes_only_runs_of_providers_that_it_has_a_key_for(rig: Rig) -> None:
    """Massive's runs wait for one that has Massive's key; a tick plans for both."""
    rig.add_symbols(["AAPL", "MSFT"])
    rig.database.run(keep_series, ["AAPL"], [D1], window_days=20)

    async def work(*, has_massive: bool) -> int:
        alpaca, other = rig.client(), rig.client_of(massive(rig))
        clients = Clients(other) if has_massive else Clients(alpaca)
        worker = QueueWorker(rig.database, clients, rig.settings, rig.listener)
        await worker.run_until_empty()
        await alpaca.aclose()
        await other.aclose()
        return worker.tally.done

    planned = tick(rig.database, Roster((massive(rig).capabilities,)), rig.settings, now=rig.database.now())
    assert len(planned.runs) == 1
    assert asyncio.run(work(has_massive=False)) == 0
    assert asyncio.run(work(has_massive=True)) == 1
    assert sources(rig) == {("massive", "sip")}


def test_nothing_is_planned_for_a_provider_that_is_held_back(rig: Rig) -> None:
    """The runs would only wait."""
    rig.add_symbols(["AAPL"])
    rig.database.run(keep_series, ["AAPL"], [D1], window_days=20)
    roster = Roster((massive(rig).capabilities,))

    held = tick(rig.database, roster, rig.settings, now=rig.database.now(), held=frozenset({"massive"}))
    free = tick(rig.database, roster, rig.settings, now=rig.database.now())

    assert (held.runs, held.symbols, len(free.runs)) == ((), 1, 1)


def test_a_definition_that_nobody_can_serve_leaves_the_others_alone(rig: Rig) -> None:
    """It is told, and the rest is planned."""
    rig.add_symbols(["AAPL"])
    rig.database.run(write_symbols, [NewSymbol("SPX", asset_type="index")])
    rig.database.run(keep_series, ["AAPL", "SPX"], [D1], window_days=20)

    found = tick(rig.database, Roster((massive(rig).capabilities,)), rig.settings, now=rig.database.now())

    assert len(found.runs) == 1
    assert len(found.unserved) == 1
    assert "SPX" in found.unserved[0]


def test_calendar_that_cannot_be_used_leaves_the_others_alone(rig: Rig) -> None:
    """T08: a calendar that ends, or that nobody knows, is told with its symbols; all other symbols are planned."""
    rig.add_symbols(["AAPL"])
    odd = {"ENDS": "XBOM", "WRONG": "NOWHERE", "WRONGTOO": "NOWHERE"}
    rig.database.run(write_symbols, [NewSymbol(ticker, calendar=name) for ticker, name in odd.items()])
    rig.database.run(keep_series, ["AAPL", *odd], [D1], window_days=20)
    roster, later = Roster((massive(rig).capabilities,)), datetime(2027, 1, 20, tzinfo=UTC)

    found = tick(rig.database, roster, rig.settings, now=later)

    assert rig.query("select symbols_array from job_runs where id = any(%s)", list(found.runs)) == [(["AAPL"],)]
    ends, wrong = sorted(found.unserved, reverse=True)
    assert "beyond the sessions of XBOM that are known" in ends
    assert ends.endswith("It is the calendar of ENDS.")
    assert "'NOWHERE' is unknown" in wrong
    assert wrong.endswith("It is the calendar of WRONG, WRONGTOO.")


def test_runs_of_a_provider_that_is_gone_do_not_hold_a_backfill_up(rig: Rig) -> None:
    """Whoever has no key of it any more fetches from another: the queued runs are cancelled, nothing waits for ever."""
    rig.add_symbols(["AAPL"])
    rig.database.run(keep_series, ["AAPL"], [D1], window_days=20)
    tick(rig.database, Roster((massive(rig).capabilities,)), rig.settings, now=rig.database.now())
    now = rig.database.now()

    report = backfill(rig, tickers=["AAPL"], others=[], wanted=Range(now - timedelta(days=30), now))

    assert report.exit_code == EXIT_COMPLETE
    assert sources(rig) == {("alpaca", "sip")}
    assert rig.query("select provider, status from job_runs order by id") == [
        ("massive", "cancelled"),
        ("alpaca", "success"),
    ]


def test_a_look_tells_of_runs_that_nobody_here_can_carry_out(rig: Rig) -> None:
    """Once, with what to do about them."""
    rig.add_symbols(["AAPL"])
    rig.database.run(keep_series, ["AAPL"], [D1], window_days=20)
    tick(rig.database, Roster((massive(rig).capabilities,)), rig.settings, now=rig.database.now())

    async def look() -> None:
        clients = Clients(rig.client())
        schedule = Schedule(rig.database, clients, rig.settings, rig.listener, every=timedelta(minutes=15))
        await schedule.look()
        await schedule.look()
        await clients.aclose()

    asyncio.run(look())

    told = [note for note in rig.listener.notes if "a worker that has a key of massive" in note]
    assert len(told) == 1
    assert told[0].endswith("barfill jobs cancel --provider massive")


def test_what_one_plan_does_not_include_another_provider_is_asked_for(rig: Rig) -> None:
    """Whoever tried a provider whose plan is too small gets the bars from the next, at once."""

    async def run(provider: Provider) -> BackfillReport:
        clients = Clients(rig.client_of(provider))
        try:
            await add_symbols(rig.database, clients, ["AAPL"])
            request = BackfillRequest(tickers=("AAPL",), windows={D1: WEEKS})
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    rig.exchange.set_faults([{"match": {"endpoint": "aggs"}, "fault": "H07"}])
    asyncio.run(run(massive(rig)))
    again = asyncio.run(run(massive(rig)))
    assert rig.query("select distinct kind from series_gaps") == [("not_entitled",)]
    assert again.did_nothing

    report = asyncio.run(run(rig.client().provider))

    assert report.exit_code == EXIT_COMPLETE
    assert rig.stored("AAPL", D1) == rig.truth("AAPL", D1, WEEKS)


DEAF = {"match": {"provider": "alpaca"}, "fault": "H04"}
"""Alpaca answers nothing at all."""


def look_up(rig: Rig, *tickers: str, fallbacks: Sequence[str] = ("massive",), others: bool = True) -> AddedSymbols:
    """Alpaca first, and Massive."""

    async def run() -> AddedSymbols:
        further = [rig.client_of(massive(rig))] if others else []
        clients = Clients(rig.client(), *further, order=["alpaca"], fallbacks=fallbacks if others else ())
        try:
            return await add_symbols(rig.database, clients, tickers)
        finally:
            await clients.aclose()

    rig.attempts = 1
    return asyncio.run(run())


def test_symbols_are_looked_up_at_a_fallback_while_the_first_is_down(rig: Rig) -> None:
    """Who is known there is added; of whom it does not know nobody can say that he is not offered."""
    look_up(rig, "AAPL")
    rig.exchange.set_faults([DEAF])

    found = look_up(rig, "AAPL", "MSFT", "NOSUCH")

    assert (found.known, found.added, found.refused) == (("AAPL",), ("MSFT",), {})
    assert {ticker: type(error) for ticker, error in found.unasked.items()} == {"NOSUCH": ProviderUnavailable}


def test_new_symbols_fail_alone_where_nobody_can_be_asked(rig: Rig) -> None:
    """What is on record is usable; without any of it the error itself is told."""
    look_up(rig, "AAPL")
    rig.exchange.set_faults([DEAF])

    found = look_up(rig, "AAPL", "MSFT", others=False)

    assert (found.known, found.added, found.refused, list(found.unasked)) == (("AAPL",), (), {}, ["MSFT"])
    with pytest.raises(ProviderUnavailable):
        look_up(rig, "MSFT", others=False)


@pytest.mark.parametrize("has_fallback", [True, False])
def test_what_the_first_lacks_for_good_a_fallback_is_asked_for_once(rig: Rig, has_fallback: bool) -> None:
    """Two answers an hour apart lack a day: the fallback, whose bars can stand in the series, is asked, and has it."""
    rig.exchange.set_faults([{"match": {"provider": "alpaca", "endpoint": "bars"}, "fault": "H11"}])
    fallbacks = ["massive"] if has_fallback else []
    backfill(rig, tickers=["AAPL"], fallbacks=fallbacks)
    rig.change("update series_gaps set first_seen_at = now() - interval '2 hours', next_check_at = now()")
    settled = backfill(rig, tickers=["AAPL"], fallbacks=fallbacks)
    assert (settled.exit_code, rig.stored("AAPL", D1)) == (EXIT_COMPLETE, {})

    for _ in range(2):
        backfill(rig, tickers=["AAPL"], fallbacks=fallbacks)

    assert (aggs(rig) > 0) == has_fallback
    assert bool(rig.stored("AAPL", D1)) == has_fallback
    if has_fallback:
        assert rig.stored("AAPL", D1) == rig.truth("AAPL", D1, WEEKS)
        assert sources(rig) == {("massive", "sip")}
