"""
Asks one provider, with one key: sends what its adapter builds, and tries again what is worth it.

Retry, wait and pause follow from the table in `retries`; the quota says when a request may go. A key that was
rejected is paused: nothing more is sent with it, however many tasks ask.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from barfill.core.page import BarsQuery, Page
from barfill.crash import crash_point
from barfill.errors import (
    BadResponse,
    BarfillError,
    CredentialsRejected,
    ProviderError,
    RateLimited,
    SymbolNotOffered,
)
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol, Preparing, Provider, Sender, Windowing
from barfill.providers.limiter import Quota
from barfill.providers.redaction import Redactor
from barfill.providers.retries import attempts_of

TOLD_WAIT_S_MAX = 3600.0
"""Who is told to wait longer than this does not wait: the key is paused."""
BACKOFF_S_MAX = 60.0
SYMBOL_PAGES_MAX = 100
"""More than any list of symbols has."""

_OK = 200

T = TypeVar("T")
OnWait = Callable[[float, ProviderError], None]


@dataclass(slots=True)
class RequestCounts:
    """
    Requests that were sent.

    Attributes:
        all: Every one, answered or not.
        by_status: By HTTP status; 0 stands for no answer.
    """

    all: int = 0
    by_status: Counter[int] = field(default_factory=Counter)

    def add(self, status: int) -> None:
        """Counts one more."""
        self.all += 1
        self.by_status[status] += 1


@dataclass(frozen=True, slots=True)
class _Pause:
    error: ProviderError
    until: float | None
    """On the client's clock; None is for good."""


def _ignore(_seconds: float, _error: ProviderError) -> None:
    pass


