"""
Every error barfill raises on purpose, in one tree.

BarfillError
├─ Defect                       anything else, where a run has failed by it
├─ SettingsError
├─ InvalidInput (ValueError)    UnknownTimeframe, NaiveTimestamp, EmptyRange, OutsideCalendar, NoProvider
├─ NotFound (LookupError)       SymbolNotFound, JobRunNotFound, DefinitionNotFound, QuarantinedNotFound
├─ ProviderError                knows provider, request (without its secrets) and status
│  ├─ ProviderUnavailable, ProviderTimeout   refused or 5xx; too slow: tried again, the attempt counts
│  ├─ RateLimited               429: waits as told, tells all workers, spends no attempt
│  ├─ CredentialsRejected       401: fails at once, with what to set
│  ├─ PlanTooSmall              403: the plan does not include this; final
│  ├─ TooRecent                 403: the newest minutes are barred; the end is cut and the range goes on
│  ├─ TooOld                    400: the range begins before the history; the rest of it goes on
│  ├─ SymbolNotOffered          the provider does not know it: fails that symbol, never its batch
│  ├─ RequestTooLong            414: the batch is halved
│  ├─ AnswerTooLong             the range holds more than one answer can: it is halved
│  ├─ StalePageToken            400: the token is no longer good; go on from what is not covered
│  └─ BadResponse               does not parse, or breaks a hard rule
├─ DailyBudgetSpent             bulk work ends here and goes on tomorrow
└─ StoreError                   StoreUnavailable (StoreCrowded), StoreFull, StoreReadOnly, SchemaOutdated,
                                SeriesConflict, PageDropped

What happens next follows from the class: `code` is the documented error_code, `is_transient` says whether the
same request may be tried again. Callers read attributes, never the text.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

EXCERPT_LENGTH_MAX = 200


class BarfillError(Exception):
    """Anything barfill refuses or cannot do; the text says what, with which input, and what to do next."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    is_transient: ClassVar[bool] = False


class Defect(BarfillError):
    """
    An error that nobody has thought of.

    Args:
        error: What was raised; `reason` is its kind.
    """

    def __init__(self, error: Exception) -> None:
        kind = type(error).__name__
        super().__init__(f"{kind}: {excerpt(str(error))}. Please report it.")
        self.reason = kind.lower()


class SettingsError(BarfillError):
    """The settings are incomplete or contradict each other."""

    code = "INVALID_SETTINGS"


class InvalidInput(BarfillError, ValueError):
    """A value from outside cannot be used."""

    code = "INVALID_INPUT"


class UnknownTimeframe(InvalidInput):
    """The text names no timeframe."""

    code = "INVALID_TIMEFRAME"


class NaiveTimestamp(InvalidInput):
    """An instant came without its time zone."""


class EmptyRange(InvalidInput):
    """A range would end at or before its start."""


class OutsideCalendar(InvalidInput):
    """A range reaches beyond the sessions that the calendar knows."""


class NoProvider(InvalidInput):
    """No provider that has a key has what is wanted."""


class NotFound(BarfillError, LookupError):
    """What was named does not exist."""

    code = "NOT_FOUND"


class SymbolNotFound(NotFound):
    """No provider and no table knows the symbol."""

    code = "SYMBOL_NOT_FOUND"


class JobRunNotFound(NotFound):
    """There is no run of that id, or no longer."""


class DefinitionNotFound(NotFound):
    """There is no job definition of that id."""


class QuarantinedNotFound(NotFound):
    """There is no quarantined row of that id."""


class ProviderError(BarfillError):
    """
    A provider's answer, or its silence, that is not a success.

    Args:
        message: What happened, and what happens next or can be done.
        provider: Its name.
        request: What was asked, without secrets: path and the range or symbols.
        status: The HTTP status, where there was one.
        reason: A stable word that tells cases of one `code` apart, such as `page_loop`.
        request_id: The provider's own id of the request, where it gave one.
    """

    code = "PROVIDER_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        request: str = "",
        status: int | None = None,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.request = request
        self.status = status
        self.reason = reason
        self.request_id = request_id


