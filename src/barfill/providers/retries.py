"""Which failure is tried again, and how often: one table for all providers."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

from barfill.errors import (
    AnswerTooLong,
    BadResponse,
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooOld,
    TooRecent,
)


class Retry(Enum):
    """What the client does with a failed attempt."""

    WAIT = "wait"
    """As long as the provider tells; spends no attempt."""
    ALL = "all"
    """Up to the configured attempts, with backoff and full jitter."""
    ONCE = "once"
    NEVER = "never"


_ANY_REASON = ""

RETRIES = MappingProxyType(
    {
        (RateLimited, _ANY_REASON): Retry.WAIT,
        (ProviderUnavailable, _ANY_REASON): Retry.ALL,
        (ProviderTimeout, _ANY_REASON): Retry.ALL,
        (CredentialsRejected, _ANY_REASON): Retry.NEVER,
        (PlanTooSmall, _ANY_REASON): Retry.NEVER,
        (TooRecent, _ANY_REASON): Retry.NEVER,
        (TooOld, _ANY_REASON): Retry.NEVER,
        (SymbolNotOffered, _ANY_REASON): Retry.NEVER,
        (RequestTooLong, _ANY_REASON): Retry.NEVER,
        (AnswerTooLong, _ANY_REASON): Retry.NEVER,
        (StalePageToken, _ANY_REASON): Retry.NEVER,
        (BadResponse, "json"): Retry.ALL,
        (BadResponse, "body"): Retry.ALL,
        (BadResponse, "truncated"): Retry.ALL,
        (BadResponse, "count"): Retry.ONCE,
        (BadResponse, "out_of_range"): Retry.ONCE,
        # schema, wrong_symbol, wrong_variant, foreign_next_url, redirect, too_large, refused: the same again
        # would only give the same.
        (BadResponse, _ANY_REASON): Retry.NEVER,
    }
)


def retry_of(error: BaseException | None) -> Retry:
    """What the table says of *error*; what is not in it is not tried again."""
    if not isinstance(error, ProviderError):
        return Retry.NEVER
    kind = type(error)
    return RETRIES.get((kind, error.reason)) or RETRIES.get((kind, _ANY_REASON), Retry.NEVER)


def attempts_of(error: BaseException | None, attempts: int) -> int:
    """How many attempts *error* is worth in all."""
    return {Retry.ALL: attempts, Retry.ONCE: min(2, attempts)}.get(retry_of(error), 1)
