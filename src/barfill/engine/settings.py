"""What the engine may be told; the wiring fills it from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from barfill.core.plan import Resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """
    Attributes:
        max_concurrent_jobs: How many chains of pages are fetched from each provider at the same time.
        resampling: What is derived from finer bars though the provider offers it.
        extended_hours: Whether stock bars outside regular hours are kept.
        worker_patience_s: Whoever gives no sign of life for so long is taken for dead.
        restatement_sessions: So many sessions are read again after each close, as providers correct them; 0 for none.
        gap_attempts: How often gaps are asked again within one backfill.
        gap_retry_waits_s: Seconds to rest before each of these attempts; the last one stands for all further ones.
    """

    max_concurrent_jobs: int = 5
    resampling: Resampling = field(default_factory=Resampling)
    extended_hours: bool = False
    worker_patience_s: float = 60.0
    restatement_sessions: int = 3
    gap_attempts: int = 2
    gap_retry_waits_s: tuple[float, ...] = (1.0, 3.0)

    def retry_wait_s(self, attempt: int) -> float:
        """The rest before retry number *attempt*, counted from 1."""
        return self.gap_retry_waits_s[min(attempt, len(self.gap_retry_waits_s)) - 1]
