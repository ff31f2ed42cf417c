"""The shared quota in the database: places, leases, refusals, pauses, the reserve and the day's budget."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import psycopg
import pytest

from barfill.store import quota as store
from barfill.store.database import Database
from barfill.store.quota import Caller, OpenQuota, Paused, Place, QuotaTerms, Spent, Wait
from tests.store.builders import query

TERMS = QuotaTerms(provider="alpaca", key_id="0123456789ab", requests_per_minute=3)
BULK = Caller(holder="first", purpose="bulk")
OTHER = Caller(holder="second", purpose="bulk")
CHART = Caller(holder="chart", purpose="interactive")


class Desk:
    """Asks one quota, as several processes would."""

    def __init__(self, database: Database, terms: QuotaTerms = TERMS) -> None:
        self.database = database
        self.quota: OpenQuota = database.run(store.open_quota, terms)

    def ask(self, caller: Caller = BULK) -> Place | Wait | Paused | Spent:
        """What the quota answers."""
        return self.database.run(store.take_place, self.quota, caller)

    def place(self, caller: Caller = BULK) -> Place:
        """A place, which must be free."""
        answer = self.ask(caller)
        assert isinstance(answer, Place), answer
        return answer

    def wait(self, caller: Caller = BULK) -> Wait:
        """A wait, which must be asked for."""
        answer = self.ask(caller)
        assert isinstance(answer, Wait), answer
        return answer

    def release(self, place: Place, caller: Caller = BULK, *, is_success: bool = True) -> None:
        """The end of an answer."""
        self.database.run(store.release_place, self.quota, caller, place, is_success=is_success)

    def refuse(self, place: Place, told_s: float | None, caller: Caller = BULK) -> float:
        """A 429 in answer to the request of *place*."""
        wait_s = self.database.run(store.close_quota, self.quota, told_s, "429")
        self.release(place, caller, is_success=False)
        return wait_s

    def pass_time(self, seconds: float) -> None:
        """As if everything that is known had happened so much earlier."""
        for table, columns in {
            "quota_slots": ("free_at", "taken_at"),
            "quota_seconds": ("free_at", "taken_at"),
            "quotas": (
                "closed_until",
                "probing_until",
                "paused_at",
                "paused_until",
                "interactive_seen_at",
                "interactive_waits_until",
            ),
        }.items():
            changes = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in columns)
            query(self.database, f"update {table} set {changes}")

    def meter(self) -> store.Meter:
        """The only key's meter."""
        (found,) = self.database.run(store.read_meters)
        return found


@pytest.fixture
def desk(database: Database) -> Desk:
    """A quota of three requests a minute."""
    return Desk(database)


def test_no_more_places_than_the_limit_are_given(desk: Desk) -> None:
    """The fourth request waits until the first answer is a window old, whoever asks."""
    first, _, _ = (desk.place() for _ in range(3))
    desk.release(first)

    assert 59 < desk.wait(OTHER).seconds <= 60.1
    desk.pass_time(60.0)
    assert 0 < desk.wait(OTHER).seconds <= 0.1
    desk.pass_time(0.1)
    desk.place(OTHER)


IN_SECONDS = replace(TERMS, requests_per_minute=30, requests_per_second=2)


def test_a_second_holds_no_more_than_its_limit(database: Database) -> None:
    """Where a provider counts seconds too, the third request waits until the first answer is a second old."""
    desk = Desk(database, IN_SECONDS)
    first, second = desk.place(), desk.place(OTHER)

    assert 0 < desk.wait(OTHER).seconds <= 1.1
    desk.release(first)
    assert 0.5 < desk.wait().seconds <= 1.1
    desk.pass_time(1.0)
    assert 0 < desk.wait().seconds <= 0.1
    desk.pass_time(0.1)
    third = desk.place()
    assert desk.meter().used == 3
    desk.wait()  # the second answer is not complete
    desk.database.run(store.give_back, desk.quota, BULK, third)
    desk.place(OTHER)
    desk.pass_time(store.REQUEST_S - 1.0)
    desk.wait()  # nor is it given up: who took the place may have been killed
    desk.pass_time(1.1)
    assert desk.place().second_no == second.second_no


def test_many_at_once_get_each_place_of_a_second_once(database: Database) -> None:
    """Of sixteen who ask at the same moment two go; no place of the minute is lost by the others."""
    desk = Desk(database, IN_SECONDS)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: desk.ask(), range(16)))

    assert len([one for one in answers if isinstance(one, Place)]) == 2
    assert desk.meter().used == 2


