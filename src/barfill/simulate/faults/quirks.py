"""
Known oddities of single vendors (providers.md 5.4, 6.2, 6.3) that no fault of all vendors covers.
"""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

from barfill.simulate.faults.catalogue import Arg, Occasion, fault
from barfill.simulate.faults.places import chosen, groups, target
from barfill.simulate.finnhub.queries import FinnhubQuery
from barfill.simulate.market.sessions import HOUR_NS, SECOND_NS, xnys
from barfill.simulate.replies import JSON_TYPE, Reply, reply_of
from barfill.simulate.tradier.dialect import LISTED
from barfill.simulate.tradier.refusals import TOO_BIG
from barfill.simulate.tradier.refusals import fault as gateway_fault
from barfill.simulate.tradier.vendor import as_xml
from barfill.simulate.vendor import Document

_BACK_NS = int(timedelta(days=400).total_seconds()) * SECOND_NS


@fault(
    "V01",
    "page",
    "the other shape of few rows: a single row as a list of one (else an object), no rows as the text null (else null)",
    vendors=("tradier",),
)
def other_shape(occasion: Occasion, document: Document) -> Document:
    rows = document.get(occasion.dialect.rows_key)
    if rows == []:
        return {**document, occasion.dialect.rows_key: "null"}
    if not isinstance(rows, list) or len(rows) > 1:
        occasion.decline()
    return {**document, LISTED: True}


@fault("V02", "wire", "X-Ratelimit-Expiry in seconds instead of milliseconds", vendors=("tradier",))
def expiry_in_seconds(occasion: Occasion, reply: Reply) -> Reply:
    assert occasion.asked.allowance is not None
    expiry = str(occasion.asked.allowance.reset_s)
    return replace(reply, headers={**reply.headers, occasion.dialect.reset_header: expiry})


@fault("V03", "wire", "XML though JSON was asked for", vendors=("tradier",))
def xml_all_the_same(occasion: Occasion, reply: Reply) -> Reply:
    if reply.content_type != JSON_TYPE:
        occasion.decline()
        return reply
    return as_xml(reply)


@fault(
    "V04",
    "reply",
    "500, the fault protocol.http.TooBigBody: of the bars of a range that is longer than so many days",
    vendors=("tradier",),
    days=Arg(5, "how many"),
)
def too_big_body(occasion: Occasion) -> Reply | None:
    query = occasion.bars_asked()
    if query is None or query.end_ns - query.start_ns <= occasion.args["days"] * 24 * HOUR_NS:
        return None
    return reply_of(500, gateway_fault(TOO_BIG))


@fault("V05", "page", "the row before the range comes first", vendors=("finnhub",))
def row_before(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    near = replace(query, start_ns=query.start_ns - _BACK_NS, end_ns=query.start_ns - 1)
    if query.timeframe.is_intraday:
        near = replace(near, start_ns=query.start_ns - _BACK_NS // 50)
    before = groups(occasion, occasion.document_of(near))
    found = target(occasion, document)
    if found is None or not before:
        return document
    symbol, rows = found
    return occasion.dialect.with_rows(document, symbol, [before[symbol][-1], *rows])


@fault(
    "V06",
    "page",
    "hours that begin otherwise: all on the hour, so that 09:00 holds both sides of the open, or all at :30",
    vendors=("finnhub",),
    form=Arg("half", "which", ("clock", "half")),
)
def other_hours(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    if not isinstance(query, FinnhubQuery) or query.timeframe.unit != "Hour":
        occasion.decline()
        return document
    return occasion.document_of(replace(query, hours=occasion.args["form"]))


@fault("V07", "page", "the last day comes twice: at 00:00 UTC, and stamped by the market's open", vendors=("finnhub",))
def last_day_twice(occasion: Occasion, document: Document) -> Document:
    found = chosen(occasion, document)
    if occasion.bars_query.timeframe.unit != "Day" or not found:
        occasion.decline()
        return document
    ((symbol, rows),) = found.items()
    sessions = xnys()
    row = int(sessions.midnight_ns.searchsorted(occasion.dialect.instant_ns(rows[-1]["t"]), side="right")) - 1
    twin: dict[str, Any] = {**rows[-1], "t": occasion.dialect.stamp(int(sessions.open_ns[row]))}
    return occasion.dialect.with_rows(document, symbol, [*rows, twin])


@fault(
    "V08",
    "wire",
    "headers of the limit, which nobody has recorded: X-Ratelimit-Limit, -Remaining, -Reset",
    vendors=("finnhub",),
)
def limit_headers(occasion: Occasion, reply: Reply) -> Reply:
    allowance = occasion.asked.allowance
    assert allowance is not None
    told = (allowance.limit, allowance.remaining, math.ceil(allowance.resets_at_s))
    headers = dict(zip(occasion.dialect.limit_headers, map(str, told), strict=True))
    return replace(reply, headers={**reply.headers, **headers})
