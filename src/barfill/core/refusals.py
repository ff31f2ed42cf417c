"""
What a run of refusals (429) teaches: how long to wait, and how sure a reopening is.

After a refusal everybody waits; then one request at a time, the probe, tries whether the provider answers again, and
only its success lets the others follow. One arithmetic for the quota of one process and for the shared one.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKOFF_S_MAX = 300.0
JITTER = (1.2, 1.5)
"""Bounds of the factor on a wait that nobody told: at least a fifth on top."""

_FIRST_STRIKES_MAX = 4


@dataclass(frozen=True, slots=True)
class Refusals:
    """
    The refusals since the last success.

    Attributes:
        strikes: How far the waits have grown.
        failed_probes: How many probes were refused; from the first on, a told wait is not believed alone.
    """

    strikes: int = 0
    failed_probes: int = 0

    def and_one(self, *, is_probing: bool) -> Refusals:
        """
        With one more; *is_probing* says whether a probe is under way.

        A burst of requests that were under way together counts for a few at most. With that, 8 callers refused for
        5 minutes send 12 requests at the most (H03).
        """
        if is_probing:
            return Refusals(self.strikes + 1, self.failed_probes + 1)
        return Refusals(max(self.strikes, min(self.strikes + 1, _FIRST_STRIKES_MAX)), self.failed_probes)

    def wait_s(self, told_s: float | None, *, jitter: float) -> float:
        """
        Seconds to wait now.

        Args:
            told_s: What the provider told; None where it told nothing usable.
            jitter: A factor within JITTER.
        """
        if told_s is not None and self.failed_probes == 0:
            return told_s
        return max(told_s or 0.0, min(2.0**self.strikes, BACKOFF_S_MAX) * jitter)
