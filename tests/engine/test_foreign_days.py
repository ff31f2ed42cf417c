"""D28, R22: a ticker that was another company's, at a provider that knows tickers and not companies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from barfill.core.capabilities import KNOWING_TICKERS_ONLY
from barfill.core.page import RAW
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.clients import Clients
from barfill.engine.corporate import EventsReport, EventsSource, learn_former_tickers
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.verify import Verify
from barfill.engine.verify_plan import VerifyRequest
from barfill.engine.verify_report import VerifyReport
from barfill.providers.alpaca import Alpaca
from barfill.providers.finnhub import Finnhub
from barfill.providers.massive import Massive
from barfill.providers.massive_events import MassiveEvents
from barfill.providers.tradier import Tradier
from barfill.providers.yahoo import Yahoo
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.runs import NewRun, claim_run, create_runs
from barfill.store.symbols import find_symbols
from barfill.store.workers import Worker
from tests.engine.events_rig import EventsRig
from tests.engine.rig import NYSE, Bars, Rig, days

D1, M15, H1, W1 = Timeframe.D1, Timeframe.M15, Timeframe.H1, Timeframe.W1
FACEBOOK = days("2022-05-16", "2022-06-04")
"""Whole weeks of Meta Platforms as FB, which it was until 2022-06-08."""
REASON = "SYMBOL_NOT_FOUND: massive: 'FB' was the ticker of 'META' until 2022-06-09, and is this symbol's since then"


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def rig(paid: SimulatedExchange, database: Database) -> EventsRig:
    """Corporate actions from it."""
    return EventsRig(paid, database)


@pytest.fixture
def bars(paid: SimulatedExchange, database: Database) -> Rig:
    """Bars from it."""
    return Rig(paid, database)


def add_today(rig: EventsRig, *tickers: str) -> None:
    """Symbols that are new on record: FB is not the company that gave that ticker up years ago."""
    rig.add(*tickers)
    rig.change("update symbols set confirmed_at = clock_timestamp() where ticker = any(%s)", list(tickers))


def backfill(
    bars: Rig, tickers: tuple[str, ...], timeframes: tuple[Timeframe, ...], wanted: Range, *, is_full: bool = False
) -> BackfillReport:
    """From Massive; the requests of before are forgotten."""
    bars.exchange.forget_requests()
    provider = Massive("key", base_url=bars.exchange.massive_url, plan="advanced", requests_per_minute=10_000)

    async def run() -> BackfillReport:
        clients = Clients(bars.client_of(provider))
        try:
            request = BackfillRequest(tickers=tickers, windows=dict.fromkeys(timeframes, wanted), is_full=is_full)
            return await Backfill(bars.database, clients, bars.settings, bars.listener).run(request)
        finally:
            await clients.aclose()

    return asyncio.run(run())


def learn(rig: EventsRig, bars: Rig) -> EventsReport:
    """What a backfill does before it plans."""

    async def run() -> EventsReport:
        client = bars.client_of(Massive("key", base_url=rig.exchange.massive_url))
        try:
            events = MassiveEvents("key", base_url=rig.exchange.massive_url)
            return await learn_former_tickers(rig.database, [EventsSource(events, client)])
        finally:
            await client.aclose()

    return asyncio.run(run())


def asked_for(bars: Rig) -> Counter[str]:
    """How often bars of which ticker were asked for."""
    paths = (one.path.split("/") for one in bars.exchange.requests)
    return Counter(parts[parts.index("ticker") + 1] for parts in paths if "ticker" in parts and "aggs" in parts)


def weeks_of(stored: Bars) -> Bars:
    """The weeks that days make, by the midnight of their Mondays."""
    day = 86_400_000_000
    weeks: dict[int, list[tuple[float, ...]]] = {}
    for ts in sorted(stored):  # 1970-01-01 was a Thursday
        weeks.setdefault(ts - (ts // day + 3) % 7 * day, []).append(stored[ts])
    return {
        monday: (
            rows[0][0],
            max(row[1] for row in rows),
            min(row[2] for row in rows),
            rows[-1][3],
            sum(row[4] for row in rows),
        )
        for monday, rows in weeks.items()
    }


def check_counters(bars: Rig) -> None:
    """The ledger counts the bars that are there, and none is outside of what is covered."""
    ledger = bars.query("select symbol_id, timeframe, bar_count, oldest_ts, newest_ts from series where bar_count > 0")
    found = bars.query(
        "select symbol_id, timeframe, count(*), min(ts), max(ts) from ohlc_bars group by symbol_id, timeframe"
    )
    assert sorted(ledger) == sorted(found)
    strays = "select from ohlc_bars join series using (symbol_id, timeframe) where not covered @> ts"
    assert bars.query(strays) == []


def check_settled(bars: Rig, report: BackfillReport, timeframes: tuple[Timeframe, ...]) -> None:
    """FB has no bars of Meta Platforms' time; they are accounted for, and say whose they are."""
    gaps = bars.query(
        "select timeframe, kind, reason, sum(expected_bars) from gaps where symbol = 'FB' group by 1, 2, 3"
    )
    told = {timeframe: (kind, reason, count) for timeframe, kind, reason, count in gaps}
    assert set(told) == {one.value for one in timeframes}
    for one in timeframes:
        kind, reason, count = told[one.value]
        assert (kind, count) == ("unavailable", NYSE.expected_count(one, FACEBOOK))
        assert reason.endswith(REASON)
        assert bars.stored("FB", one) == {}
    states = [one for one in report.matrix if one.ticker == "FB"]
    assert {(one.expected, one.present, one.settled > 0) for one in states} == {(0, 0, True)}
    assert report.exit_code == EXIT_COMPLETE


