"""Corporate actions between the simulated exchange and a real PostgreSQL: kept once, corrected, withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from barfill.core.corporate import EventKind
from barfill.core.event_conflicts import Conflict
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.corporate import EventsReport, EventsRequest, EventsSource, keep_events
from barfill.engine.event_findings import find_conflicts
from barfill.engine.schedule import Schedule
from barfill.engine.settings import EngineSettings
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_events import AlpacaEvents
from barfill.providers.base import Provider
from barfill.providers.client import ProviderClient
from barfill.providers.events import EventsProvider
from barfill.providers.finnhub_events import FinnhubEvents
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from barfill.providers.massive_events import MassiveEvents
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from barfill.store.symbols import find_symbols
from tests.engine.events_rig import EventsRig
from tests.engine.rig import Collector, Rig, days
from tests.providers.servers import Answer, running_exchange

TODAY = datetime.now(UTC).date()
SPLIT_DAYS = (date(2026, 3, 1), date(2026, 4, 1))


@pytest.fixture
def rig(exchange: SimulatedExchange, database: Database) -> Iterator[EventsRig]:
    yield EventsRig(exchange, database)
    exchange.set_faults([])


def spoil(rig: EventsRig, form: str, **match: Any) -> None:
    """The first event in lists of splits is wrong; in `SPLIT_DAYS` it is the only one."""
    line = {"match": {"endpoint": "splits", **match}, "fault": "D26", "args": {"form": form}}
    rig.exchange.set_faults([line])


def splits(rig: EventsRig, *, withdrawn: bool = False) -> list[tuple[str, str, str]]:
    return sorted(
        (str(row["ex_on"]), f"{row['numerator']}:{row['denominator']}", row["provider"])
        for row in rig.rows("splits", withdrawn=withdrawn)
    )


def conflicts(rig: EventsRig) -> list[Conflict]:
    return rig.database.run(find_conflicts, None, date(2016, 1, 1), date(2027, 1, 1))


def test_events_are_kept_of_symbols_on_record_only(rig: EventsRig) -> None:
    """Every kind that the two providers list, with exact values; of nobody else; no conflict between them."""
    rig.add("GE", "AAPL")

    report = rig.keep(days=(date(2021, 1, 1), date(2024, 7, 1)))

    assert splits(rig) == [
        (day, ratio, provider)
        for day, ratio in (("2021-08-02", "1:8"), ("2024-04-02", "1253:1000"))
        for provider in ("alpaca", "massive")
    ]
    dividends = rig.rows("dividends")
    assert {row["ticker"] for row in dividends} == {"AAPL", "GE"}
    assert {row["amount"] for row in dividends if row["ticker"] == "AAPL"} == {Decimal("0.2375")}
    assert report.failures == report.notes == []
    assert conflicts(rig) == []


def test_a_second_run_asks_for_little_and_changes_nothing(rig: EventsRig) -> None:
    """The recent past and what is announced, in a call for each kind; and nothing at all while it is fresh."""
    rig.add("SPLT", "KO")
    rig.keep("alpaca")
    before, _ = rig.rows("dividends"), rig.asked()

    rig.keep("alpaca")
    asked = rig.asked()
    rig.keep("alpaca", fresh_for=timedelta(hours=6))

    assert len(asked) == 4
    assert rig.asked() == []
    assert rig.rows("dividends") == before


def test_a_new_symbol_gets_its_history(rig: EventsRig) -> None:
    """Though the market was asked before it was on record."""
    rig.add("AAPL")
    rig.keep("alpaca", kinds=["splits"], days=SPLIT_DAYS)
    rig.add("SPLT")

    rig.keep("alpaca", kinds=["splits"], days=SPLIT_DAYS, fresh_for=timedelta(hours=6))

    assert [row["ticker"] for row in rig.rows("splits")] == ["SPLT"]


@pytest.mark.parametrize(
    ("form", "kept", "told"),
    [
        ("doubled", [("2026-03-16", "4:1")], []),
        ("other_id", [("2026-03-16", "4:1")], []),
        ("odd_ratio", [("2026-03-16", "523:500")], ["differ: 4:1 by alpaca, 523:500 by massive"]),
        ("inverted", [("2026-03-16", "1:4")], ["one the other upside down"]),
        ("conflict", [("2026-03-16", "4:1"), ("2026-03-16", "8:1")], ["massive contradicts itself"]),
        ("day_off", [("2026-03-15", "4:1")], ["dated 2026-03-15 by massive, 2026-03-16 by alpaca"]),
        ("missing", [], ["alpaca lists a split 4:1 on 2026-03-16, massive none"]),
        ("other_ticker", [], ["alpaca lists a split 4:1 on 2026-03-16, massive none"]),
    ],
)
def test_d26_a_wrong_split_is_kept_as_listed_and_told(
    rig: EventsRig, form: str, kept: list[tuple[str, str]], told: list[str]
) -> None:
    """D26: a doubled one is one row; what two providers, or one alone, list differently is a sentence to look at."""
    rig.add("SPLT")
    spoil(rig, form)

    rig.keep(days=SPLIT_DAYS, kinds=["splits"])

    assert [(day, ratio) for day, ratio, provider in splits(rig) if provider == "massive"] == kept
    texts = [one.text for one in conflicts(rig)]
    assert len(texts) == len(told)
    assert all(part in text for part, text in zip(told, texts, strict=True))


def test_d26_a_correction_withdraws_what_it_replaces(rig: EventsRig) -> None:
    """D26, D28: the wrong ratio stays on file as withdrawn, with its times; the right one holds, once."""
    rig.add("SPLT")
    spoil(rig, "odd_ratio")
    rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])
    rig.exchange.set_faults([])
    rig.change("update events_asked set asked_at = '2026-03-20'")

    report = rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])

    assert report.withdrawn == 1
    assert splits(rig) == [("2026-03-16", "4:1", "massive")]
    (wrong,) = rig.rows("splits", withdrawn=True)
    assert (wrong["numerator"], wrong["denominator"]) == (523, 500)
    assert wrong["first_seen_at"] < wrong["withdrawn_at"]
    assert conflicts(rig) == []


def test_an_event_that_moves_out_of_the_days_asked_for_is_replaced(database: Database, rig: EventsRig) -> None:
    """The provider's own id says that it is the same event, on another day: one holds, the other is withdrawn."""
    rig.add("AAPL")

    def list_on(day: date, *, first: date) -> None:
        row = {
            "id": "X1",
            "symbol": "AAPL",
            "new_rate": 2,
            "old_rate": 1,
            "ex_date": str(day),
            "process_date": str(day),
        }
        document = {"corporate_actions": {"forward_splits": [row]}}
        scripted(database, AlpacaEvents, document, ["splits"], first=first, end=day + timedelta(days=1))

    list_on(date(2021, 11, 15), first=date(2021, 11, 1))
    list_on(date(2021, 12, 20), first=date(2021, 12, 1))

    assert splits(rig) == [("2021-12-20", "2:1", "alpaca")]
    assert splits(rig, withdrawn=True) == [("2021-11-15", "2:1", "alpaca")]