class ProviderUnavailable(ProviderError):
    """Refused, reset or 5xx."""

    is_transient = True


class ProviderTimeout(ProviderError):
    """Too slow, or cut off in the middle of an answer."""

    code = "TIMEOUT"
    is_transient = True


class RateLimited(ProviderError):
    """
    429. Spends no attempt.

    Args:
        retry_after_s: Seconds to wait as the provider told; None where it told nothing usable.
    """

    code = "RATE_LIMIT_EXCEEDED"
    is_transient = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        provider: str = "",
        request: str = "",
        status: int | None = 429,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(
            message, provider=provider, request=request, status=status, reason=reason, request_id=request_id
        )
        self.retry_after_s = retry_after_s


class CredentialsRejected(ProviderError):
    """401, or a certificate that does not prove the host: nothing more is sent with this key."""

    code = "UNAUTHORIZED"


class PlanTooSmall(ProviderError):
    """403: the plan does not include this."""

    code = "FORBIDDEN_PLAN"


class TooRecent(PlanTooSmall):
    """403: the range ends within the minutes that the plan bars."""


class TooOld(PlanTooSmall):
    """
    The range begins before the history that is offered.

    Args:
        offered_from: Where that begins, UTC.
    """

    def __init__(
        self,
        message: str,
        *,
        offered_from: datetime,
        provider: str = "",
        request: str = "",
        status: int | None = None,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(
            message, provider=provider, request=request, status=status, reason=reason, request_id=request_id
        )
        self.offered_from = offered_from


class SymbolNotOffered(ProviderError):
    """
    The provider refuses a symbol.

    Args:
        symbol: The offender, or None where the provider named none.
    """

    code = "SYMBOL_NOT_FOUND"

    def __init__(
        self,
        message: str,
        *,
        symbol: str | None,
        provider: str = "",
        request: str = "",
        status: int | None = None,
        reason: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(
            message, provider=provider, request=request, status=status, reason=reason, request_id=request_id
        )
        self.symbol = symbol


class RequestTooLong(ProviderError):
    """414: the request line is too long for the provider."""

    code = "BAD_RESPONSE"


class AnswerTooLong(ProviderError):
    """What was asked for is more than the provider can send in one answer."""

    code = "BAD_RESPONSE"


class StalePageToken(ProviderError):
    """The provider no longer accepts a page token it once gave."""

    code = "BAD_RESPONSE"


class BadResponse(ProviderError):
    """The answer does not parse, or breaks a hard rule; `reason` says which."""

    code = "BAD_RESPONSE"


class DailyBudgetSpent(BarfillError):
    """
    The day's requests are used up; nothing more is sent before 00:00 UTC.

    Args:
        day_budget: How many were allowed.
    """

    code = "BUDGET_SPENT"

    def __init__(self, message: str, *, day_budget: int) -> None:
        super().__init__(message)
        self.day_budget = day_budget


class StoreError(BarfillError):
    """The database refused or is not there."""

    code = "DATABASE_ERROR"


class StoreUnavailable(StoreError):
    """No connection, or it broke."""

    is_transient = True


class StoreCrowded(StoreUnavailable):
    """The server is there and has no connection to give."""


class StoreFull(StoreError):
    """The disk below the database is full."""


class StoreReadOnly(StoreError):
    """The database or its directory cannot be written."""


class SchemaOutdated(StoreError):
    """The database was made by a newer barfill."""


class SeriesConflict(StoreError):
    """Bars of another feed or adjustment basis than the series holds."""

    code = "VALIDATION_FAILED"


class PageDropped(StoreError):
    """The fence refused a late page: another worker has taken the run over. Nothing was written."""


def excerpt(text: str) -> str:
    """The first 200 characters of outside text, control characters made visible."""
    shown = text[: EXCERPT_LENGTH_MAX + 1].encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= EXCERPT_LENGTH_MAX else shown[: EXCERPT_LENGTH_MAX - 1] + "…"
