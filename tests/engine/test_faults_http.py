"""Every fault of the transport and of single answers, H01 to H18, from the exchange to the table."""

from __future__ import annotations

import math
import socket
from dataclasses import replace
from typing import Any

import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_FAILED
from tests.engine.honesty import (
    PAIR,
    QUARTER,
    TWO_DAYS,
    FaultyRig,
    fails_with,
    in_turn,
    is_complete,
    leaves_gaps,
    line,
    nothing_is_silently_successful,
)
from tests.engine.rig import days

M15, D1 = Timeframe.M15, Timeframe.D1
EIGHT = ("AAPL", "AMD", "BRK.B", "JPM", "KO", "MSFT", "QQQ", "SPY")


def recovers(rig: FaultyRig, timeframe: Timeframe = M15) -> None:
    """One backfill ends complete and with the exchange's bars, although faults fired."""
    wanted = TWO_DAYS if timeframe is M15 else QUARTER

    report = rig.backfill(PAIR, [timeframe], wanted)

    assert rig.fired()
    nothing_is_silently_successful(rig, report, timeframe, wanted)
    is_complete(report)
    assert rig.holds_the_truth(timeframe, wanted)


def stops(rig: FaultyRig, code: str, reason: str | None = None) -> None:
    """The fault never ends: the backfill says what failed, and the next one after it fetches everything."""
    report = rig.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(rig, report, M15, TWO_DAYS)
    fails_with(report, code, reason)
    heals(rig)


def heals(rig: FaultyRig, timeframe: Timeframe = M15) -> None:
    """Once the fault is over and what is missing is due, one backfill completes the table."""
    wanted = TWO_DAYS if timeframe is M15 else QUARTER
    rig.heal()

    report = rig.backfill(PAIR, [timeframe], wanted)

    nothing_is_silently_successful(rig, report, timeframe, wanted)
    is_complete(report)
    assert rig.holds_the_truth(timeframe, wanted)


def test_h01_a_told_wait_is_waited_and_spends_no_attempt(faulty: FaultyRig) -> None:
    """A 429 with a wait in any of four dialects is waited out, even with a single attempt."""
    faulty.attempts = 1
    headers = ("retry_after", "http_date", "reset_s", "reset_ms")
    faulty.exchange.set_faults(in_turn("H01", [{"header": header, "seconds": 1} for header in headers]))

    recovers(faulty)

    assert faulty.fired() == ["H01"] * 4


@pytest.mark.parametrize(("told", "body"), [("none", "json"), ("-1", "empty"), ("999999", "text")])
def test_h02_without_a_usable_wait_it_waits_by_itself(faulty: FaultyRig, told: str, body: str) -> None:
    """A 429 that tells nothing usable costs one request and no attempt."""
    faulty.attempts = 1
    faulty.inject("H02", {"nth": 2}, retry_after=told, body=body)

    recovers(faulty)

    assert faulty.fired() == ["H02"]


def test_h02_a_wait_of_hours_pauses_the_key(faulty: FaultyRig) -> None:
    """Told to wait two hours, the backfill ends after that one request, says so, and a later one completes."""
    faulty.inject("H02", retry_after="7200")

    report = faulty.backfill(PAIR, [M15, D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "RATE_LIMIT_EXCEEDED")
    assert faulty.bar_requests() == 1
    heals(faulty)


def test_h03_while_refused_one_probe_at_a_time(faulty: FaultyRig) -> None:
    """Eight chains that are all refused send at most 12 requests until the limit opens, and then complete."""
    faulty.settings = replace(faulty.settings, max_concurrent_jobs=8)
    faulty.page_size = 10
    faulty.inject("H03", {"symbol": "MSFT"}, seconds=1)

    report = faulty.backfill(EIGHT, [M15], TWO_DAYS)

    assert 1 <= len(faulty.fired()) <= 12
    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS, EIGHT)
    is_complete(report)


def test_h04_a_server_error_is_tried_again(faulty: FaultyRig) -> None:
    """Each 5xx with each kind of body, once, costs one request more and nothing else."""
    forms = zip((500, 502, 503, 504), ("json", "html", "text", "empty"), strict=True)
    faulty.exchange.set_faults(in_turn("H04", [{"status": status, "body": body} for status, body in forms]))

    recovers(faulty)

    assert faulty.fired() == ["H04"] * 4