def test_a_limit_of_a_second_that_is_lowered_or_gone_holds_for_all(database: Database) -> None:
    """The last who opens the quota decides, as of all its terms."""
    desk = Desk(database, IN_SECONDS)
    Desk(database, replace(IN_SECONDS, requests_per_second=1))
    desk.place()
    desk.wait()
    Desk(database, replace(IN_SECONDS, requests_per_second=None))

    assert desk.place().second_no is None


def test_a_place_is_free_a_window_after_the_answer_and_not_after_the_start(desk: Desk) -> None:
    """A request that took 50 s may have arrived at its end."""
    places = [desk.place() for _ in range(3)]
    desk.pass_time(50)
    desk.release(replace(places[0], taken_at=_taken_at(desk, places[0])))

    desk.pass_time(59)

    assert desk.wait().seconds > 1


def _taken_at(desk: Desk, place: Place) -> datetime:
    ((taken_at,),) = query(desk.database, "select taken_at from quota_slots where slot_no = %s", place.slot_no)
    assert isinstance(taken_at, datetime)
    return taken_at


def test_the_place_of_a_killed_holder_comes_back_with_its_lease(desk: Desk) -> None:
    """Nobody releases it: it counts for the longest request and a window, then it is free."""
    for _ in range(3):
        desk.place()

    desk.pass_time(store.REQUEST_S + 60)
    assert isinstance(desk.ask(OTHER), Wait)
    desk.pass_time(0.2)
    desk.place(OTHER)


def test_a_late_release_changes_nothing_of_the_next_holder(desk: Desk) -> None:
    """A holder that stood still for longer than its lease finds its place taken by another."""
    late = [desk.place() for _ in range(3)]
    desk.pass_time(300)
    for _ in range(3):
        desk.place(OTHER)
    before = query(desk.database, "select free_at from quota_slots order by slot_no")

    for place in late:
        desk.release(place)

    assert query(desk.database, "select free_at from quota_slots order by slot_no") == before


def test_a_place_that_was_not_used_is_free_at_once_and_not_counted(desk: Desk) -> None:
    """A caller that gave up has sent nothing."""
    places = [desk.place() for _ in range(3)]

    desk.database.run(store.give_back, desk.quota, BULK, places[1])

    assert desk.meter().used_today == 2
    desk.place(OTHER)


def test_many_at_once_get_each_place_once(database: Database) -> None:
    """Eight threads that ask as fast as they can are given exactly the limit."""
    desk = Desk(database, replace(TERMS, requests_per_minute=40))

    def grab(number: int) -> int:
        caller, taken, tries = replace(BULK, holder=f"worker {number}"), 0, 0
        while tries < 3:
            answer = desk.ask(caller)
            taken += isinstance(answer, Place)
            tries += isinstance(answer, Wait) and answer.seconds > 1
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(grab, range(8)))

    assert taken == desk.meter().used == desk.meter().used_today == 40


def test_nothing_waits_inside_the_database(desk: Desk) -> None:
    """A caller that holds a place up, in a transaction of its own, delays nobody else."""
    with ThreadPoolExecutor(1) as pool, desk.database.connection() as conn, conn.transaction():
        conn.execute("select from quota_slots where slot_no = 1 for update")
        assert pool.submit(desk.place, OTHER).result(timeout=5).slot_no == 2


def test_a_place_that_is_just_being_taken_by_another_is_worth_another_look_at_once(database: Database) -> None:
    """Also where it was never used before, and so has been free since ever."""
    desk = Desk(database, replace(TERMS, requests_per_minute=1))
    with psycopg.connect(database.url) as conn:
        conn.execute("select from quota_slots for update")

        assert desk.wait().seconds == 0


def test_after_a_refusal_one_probe_goes_and_its_success_opens(desk: Desk) -> None:
    """As told nobody sends for 30 s; then one at a time over all processes, until one succeeds (H01, H03)."""
    assert desk.refuse(desk.place(), 30) == pytest.approx(30, abs=1)
    assert 29 < desk.wait(OTHER).seconds <= 30
    desk.pass_time(30)

    probe = desk.place(OTHER)
    assert probe.is_probe
    assert 0 < desk.wait().seconds <= store.PROBE_POLL_S
    desk.release(probe, OTHER)

    assert not desk.place().is_probe
    assert (desk.meter().refused_today, desk.meter().reason) == (1, "")


def test_of_many_at_once_only_one_becomes_the_probe(database: Database) -> None:
    """Five that have all seen the way open in the same moment after a refusal send one request."""
    desk = Desk(database, replace(TERMS, requests_per_minute=40))
    desk.refuse(desk.place(), 10)
    desk.pass_time(10)

    assert _places_of_five(desk, "select from quotas for update") == 1


