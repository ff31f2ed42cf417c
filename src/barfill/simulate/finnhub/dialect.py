"""
How Finnhub writes its candles and its errors, for faults to spoil.

*written* turns rows into arrays. Stamps of days are the market's, New York midnight; it makes 00:00 UTC of them, as the
vendor has them since 2021. Stamps that are no midnight, since a fault has moved them, stay.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from barfill.simulate.finnhub.queries import INSTANTS_S
from barfill.simulate.finnhub.refusals import INVALID_KEY, NO_ACCESS, TOO_MANY, error
from barfill.simulate.json_text import encode_json
from barfill.simulate.market.sessions import NEW_YORK
from barfill.simulate.pageless import PagelessDialect
from barfill.simulate.queries import BarsQuery
from barfill.simulate.vendor import Document

_FIELDS = ("o", "h", "l", "c", "v")
_FORBIDDEN = 403
#: What the vendor does not send of a bar that a fault has made up.
_UNSENT = {"n", "vw"}


class FinnhubDialect(PagelessDialect):
    """Answers are arrays and ``s``. Headers of the limit are not documented: none, but faults may send them."""

    name = "finnhub"
    empty_body = b'{"s":"no_data"}'
    exhausted: Mapping[str, str] = {}
    reset_header = "X-Ratelimit-Reset"
    limit_headers: tuple[str, ...] = ("X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset")

    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        return _FIELDS

    def written(self, query: BarsQuery, document: Document) -> bytes:
        rows = document.get("rows", {})
        if isinstance(rows, list) and not rows:
            return encode_json({"s": "no_data", **self.extras(document)})
        arrays = _arrays(rows)
        stamps = arrays.get("t")
        if not query.timeframe.is_intraday and isinstance(stamps, list):
            arrays["t"] = [_day_stamp(stamp) for stamp in stamps]
        return encode_json(dict(sorted({**arrays, "s": "ok"}.items())) | dict(self.extras(document)))

    def too_many(self, endpoint: str, until_s: float) -> Document:
        return error(TOO_MANY)

    def broken(self) -> Document:
        return error("Internal server error")

    def rejected(self, status: int) -> Document:
        return error(NO_ACCESS if status == _FORBIDDEN else INVALID_KEY)

    def not_found(self, endpoint: str, name: str) -> Document:
        return error("Not found")


def _arrays(rows: Any) -> dict[str, Any]:
    """The arrays of rows, or of whatever a fault has put into their place: arrays already, one row, null."""
    if not isinstance(rows, list):
        return dict(rows) if isinstance(rows, dict) else dict.fromkeys(("t", *_FIELDS), rows)
    arrays: dict[str, Any] = {}
    for row in rows:
        for name in row.keys() - _UNSENT:
            arrays.setdefault(name, []).append(row[name])
    return arrays


def _day_stamp(stamp: Any) -> Any:
    """00:00 UTC of the date whose New York midnight *stamp* is, in seconds."""
    if not isinstance(stamp, int) or stamp not in INSTANTS_S:
        return stamp
    local = datetime.fromtimestamp(stamp, NEW_YORK)
    is_midnight = not (local.hour or local.minute or local.second)
    return int(local.replace(tzinfo=UTC).timestamp()) if is_midnight else stamp
