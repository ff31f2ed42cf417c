"""
The quota of a provider key, shared by all processes: places within one window, taken one by one by the database's
clock.

A place is taken on a lease and is free again one window after the answer was complete, which is certainly later than
the provider's own count. One statement takes it, so that any pooler may stand between and nothing is locked while
somebody waits. What a killed process held comes back with its lease.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.refusals import JITTER, Refusals
from barfill.store.queries import load_queries

SQL = load_queries("quota")

WINDOW_S = 60.1
"""What providers count in, and a little more: clocks of two machines do not run exactly alike."""
SECOND_S = 1.1
"""The same for limits of a second."""
REQUEST_S = 150.0
"""The longest that a place can be held: a request has 120 s in all, the rest is for a slow database."""
INTERACTIVE_SEEN_S = 300.0
"""So long after an interactive request bulk work leaves the reserve free."""
INTERACTIVE_GRACE_S = 0.5
"""So long a place that has become free is left to the interactive request that waits for it."""
PROBE_POLL_S = 0.5

_SECONDS_MAX = 366 * 86_400.0
_REASON_LENGTH_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaTerms:
    """
    Attributes:
        key_id: A fingerprint of the key, 12 hexadecimal digits; never the key.
        requests_per_minute: The limit of the key's plan, as it is set.
        requests_per_second: The provider's limit of a second, where it has one besides.
        day_budget: No more requests than this in a day (UTC); None for no bound.
    """

    provider: str
    key_id: str
    requests_per_minute: int
    requests_per_second: int | None = None
    day_budget: int | None = None


@dataclass(frozen=True, slots=True)
class OpenQuota:
    """A quota in use; a rejection of the key before `opened_at` does not bind who opened it since."""

    id: int
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """
    Who asks for places.

    Attributes:
        holder: Unique among all processes.
        purpose: `bulk` or `interactive`.
        window_s: What the provider counts in; shorter in tests.
    """

    holder: str
    purpose: str
    window_s: float = WINDOW_S


@dataclass(frozen=True, slots=True)
class Place:
    """
    The right to send one request now. A probe's end decides for all; a trial may show that the key is good again.

    `second_no` is the place within the second, where the provider counts these too.
    """

    slot_no: int
    second_no: int | None
    taken_at: datetime
    is_probe: bool
    is_trial: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """No place now: look again in so many seconds. `reason` is for people."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The provider refuses the key; `seconds` None is until somebody changes something."""

    seconds: float | None
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spent:
    """The day's budget is used up."""

    day_budget: int


@dataclass(frozen=True, slots=True)
class Meter:
    """
    A key's quota as it stands.

    Attributes:
        requests_per_minute: What holds: the lower of the limit that is set and the one that the provider told, if any.
        used: Requests of the last 60 s; `used_interactive` is the part that was not bulk work.
        under_way: Requests whose answer is not complete.
        used_today: Requests since 00:00 UTC; `refused_today` counts those answered by 429.
        state: `open`, `full`, `closed` (told to wait), `probing` (one request tries whether it goes on), `paused`,
            `spent` (the day's budget).
        until: When that ends, where it is known.
        reason: What the provider said.
    """

    provider: str
    key_id: str
    requests_per_minute: int
    set_per_minute: int
    told_per_minute: int | None
    used: int
    used_interactive: int
    under_way: int
    used_today: int
    refused_today: int
    day_budget: int | None
    state: str
    until: datetime | None
    reason: str
    last_request_at: datetime | None


def open_quota(conn: psycopg.Connection[TupleRow], terms: QuotaTerms) -> OpenQuota:
    """The key's quota, made if it is new. The terms hold for all processes from now on."""
    with conn.transaction():
        quota_id, opened_at, limit = _row(
            conn,
            "open",
            {
                "provider": terms.provider,
                "key_id": terms.key_id,
                "requests_per_minute": terms.requests_per_minute,
                "requests_per_second": terms.requests_per_second,
                "day_budget": terms.day_budget,
            },
        )
        slots = {"quota_id": quota_id, "requests_per_minute": limit}
        conn.execute(SQL["add_slots"], slots)
        conn.execute(SQL["drop_slots"], slots)
        if terms.requests_per_second is not None:
            seconds = {"quota_id": quota_id, "requests_per_second": terms.requests_per_second}
            conn.execute(SQL["add_seconds"], seconds)
    return OpenQuota(quota_id, opened_at)


def learn_limit(conn: psycopg.Connection[TupleRow], quota: OpenQuota, per_minute: int) -> None:
    """The provider has told its limit. Places beyond it are not used, and gone when the quota is next opened."""
    row = conn.execute(SQL["learn"], {"quota_id": quota.id, "told_per_minute": per_minute}).fetchone()
    if row is not None:
        conn.execute(SQL["add_slots"], {"quota_id": quota.id, "requests_per_minute": row[0]})


