"""
What reading a page of bars takes, whatever the vendor's layout: two paths, bounds of size, refusals of what is no page.

A typed path reads pages that keep the contract, a general one all others that can be understood; both give the same
for a good page. A vendor whose limit of requests leaves time enough has the general one alone: 0.1 to 0.2 M rows/s. A
vendor's module says what its layout is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import msgspec

from barfill.core.bars import BarColumns
from barfill.core.page import BarsQuery, RejectedRow
from barfill.errors import BadResponse, excerpt
from barfill.providers.rows import RowReader, check_schema, rejected_rows
from barfill.providers.strict_json import shown, strict_json

ROWS_PER_PAGE_FACTOR = 2
"""More rows than this times the page size asked for are no page (H31)."""

_ROW_BYTES = 600
_ROW_VALUES = 24
_SMALL_BODY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """
    A decoded page, stamped as sent.

    Attributes:
        tickers: Those with rows, in the order sent; `rows.symbol` points here.
        next_token: What the page says of the next one, as sent; None where nothing.
        echo: What the answer says of itself beside the rows, such as its currency.
        may_lack_rows: Whether its shape is one with which replies have lost rows (H12).
    """

    tickers: tuple[str, ...]
    rows: BarColumns
    rejected: tuple[RejectedRow, ...]
    next_token: str | None
    echo: Mapping[str, object]
    may_lack_rows: bool = False

    @property
    def received(self) -> int:
        """How many rows the answer held."""
        return len(self.rows) + len(self.rejected)


class TypedPath(Protocol):
    """The rows of a page that keeps the contract in every row; None for any other."""

    def __call__(self, body: bytes, *, latest_us: int) -> Contents | None: ...


class GeneralPath(Protocol):
    """The rows of any page that can be understood, which raises BadResponse for any other."""

    def __call__(self, body: bytes, query: BarsQuery, *, latest_us: int) -> Contents: ...


def decode(
    body: bytes, query: BarsQuery, typed: TypedPath | None, general: GeneralPath, *, page_size: int, latest_us: int
) -> Contents:
    """
    The rows in *body*.

    Args:
        typed: None where the vendor has no such path.
        latest_us: Rule Q01: no stamp is later.

    Raises:
        BadResponse: No strict JSON (`json`), no answer with bars (`body`), another schema (`schema`) or too many rows
            (`too_large`).
    """
    _check_size(body, page_size)
    contents = typed(body, latest_us=latest_us) if typed is not None else None
    if contents is None:
        try:
            contents = general(body, query, latest_us=latest_us)
        except RecursionError as error:
            raise BadResponse("The answer is nested too deeply to be read.", reason="too_large") from error
    if contents.received > ROWS_PER_PAGE_FACTOR * page_size:
        raise BadResponse(
            f"The answer holds {contents.received:,} rows; {page_size:,} were asked for.", reason="too_large"
        )
    return contents


def check_count(declared: object, received: int) -> None:
    """
    Refuses a page that does not hold the rows that it declares (H13); who declares none is believed.

    Raises:
        BadResponse: Another number (`count`).
    """
    if isinstance(declared, int) and declared != received:
        raise BadResponse(f"The answer declares {declared:,} rows and holds {received:,}.", reason="count")


def answer_object(body: bytes) -> dict[str, object]:
    """
    The object that an answer is, read strictly; one that tells of an error is none, even if rows came with it (H10).

    Raises:
        BadResponse: No strict JSON (`json`, `too_large`), no object or an error (`body`).
    """
    page = strict_json(body)
    if not isinstance(page, dict):
        raise BadResponse(f"The answer is no object: {shown(body)}", reason="body")
    told = page.get("error") or page.get("message")
    if told or page.get("status") in ("ERROR", "error"):
        raise BadResponse(f"The answer has status 200 and tells of an error: {shown(body)}", reason="body")
    return page


def token_in(page: Mapping[str, object], key: str, *, likeness: str) -> str | None:
    """
    What *page* says of the next one.

    Its absence ends the chain, so it must not stand there under a new name.

    Args:
        likeness: What other names of it would have in common.

    Raises:
        BadResponse: It is no text, or seems to be renamed (`schema`).
    """
    token = page.get(key)
    if token is not None and not isinstance(token, str):
        raise BadResponse(f"{key} is no text: {excerpt(repr(token))}.", reason="schema")
    if key not in page:
        renamed = [other for other, value in page.items() if likeness in other.lower() and value]
        if renamed:
            raise BadResponse(f"{key} is missing, but there is '{excerpt(renamed[0])}'.", reason="schema")
    return token or None


def refuse_a_renamed_list(page: Mapping[str, object], key: str) -> None:
    """
    Refuses a page without *key* that holds a list or an object under another name.

    Raises:
        BadResponse: There is one (`schema`).
    """
    filled = [other for other, value in page.items() if isinstance(value, list | dict) and value]
    if key not in page and filled:
        raise BadResponse(f"'{key}' is missing, but there is '{excerpt(filled[0])}'.", reason="schema")


def as_list(rows: object, what: str) -> Sequence[object]:
    """
    Rows as a list: nothing and `null` are none, an object is a single one (H12).

    Raises:
        BadResponse: Anything else, and arrays of all values of a key (`schema`).
    """
    if rows in (None, "null", [], {}):
        return ()
    is_columns = isinstance(rows, dict) and any(isinstance(value, list) for value in rows.values())
    if not isinstance(rows, list | dict) or is_columns:
        raise BadResponse(f"{what} is no list: {excerpt(repr(rows))}.", reason="schema")
    return rows if isinstance(rows, list) else [rows]


def read_rows(
    lists: Mapping[str, Sequence[object]],
    query: BarsQuery,
    *,
    latest_us: int,
    raw_rows: Callable[[], Sequence[msgspec.Raw] | None],
) -> tuple[BarColumns, tuple[RejectedRow, ...]]:
    """
    The rows of each ticker, one by one, and those that cannot be read.

    Args:
        raw_rows: Gives the JSON of all rows as sent, or None where the page is of no usual shape.

    Raises:
        BadResponse: Another schema (`schema`).
    """
    rows = list(chain.from_iterable(lists.values()))
    check_schema(rows)
    reader = RowReader(latest_us)
    for symbol, of_symbol in enumerate(lists.values()):
        for row in of_symbol:
            reader.add(symbol, row)
    found = raw_rows() if reader.rejected else None
    raws = None if found is None or len(found) != len(rows) else [bytes(raw).decode() for raw in found]
    return reader.columns(), rejected_rows(reader, tuple(lists), rows, raws, query.timeframe)


def _check_size(body: bytes, page_size: int) -> None:
    """Bounds what parsing may cost: a few bytes of JSON can become a hundred times as much in memory."""
    rows_max = ROWS_PER_PAGE_FACTOR * page_size
    bytes_max = max(_SMALL_BODY_BYTES, rows_max * _ROW_BYTES)
    if len(body) > bytes_max or body.count(b",") > (rows_max + _SMALL_BODY_BYTES // _ROW_BYTES) * _ROW_VALUES:
        raise BadResponse(
            f"The answer has {len(body):,} bytes; a page of {page_size:,} bars has far less. It was not read.",
            reason="too_large",
        )
