"""Every absent minute of many symbols, with what is wrong with each known, by the kind that it is given."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import Quota, SlidingQuota
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.rig import NYSE, QUICK, Rig, days

M1 = Timeframe.M1
WEEK = days("2026-09-08", "2026-09-12")
"""Four sessions after Labor Day, 13:30 to 20:00 UTC."""
SESSIONS = [
    Range(datetime(2026, 9, day, 13, 30, tzinfo=UTC), datetime(2026, 9, day, 20, tzinfo=UTC)) for day in range(8, 12)
]
INCIDENT = Range(datetime(2026, 9, 10, 17, tzinfo=UTC), datetime(2026, 9, 10, 17, 25, tzinfo=UTC))
SYMBOLS = int(os.environ.get("GAP_KINDS_SYMBOLS", "300"))
SEED = 5
RIGHT = {
    "quiet": {"no_trade"},
    "quiet, beside such a run": {"no_trade", "halted", "missing", "missing, open", "unavailable"},
    "halted": {"missing"},
    "halted, all day": {"missing"},
    "missing": {"missing"},
    "newly listed": {"unavailable"},
    "delisted": {"unavailable"},
    "incident": {"missing, open"},
}
"""
A quiet minute right beside a run that is absent for another reason is taken for a part of it.

A halt and a hole of one symbol leave the same minutes absent: where nothing but minutes was asked for, neither is
called a halt (test_settling.py has days that tell them apart).
"""


@dataclass(frozen=True)
class Fate:
    """What a symbol lacks, and what that is."""

    kind: str
    ranges: tuple[Range, ...]


def fates(count: int) -> dict[str, Fate]:
    """By ticker: halts, holes, listings and delistings, one for each second symbol or so."""
    random = Random(SEED)
    found: dict[str, Fate] = {}
    for number in range(1, count + 1):
        session, dice = SESSIONS[random.randrange(1, 3)], random.random()
        first, length = random.randrange(0, 240), random.randrange(20, 150)
        start = session.start + timedelta(minutes=first)
        if dice < 0.12:
            fate = Fate("halted", (Range(start, start + timedelta(minutes=length)),))
        elif dice < 0.14:
            fate = Fate("halted, all day", (session,))
        elif dice < 0.20:  # over the night
            fate = Fate(
                "missing",
                (Range(SESSIONS[1].end - timedelta(minutes=length), SESSIONS[2].start + timedelta(minutes=first + 9)),),
            )
        elif dice < 0.26:
            fate = Fate("newly listed", (Range(WEEK.start, session.start),))
        elif dice < 0.30:
            fate = Fate("delisted", (Range(session.end, WEEK.end),))
        elif dice < 0.55:
            fate = Fate("incident", (INCIDENT,))
        else:
            fate = Fate("nothing", ())
        found[f"SYM{number:04d}"] = fate
    return found


class Fateful(Alpaca):
    """Alpaca without what the symbols' fates say."""

    fates: dict[str, Fate]

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page without it."""
        page = super().parse_bars(query, response)
        rows = page.rows
        is_lost = np.zeros(len(rows), np.bool_)
        for number, ticker in enumerate(page.symbols):
            for one in self.fates.get(ticker, Fate("", ())).ranges:
                is_lost |= (rows.symbol == number) & (rows.ts >= to_us(one.start)) & (rows.ts < to_us(one.end))
        return replace(page, rows=rows.take(~is_lost))


@dataclass
class FatefulRig(Rig):
    """A rig with such a provider."""

    fates: dict[str, Fate] = field(default_factory=dict)

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client of it."""
        provider = Fateful(self.key, "secret", base_url=self.exchange.alpaca_url, page_size=self.page_size)
        provider.fates = self.fates
        return ProviderClient(provider, HttpClient(provider.base_urls), quota or SlidingQuota(100_000))

    def confusion(self) -> Counter[tuple[str, str]]:
        """Absent minutes by what they are and what they are taken for."""
        expected = NYSE.expected_starts(M1, WEEK)
        gaps: dict[str, list[tuple[int, int, str]]] = {}
        is_open = "case when kind = 'missing' and settled_at is null then ', open' else '' end"
        told = f"select symbol, gap_from, gap_to, kind || {is_open} from gaps"
        for ticker, start, end, kind in self.query(told):
            gaps.setdefault(ticker, []).append((to_us(start), to_us(end), kind))
        table: Counter[tuple[str, str]] = Counter()
        for ticker, fate in self.fates.items():
            absent = np.setdiff1d(expected, np.array(sorted(self.stored(ticker, M1)), np.int64))
            is_fate = _inside(absent, [(to_us(one.start), to_us(one.end)) for one in fate.ranges])
            taken_for = np.full(len(absent), "nothing", dtype=object)
            for start, end, kind in sorted(gaps.get(ticker, ()), key=lambda gap: gap[2] != "no_trade"):
                taken_for[(absent >= start) & (absent < end)] = kind
            run = np.cumsum(np.diff(np.searchsorted(expected, absent), prepend=-9) > 1)
            is_beside = np.isin(run, run[is_fate])
            truth = np.where(is_fate, fate.kind, np.where(is_beside, "quiet, beside such a run", "quiet"))
            table.update(zip(truth.tolist(), taken_for.tolist(), strict=True))
        return table


def _inside(starts: NDArray[np.int64], ranges: list[tuple[int, int]]) -> NDArray[np.bool_]:
    found = np.zeros(len(starts), np.bool_)
    for start, end in ranges:
        found |= (starts >= start) & (starts < end)
    return found


@pytest.fixture(scope="module")
def crowd() -> Iterator[SimulatedExchange]:
    """An exchange with many symbols."""
    config = ExchangeConfig(port=0, plan="paid", symbols=SYMBOLS + 50, requests_per_minute=1_000_000)
    with running_exchange(config) as exchange:
        yield exchange


def test_each_absent_minute_gets_the_kind_that_it_is(crowd: SimulatedExchange, database: Database) -> None:
    """Halted, newly listed, delisted, thin, with holes of their own and of everybody: nothing is without a kind."""
    rig = FatefulRig(crowd, database, settings=replace(QUICK, gap_attempts=0), fates=fates(SYMBOLS))
    rig.backfill(list(rig.fates), [M1], WEEK)
    gone = [ticker for ticker, fate in rig.fates.items() if fate.kind == "delisted"]
    rig.change(f"update symbols set is_active = false where ticker in ({', '.join(map(repr, gone))})")
    rig.change(
        "update series_gaps set first_seen_at = now() - interval '2 hours', next_check_at = now() - interval '1 second'"
    )
    rig.backfill(list(rig.fates), [M1], WEEK)

    table = rig.confusion()
    wrong = {key: minutes for key, minutes in table.items() if key[1] not in RIGHT[key[0]]}
    # The rule believes no run that chance brings once in a million: a few quiet minutes among so many are such runs.
    alarms = wrong.pop(("quiet", "missing"), 0) + wrong.pop(("quiet", "missing, open"), 0)
    # A halt that is not much longer than a thin symbol's own quiet runs may be taken for one.
    thin = wrong.pop(("halted", "no_trade"), 0)
    assert wrong == {}, shown(table)
    assert thin <= 0.05 * table["halted", "halted"], shown(table)
    assert alarms <= 0.0001 * table["quiet", "no_trade"], shown(table)


def shown(table: Counter[tuple[str, str]]) -> str:
    """The table, for the message of a failure."""
    return "\n".join(f"| {truth} | {kind} | {minutes:,} |" for (truth, kind), minutes in sorted(table.items()))