def _places_of_five(desk: Desk, held_up_by: str) -> int:
    """How many places five callers are given who all stand before a lock when it opens."""
    with psycopg.connect(desk.database.url) as conn, ThreadPoolExecutor(5) as pool:
        conn.execute(held_up_by.encode())
        asking = [pool.submit(desk.ask, replace(BULK, holder=f"worker {number}")) for number in range(5)]
        waiting = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        while query(desk.database, waiting) != [(5,)]:
            time.sleep(0.01)
        conn.commit()
        return sum(isinstance(one.result(), Place) for one in asking)


def test_a_killed_probe_does_not_block_for_ever(desk: Desk) -> None:
    """When the longest request is over, the next one probes."""
    desk.refuse(desk.place(), 10)
    desk.pass_time(10)
    desk.place()

    desk.pass_time(store.REQUEST_S - 1)
    assert isinstance(desk.ask(OTHER), Wait)
    desk.pass_time(1)
    assert desk.place(OTHER).is_probe


def test_refused_probes_wait_longer_whoever_sends_them(desk: Desk) -> None:
    """The refusals of all processes count together: 2, 4, 8 .. 300 s and a fifth to a half on top (H02)."""
    waits = []
    for number in range(10):
        caller = (BULK, OTHER)[number % 2]
        waits.append(desk.refuse(desk.place(caller), None, caller))
        desk.pass_time(500)

    for number, wait_s in enumerate(waits, start=1):
        base = min(2.0**number, 300.0)
        assert 1.2 * base - 1 <= wait_s <= 1.5 * base


def test_a_hold_delays_everybody_without_a_probe(desk: Desk) -> None:
    """The provider says that nothing is left: all wait, then all go; a shorter hold does not shorten it."""
    for seconds in (20, 5):
        desk.database.run(store.hold_quota, desk.quota, seconds)
    assert 19 < desk.wait(OTHER).seconds <= 20

    desk.pass_time(20)

    assert [desk.place(caller).is_probe for caller in (BULK, OTHER)] == [False, False]


def test_the_limit_that_the_provider_tells_holds_where_it_is_lower(database: Database) -> None:
    """For who is under way and for who opens the key later, until another is told; never above what is set."""
    desk = Desk(database, replace(TERMS, requests_per_minute=40))

    desk.database.run(store.learn_limit, desk.quota, 5)
    assert _taken(desk) == 5
    desk.pass_time(300)
    assert _taken(Desk(database, replace(TERMS, requests_per_minute=30))) == 5
    desk.pass_time(300)
    for told in (8, 100):
        desk.database.run(store.learn_limit, desk.quota, told)
        assert _taken(desk) == min(told, 30)
        desk.pass_time(300)

    meter = desk.meter()
    assert (meter.requests_per_minute, meter.set_per_minute, meter.told_per_minute) == (30, 30, 100)


def test_nobody_goes_while_more_places_count_than_the_limit_that_was_told(desk: Desk) -> None:
    """What was sent before the limit was known counts too."""
    for _ in range(3):
        desk.release(desk.place())

    desk.database.run(store.learn_limit, desk.quota, 1)

    assert desk.wait().seconds > 59


def test_a_rejected_key_stops_all_who_use_it_but_not_who_comes_later(desk: Desk) -> None:
    """A process that starts after the rejection may try once more, and its success opens for all (H05)."""
    running = Desk(desk.database)
    desk.database.run(store.pause_quota, desk.quota, None, code="UNAUTHORIZED", reason="wrong")

    assert running.ask(OTHER) == desk.ask() == Paused(None, "UNAUTHORIZED", "wrong")
    later = Desk(desk.database)
    trial = later.place(OTHER)
    assert running.meter().state == "paused"
    later.release(trial, OTHER)

    assert running.meter().state == "open"
    running.place()


def test_a_wait_too_long_to_sit_out_stops_also_who_comes_later(desk: Desk) -> None:
    """The provider told when it ends (H02)."""
    desk.database.run(store.pause_quota, desk.quota, 7200, code="RATE_LIMIT_EXCEEDED", reason="far over")

    answer = Desk(desk.database).ask(OTHER)

    assert isinstance(answer, Paused)
    assert answer.seconds == pytest.approx(7200, abs=5)
    desk.pass_time(7200)
    desk.place()