@pytest.mark.parametrize(
    ("timeframes", "tickers"),
    [((D1, W1), ("FB", "META")), ((M15, H1), ("FB", "META")), ((D1,), ("AAPL", "FB", "META", "MSFT", "SPY"))],
    ids=["days", "quarters", "days of the market"],
)
def test_d28_fb_does_not_get_the_days_of_meta(
    bars: Rig, rig: EventsRig, timeframes: tuple[Timeframe, ...], tickers: tuple[str, ...]
) -> None:
    """R22: META is asked for as FB, FB not at all; FB's days are settled, and are not asked for at the next look."""
    add_today(rig, *tickers)
    rig.keep("massive", kinds=["changes"])

    first = backfill(bars, tickers, timeframes, FACEBOOK)
    calls, runs = asked_for(bars), bars.query("select count(*) from job_runs")
    again = backfill(bars, tickers, timeframes, FACEBOOK)

    for ticker in set(tickers) - {"FB"}:
        assert bars.stored(ticker, timeframes[0]) == bars.truth(ticker, timeframes[0], FACEBOOK)
    assert first.failures == ()
    check_settled(bars, first, timeframes)
    check_settled(bars, again, timeframes)
    assert calls["FB"] == calls["META"] + 1 or len(tickers) > 2
    assert asked_for(bars) == {}
    assert bars.query("select count(*) from job_runs") == runs
    check_counters(bars)


def test_a_series_that_takes_a_ticker_is_asked_for_from_that_day_on(bars: Rig, rig: EventsRig) -> None:
    """Of a range over the change each series gets its part: no request is made twice, and none for what is settled."""
    add_today(rig, "FB", "META")
    rig.keep("massive", kinds=["changes"])
    wanted = days("2022-06-06", "2022-06-15")

    backfill(bars, ("FB", "META"), (M15,), wanted)

    told = "select min(gap_from)::date::text, max(gap_to)::date::text from gaps where reason like %s"
    asked = bars.query(told, f"%{REASON}")
    assert asked == [("2022-06-06", "2022-06-08")]
    assert bars.stored("META", M15) == bars.truth("META", M15, wanted)
    assert bars.stored("FB", M15) == {}


def test_only_the_provider_that_knows_tickers_only_is_not_asked(rig: EventsRig, bars: Rig) -> None:
    """What Massive has under another company's name is no reason not to ask Alpaca."""
    add_today(rig, "FB", "META")
    rig.keep("massive", kinds=["changes"])
    backfill(bars, ("FB",), (D1,), FACEBOOK)
    bars.exchange.forget_requests()

    bars.backfill(["FB"], [D1], FACEBOOK)

    assert bars.bar_requests() > 0


