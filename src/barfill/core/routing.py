"""
Who is asked for what: each part of what is wanted of a symbol goes to one provider.

Pure. The order of the providers is the user's. The first that has the kind of symbol and the timeframe is asked; what
lies before the history of its plan goes to the next that has it, where that is the same feed on the same basis. A
series that holds bars keeps to providers of its feed and basis: whoever is first in the order does not change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from barfill.core.capabilities import CRYPTO, Capabilities
from barfill.core.plan import derivable_from
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe

_ALWAYS = datetime(1, 1, 1, tzinfo=UTC)

Policy = tuple[str, str]
"""Feed and adjustment basis of a series."""


@dataclass(frozen=True, slots=True)
class Roster:
    """
    The providers that can be asked.

    Attributes:
        order: Those that bring final bars, the preferred first.
        live: The one that brings the bars of the current session that the others do not have yet.
        kept: Those that are asked only for series that hold what they bring and nobody in the order does.
        fallbacks: Those that are asked, in order, for what another has not.
    """

    order: tuple[Capabilities, ...]
    live: Capabilities | None = None
    kept: tuple[Capabilities, ...] = ()
    fallbacks: tuple[Capabilities, ...] = ()

    @property
    def final(self) -> tuple[Capabilities, ...]:
        """All that bring final bars."""
        return (*self.order, *self.kept)


@dataclass(frozen=True, slots=True)
class Route:
    """What one provider is asked for."""

    capabilities: Capabilities
    windows: Mapping[Timeframe, Range]


@dataclass(frozen=True, slots=True)
class Routing:
    """
    Attributes:
        routes: One for each provider that is asked, in the order of preference.
        unserved: Timeframes that none has of such symbols.
    """

    routes: tuple[Route, ...]
    unserved: tuple[Timeframe, ...]


def route(
    windows: Mapping[Timeframe, Range],
    roster: Roster,
    *,
    asset_type: str,
    policies: Mapping[Timeframe, Policy],
    now: datetime,
) -> Routing:
    """
    Divides *windows* of symbols of one kind among the providers.

    Args:
        policies: What the symbol's series hold already, also those that are not wanted. Where no provider has that, the
            first is asked all the same: what it sends is refused with the choice that there is.
    """
    parts: dict[str, dict[Timeframe, Range]] = {one.provider: {} for one in roster.final}
    unserved: list[Timeframe] = []
    for timeframe, window in windows.items():
        policy = policies.get(timeframe) or _venue(asset_type, policies)
        able = _able(roster.order, asset_type, timeframe)
        fitting = _of(policy, able, timeframe) or _of(policy, _able(roster.kept, asset_type, timeframe), timeframe)
        if not able and not fitting:
            unserved.append(timeframe)
            continue
        for provider, part in _shared(window, fitting or able, timeframe, now):
            parts[provider][timeframe] = part
    routes = (Route(one, parts[one.provider]) for one in roster.final)
    return Routing(tuple(one for one in routes if one.windows), tuple(unserved))


def _able(providers: Iterable[Capabilities], asset_type: str, timeframe: Timeframe) -> list[Capabilities]:
    return [one for one in providers if asset_type in one.asset_types and has_timeframe(one, timeframe)]


def _of(policy: Policy | None, able: Iterable[Capabilities], timeframe: Timeframe) -> list[Capabilities]:
    return [one for one in able if policy_of(one, timeframe) == policy]


def _venue(asset_type: str, policies: Mapping[Timeframe, Policy]) -> Policy | None:
    """Where a new series of a pair comes from: a venue is a market of its own, and the pair has begun on one."""
    begun = set(policies.values())
    return begun.pop() if asset_type in CRYPTO and len(begun) == 1 else None


def has_timeframe(capabilities: Capabilities, timeframe: Timeframe) -> bool:
    """Whether the provider sends bars of *timeframe*, or finer ones of which they can be made."""
    return timeframe in capabilities.timeframes or bool(derivable_from(timeframe, capabilities))


def policy_of(capabilities: Capabilities, timeframe: Timeframe) -> Policy:
    """Feed and basis of what is stored of *timeframe*; derived bars have those of what they are made of."""
    finer = derivable_from(timeframe, capabilities)
    source = timeframe if timeframe in capabilities.timeframes or not finer else finer[0]
    return capabilities.feed, capabilities.basis(source)


def _shared(
    window: Range, able: Sequence[Capabilities], timeframe: Timeframe, now: datetime
) -> Sequence[tuple[str, Range]]:
    """The parts of *window* by provider: the first as far back as it goes, then those that have the same for longer."""
    chosen = [able[0]]
    for one in able[1:]:
        is_alike = policy_of(one, timeframe) == policy_of(able[0], timeframe)
        if is_alike and _oldest(one, timeframe, now) < _oldest(chosen[-1], timeframe, now):
            chosen.append(one)
    parts: list[tuple[str, Range]] = []
    end = window.end
    for one in chosen[:-1]:
        start = max(window.start, _monday_from(_oldest(one, timeframe, now)))
        if start < end:
            parts.append((one.provider, Range(start, end)))
            end = start
    if window.start < end:
        parts.append((chosen[-1].provider, Range(window.start, end)))
    return parts


def _oldest(capabilities: Capabilities, timeframe: Timeframe, now: datetime) -> datetime:
    return capabilities.history_start_at(now, timeframe) or _ALWAYS


def _monday_from(instant: datetime) -> datetime:
    """The first Monday, 00:00 UTC, not before *instant*: a week is made of days of one provider."""
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight < instant:
        midnight += timedelta(days=1)
    return midnight + timedelta(days=-midnight.weekday() % 7)
