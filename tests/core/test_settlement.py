"""What a run of absent bars is, by what surrounds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from barfill.core.gaps import GapKind
from barfill.core.settlement import Surroundings, verdict
from barfill.core.traded import Traded

HALT = Surroundings(
    bars=12,
    length=timedelta(hours=3),
    sessions=1,
    whole_sessions=0,
    is_framed=True,
    density=1.0,
    peers=5,
    peers_present=5,
    finer=0,
    coarser=0,
    others_silent=False,
    traded=Traded.UNKNOWN,
    has_halts=True,
    since=timedelta(hours=2),
)
DAY: dict[str, Any] = {"whole_sessions": 1, "is_framed": False}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, GapKind.MISSING),
        ({"others_silent": True}, GapKind.HALTED),
        ({"peers": 1, "peers_present": 1, "others_silent": True}, GapKind.HALTED),
        (DAY, GapKind.MISSING),
        ({**DAY, "others_silent": True}, GapKind.HALTED),
        ({**DAY, "peers": 1, "peers_present": 1, "others_silent": True}, GapKind.HALTED),
        ({**DAY, "whole_sessions": 3, "sessions": 3, "others_silent": True}, GapKind.HALTED),
        ({**DAY, "peers": 2, "peers_present": 2}, GapKind.MISSING),
        ({**DAY, "whole_sessions": 3, "sessions": 3}, GapKind.MISSING),
        ({**DAY, "whole_sessions": 11, "sessions": 11, "others_silent": True}, GapKind.MISSING),
        ({"length": timedelta(minutes=4)}, GapKind.MISSING),
        ({"peers": 0, "peers_present": 0}, GapKind.MISSING),
        ({"is_framed": False}, GapKind.MISSING),
        ({"sessions": 2}, GapKind.MISSING),
        ({"finer": 1}, GapKind.MISSING),
        ({"coarser": 2}, GapKind.MISSING),
        ({"has_halts": False}, GapKind.MISSING),
        ({"density": float("nan")}, GapKind.MISSING),
        ({"density": 0.5}, GapKind.NO_TRADE),
        ({"density": 0.5, "bars": 50}, GapKind.MISSING),
        ({"density": 0.5, "bars": 50, "others_silent": True}, GapKind.HALTED),
        ({"density": 0.5, "finer": 1}, GapKind.MISSING),
        ({"traded": Traded.YES}, GapKind.MISSING),
        ({"traded": Traded.YES, "density": 0.5}, GapKind.MISSING),
        ({"traded": Traded.NO}, GapKind.HALTED),
        ({"traded": Traded.NO, "is_framed": False, "sessions": 2}, GapKind.HALTED),
        ({"traded": Traded.NO, "peers": 0, "peers_present": 0}, GapKind.HALTED),
        ({"traded": Traded.NO, "peers": 10, "peers_present": 7, "since": timedelta(days=7)}, GapKind.MISSING),
        ({"traded": Traded.NO, "length": timedelta(minutes=4)}, GapKind.NO_TRADE),
        ({"traded": Traded.NO, "has_halts": False}, GapKind.NO_TRADE),
        ({"traded": Traded.NO, "finer": 1}, GapKind.MISSING),
    ],
)
def test_kind_follows_from_what_surrounds_the_run(change: dict[str, Any], kind: GapKind) -> None:
    """A halt needs a frame, others that traded, and another timeframe that bears it out; all is settled."""
    found = verdict(replace(HALT, **change))

    assert (found.kind, found.is_settled) == (kind, True)
    assert found.reason


def test_a_fault_of_the_provider_is_asked_for_again_the_next_day() -> None:
    """S4: where a fifth of the others lack the same bars the provider is at fault; after a week that is how it is."""
    fault = replace(HALT, peers=10, peers_present=7)

    first, last = verdict(fault), verdict(replace(fault, since=timedelta(days=7)))

    assert (first.kind, first.is_settled, first.check_after) == (GapKind.MISSING, False, timedelta(days=1))
    assert (last.kind, last.is_settled) == (GapKind.MISSING, True)
    assert "3 of 10 other liquid symbols" in first.reason
