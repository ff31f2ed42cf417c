"""
Faults that answer instead of the endpoint: limits, errors, refusals, redirects.
"""

import time
from email.utils import formatdate

from barfill.simulate.faults.catalogue import PAGING, STOCK_VENDORS, Arg, Occasion, fault
from barfill.simulate.json_text import encode_json
from barfill.simulate.replies import JSON_TYPE, Reply, reply_of

_HTML = b"<html><head><title>Service Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>"
_TEXT = b"upstream connect error or disconnect/reset before headers"
_RECENT_SIP = "subscription does not permit querying recent SIP data"


@fault(
    "H01",
    "reply",
    "429 that tells how long to wait (reset_s and reset_ms: where the vendor has such a header)",
    header=Arg("retry_after", "how it is told", ("retry_after", "http_date", "reset_s", "reset_ms")),
    seconds=Arg(3, "how long to wait"),
)
def limited_with_header(occasion: Occasion) -> Reply | None:
    until_s, told = time.time() + occasion.args["seconds"], occasion.args["header"]
    if told.startswith("reset_") and not occasion.dialect.reset_header:
        return None
    headers = {
        "retry_after": {"Retry-After": str(round(occasion.args["seconds"]))},
        "http_date": {"Retry-After": formatdate(until_s, usegmt=True)},
        "reset_s": {occasion.dialect.reset_header: str(round(until_s))},
        "reset_ms": {occasion.dialect.reset_header: str(round(until_s * 1000))},
    }[told]
    return _too_many(occasion, until_s, {**occasion.dialect.exhausted, **headers})


@fault(
    "H02",
    "reply",
    "429 without a usable wait (no headers of the limit either)",
    retry_after=Arg("none", "text of Retry-After: none (no header), -1, abc, 999999 or anything"),
    body=Arg("json", "what it says", ("json", "empty", "text")),
)
def limited_without_header(occasion: Occasion) -> Reply:
    told = occasion.args["retry_after"]
    headers = _unlimited(occasion, {} if told == "none" else {"Retry-After": told})
    if occasion.args["body"] == "json":
        return _too_many(occasion, time.time(), headers)
    body = b"" if occasion.args["body"] == "empty" else b"too many requests"
    return Reply(429, body, "text/plain", headers)


@fault(
    "H03",
    "reply",
    "429 to every request that fits, from the first firing on for some time, then never again",
    seconds=Arg(300, "for how long"),
)
def limited_for_long(occasion: Occasion) -> Reply | None:
    began_s = occasion.state.setdefault("began_s", time.monotonic())
    if time.monotonic() - began_s >= occasion.args["seconds"]:
        return None
    return _too_many(occasion, time.time() + occasion.args["seconds"], _unlimited(occasion, {}))


@fault(
    "H04",
    "reply",
    "500, 502, 503 or 504 (once with times 1, else for ever)",
    status=Arg(503, "the status", (500, 502, 503, 504)),
    body=Arg("html", "what it says", ("html", "json", "text", "empty")),
)
def broken(occasion: Occasion) -> Reply:
    if occasion.args["body"] == "json":
        return reply_of(occasion.args["status"], occasion.dialect.broken())
    bodies = {
        "html": (_HTML, "text/html"),
        "text": (_TEXT, "text/plain"),
        "empty": (b"", "text/plain"),
    }
    body, kind = bodies[occasion.args["body"]]
    return Reply(occasion.args["status"], body, kind)


@fault(
    "H05",
    "reply",
    "the key is rejected",
    vendors=STOCK_VENDORS,
    status=Arg(401, "unauthorized. or forbidden.", (401, 403)),
)
def rejected_key(occasion: Occasion) -> Reply:
    status = occasion.args["status"]
    return reply_of(status, occasion.dialect.rejected(status))


@fault(
    "H06", "reply", "403 recent SIP", vendors=("alpaca",), form=Arg("new", "old has a code as in 2021", ("new", "old"))
)
def recent_sip(occasion: Occasion) -> Reply:
    code = {"code": 42210000} if occasion.args["form"] == "old" else {}
    return Reply(403, encode_json({**code, "message": _RECENT_SIP}))