def test_an_event_that_is_gone_twice_is_withdrawn_and_comes_back(rig: EventsRig) -> None:
    """Never deleted; listed again, it holds again."""
    rig.add("SPLT")
    rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])
    spoil(rig, "missing")
    rig.change("update events_asked set asked_at = '2026-03-20'")
    rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])
    gone = splits(rig, withdrawn=True)
    rig.exchange.set_faults([])
    rig.change("update events_asked set asked_at = '2026-03-20'")

    rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])

    assert gone == splits(rig) == [("2026-03-16", "4:1", "massive")]
    assert splits(rig, withdrawn=True) == []


def test_one_short_answer_withdraws_nothing(rig: EventsRig) -> None:
    """An answer that lacks what was there is asked for again: vendors send short ones under load."""
    rig.add("SPLT")
    rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])
    rig.change("update events_asked set asked_at = '2026-03-20'")
    spoil(rig, "missing", times=1)

    report = rig.keep("massive", days=SPLIT_DAYS, kinds=["splits"])

    assert (report.calls, report.withdrawn) == (2, 0)
    assert splits(rig) == [("2026-03-16", "4:1", "massive")]


def test_d28_r22_meta_and_metv_are_two_series(rig: EventsRig) -> None:
    """D28, R22: each has its own former ticker, under whichever the provider lists an event, and no row is on both."""
    ids = rig.add("META", "METV")

    report = rig.keep(kinds=["changes"])

    changes = {(row["symbol_id"], row["old_ticker"], row["new_ticker"]) for row in rig.rows("changes")}
    assert changes == {(ids["META"], "FB", "META"), (ids["METV"], "META", "METV")}
    assert len(rig.rows("changes")) == 4  # each of two providers
    assert report.renamed == []
    known = rig.database.run(find_symbols, ["META", "METV", "FB"])
    assert {ticker: symbol.id for ticker, symbol in known.items()} == ids


