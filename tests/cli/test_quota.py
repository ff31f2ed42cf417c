"""The quota as a user meets it: the meter, the budget of a day, two commands at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from barfill.simulate import SimulatedExchange
from tests.cli.conftest import KEY, Shell

WEEK = ("--start", "2026-06-01", "--end", "2026-06-06")


def bars_requests(exchange: SimulatedExchange) -> int:
    return sum("bars" in one.endpoint for one in exchange.requests)


def test_the_meter_shows_each_key_without_showing_it(shell: Shell, exchange: SimulatedExchange) -> None:
    """After a backfill: the limit, what is used of it, and today's requests, in a table and as JSON."""
    shell("backfill", "AAPL", "--timeframe", "1d", *WEEK, ALPACA_REQUESTS_PER_MINUTE="200", ALPACA_DAILY_BUDGET="900")

    shown = shell("status", "--quota")
    (as_json,) = json.loads(shell("status", "--quota", "--json").stdout)["quotas"]

    sent = len(exchange.requests)
    assert shown.returncode == 0, shown.stderr
    head, row, *rest = shown.stdout.splitlines()
    assert head.split() == ["provider", "key", "last", "minute", "today", "429", "under", "way", "last", "state"]
    assert f"{sent} of 200" in row
    assert f"{sent} of 900" in row
    assert row.endswith("open")
    assert (rest, KEY in shown.stdout) == ([], False)
    assert as_json["used"] == as_json["used_today"] == sent
    assert (as_json["provider"], as_json["requests_per_minute"], as_json["state"]) == ("alpaca", 200, "open")


def test_the_meter_says_what_to_do_where_nothing_was_asked(shell: Shell) -> None:
    """Instead of an empty table."""
    shown = shell("status", "--quota")

    assert (shown.returncode, shown.stdout) == (0, "No request was sent yet. Begin with: barfill backfill AAPL MSFT\n")
    assert json.loads(shell("status", "--quota", "--json").stdout) == {"quotas": []}


def test_the_meter_is_not_of_symbols(shell: Shell) -> None:
    """What makes no sense together is refused."""
    assert shell("status", "AAPL", "--quota").returncode == 2


def test_a_rejected_key_is_shown_and_can_be_corrected(shell: Shell) -> None:
    """The meter says why nothing is sent; with the right secret the next command works, and all is well again."""
    backfill = ("backfill", "AAPL", "--timeframe", "1d", *WEEK)
    shell(*backfill, ALPACA_API_SECRET="wrong")
    shown = shell("status", "--quota").stdout

    again = shell(*backfill)

    assert "paused" in shown
    assert "rejected the key" in shown
    assert again.returncode == 0, again.stderr
    assert json.loads(shell("status", "--quota", "--json").stdout)["quotas"][0]["state"] == "open"


def test_the_budget_of_a_day_ends_a_backfill_cleanly(shell: Shell, exchange: SimulatedExchange) -> None:
    """Exit code 3 and a sentence; what came is stored; with a higher budget the same command goes on."""
    shell("symbols", "add", "AAPL")
    wanted = ("backfill", "AAPL", "--timeframe", "15m", *WEEK)
    exchange.forget_requests()

    first = shell(*wanted, ALPACA_PAGE_SIZE="100", ALPACA_DAILY_BUDGET="3")
    meter = shell("status", "--quota").stdout
    more = shell(*wanted, ALPACA_PAGE_SIZE="100")

    assert first.returncode == 3, first.stderr
    assert "Stopped. Today's budget of 3 requests for alpaca is used up." in first.stdout
    assert "spent" in meter
    assert more.returncode == 0, more.stderr
    assert bars_requests(exchange) == 3


def test_with_a_spent_budget_a_new_symbol_is_refused_with_the_same_code(shell: Shell) -> None:
    """Nothing failed: it goes on tomorrow."""
    shell("symbols", "add", "AAPL", ALPACA_DAILY_BUDGET="1")

    done = shell("symbols", "add", "MSFT", ALPACA_DAILY_BUDGET="1")

    assert done.returncode == 3
    assert "budget of 1 requests for alpaca is used up" in done.stderr


def test_two_backfills_at_once_share_the_limit(shell: Shell, exchange: SimulatedExchange) -> None:
    """Together they send what one may; the limit is a budget here, so that nobody has to wait a minute."""
    shell("symbols", "add", "AAPL", "MSFT")
    exchange.forget_requests()

    with ThreadPoolExecutor(2) as both:
        running = [
            both.submit(
                shell, "backfill", ticker, "--timeframe", "1m", *WEEK, ALPACA_PAGE_SIZE="100", ALPACA_DAILY_BUDGET="6"
            )
            for ticker in ("AAPL", "MSFT")
        ]
        codes = [one.result().returncode for one in running]

    assert codes == [3, 3]
    (meter,) = json.loads(shell("status", "--quota", "--json").stdout)["quotas"]
    assert len(exchange.requests) + 1 <= meter["used_today"] == 6


def test_doctor_asks_within_the_quota(shell: Shell) -> None:
    """Its two requests, for a symbol and for the calendar, are counted."""
    assert shell("doctor").returncode == 0

    (meter,) = json.loads(shell("status", "--quota", "--json").stdout)["quotas"]
    assert (meter["used"], meter["used_interactive"]) == (2, 2)