@pytest.mark.parametrize("timeframes", [(D1, W1), (M15, H1)], ids=["days", "quarters"])
def test_bars_that_turn_out_to_be_metas_leave_fb(bars: Rig, rig: EventsRig, timeframes: tuple[Timeframe, ...]) -> None:
    """FB was on record first and got Meta's days; once META is there they go into quarantine, and META gets them."""
    add_today(rig, "FB")
    rig.keep("massive", kinds=["changes"])
    backfill(bars, ("FB",), timeframes, FACEBOOK)
    wrong = {one: bars.stored("FB", one) for one in timeframes}
    add_today(rig, "META")

    report = learn(rig, bars)

    count = sum(map(len, wrong.values()))
    assert wrong[timeframes[0]]
    reason = REASON.removeprefix("SYMBOL_NOT_FOUND: massive: ")
    assert report.put_right == [f"FB: {count} bars of another company went into quarantined_bars: {reason}."]
    kept = "select symbol, rule, reason, count(*) from quarantined_bars group by 1, 2, 3"
    assert bars.query(kept) == [("FB", "S04", reason, count)]
    check_counters(bars)
    found = backfill(bars, ("FB", "META"), timeframes, FACEBOOK)
    check_settled(bars, found, timeframes)
    assert bars.stored("META", timeframes[0]) == bars.truth("META", timeframes[0], FACEBOOK)
    assert asked_for(bars).keys() == {"FB"}
    check_counters(bars)
    assert rig.keep("massive", kinds=["changes"]).put_right == []


def test_bars_fetched_under_a_ticker_of_later_are_fetched_again(bars: Rig, rig: EventsRig) -> None:
    """META's days of January 2022 that came as META are the fund's; once the change is known META's own are fetched."""
    wanted = days("2022-01-03", "2022-07-02")
    add_today(rig, "META")
    backfill(bars, ("META",), (D1, W1), wanted)
    assert bars.stored("META", D1) != bars.truth("META", D1, wanted)
    newer = bars.stored("META", D1).keys() & bars.truth("META", D1, days("2022-06-09", "2022-07-02")).keys()

    report = rig.keep("massive", kinds=["changes"])

    assert len(report.put_right) == 1
    assert report.put_right[0].endswith(
        "fetched as 'META', but the symbol was 'FB' until 2022-06-09. The days are fetched again as FB."
    )
    assert bars.stored("META", D1).keys() == newer
    check_counters(bars)
    found = backfill(bars, ("META",), (D1, W1), wanted)
    assert found.exit_code == EXIT_COMPLETE
    assert bars.stored("META", D1) == bars.truth("META", D1, wanted)
    assert bars.stored("META", W1) == weeks_of(bars.truth("META", D1, wanted))
    check_counters(bars)


def test_a_change_that_is_learned_late_is_made_good(bars: Rig, rig: EventsRig) -> None:
    """FB was asked for as FB beyond the day on which it became META: the rest is asked for as META, and at once."""
    wanted = days("2022-05-16", "2022-06-18")
    rig.add("FB")
    backfill(bars, ("FB",), (D1,), wanted)
    assert bars.stored("FB", D1) == bars.truth("META", D1, days("2022-05-16", "2022-06-09"))

    report = rig.keep("massive", kinds=["changes"])

    assert (len(report.renamed), report.put_right) == (1, [])
    assert backfill(bars, ("META",), (D1,), wanted).exit_code == EXIT_COMPLETE
    assert bars.stored("META", D1) == bars.truth("META", D1, wanted)
    assert asked_for(bars).keys() == {"META"}
    check_counters(bars)


def test_the_funds_series_gives_back_what_is_metas(bars: Rig, rig: EventsRig) -> None:
    """META of 2021 is the fund; asked for as META after that had become METV it got Meta's days, which go."""
    wanted = days("2022-01-24", "2022-06-18")
    rig.add("META")
    rig.change("update symbols set confirmed_at = '2021-07-01'")
    backfill(bars, ("META",), (D1,), wanted)
    metas = bars.truth("META", D1, days("2022-06-09", "2022-06-18"))
    assert bars.stored("META", D1).items() >= metas.items()
    rig.change(
        "insert into ticker_changes (symbol_id, effective_on, filed_on, old_ticker, new_ticker, provider, "
        "last_seen_at) select id, '2022-01-31', '2022-01-31', 'META', 'METV', 'alpaca', clock_timestamp() from symbols"
    )

    report = rig.keep("massive", kinds=["splits"])

    assert report.renamed == ["META is METV since 2022-01-31: its series goes on."]
    (told,) = report.put_right
    assert told.startswith(
        f"METV: {len(metas)} bars of another company went into quarantined_bars: fetched as 'META', "
    )
    assert told.endswith("but the symbol is 'METV' since 2022-01-31. The days are fetched again as METV.")
    backfill(bars, ("METV",), (D1,), wanted)
    assert bars.stored("METV", D1) == bars.truth("METV", D1, wanted)
    check_counters(bars)