def take_place(conn: psycopg.Connection[TupleRow], quota: OpenQuota, caller: Caller) -> Place | Wait | Paused | Spent:
    """A place if one is free and nothing stands against it, else what does; holds nothing while it is waited."""
    row = conn.execute(
        SQL["take"],
        {
            "quota_id": quota.id,
            "opened_at": quota.opened_at,
            "holder": caller.holder,
            "purpose": caller.purpose,
            "window_s": caller.window_s,
            "second_s": SECOND_S,
            "request_s": REQUEST_S,
            "seen_s": INTERACTIVE_SEEN_S,
            "grace_s": INTERACTIVE_GRACE_S,
            "poll_s": PROBE_POLL_S,
        },
        binary=True,
    ).fetchone()
    assert row is not None
    slot_no, second_no, at, must_probe, has_pause, state, wait_s, closed_reason, code, reason, paused_s, day_budget = (
        row
    )
    if slot_no is not None:
        return Place(slot_no, second_no, at, must_probe, has_pause)
    if state == "paused":
        return Paused(paused_s, code, reason)
    if state == "spent":
        return Spent(day_budget)
    return Wait(wait_s, _why(state, closed_reason))


def release_place(
    conn: psycopg.Connection[TupleRow], quota: OpenQuota, caller: Caller, place: Place, *, is_success: bool
) -> None:
    """The answer is complete, or the request is given up; it counts for one window more."""
    held = _held(quota, caller, place)
    with conn.transaction():
        conn.execute(SQL["release"], held | {"window_s": caller.window_s})
        if place.second_no is not None:
            conn.execute(SQL["release_second"], held | {"second_no": place.second_no, "second_s": SECOND_S})
        if place.is_probe:
            conn.execute(SQL["end_probe"], held | {"is_success": is_success, "request_s": REQUEST_S})
        if place.is_trial and is_success:
            conn.execute(SQL["lift_pause"], held)


def give_back(conn: psycopg.Connection[TupleRow], quota: OpenQuota, caller: Caller, place: Place) -> None:
    """Nothing was sent: the place is free at once."""
    held = _held(quota, caller, place)
    with conn.transaction():
        conn.execute(SQL["give_back"], held)
        if place.second_no is not None:
            conn.execute(SQL["give_back_second"], held | {"second_no": place.second_no})
        if place.is_probe:
            conn.execute(SQL["end_probe"], held | {"is_success": False, "request_s": REQUEST_S})


def close_quota(conn: psycopg.Connection[TupleRow], quota: OpenQuota, told_s: float | None, reason: str) -> float:
    """
    Nobody sends for some time: the provider has refused a request.

    Args:
        told_s: What the provider told; None where it told nothing usable.

    Returns:
        Seconds until the next request may be sent.
    """
    with conn.transaction():
        strikes, failed_probes, is_probing = _row(conn, "lock", {"quota_id": quota.id})
        refusals = Refusals(strikes, failed_probes).and_one(is_probing=is_probing)
        parameters = {
            "quota_id": quota.id,
            "strikes": refusals.strikes,
            "failed_probes": refusals.failed_probes,
            "seconds": refusals.wait_s(told_s, jitter=random.uniform(*JITTER)),
            "reason": reason[:_REASON_LENGTH_MAX],
        }
        seconds: float = _row(conn, "close", parameters)[0]
    # By itself: a transaction that takes a place locks the two rows in the other order.
    conn.execute(SQL["count_refusal"], {"quota_id": quota.id})
    return seconds


def hold_quota(conn: psycopg.Connection[TupleRow], quota: OpenQuota, seconds: float) -> None:
    """The provider says that nothing is left for so long, without a refusal."""
    reason = "the provider says that nothing is left of the minute"
    conn.execute(SQL["hold"], {"quota_id": quota.id, "seconds": seconds, "reason": reason})


def pause_quota(
    conn: psycopg.Connection[TupleRow], quota: OpenQuota, seconds: float | None, *, code: str, reason: str
) -> None:
    """The provider refuses the key for so long, None for good."""
    bounded_s = None if seconds is None else min(seconds, _SECONDS_MAX)
    parameters = {"quota_id": quota.id, "seconds": bounded_s, "code": code, "reason": reason[:_REASON_LENGTH_MAX]}
    conn.execute(SQL["pause"], parameters)
    if seconds is not None:
        conn.execute(SQL["count_refusal"], {"quota_id": quota.id})


def read_hold(conn: psycopg.Connection[TupleRow], quota: OpenQuota) -> Paused | Spent | None:
    """What keeps everybody's requests back for long, whoever was refused; None where there is nothing."""
    row = conn.execute(SQL["read_hold"], {"quota_id": quota.id}, binary=True).fetchone()
    if row is None:
        return None
    is_paused, paused_s, code, reason, day_budget = row
    return Paused(paused_s, code, reason) if is_paused else Spent(day_budget)


def read_meters(conn: psycopg.Connection[TupleRow], *, window_s: float = WINDOW_S) -> list[Meter]:
    """The quota of every key that was ever used, by provider."""
    found = conn.execute(SQL["read_meters"], {"window_s": window_s, "minute_s": min(60.0, window_s)}, binary=True)
    return [Meter(*row) for row in found]


def _held(quota: OpenQuota, caller: Caller, place: Place) -> dict[str, object]:
    """What tells this hold of the place from any later one."""
    return {"quota_id": quota.id, "slot_no": place.slot_no, "holder": caller.holder, "taken_at": place.taken_at}


def _row(conn: psycopg.Connection[TupleRow], name: str, parameters: dict[str, object]) -> TupleRow:
    row = conn.execute(SQL[name], parameters).fetchone()
    assert row is not None
    return row


def _why(state: str, closed_reason: str) -> str:
    return {
        "closed": closed_reason or "the provider asked to wait",
        "probing": "one request tries whether the provider answers again",
        "overtaken": "interactive requests go first",
    }.get(state, "the rate limit")
