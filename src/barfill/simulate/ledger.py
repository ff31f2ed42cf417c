"""
What was asked of the exchange: the request log, its counts, and the request limit.

The limit is judged as strictly as can be: in no sliding 60 seconds of real time may a key have more requests than
allowed. A request over it is refused and does not count towards the limit; the log counts it all the same, and
``max_in_any_60s`` says how far a client ever went.
"""

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

WINDOW_S = 60.0
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


@dataclass(slots=True)
class Allowance:
    """What the limit says to one request: whether it may go on and what the headers tell."""

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RequestLimit:
    """The sliding window of one key on one host."""

    def __init__(self, requests_per_minute: int) -> None:
        self._limit = requests_per_minute
        self._allowed: deque[float] = deque()
        self._arrived: deque[float] = deque()
        self.max_in_any_60s = 0

    def take(self, now_s: float | None = None) -> Allowance:
        """Judge a request that arrives now (seconds since 1970, of the real clock)."""
        now_s = time.time() if now_s is None else now_s
        _forget_before(self._allowed, now_s - WINDOW_S)
        _forget_before(self._arrived, now_s - WINDOW_S)
        self._arrived.append(now_s)
        self.max_in_any_60s = max(self.max_in_any_60s, len(self._arrived))
        is_allowed = len(self._allowed) < self._limit
        if is_allowed:
            self._allowed.append(now_s)
        oldest_s = self._allowed[0] if self._allowed else now_s
        return Allowance(is_allowed, self._limit, self._limit - len(self._allowed), math.ceil(oldest_s + WINDOW_S))


@dataclass
class Ledger:
    """Every request since the start, or since it was last told to forget."""

    requests_per_minute: int
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=_RECORDS_KEPT))
    _limits: dict[tuple[str, str], RequestLimit] = field(default_factory=dict)
    _counts: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def limit_of(self, host: str, key: str) -> RequestLimit:
        """The limit of a key on a host ("data" or "trading"): the two are counted apart."""
        return self._limits.setdefault((host, key), RequestLimit(self.requests_per_minute))

    def record(self, request: Request) -> None:
        self.requests.append(request)
        minute = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(request.at_s))
        self._counts[request.endpoint, request.status, minute] += 1

    def forget(self) -> None:
        """Start counting anew; the limits keep what they know, since the real seconds go on."""
        self.requests.clear()
        self._counts.clear()
        for limit in self._limits.values():
            limit.max_in_any_60s = 0

    def summary(self) -> dict[str, Any]:
        """Counts by endpoint, by status and by minute, and the fullest sliding minute of any key."""
        endpoints: dict[str, Counter[str]] = {}
        statuses: Counter[str] = Counter()
        minutes: Counter[str] = Counter()
        for (endpoint, status, minute), count in self._counts.items():
            endpoints.setdefault(endpoint, Counter())[str(status)] += count
            statuses[str(status)] += count
            minutes[minute] += count
        fullest = max((limit.max_in_any_60s for limit in self._limits.values()), default=0)
        return {
            "total": sum(statuses.values()),
            "by_endpoint": {endpoint: dict(sorted(counts.items())) for endpoint, counts in sorted(endpoints.items())},
            "by_status": dict(sorted(statuses.items())),
            "by_minute": dict(sorted(minutes.items())),
            "requests_per_minute": self.requests_per_minute,
            "max_in_any_60s": fullest,
            "limit_was_exceeded": fullest > self.requests_per_minute,
        }


def _forget_before(times: deque[float], bound_s: float) -> None:
    while times and times[0] <= bound_s:
        times.popleft()