def test_the_week_of_a_change_goes_with_its_days(bars: Rig, rig: EventsRig) -> None:
    """FB became META on a Thursday: a week that holds this and the next day is of two tickers, and is made anew."""
    rig.add("FB")
    backfill(bars, ("FB",), (D1, W1), FACEBOOK)
    had = bars.stored("FB", W1)
    rig.change(
        "insert into ohlc_bars select (stored).* from (select jsonb_populate_record(ohlc_bars, "
        "jsonb_build_object('ts', ts + interval '7 days')) as stored from ohlc_bars "
        "where timeframe = 'w1' and ts = '2022-05-30') as weeks"
    )

    report = rig.keep("massive", kinds=["changes"])

    assert bars.stored("META", W1) == had
    assert report.put_right[0].startswith("META: 1 bar of another company went into quarantined_bars")


def test_runs_that_have_begun_under_the_wrong_ticker_end(bars: Rig, rig: EventsRig) -> None:
    """A page that is still to come of such a run is dropped; one that has not begun goes on under the right ticker."""
    ids = rig.add("META")
    run = NewRun(
        symbols=("META",),
        symbol_ids=(ids["META"],),
        timeframe=M15,
        range=FACEBOOK,
        provider="massive",
        feed="sip",
        basis=RAW,
        job_type="fetch_intraday",
        triggered_by="user",
    )
    later = replace(run, range=days("2022-06-13", "2022-06-18"))
    begun, waiting, of_alpaca, beyond = rig.database.run(
        create_runs, [run, run, replace(run, provider="alpaca"), later]
    )
    for one in (begun, of_alpaca, beyond):
        rig.database.run(claim_run, one, Worker("somebody", has_lock=False))

    rig.keep("massive", kinds=["changes"])

    states = dict(bars.query("select id, status from job_runs"))
    assert states == {begun: "cancelled", waiting: "queued", of_alpaca: "running", beyond: "running"}
    (why,) = bars.query("select reason from job_runs where status = 'cancelled'")
    assert why == ("superseded: fetched as 'META', but the symbol was 'FB' until 2022-06-09",)


def test_what_may_be_the_same_company_keeps_its_bars(bars: Rig, rig: EventsRig) -> None:
    """FB that was on record before it became META may be Meta: nothing is taken from it, and you are told."""
    rig.add("FB")
    backfill(bars, ("FB",), (D1,), FACEBOOK)
    had = bars.stored("FB", D1)
    rig.add("META")

    report = rig.keep("massive", kinds=["changes"])

    assert bars.stored("FB", D1) == had != {}
    assert report.put_right == []
    assert any("both are on record" in note for note in report.notes)


def test_bars_of_providers_that_follow_companies_stay(bars: Rig, rig: EventsRig) -> None:
    """Alpaca has given META its days as FB: nothing is misplaced when the change becomes known."""
    rig.add("META")
    bars.backfill(["META"], [D1], FACEBOOK)
    had = bars.stored("META", D1)

    report = rig.keep("massive", kinds=["changes"])

    assert report.put_right == []
    assert bars.stored("META", D1) == had == bars.truth("META", D1, FACEBOOK)
    assert RAW in {row[0] for row in bars.query("select basis from series")}


def test_who_knows_tickers_only_is_known_by_name() -> None:
    """The names of the providers whose bars may be misplaced are those that say so of themselves."""
    each = (Alpaca("key", "secret"), Finnhub("key"), Massive("key"), Tradier("key"), Yahoo())
    declared = {one.capabilities.provider for one in each if not one.capabilities.follows_companies}

    assert declared == KNOWING_TICKERS_ONLY
    for one in each:
        with pytest.raises(ValueError, match=rf"{one.name}: follows_companies is .*Make the two agree"):
            replace(one.capabilities, follows_companies=not one.capabilities.follows_companies)


def list_change(rig: EventsRig, old: str, new: str, on: str, *, provider: str = "massive") -> None:
    """What a provider listed, wrongly or not, when it was last asked."""
    rig.change(
        "insert into ticker_changes (symbol_id, effective_on, filed_on, old_ticker, new_ticker, provider, event_id, "
        "last_seen_at) select id, %s, %s, %s, %s, %s, 'wrong', '2026-01-01' from symbols where ticker = any(%s) "
        "order by ticker = %s desc limit 1",
        on,
        on,
        old,
        new,
        provider,
        [old, new],
        new,
    )


