"""
What the vendors have in common that send a whole range in one answer: no pages, no tokens, one symbol, one host.

An answer ends its chain. One that is as full as a page is not believed to be all (rule S2), so such a vendor's page
size is what its longest answers stay below, by `Capabilities.range_per_call_max`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from barfill.core.capabilities import Capabilities
from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import to_us
from barfill.errors import ProviderError
from barfill.providers.bar_pages import GeneralPath, decode
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import FUTURE_MAX
from barfill.providers.refusals import Refusals
from barfill.providers.rows import check_range, stamped
from barfill.providers.strict_json import check_is_json


class WholeAnswers:
    """
    The part of a `Provider` that such vendors share.

    Args:
        url: The one host, with what precedes all paths.
        secret: The key.
        headers: The key is in here.
        decode: Reads the vendor's layout.

    Attributes:
        refusals: What its refusals mean.
    """

    refusals: ClassVar[Refusals]

    def __init__(
        self, url: str, secret: str, headers: Mapping[str, str], capabilities: Capabilities, decode: GeneralPath
    ) -> None:
        self.capabilities = capabilities
        self._url = url
        self._secret = secret
        self._headers = headers
        self._decode = decode

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url})"

    @property
    def base_urls(self) -> Sequence[str]:
        """The one host."""
        return (self._url,)

    @property
    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._secret,)

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The whole range, in a 200 answer.

        Raises:
            BadResponse: Its reason is one of `body`, `json`, `schema`, `too_large`, `out_of_range`.
        """
        check_is_json(response)
        latest_us = to_us(response.received_at + FUTURE_MAX)
        page_size = self.capabilities.page_size
        contents = decode(response.body, query, None, self._decode, page_size=page_size, latest_us=latest_us)
        rows = replace(contents.rows, ts=stamped(contents.rows.ts, query.timeframe))
        check_range(rows.ts, query)
        return Page(
            symbols=contents.tickers,
            rows=rows,
            rejected=contents.rejected,
            next_token=None,
            feed=query.feed,
            basis=self.capabilities.basis(query.timeframe),
            received_at=response.received_at,
            request_id=response.request_id,
            byte_count=len(response.body),
        )

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """None: nothing tells of symbols that no longer trade."""
        return ()

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """None: symbols come in one answer, too."""
        return None

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """See `refusals`."""
        return self.refusals.error_of(request, response)

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """As it tells with its refusals."""
        return self.refusals.told_wait_s(response)

    def _request(self, path: str, params: Mapping[str, str], about: str) -> HttpRequest:
        return HttpRequest(f"{self._url}{path}", params, self._headers, f"{path} {about}")