def test_d28_events_follow_the_company(exchange: SimulatedExchange, database: Database, rig: EventsRig) -> None:
    """D28: what is listed as META in 2021 is the fund's, what is listed as FB is META's."""
    ids = rig.add("META", "METV")
    rig.keep("alpaca", kinds=["changes"])
    row = {"process_date": "2021-11-15", "ex_date": "2021-11-15", "new_rate": 2, "old_rate": 1}
    rows = [row | {"id": name, "symbol": name} for name in ("FB", "META", "METV")]

    document = {"corporate_actions": {"forward_splits": rows}}
    report = scripted(database, AlpacaEvents, document, ["splits"], first=date(2021, 6, 1))

    kept = {row["event_id"]: row["symbol_id"] for row in rig.rows("splits")}
    assert kept == {"FB": ids["META"], "META": ids["METV"]}
    assert any("METV on 2021-11-15, when nobody on record bore that ticker" in note for note in report.notes)


def test_d28_a_rename_keeps_one_series(exchange: SimulatedExchange, database: Database, rig: EventsRig) -> None:
    """D28: the series of FB goes on as META with its bars and its definitions, once the day has come."""
    ids = rig.add("FB", "AAPL")
    rig.change("select seed_intraday_backfill_job('FB', '1d')")
    rig.change(
        "insert into job_definitions (symbols_array, timeframe, job_type) "
        "values ('[\"AAPL\", \"FB\"]', 'm15', 'fetch_intraday')"
    )

    report = rig.keep(kinds=["changes"])

    known = rig.database.run(find_symbols, ["META", "FB"])
    assert {ticker: symbol.id for ticker, symbol in known.items()} == {"META": ids["FB"]}
    assert report.renamed == ["FB is META since 2022-06-09: its series goes on."]
    with database.connection() as conn:
        found = conn.execute("select symbol, symbols_array from job_definitions order by id").fetchall()
    assert found == [("META", None), (None, ["AAPL", "META"])]


def test_who_bears_the_ticker_later_is_not_renamed(rig: EventsRig) -> None:
    """FB, which a provider has offered this year, is another company than the FB of 2022."""
    ids = rig.add("FB")
    rig.change("update symbols set confirmed_at = '2026-01-05'")

    report = rig.keep("alpaca", kinds=["changes"])

    assert rig.database.run(find_symbols, ["FB"])["FB"].id == ids["FB"]
    assert (report.renamed, rig.rows("changes")) == ([], [])


def test_old_and_new_ticker_on_record_are_told(rig: EventsRig) -> None:
    """Two series of one company are not merged, but named."""
    rig.add("FB", "META")

    report = rig.keep("alpaca", kinds=["changes"])

    assert any("FB became META on 2022-06-09, and both are on record" in note for note in report.notes)
    assert set(rig.database.run(find_symbols, ["FB", "META"])) == {"FB", "META"}


def test_d28_the_series_of_meta_and_metv_share_no_bar(exchange: SimulatedExchange, database: Database) -> None:
    """D28, R22: over both changes of tickers META's bars are FB's and its own, METV's the fund's; none is on both."""
    bars = Rig(exchange, database)
    wanted = days("2022-01-03", "2022-07-01")
    bars.backfill(["META", "METV"], [Timeframe.D1], wanted)

    meta, metv = (bars.stored(ticker, Timeframe.D1) for ticker in ("META", "METV"))
    assert meta == bars.truth("META", Timeframe.D1, wanted)
    assert metv == bars.truth("METV", Timeframe.D1, wanted)
    assert not {*meta.items()} & {*metv.items()}