def test_a_change_that_is_withdrawn_gives_back_what_it_took(bars: Rig, rig: EventsRig) -> None:
    """Massive lists that MSFT became AAPL, and no longer does: AAPL loses MSFT's days, and each gets its own."""
    wanted = days("2024-01-08", "2024-01-27")
    add_today(rig, "AAPL", "MSFT")
    list_change(rig, "MSFT", "AAPL", "2024-02-01")
    backfill(bars, ("AAPL", "MSFT"), (D1,), wanted)
    assert bars.stored("AAPL", D1) == bars.truth("MSFT", D1, wanted)
    assert bars.stored("MSFT", D1) == {}

    report = rig.keep("massive", kinds=["changes"])

    assert report.withdrawn == 1
    (told,) = report.put_right
    assert told.startswith(
        f"AAPL: {NYSE.expected_count(D1, wanted)} bars of another company went into quarantined_bars: "
    )
    assert told.endswith("as 'MSFT', but the symbol was 'AAPL' then. The days are fetched again as AAPL.")
    assert bars.stored("AAPL", D1) == {}
    assert bars.query("select count(*) from gaps where kind = 'unavailable'") == [(0,)]
    check_counters(bars)
    assert backfill(bars, ("AAPL", "MSFT"), (D1,), wanted).exit_code == EXIT_COMPLETE
    for ticker in ("AAPL", "MSFT"):
        assert bars.stored(ticker, D1) == bars.truth(ticker, D1, wanted)


def test_a_ticker_that_was_taken_by_a_withdrawn_change_is_given_back(bars: Rig, rig: EventsRig) -> None:
    """The series goes on under its former ticker, with the bars of the days that nobody moved."""
    wanted = days("2024-01-08", "2024-01-27")
    rig.add("MSFT")
    rig.change("update symbols set confirmed_at = '2023-06-01'")
    backfill(bars, ("MSFT",), (D1,), wanted)
    list_change(rig, "MSFT", "ZZZZ", "2024-02-01")
    assert rig.keep("massive", kinds=["splits"]).renamed == ["MSFT is ZZZZ since 2024-02-01: its series goes on."]

    report = rig.keep("massive", kinds=["changes"])

    assert report.renamed == ["ZZZZ is MSFT again: massive no longer lists that MSFT became ZZZZ on 2024-02-01."]
    assert (report.withdrawn, report.put_right) == (1, [])
    assert bars.stored("MSFT", D1) == bars.truth("MSFT", D1, wanted)
    check_counters(bars)


def test_a_ticker_that_another_has_by_now_is_not_given_back(bars: Rig, rig: EventsRig) -> None:
    """The change stays on file, nothing is taken from the series, and you are told what to do."""
    rig.add("MSFT")
    rig.change("update symbols set confirmed_at = '2023-06-01'")
    list_change(rig, "MSFT", "ZZZZ", "2024-02-01")
    rig.keep("massive", kinds=["splits"])
    add_today(rig, "MSFT")

    report = rig.keep("massive", kinds=["changes"])

    assert (report.withdrawn, report.renamed, report.put_right) == (0, [], [])
    assert any(note.endswith("If it never was MSFT: barfill symbols remove ZZZZ") for note in report.notes)


def of_alpaca(bars: Rig, ticker: str, wanted: Range) -> Bars:
    """Days that Alpaca, which follows companies, has sent of a series."""
    assert bars.backfill([ticker], [D1], wanted).failures == ()
    return bars.truth(ticker, D1, wanted)


def test_days_of_others_stay_covered_between_those_that_are_put_right(bars: Rig, rig: EventsRig) -> None:
    """Massive, Alpaca, Massive: Alpaca's days of META stay, final and covered; the others are fetched again as FB."""
    parts = days("2022-01-03", "2022-01-08"), days("2022-01-10", "2022-01-15"), days("2022-01-18", "2022-01-22")
    whole = days("2022-01-03", "2022-01-22")
    add_today(rig, "META")
    backfill(bars, ("META",), (D1,), parts[0])
    theirs = of_alpaca(bars, "META", parts[1])
    backfill(bars, ("META",), (D1,), parts[2])
    assert len(bars.stored("META", D1)) == NYSE.expected_count(D1, whole)
    bars.change("update series set density = 0.5")

    report = rig.keep("massive", kinds=["changes"])

    assert len(report.put_right) == 1
    assert bars.stored("META", D1) == theirs
    assert bars.query("select density from series") == [(None,)]
    check_counters(bars)
    assert backfill(bars, ("META",), (D1,), whole).exit_code == EXIT_COMPLETE
    assert bars.stored("META", D1) == bars.truth("META", D1, whole)
    assert asked_for(bars).keys() == {"FB"}
    check_counters(bars)