def test_bulk_work_leaves_a_reserve_only_while_interactive_requests_are_seen(database: Database) -> None:
    """Alone it uses all; after an interactive request it leaves a twentieth, for some minutes."""
    desk = Desk(database, replace(TERMS, requests_per_minute=40))
    assert _taken(desk) == 40
    desk.pass_time(300)

    desk.place(CHART)
    assert _taken(desk) == 37
    assert [isinstance(desk.ask(CHART), Place) for _ in range(3)] == [True, True, False]

    desk.pass_time(store.INTERACTIVE_SEEN_S + 300)
    assert _taken(desk) == 40


def _taken(desk: Desk) -> int:
    count = 0
    while isinstance(desk.ask(), Place):
        count += 1
    return count


def test_a_waiting_interactive_request_goes_before_bulk_work(desk: Desk) -> None:
    """The place that becomes free is left to it for a moment."""
    for _ in range(3):
        desk.release(desk.place())
    wait_s = desk.wait(CHART).seconds
    desk.pass_time(wait_s)

    assert desk.wait().reason == "interactive requests go first"
    desk.place(CHART)
    desk.pass_time(store.INTERACTIVE_GRACE_S + 0.1)
    desk.place()


def test_a_small_limit_is_not_used_up_by_its_reserve(database: Database) -> None:
    """With one request a minute there is nothing to reserve."""
    desk = Desk(database, replace(TERMS, requests_per_minute=1))
    desk.place(CHART)
    desk.pass_time(250)

    desk.place()


def test_the_budget_of_a_day_is_exact_over_all_who_ask(database: Database) -> None:
    """Five who ask while two requests are left are given two places, then everybody hears that it is spent."""
    desk = Desk(database, replace(TERMS, requests_per_minute=40, day_budget=7))
    for _ in range(5):
        desk.place()

    assert _places_of_five(desk, "select from quota_days for update") == 2
    assert desk.ask(CHART) == desk.ask() == Spent(7)
    assert (desk.meter().state, desk.meter().used_today) == ("spent", 7)


def test_a_new_day_has_a_new_budget_and_a_raised_one_counts_at_once(database: Database) -> None:
    """Days are those of UTC."""
    terms = replace(TERMS, day_budget=1)
    desk = Desk(database, terms)
    desk.place()

    assert isinstance(Desk(database, replace(terms, day_budget=2)).ask(), Place)
    assert desk.ask() == Spent(2)
    query(database, "update quota_days set day = day - 1")
    desk.place()


def test_a_lowered_limit_is_kept_from_the_first_request_on(database: Database) -> None:
    """Requests sent under the higher limit count until their window is over; then the surplus places are gone."""
    high = Desk(database, replace(TERMS, requests_per_minute=5))
    for _ in range(5):
        high.release(high.place())

    low = Desk(database, replace(TERMS, requests_per_minute=2))
    assert isinstance(low.ask(), Wait)
    low.pass_time(60.2)

    assert _taken(high) == 2
    Desk(database, replace(TERMS, requests_per_minute=2))
    assert query(database, "select count(*) from quota_slots") == [(2,)]


def test_keys_do_not_share(database: Database) -> None:
    """Each has a limit of its own."""
    one, two = Desk(database), Desk(database, replace(TERMS, key_id="ba9876543210"))

    assert (_taken(one), _taken(two)) == (3, 3)


def test_the_meter_tells_what_is_used(desk: Desk) -> None:
    """Of the last minute, of today, under way, and what it waits for."""
    assert desk.meter().state == "open"
    desk.release(desk.place())
    desk.place()
    desk.place(CHART)

    meter = desk.meter()

    assert (meter.used, meter.used_interactive, meter.under_way, meter.used_today) == (3, 1, 2, 3)
    assert meter.state == "full"
    assert meter.until is not None
    desk.pass_time(61)
    assert (desk.meter().used, desk.meter().state) == (0, "open")


@pytest.mark.parametrize("key_id", ["PKABCDEFGHIJKLMNOPQR", "", "0123456789AB"])
def test_only_a_fingerprint_can_be_stored(database: Database, key_id: str) -> None:
    """The key itself is refused by the table."""
    with pytest.raises(psycopg.errors.CheckViolation), psycopg.connect(database.url) as conn:
        store.open_quota(conn, replace(TERMS, key_id=key_id))


def test_a_place_costs_no_growth(desk: Desk) -> None:
    """After a thousand requests the places still lie in a page or two: updates stay within their page."""
    tiny = replace(BULK, window_s=0.0)
    for _ in range(1000):
        desk.release(desk.place(tiny), tiny)

    (size,) = query(desk.database, "select pg_relation_size('quota_slots')")[0]
    assert size <= 4 * 8192