def test_d32_a_delisted_symbol_is_switched_off(rig: EventsRig) -> None:
    """D32: with its day; it is told once, and a symbol that a provider offers long after keeps its place."""
    rig.add("GONE", "AAPL")

    report, again = rig.keep("alpaca", kinds=["delistings"]), rig.keep("alpaca", kinds=["delistings"])

    gone = rig.database.run(find_symbols, ["GONE"])["GONE"]
    assert not gone.is_active
    assert (report.delisted, again.delisted) == (["GONE is traded no more since 2025-03-15."], [])
    with rig.database.connection() as conn:
        assert conn.execute("select delisted_on from symbols where ticker = 'GONE'").fetchone() == (date(2025, 3, 15),)


def test_d32_a_later_bearer_of_the_ticker_is_not_delisted(rig: EventsRig) -> None:
    """D32: GONE, offered as active this year, is another company than the one that went."""
    rig.add("GONE")
    rig.change("update symbols set confirmed_at = '2026-01-05'")

    report = rig.keep("alpaca", kinds=["delistings"])

    assert rig.database.run(find_symbols, ["GONE"])["GONE"].is_active
    assert "another company's" in report.notes[0]


ODD_TICKERS = ("NA", "NAN", "NULL", "TRUE", "ON", "NO", "Y", "INF", "PRN", "CON", "1E5", "BRK.B")


def test_d29_d31_odd_tickers_and_long_chains_of_splits_are_kept_exactly(database: Database, rig: EventsRig) -> None:
    """D29: tickers that other formats take for values; D31: six reverse splits of UVXY make one exact factor."""
    rig.add(*ODD_TICKERS, "UVXY")
    olds = {2012: 10, 2013: 10, 2014: 4, 2015: 5, 2016: 5, 2018: 5}
    row = {"new_rate": 1}
    rows = [
        row
        | {
            "id": str(year),
            "symbol": "UVXY",
            "old_rate": old,
            "ex_date": f"{year}-03-08",
            "process_date": f"{year}-03-08",
        }
        for year, old in olds.items()
    ]
    rows += [
        row | {"symbol": ticker, "old_rate": 3, "ex_date": "2020-05-20", "process_date": "2020-05-20"}
        for ticker in ODD_TICKERS
    ]

    scripted(
        database, AlpacaEvents, {"corporate_actions": {"reverse_splits": rows}}, ["splits"], first=date(2010, 1, 1)
    )

    kept = rig.rows("splits")
    assert {row["ticker"] for row in kept} == {*ODD_TICKERS, "UVXY"}
    factor = Decimal(1)
    for one in kept:
        factor *= one["denominator"] if one["ticker"] == "UVXY" else 1
    assert factor == 50_000


def test_finnhubs_earnings_are_filled_in(database: Database, rig: EventsRig) -> None:
    """A date with an estimate, later with its result: one row, and `updated_at` tells."""
    rig.add("AAPL", "MSFT")
    on = (TODAY + timedelta(days=3)).isoformat()
    report = {"symbol": "AAPL", "date": on, "hour": "amc", "year": 2026, "quarter": 4, "epsEstimate": 2.35}
    other = {"symbol": "ZZZZ", "date": on, "hour": ""}

    def answer(**more: Any) -> None:
        first, end = TODAY, TODAY + timedelta(days=10)
        document = {"earningsCalendar": [report | more, other]}
        scripted(database, FinnhubEvents, document, ["earnings"], first=first, end=end)

    answer(epsActual=None)
    (before,) = rig.rows("earnings")
    answer(epsActual=2.4)
    (after,) = rig.rows("earnings")

    assert (before["eps_estimate"], before["eps_actual"], before["hour"]) == (Decimal("2.35"), None, "after_close")
    assert after["eps_actual"] == Decimal("2.4")
    assert before["first_seen_at"] == after["first_seen_at"] < after["updated_at"]