class ProviderClient:
    """
    Fetches from one provider with one key.

    Args:
        provider: Builds requests and reads answers.
        http: Sends one attempt.
        quota: Shared by all who use the key.
        attempts: How often a request is tried in all; waits that a 429 asks for are not counted.
        backoff_s: The first pause between two attempts is at most this, doubling from there; full jitter.
        on_wait: Called before each wait with its seconds and the error behind it.
        clock, sleep: Monotonic seconds, and waiting for some.

    Attributes:
        requests_made: What was sent so far.
    """

    def __init__(
        self,
        provider: Provider,
        http: Sender,
        quota: Quota,
        *,
        attempts: int = 5,
        backoff_s: float = 1.0,
        on_wait: OnWait = _ignore,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.provider = provider
        self.requests_made = RequestCounts()
        self._http = http
        self._quota = quota
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._on_wait = on_wait
        self._clock = clock
        self._sleep = sleep
        self._redact = Redactor(provider.secrets)
        self._pause: _Pause | None = None
        self._is_proved = False
        self._proof = asyncio.Lock()
        self._preparing = provider if isinstance(provider, Preparing) else None
        self._preparation = asyncio.Lock()
        self._spaced_until = clock()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def fetch_page(self, query: BarsQuery, token: str | None, *, counts: RequestCounts | None = None) -> Page:
        """
        One page of bars; *token* None asks for the first.

        Args:
            counts: Also counts the requests that this page took.

        Raises:
            ProviderError: What remains after all attempts; the class says what may happen next.
        """
        await self._prepared(counts)
        asked = query.as_asked() if query.former else query
        request = self.provider.bars_request(asked, token)
        page = await self._fetch(request, self._parse(asked, token), counts)
        crash_point("k5")
        return page.under({had: has for has, had in query.former}) if query.former else page

    async def fetch(self, request: HttpRequest, parse: Callable[[HttpResponse], T]) -> T:
        """
        What *parse* makes of the 200 answer to a request that is not for bars.

        Raises:
            ProviderError: As for a page.
        """
        return await self._fetch(request, parse, None)

    async def held_by(self) -> BarfillError | None:
        """
        What keeps all requests back for longer than one waits, here or in another process; asks the provider nothing.

        A `CredentialsRejected` may be out of date: whoever was not refused himself may try once.
        """
        try:
            self._raise_if_paused()
        except ProviderError as error:
            return error
        return await self._quota.held_by()

    async def find_symbols(self, tickers: Sequence[str]) -> dict[str, OfferedSymbol | None]:
        """
        What the provider's reference data say of each of *tickers*; None where it does not know one.

        Raises:
            ProviderError: As for a page.
        """
        told = {symbol.ticker: symbol for symbol in await self._prepared(None)}
        found: dict[str, OfferedSymbol | None] = {ticker: told.get(ticker) for ticker in tickers}
        for requests_for in (self.provider.symbol_requests, self.provider.delisted_requests):
            left = [ticker for ticker, known in found.items() if known is None]
            answers = await asyncio.gather(*(self._symbols(request) for request in requests_for(left))) if left else ()
            for offered in (symbol for answer in answers for symbol in answer):
                known = found.get(offered.ticker)
                # A reused ticker is listed for its former owner too, who is inactive.
                if offered.ticker in found and (known is None or offered.is_active):
                    found[offered.ticker] = offered
        return found

    def _parse(self, query: BarsQuery, token: str | None) -> Callable[[HttpResponse], Page]:
        if isinstance(self.provider, Windowing):
            return partial(self.provider.parse_page, query, token)
        return partial(self.provider.parse_bars, query)

    async def _prepared(self, counts: RequestCounts | None) -> Sequence[OfferedSymbol]:
        """Tells the provider what it must know before all else, where it does; the symbols that it then knows."""
        if self._preparing is None:
            return ()
        self._raise_if_paused()  # it may know its symbols and ask for none, which is no sign that it could
        async with self._preparation:
            while (request := await asyncio.to_thread(self._preparing.preparation_request)) is not None:
                await self._fetch(request, partial(self._preparing.prepare, request), counts)
            return self._preparing.prepared_symbols()

    async def _symbols(self, first: HttpRequest) -> Sequence[OfferedSymbol]:
        """What the answer to a request holds, and what the pages after it hold."""
        offered: list[OfferedSymbol] = []
        request = first
        for _ in range(SYMBOL_PAGES_MAX):
            try:
                page, more = await self._fetch(request, self._symbols_and_more, None)
            except SymbolNotOffered:
                return offered
            offered.extend(page)
            if more is None:
                return offered
            request = more
        raise BadResponse(
            f"The symbols of {self.provider.name} do not end after {SYMBOL_PAGES_MAX} pages.",
            provider=self.provider.name,
            request=first.shown,
            reason="page_loop",
        )

    def _symbols_and_more(self, response: HttpResponse) -> tuple[Sequence[OfferedSymbol], HttpRequest | None]:
        return self.provider.parse_symbols(response), self.provider.more_symbols_request(response)

    async def _fetch(self, request: HttpRequest, parse: Callable[[HttpResponse], T], counts: RequestCounts | None) -> T:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ProviderError),
            stop=self._is_enough,
            wait=wait_random_exponential(multiplier=self._backoff_s, max=BACKOFF_S_MAX),
            before_sleep=self._tell_wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(self._attempt, request, parse, counts)

    def _is_enough(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        return self._pause is not None or state.attempt_number >= attempts_of(error, self._attempts)

    def _tell_wait(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, ProviderError) and state.next_action is not None:
            self._on_wait(state.next_action.sleep, error)

    async def _attempt(
        self, request: HttpRequest, parse: Callable[[HttpResponse], T], counts: RequestCounts | None
    ) -> T:
        """One attempt; a 429 is waited out in here and spends none."""
        while True:
            try:
                response = await self._answer(request, counts)
            except RateLimited as error:
                self._raise_if_paused()
                if error.reason == "paused":  # by another process
                    raise
                continue
            try:
                return parse(response)
            except RateLimited as error:  # with status 200
                self._with_facts(error, request, response)
                await self._close(error)
                self._raise_if_paused()
            except ProviderError as error:
                self._with_facts(error, request, response)
                raise

    async def _answer(self, request: HttpRequest, counts: RequestCounts | None) -> HttpResponse:
        """
        The provider's 200.

        Raises:
            RateLimited: The quota is closed and the caller may queue again, unless the key is paused now.
        """
        self._raise_if_paused()
        async with self._turn(), self._quota.slot():
            await self._spaced()
            self._raise_if_paused()
            response = await self._sent(request, counts)
            limit = self.provider.told_limit(request, response)
            if limit is not None:
                await self._quota.learn(limit)
            if response.status == _OK:
                self._is_proved = True
                hold_s = self.provider.told_wait_s(response)
                if hold_s is not None:
                    await self._quota.hold_for(hold_s)
                return response
            error = self._with_facts(self.provider.error_of(request, response), request, response)
            if isinstance(error, RateLimited):
                await self._close(error)
            elif isinstance(error, CredentialsRejected):
                self._pause = _Pause(error, None)
                await self._quota.pause_for(None, error)
            raise error

    async def _spaced(self) -> None:
        """Waits until the provider's spacing has passed since the request before."""
        now, spacing_s = self._clock(), self.provider.capabilities.spacing_s
        turn = max(now, self._spaced_until)
        self._spaced_until = turn + spacing_s
        if turn > now:
            await self._sleep(turn - now)

    async def _sent(self, request: HttpRequest, counts: RequestCounts | None) -> HttpResponse:
        status: int | None = 0
        try:
            response = await self._http.get(request)
            status = response.status
        except ProviderError as error:
            status = None if error.reason == "foreign_next_url" else error.status or 0
            self._with_facts(error, request, None)
            if isinstance(error, CredentialsRejected):
                self._pause = _Pause(error, None)
            raise
        finally:
            if status is not None:  # what was not sent costs nothing; what was cancelled may have arrived
                self.requests_made.add(status)
                if counts is not None:
                    counts.add(status)
        return replace(response, body=self._redact.clean(response.body))

    async def _close(self, error: RateLimited) -> None:
        told_s = error.retry_after_s
        if told_s is not None and told_s > TOLD_WAIT_S_MAX:
            self._pause = _Pause(error, self._clock() + told_s)
            await self._quota.pause_for(told_s, error)
            return
        wait_s = await self._quota.close_for(told_s, str(error))
        self._on_wait(wait_s, error)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Until the key has proved itself by one success, only one request is under way (H05)."""
        if not self._is_proved:
            async with self._proof:
                if not self._is_proved:
                    yield
                    return
        yield

    def _raise_if_paused(self) -> None:
        if self._pause is None:
            return
        if self._pause.until is not None and self._clock() >= self._pause.until:
            self._pause = None
            return
        raise copy(self._pause.error)  # each task its own: a raised error collects the frames it passes

    def _with_facts(self, error: ProviderError, request: HttpRequest, response: HttpResponse | None) -> ProviderError:
        error.provider = error.provider or self.provider.name
        error.request = error.request or request.shown
        if response is not None:
            error.status = error.status or response.status
            error.request_id = error.request_id or response.request_id
        return error