@fault(
    "H07",
    "reply",
    "403: the plan does not include the time that is asked for, or the data",
    vendors=("massive", "finnhub"),
    form=Arg("time", "which: Finnhub has one text for both", ("time", "data")),
)
def beyond_plan(occasion: Occasion) -> Reply:
    if occasion.dialect.name == "finnhub":
        return reply_of(403, occasion.dialect.rejected(403))
    lacks = {
        "time": "Your plan doesn't include this data timeframe.",
        "data": "You are not entitled to this data.",
    }[occasion.args["form"]]
    message = f"{lacks} Please upgrade your plan at https://massive.com/pricing"
    return Reply(403, encode_json({"status": "NOT_AUTHORIZED", "request_id": "simulated", "message": message}))


@fault("H08", "reply", "404: what the vendor says of something unknown (Tradier: in passing, with times 1)")
def not_found(occasion: Occasion) -> Reply:
    name = occasion.symbol or ",".join(occasion.symbols)
    return reply_of(404, occasion.dialect.not_found(occasion.asked.endpoint, name))


@fault(
    "H09",
    "reply",
    "400 as long as one bad symbol is among those asked for (without a symbol the first one asked for)",
    vendors=("alpaca",),
    symbol=Arg(None, "the bad one; by default that of the match", is_any=True),
    named=Arg(True, "the text names it"),
)
def bad_symbol(occasion: Occasion) -> Reply | None:
    bad = occasion.args["symbol"] or occasion.symbol or next(iter(occasion.symbols), None)
    if bad is None or bad not in occasion.symbols:
        return None
    return Reply(
        400, encode_json({"message": f"invalid symbol: {bad}" if occasion.args["named"] else "invalid symbol"})
    )


@fault(
    "H10",
    "reply",
    "200 that is no success",
    form=Arg("error", "what comes", ("error", "status_error", "html", "content_type", "empty")),
)
def false_success(occasion: Occasion) -> Reply:
    error = encode_json({"error": "something went wrong"})
    status_error = encode_json({"status": "ERROR", "request_id": "simulated", "error": "something went wrong"})
    forms = {
        "error": (error, JSON_TYPE),
        "status_error": (status_error, JSON_TYPE),
        "html": (_HTML, "text/html"),
        "content_type": (b"OK", "text/plain"),
        "empty": (b"", JSON_TYPE),
    }
    body, kind = forms[occasion.args["form"]]
    return Reply(200, body, kind)


@fault("H24", "reply", "400: the page token is no longer good (only where one was sent)", vendors=PAGING)
def stale_token(occasion: Occasion) -> Reply | None:
    if occasion.dialect.came_by(occasion.asked) is None:
        return None
    return Reply(400, encode_json(occasion.dialect.stale_next()))


@fault(
    "H26",
    "reply",
    "a redirect",
    status=Arg(302, "which", (301, 302, 303, 307, 308)),
    location=Arg("http://127.0.0.1:9/elsewhere", "where to"),
)
def redirect(occasion: Occasion) -> Reply:
    return Reply(occasion.args["status"], b"", "text/html", {"Location": occasion.args["location"]})


@fault(
    "H34",
    "reply",
    "414 for requests of many symbols",
    vendors=("alpaca",),
    longer_than=Arg(50, "most symbols that are let through"),
)
def too_long(occasion: Occasion) -> Reply | None:
    if len(occasion.symbols) <= occasion.args["longer_than"]:
        return None
    return Reply(414, b"<html><head><title>414 Request-URI Too Large</title></head></html>", "text/html")


def _too_many(occasion: Occasion, until_s: float, headers: dict[str, str]) -> Reply:
    return reply_of(429, occasion.dialect.too_many(occasion.asked.endpoint, until_s), headers)


def _unlimited(occasion: Occasion, headers: dict[str, str]) -> dict[str, str]:
    """Without the usual headers of the limit: an empty value takes one out."""
    return {**dict.fromkeys(occasion.dialect.limit_headers, ""), **headers}