@pytest.mark.parametrize("status", [500, 504])
def test_h04_a_server_error_for_ever_stops_that_series_only(faulty: FaultyRig, status: int) -> None:
    """After five attempts the failing timeframe is reported with what can be done; the other one completes."""
    faulty.inject("H04", {"timeframe": "d1"}, status=status)

    report = faulty.backfill(PAIR, [M15, D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    nothing_is_silently_successful(faulty, report, D1, TWO_DAYS)
    fails_with(report, "PROVIDER_UNAVAILABLE")
    assert {failure.timeframe for failure in report.failures} == {D1}
    assert faulty.holds_the_truth(M15, TWO_DAYS)
    assert len(faulty.fired()) % 5 == 0


@pytest.mark.parametrize("status", [401, 403])
def test_h05_a_rejected_key_costs_one_request(faulty: FaultyRig, status: int) -> None:
    """One request, not one per run; the text names the variables, and the series say what failed."""
    faulty.inject("H05", status=status)

    report = faulty.backfill(PAIR, [M15, D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "UNAUTHORIZED")
    assert faulty.bar_requests() == 1
    assert "ALPACA_API_KEY" in report.failures[0].message
    heals(faulty)


def test_h05_a_key_revoked_midway_keeps_what_is_proved(faulty: FaultyRig) -> None:
    """A key that stops working costs one more request; what came before is stored and not asked for again."""
    faulty.inject("H05", {"nth": 4})

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert report.exit_code == EXIT_FAILED
    assert faulty.bar_requests() == 4
    faulty.exchange.forget_requests()
    heals(faulty)
    assert faulty.bar_requests() <= math.ceil(180 / 20) - 3 + 2


def test_h06_a_spurious_refusal_of_recent_data_is_asked_again(faulty: FaultyRig) -> None:
    """A range that ends long ago and is called too recent once is asked for once more."""
    faulty.inject("H06", {"nth": 3}, form="old")

    recovers(faulty)


def test_h06_too_recent_for_ever_is_the_plans_limit(faulty: FaultyRig) -> None:
    """Where nothing is left after the cut the series fail as FORBIDDEN_PLAN, and are on record as not entitled."""
    faulty.inject("H06")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert report.exit_code == EXIT_FAILED
    assert {failure.error_code for failure in report.failures} == {"FORBIDDEN_PLAN"}
    assert {kind for (kind,) in faulty.query("select kind from gaps")} == {"not_entitled"}
    heals(faulty)


def test_h08_an_unknown_symbol_fails_alone(faulty: FaultyRig) -> None:
    """A 404 fails its symbol, not its batch, and nobody calls the symbol delisted."""
    faulty.inject("H08", {"symbol": "MSFT"})

    report = faulty.backfill(EIGHT, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS, EIGHT)
    fails_with(report, "SYMBOL_NOT_FOUND", symbols=["MSFT"])
    assert "MSFT" in report.failures[0].message
    assert "list" not in report.failures[0].message
    assert faulty.query("select is_active from symbols where ticker = 'MSFT'") == [(True,)]
    heals(faulty)


@pytest.mark.parametrize("named", [True, False])
def test_h09_one_bad_symbol_is_cut_out(faulty: FaultyRig, *, named: bool) -> None:
    """The other seven complete, after one refusal where the symbol is named, else after at most 2 log2 n."""
    faulty.page_size = 2_000
    faulty.inject("H09", {"symbol": "KO"}, named=named)

    report = faulty.backfill(EIGHT, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS, EIGHT)
    fails_with(report, "SYMBOL_NOT_FOUND", symbols=["KO"])
    assert len(faulty.fired()) <= (1 if named else 2 * math.log2(len(EIGHT)))
    assert faulty.holds_the_truth(M15, TWO_DAYS, [ticker for ticker in EIGHT if ticker != "KO"])


NO_SUCCESSES = ("error", "status_error", "html", "content_type", "empty")


def test_h10_a_200_that_is_no_success_is_tried_again(faulty: FaultyRig) -> None:
    """An error, a web page, another content type or nothing, each once, is not taken for an answer."""
    faulty.exchange.set_faults(in_turn("H10", [{"form": form} for form in NO_SUCCESSES]))

    recovers(faulty)

    assert len(faulty.fired()) == len(NO_SUCCESSES)


@pytest.mark.parametrize("form", NO_SUCCESSES)
def test_h10_a_200_that_is_never_a_success_stops(faulty: FaultyRig, form: str) -> None:
    """The run stops with the reason; nothing is covered."""
    faulty.inject("H10", form=form)

    stops(faulty, "BAD_RESPONSE", "body")


@pytest.mark.parametrize("timeframe", [M15, D1])
@pytest.mark.parametrize(
    ("match", "keep_token"),
    [({"times": 1}, False), ({"nth": 2}, False), ({"nth": 2}, True), ({"symbol": "AAPL", "times": 1}, False)],
)
def test_h11_a_false_empty_is_asked_again(
    faulty: FaultyRig, timeframe: Timeframe, match: dict[str, Any], *, keep_token: bool
) -> None:
    """A valid answer without rows is never believed at once: the bars are stored within the same backfill."""
    faulty.page_size = 50
    faulty.inject("H11", match, keep_token=keep_token)

    recovers(faulty, timeframe)


@pytest.mark.parametrize("timeframe", [M15, D1])
def test_h11_empty_for_ever_is_held_and_never_covered(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """However often nothing comes, nothing is covered and the bars are listed as missing; later they fill."""
    wanted = TWO_DAYS if timeframe is M15 else QUARTER
    faulty.inject("H11")

    for _ in range(3):
        report = faulty.backfill(PAIR, [timeframe], wanted)
        nothing_is_silently_successful(faulty, report, timeframe, wanted)
        leaves_gaps(report, "missing")
        faulty.change("update series_gaps set next_check_at = now()")

    assert faulty.query("select distinct isempty(covered) from series") == [(True,)]
    heals(faulty, timeframe)


def test_h11_empty_on_a_second_reading_keeps_what_is_stored(faulty: FaultyRig) -> None:
    """Bars that are stored and covered stay so when --full gets an empty answer; they are no gaps."""
    faulty.backfill(PAIR, [M15], TWO_DAYS)
    faulty.inject("H11")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS, is_full=True)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert faulty.holds_the_truth(M15, TWO_DAYS)
    assert all(state.present == state.expected for state in report.matrix)


def test_h11_history_before_what_is_stored_is_not_settled_by_two_hasty_answers(faulty: FaultyRig) -> None:
    """A vendor that is empty for a minute, asked twice in it, does not make two months unavailable."""
    faulty.backfill(PAIR, [D1], days("2026-09-01", "2026-09-16"))
    faulty.inject("H11")

    report = faulty.backfill(PAIR, [D1], QUARTER)

    nothing_is_silently_successful(faulty, report, D1, QUARTER)
    leaves_gaps(report, "missing")
    heals(faulty, D1)


def test_h12_an_empty_page_before_the_first_rows_shows_no_first_bar(faulty: FaultyRig) -> None:
    """Rows that follow an empty page do not prove that nothing came before them, however the second answer fails."""
    faulty.page_size = 30
    faulty.exchange.set_faults([line("H12", {"nth": 1}), line("H12", {"nth": 5})])

    report = faulty.backfill(PAIR, [D1], QUARTER)

    nothing_is_silently_successful(faulty, report, D1, QUARTER)
    assert faulty.query("select kind from gaps where kind = 'unavailable'") == []
    heals(faulty, D1)


def test_h11_silence_that_lasts_an_hour_is_settled(faulty: FaultyRig) -> None:
    """Where nothing came before the first bar, and an hour later nothing either, it is unavailable."""
    wanted = days("2026-04-01", "2026-06-01")
    faulty.backfill(["NEWC"], [D1], days("2026-05-18", "2026-06-01"))
    leaves_gaps(faulty.backfill(["NEWC"], [D1], wanted), "missing")
    faulty.change("update series_gaps set first_seen_at = first_seen_at - interval '1 hour', next_check_at = now()")

    report = faulty.backfill(["NEWC"], [D1], wanted)

    is_complete(report)
    assert faulty.query("select kind from gaps") == [("unavailable",)]


def test_h11_a_failure_is_no_answer_that_settles(faulty: FaultyRig) -> None:
    """After a failed request one empty answer is the first one, not the second."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.attempts = 1
    faulty.backfill(PAIR, [D1], days("2026-09-01", "2026-09-16"))
    faulty.inject("H04")
    assert faulty.backfill(PAIR, [D1], QUARTER).exit_code == EXIT_FAILED
    faulty.change("update series_gaps set first_seen_at = now() - interval '1 day', next_check_at = now()")
    faulty.inject("H11")

    report = faulty.backfill(PAIR, [D1], QUARTER)

    nothing_is_silently_successful(faulty, report, D1, QUARTER)
    leaves_gaps(report, "missing")


@pytest.mark.parametrize("form", ["null", "absent", "object", "text"])
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_h12_misshapen_bars_are_no_silence(faulty: FaultyRig, timeframe: Timeframe, form: str) -> None:
    """null, nothing or a text for the rows is an empty answer and asked again; one object is one row."""
    faulty.inject("H12", {"nth": 2}, form=form)

    recovers(faulty, timeframe)


@pytest.mark.parametrize("form", ["null", "absent", "text"])
def test_h12_misshapen_for_ever_is_held(faulty: FaultyRig, form: str) -> None:
    """An answer that never has rows covers nothing."""
    faulty.page_size = 100
    faulty.inject("H12", form=form)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    leaves_gaps(report, "missing")
    heals(faulty)


@pytest.mark.parametrize("delta", [1, -1, 1000])
def test_h13_a_wrong_count_is_asked_once_more(faulty: FaultyRig, delta: int) -> None:
    """A declared count that differs from the rows, once, costs one request."""
    faulty.inject("H13", {"nth": 2}, delta=delta)

    recovers(faulty)


def test_h13_a_wrong_count_for_ever_stops(faulty: FaultyRig) -> None:
    """Twice the wrong count on one page stops the run with the reason."""
    faulty.inject("H13")

    stops(faulty, "BAD_RESPONSE", "count")


def test_h14_a_body_shorter_than_declared_is_tried_again(faulty: FaultyRig) -> None:
    """Bodies that end after 0, 50 and 99 % of what was declared are not taken for answers."""
    faulty.exchange.set_faults(in_turn("H14", [{"fraction": fraction} for fraction in (0.0, 0.5, 0.99)]))

    recovers(faulty)

    assert faulty.fired() == ["H14"] * 3


def test_h14_a_body_always_cut_stops(faulty: FaultyRig) -> None:
    """The run stops after all attempts and says that the answer was cut off."""
    faulty.inject("H14")

    stops(faulty, "TIMEOUT", "cut")


@pytest.mark.parametrize("timeframe", [M15, D1])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.8])
def test_h15_a_validly_cut_answer_is_completed(faulty: FaultyRig, timeframe: Timeframe, fraction: float) -> None:
    """Valid JSON with the first rows only and a null token: what it lacks is held and asked for again."""
    faulty.page_size = 50
    faulty.inject("H15", {"nth": 2}, fraction=fraction)

    recovers(faulty, timeframe)


def test_h15_answers_always_cut_leave_gaps(faulty: FaultyRig) -> None:
    """What never comes is missing, not covered; it is fetched when answers are whole again."""
    faulty.page_size = 50
    faulty.inject("H15")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    leaves_gaps(report, "missing")
    heals(faulty)


LAX_JSON = ("cut", "trailing", "NaN", "Infinity", "1e400", "duplicate")


def test_h16_json_that_is_not_strict_is_tried_again(faulty: FaultyRig) -> None:
    """Each kind of bad JSON, once, is refused and asked again."""
    faulty.exchange.set_faults(in_turn("H16", [{"form": form} for form in LAX_JSON]))

    recovers(faulty)

    assert len(faulty.fired()) == len(LAX_JSON)


@pytest.mark.parametrize("form", LAX_JSON)
def test_h16_json_that_is_never_strict_stops(faulty: FaultyRig, form: str) -> None:
    """The run stops with the reason and a short piece of the body."""
    faulty.attempts = 2
    faulty.inject("H16", form=form)

    stops(faulty, "BAD_RESPONSE", "json")


def test_h17_a_hang_is_given_up_and_tried_again(faulty: FaultyRig) -> None:
    """Silence before the answer, after its headers, or a byte now and then ends by the timeouts."""
    hangs: list[dict[str, Any]] = [{"where": "accept"}, {"where": "headers"}, {"where": "drip", "interval_s": 0.2}]
    faulty.exchange.set_faults(in_turn("H17", [{"seconds": 2, **hang} for hang in hangs]))

    recovers(faulty)

    assert faulty.fired() == ["H17"] * 3


@pytest.mark.parametrize("where", ["accept", "headers", "drip"])
def test_h17_a_hang_for_ever_stops(faulty: FaultyRig, where: str) -> None:
    """The run stops with TIMEOUT; nothing is covered."""
    faulty.attempts = 1
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H17", where=where, seconds=2, interval_s=0.2)

    stops(faulty, "TIMEOUT")


def test_h18_a_broken_connection_is_tried_again(faulty: FaultyRig) -> None:
    """A reset and a connection closed in silence, each once, cost one request each."""
    faulty.exchange.set_faults(in_turn("H18", [{"form": "reset"}, {"form": "closed"}]))

    recovers(faulty)

    assert faulty.fired() == ["H18"] * 2


@pytest.mark.parametrize("form", ["reset", "closed"])
def test_h18_connections_that_always_break_stop(faulty: FaultyRig, form: str) -> None:
    """The run stops and says that the connection breaks."""
    faulty.inject("H18", form=form)

    stops(faulty, "PROVIDER_UNAVAILABLE")


def test_h18_a_dead_server_is_named_with_what_to_check(faulty: FaultyRig) -> None:
    """A refused connection says so, with what to check; nothing is covered, and later everything is fetched."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    faulty.base_url = f"http://127.0.0.1:{port}"

    report = faulty.backfill(PAIR, [M15, D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "PROVIDER_UNAVAILABLE", "refused")
    faulty.base_url = None
    heals(faulty)


def test_h18_a_name_that_does_not_resolve_is_told(faulty: FaultyRig) -> None:
    """A failed name look-up says which name, and what to check."""
    faulty.base_url = "http://barfill.invalid"

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    fails_with(report, "PROVIDER_UNAVAILABLE")
    assert "barfill.invalid" in report.failures[0].message