def test_a_provider_that_cannot_be_asked_is_told(rig: EventsRig) -> None:
    """With what to do; the other one's events are kept."""
    rig.add("SPLT")
    rig.exchange.set_faults([{"match": {"provider": "alpaca"}, "fault": "H04", "args": {"status": 503}}])

    report = rig.keep(days=SPLIT_DAYS, kinds=["splits"])

    assert len(report.failures) == 1
    assert report.failures[0].startswith("The events of alpaca are not up to date:")
    assert splits(rig) == [("2026-03-16", "4:1", "massive")]


def test_a_kind_that_the_plan_does_not_include_is_told(database: Database, rig: EventsRig) -> None:
    """It is no failure, the other kinds are asked for, and none counts as asked."""
    rig.add("AAPL")
    refused = {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}

    report = scripted(database, MassiveEvents, refused, ["splits", "dividends"], status=403)

    assert [note.partition(":")[0] for note in report.notes] == [
        "massive does not give splits on this plan",
        "massive does not give dividends on this plan",
    ]
    assert report.failures == []
    with database.connection() as conn:
        assert conn.execute("select count(*) from events_asked").fetchone() == (0,)


def test_calls_are_bounded(rig: EventsRig) -> None:
    """What is left is asked at the next look."""
    rig.add("SPLT", "AAPL", "KO")

    first = rig.keep("massive", kinds=["changes"], calls_max=2)
    second = rig.keep("massive", kinds=["changes"], calls_max=2, fresh_for=timedelta(hours=6))

    assert (first.calls, first.left_out, second.calls, second.left_out) == (2, 1, 1, 0)


async def test_the_schedule_keeps_events(exchange: SimulatedExchange, database: Database, rig: EventsRig) -> None:
    """At a look, before anything is planned, and not again within some hours."""
    await asyncio.to_thread(rig.add, "SPLT", "GONE")
    rig.asked()
    bars = Rig(exchange, database)
    client, listener = bars.client(), Collector()
    source = EventsSource(AlpacaEvents("key", "secret", base_url=exchange.alpaca_url), client)
    looks = 0

    async def keep() -> EventsReport:
        nonlocal looks
        looks += 1
        return await keep_events(database, [source], EventsRequest(fresh_for=timedelta(hours=6)))

    schedule = Schedule(
        database, Clients(client), EngineSettings(), listener, every=timedelta(minutes=15), keep_events=keep
    )
    try:
        await schedule.look()
        await schedule.look()
    finally:
        await client.aclose()

    assert looks == 1
    assert [row["ticker"] for row in rig.rows("splits")] == ["SPLT"]
    assert "GONE is traded no more since 2025-03-15." in listener.notes


def scripted(
    database: Database,
    provider: type[AlpacaEvents] | type[FinnhubEvents] | type[MassiveEvents],
    document: dict[str, Any],
    kinds: list[str],
    *,
    status: int = 200,
    first: date = date(2021, 1, 1),
    end: date = date(2022, 1, 1),
) -> EventsReport:
    """What is kept of a server's answer, which is the same to every question."""

    async def keep() -> EventsReport:
        async with running_exchange() as server:
            server.answers(Answer(document, status))
            sender: Provider = Alpaca("key", "secret", base_url=server.base_url)
            if provider is MassiveEvents:
                sender = Massive("key", base_url=server.base_url)
            client = ProviderClient(sender, HttpClient(sender.base_urls), SlidingQuota(10_000), backoff_s=0.01)
            events: EventsProvider
            if provider is AlpacaEvents:
                events = AlpacaEvents("key", "secret", base_url=server.base_url)
            elif provider is MassiveEvents:
                events = MassiveEvents("key", base_url=server.base_url)
            else:
                events = FinnhubEvents("key", base_url=server.base_url)
            request = EventsRequest(kinds=frozenset(EventKind(kind) for kind in kinds), days=(first, end))
            try:
                return await keep_events(database, [EventsSource(events, client)], request)
            finally:
                await client.aclose()

    return asyncio.run(keep())
