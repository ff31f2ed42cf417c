"""
What was asked of the exchange: the request log, its counts, and the limits of all keys.

A request over its limit is refused and does not count towards the limit; the log counts it all the same, and
``max_in_any_60s`` says how far a client ever went, in weight where requests are weighed. A vendor whose windows begin
with a key's first request allows twice as much around the end of one; ``limit_was_exceeded`` says whether anything was
refused.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from barfill.simulate.limits import Limit

_RECORDS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived, and how it ended. *status* is 0 where the connection was broken instead."""

    at_s: float
    endpoint: str
    path: str
    query: dict[str, str]
    status: int
    fault: str | None = None
    vendor: str = "alpaca"


class _Kind(NamedTuple):
    """What requests are counted by."""

    vendor: str
    endpoint: str
    status: str
    minute: str


@dataclass
class Ledger:
    """
    Every request since the start, or since it was last told to forget.

    *requests_per_minute* is what each vendor allows a key, weight where requests are weighed; *new_limits* makes the
    limit of a new one.
    """

    requests_per_minute: Mapping[str, int]
    new_limits: Mapping[str, Callable[[], Limit]]
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=_RECORDS_KEPT))
    _limits: dict[tuple[str, str, str], Limit] = field(default_factory=dict)
    _counts: Counter[_Kind] = field(default_factory=Counter)

    def limit_of(self, vendor: str, host: str, key: str) -> Limit:
        """The limit of a key on a host of a vendor: each is counted apart."""
        place = vendor, host, key
        if place not in self._limits:
            self._limits[place] = self.new_limits[vendor]()
        return self._limits[place]

    def record(self, request: Request) -> None:
        self.requests.append(request)
        minute = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(request.at_s))
        self._counts[_Kind(request.vendor, request.endpoint, str(request.status), minute)] += 1

    def forget(self) -> None:
        """Start counting anew; the limits keep what they know, since the real seconds go on."""
        self.requests.clear()
        self._counts.clear()
        for limit in self._limits.values():
            limit.forget()

    def summary(self) -> dict[str, Any]:
        """
        Counts by endpoint, by status and by minute, and the fullest sliding minute of any key beside its limit.

        All of it for all vendors together, and once more for each that was asked (``by_vendor``).
        """
        vendors = {
            vendor: self._summary_of([vendor])
            for vendor in self.requests_per_minute
            if any(kind.vendor == vendor for kind in self._counts)
        }
        return {**self._summary_of(list(self.requests_per_minute)), "by_vendor": vendors}

    def _summary_of(self, vendors: Sequence[str]) -> dict[str, Any]:
        counts = Counter({kind: count for kind, count in self._counts.items() if kind.vendor in vendors})
        endpoints: dict[str, dict[str, int]] = {}
        for endpoint in sorted({kind.endpoint for kind in counts}):
            endpoints[endpoint] = _totals(counts, "status", endpoint)
        # Of several vendors the one is told of whose key came closest to its limit, or went furthest beyond it.
        fullest = {
            vendor: max((one.max_in_any_60s for key, one in self._limits.items() if key[0] == vendor), default=0)
            for vendor in vendors
        }
        vendor = max(vendors, key=lambda name: fullest[name] / self.requests_per_minute[name])
        return {
            "total": counts.total(),
            "by_endpoint": endpoints,
            "by_status": _totals(counts, "status"),
            "by_minute": _totals(counts, "minute"),
            "requests_per_minute": self.requests_per_minute[vendor],
            "max_in_any_60s": fullest[vendor],
            "limit_was_exceeded": any(one.was_exceeded for key, one in self._limits.items() if key[0] in vendors),
        }


def _totals(counts: Counter[_Kind], name: str, endpoint: str | None = None) -> dict[str, int]:
    """How often each value of the field *name* was counted, of one endpoint or of all."""
    totals: Counter[str] = Counter()
    for kind, count in counts.items():
        if endpoint in {None, kind.endpoint}:
            totals[getattr(kind, name)] += count
    return dict(sorted(totals.items()))