def test_days_that_massive_had_nobody_under_are_asked_for_again(bars: Rig, rig: EventsRig) -> None:
    """Nobody was META in February 2022, and Alpaca has sent another month: what is settled by silence is open again."""
    wanted = days("2022-02-07", "2022-02-12")
    add_today(rig, "META")
    backfill(bars, ("META",), (D1,), wanted)
    backfill(bars, ("META",), (D1,), wanted)
    theirs = of_alpaca(bars, "META", days("2022-05-09", "2022-05-14"))
    assert bars.stored("META", D1) == theirs
    assert bars.query("select count(*) > 0 from series_gaps") == [(True,)]

    assert rig.keep("massive", kinds=["changes"]).put_right == []

    assert bars.query("select count(*) from series_gaps") == [(0,)]
    assert backfill(bars, ("META",), (D1,), wanted).exit_code == EXIT_COMPLETE
    assert bars.stored("META", D1) == theirs | bars.truth("META", D1, wanted)
    check_counters(bars)


def test_no_foreign_day_lies_over_the_bars_of_others(bars: Rig, rig: EventsRig) -> None:
    """FB has days of Massive's, which are Meta's, and between them days of another provider: those keep their place."""
    add_today(rig, "FB")
    rig.keep("massive", kinds=["changes"])
    backfill(bars, ("FB",), (D1,), FACEBOOK)
    bars.change("update ohlc_bars set provider = 'alpaca' where ts >= '2022-05-23' and ts < '2022-05-28'")
    add_today(rig, "META")

    learn(rig, bars)

    kept = bars.stored("FB", D1)
    assert len(kept) == NYSE.expected_count(D1, days("2022-05-23", "2022-05-28"))
    check_counters(bars)
    gaps = "select sum(expected_bars) from gaps where symbol = 'FB' and kind = 'unavailable'"
    assert bars.query(gaps) == [(NYSE.expected_count(D1, FACEBOOK) - len(kept),)]
    over = "select from ohlc_bars join series_gaps using (symbol_id, timeframe) where ts >= gap_from and ts < gap_to"
    assert bars.query(over) == []


def test_verify_asks_massive_under_the_ticker_of_each_time(bars: Rig, rig: EventsRig) -> None:
    """META and METV from Massive are equal to Massive's own; what of today's FB is Meta's is out of its reach."""
    wanted = days("2022-01-10", "2022-07-02")
    tickers = ("FB", "META", "METV")
    add_today(rig, *tickers)
    ids = tuple(symbol.id for symbol in rig.database.run(find_symbols, tickers).values())
    rig.keep("massive", kinds=["changes"])
    backfill(bars, tickers, (D1, W1), wanted)
    bars.change(
        "insert into ohlc_bars select (stored).* from (select jsonb_populate_record(ohlc_bars, jsonb_build_object("
        "'symbol_id', (select id from symbols where ticker = 'FB'), 'provider', 'alpaca')) as stored from ohlc_bars "
        "join symbols on symbols.id = symbol_id where ticker = 'META' and ts < '2022-06-03') as copied"
    )
    bars.change(
        "update series set covered = covered + '{[2022-01-10, 2022-07-02)}' "
        "where symbol_id = (select id from symbols where ticker = 'FB')"
    )
    bars.exchange.forget_requests()

    async def run() -> VerifyReport:
        provider = Massive("key", base_url=bars.exchange.massive_url, plan="advanced", requests_per_minute=10_000)
        client = bars.client_of(provider)
        try:
            verify = Verify(bars.database, client)
            plan = await verify.plan(VerifyRequest(symbol_ids=ids, timeframes=(D1, W1), window=wanted))
            report = await verify.run(plan)
            assert plan.calls == report.calls
            return report
        finally:
            await client.aclose()

    report = asyncio.run(run())

    assert report.failures == []
    by_series = {(one.ticker, one.timeframe): one for one in report.series}
    for ticker in ("META", "METV"):
        for timeframe in (D1, W1):
            found = by_series[ticker, timeframe]
            assert set(found.comparison.counts.values()) == {0}
            assert found.comparison.equal == len(bars.stored(ticker, timeframe)) > 0
            assert found.out_of_reach == 0
    assert by_series["FB", D1].out_of_reach == NYSE.expected_count(D1, days("2022-01-10", "2022-06-09"))
    assert asked_for(bars).keys() == {"FB", "META", "METV"}
