"""A gap explained to a person: what was expected, who was asked, what was concluded, what happens next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from barfill.cli.terminal import ago, counted
from barfill.core.density import DENSITY_OF_THE_THIN_MAX
from barfill.core.plan import made_of
from barfill.core.settlement import LIQUID
from barfill.store.writes import NEVER

if TYPE_CHECKING:
    from barfill.store.gaps import Answer, ListedGap
    from barfill.store.series import SeriesRow

ANSWERS_SHOWN_MAX = 10
_CONCLUSIONS = {
    "missing": "the provider answered, and did not have what the symbol's calendar and habit let one expect",
    "failed": "the provider was asked and never answered",
    "no_trade": "nobody traded: quiet bars are normal for this symbol",
    "halted": "trading in the symbol was halted",
    "unavailable": "out of the provider's reach: before listing, after delisting, or beyond its history",
    "not_entitled": "the plan does not include it",
    "quarantined": "rows came and broke a rule: they are kept apart, in quarantined_bars",
}


def explain(
    listed: ListedGap, answers: Sequence[Answer], row: SeriesRow | None, calendar: str, now: datetime
) -> dict[str, Any]:
    """The parts of an explanation by name, each a sentence or several; what is not known is left out."""
    gap = listed.gap
    bars = f"{counted(gap.expected_bars, 'bar')} of {listed.timeframe.label}"
    version = f" (sessions from {gap.calendar_version})" if gap.calendar_version else ""
    return {
        "expected": f"{bars} that the calendar {calendar} lets one expect{version}",
        "asked": asked_text(listed, answers),
        "answers": [_answer_text(one) for one in answers],
        "density": density_text(row.density if row is not None else None),
        "kind": f"{gap.kind}: {_CONCLUSIONS.get(gap.kind, '')}",
        "why": gap.reason,
        "settled": _settled_text(listed, now),
        "next": next_text(listed, now),
    }


def explained_lines(parts: Mapping[str, Any]) -> Iterator[str]:
    """The explanation for a terminal, without indentation."""
    for name in ("expected", "asked"):
        yield f"{name:<10}{parts[name]}"
    shown = parts["answers"][-ANSWERS_SHOWN_MAX:]
    yield from (f"{'':<10}{text}" for text in shown)
    for name in ("density", "kind", "why", "settled", "next"):
        if parts[name]:
            yield f"{name:<10}{parts[name]}"


def asked_text(listed: ListedGap, answers: Sequence[Answer]) -> str:
    """Which providers were asked, and how often; what people have decided is not counted."""
    gap = listed.gap
    providers = list(dict.fromkeys(str(one["provider"]) for one in answers if one.get("provider")))
    source = next((one.label for one in made_of(listed.timeframe) if gap.reason.startswith(f"{one.label}: ")), None)
    if gap.attempts == 0 and source is not None:
        return f"never: it is derived of {source}, which lacks bars: barfill gaps --timeframe {source} --explain"
    if gap.attempts == 0 and gap.kind != "missing":
        return "never: no provider's answer has lacked these bars"
    if gap.attempts == 0:
        return "not yet: it was fetched before, and its bars are gone from the table"
    times = counted(gap.attempts, "time")
    return f"{times}, of {', '.join(providers)}" if providers else f"{times}; of whom is not on record"


def density_text(density: float | None) -> str:
    """How often the symbol trades."""
    if density is None:
        return "how often the symbol has a bar is not known yet"
    share = f"the symbol usually has {100 * density:.1f} % of its bars"
    if density < LIQUID:
        return f"{share}: quiet bars are normal"
    return f"{share}: a quiet bar is {'no wonder' if density < DENSITY_OF_THE_THIN_MAX else 'rare'}"


def next_text(listed: ListedGap, now: datetime) -> str:
    """What becomes of the gap, and when."""
    gap = listed.gap
    if gap.settled_by == "person":
        return "nothing; --unsettle takes the decision back"
    due = gap.next_check_at
    if due == NEVER:
        return "nothing; 'barfill quarantine undo' takes the decision back"
    if gap.is_settled:
        if due is None:
            return "nothing; 'barfill backfill --full' reads it again"
        return f"read again from {due:%Y-%m-%d %H:%M} UTC on; it fills if the bars have come"
    if due is None or due <= now:
        return "asked again by the next backfill or look of the scheduler, or now with --fill"
    return f"asked again from {due:%Y-%m-%d %H:%M} UTC on, or now with --fill"


def _settled_text(listed: ListedGap, now: datetime) -> str:
    gap = listed.gap
    if gap.settled_at is None:
        return ""
    who = "by a person" if gap.settled_by == "person" or gap.kind == "quarantined" else "by the rule"
    return f"{who}, {ago(gap.settled_at, now)} ({gap.settled_at:%Y-%m-%d %H:%M} UTC)"


def _answer_text(one: Answer) -> str:
    when = str(one.get("asked_at", ""))[:16].replace("T", " ")
    if one.get("by"):
        return f"{when} a person: {one.get('outcome', '')}"
    request = f", request {one['request_id']}" if one.get("request_id") else ""
    run = f", run {one['run_id']}" if one.get("run_id") else ""
    return f"{when} {one.get('provider')} ({one.get('feed')}): {one.get('outcome', '')}{run}{request}"
