"""How much of it: the sizes of the usual form, of a short one, and of one that takes hours."""

from __future__ import annotations

from dataclasses import dataclass

ABSENCES_S = (5.0, 40.0, 120.0)
"""What the list of faults asks for by name (R04)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    How much of it.

    Attributes:
        seed: The same seed chooses the same faults and victims; processes run as fast as they happen to.
        workers: How many `barfill worker`.
        kills: SIGKILLs of the first scenario; the others take theirs from it.
        symbols: How many symbols it defines at its start; more follow as work runs low.
        window_days: How far back its symbols are wanted.
        snapshots: How many looks there must be during it.
        pooler_kills: SIGKILLs of children behind a transaction pooler.
        deaths_per_point: How many workers die at each crash point.
        freezes, stops: How often a worker is frozen, and the database stopped.
        is_frozen_in_transaction: Whether one is also frozen while it holds locks: others wait 10 s for these.
        away_s: Shortest and longest absence of the database.
        absences_s: Of these lengths there is one each among its absences, as far as there are so many.
        chaos_s: How long network and provider are bad.
        ailing_s: How long each ailment of the database lasts.
        limits: Requests a minute in the scenario of that name, each in a yard of its own.
        limit_workers: How many workers share such a limit.
        limit_calm_s, limit_s: How long they do so undisturbed, and then while they are killed.
        seeds: How many simulations.
    """

    seed: int
    workers: int = 3
    kills: int = 50
    symbols: int = 4
    window_days: int = 60
    snapshots: int = 0
    pooler_kills: int = 20
    deaths_per_point: int = 20
    freezes: int = 10
    stops: int = 6
    is_frozen_in_transaction: bool = True
    away_s: tuple[float, float] = (2.0, 40.0)
    absences_s: tuple[float, ...] = ()
    chaos_s: float = 60.0
    ailing_s: float = 40.0
    limits: tuple[int, ...] = (200,)
    limit_workers: int = 4
    limit_calm_s: float = 0.0
    limit_s: float = 150.0
    seeds: int = 200


SHORT = Measure(
    seed=0,
    workers=2,
    kills=5,
    pooler_kills=3,
    deaths_per_point=1,
    freezes=1,
    stops=1,
    is_frozen_in_transaction=False,
    away_s=(2.0, 3.0),
    chaos_s=5.0,
    ailing_s=5.0,
    limits=(60,),
    limit_workers=3,
    limit_s=8.0,
    seeds=20,
)

THOROUGH = Measure(
    seed=0,
    kills=200,
    symbols=50,
    window_days=630,  # 30 slices for each symbol
    snapshots=1_000,
    pooler_kills=50,
    freezes=40,
    stops=20,
    absences_s=ABSENCES_S,
    chaos_s=600.0,
    ailing_s=360.0,
    limits=(200, 5),
    limit_workers=8,
    limit_calm_s=300.0,
    limit_s=300.0,
)
"""The counts of the list that the scenarios are taken from."""
