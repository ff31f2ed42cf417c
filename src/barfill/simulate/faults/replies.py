"""
Faults that answer instead of the endpoint: limits, errors, refusals, redirects.
"""

import time
from email.utils import formatdate
from typing import Any

from barfill.simulate.faults.catalogue import Arg, Occasion, fault
from barfill.simulate.replies import JSON_TYPE, Reply
from barfill.simulate.wire import encode_json

_DATA_ENDPOINTS = frozenset({"bars", "symbol_bars"})
_HTML = b"<html><head><title>Service Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>"
_TEXT = b"upstream connect error or disconnect/reset before headers"
_RECENT_SIP = "subscription does not permit querying recent SIP data"


@fault(
    "H01",
    "reply",
    "429 that tells how long to wait",
    header=Arg("retry_after", "how it is told", ("retry_after", "http_date", "reset_s", "reset_ms")),
    seconds=Arg(3, "how long to wait"),
)
def limited_with_header(occasion: Occasion) -> Reply:
    until_s = time.time() + occasion.args["seconds"]
    headers = {
        "retry_after": {"Retry-After": str(round(occasion.args["seconds"]))},
        "http_date": {"Retry-After": formatdate(until_s, usegmt=True)},
        "reset_s": {"X-RateLimit-Reset": str(round(until_s))},
        "reset_ms": {"X-RateLimit-Reset": str(round(until_s * 1000))},
    }[occasion.args["header"]]
    return Reply(429, _too_many(occasion), headers={"X-RateLimit-Remaining": "0", **headers})


@fault(
    "H02",
    "reply",
    "429 without a usable wait (no X-RateLimit headers either)",
    retry_after=Arg("none", "text of Retry-After: none (no header), -1, abc, 999999 or anything"),
    body=Arg("json", "what it says", ("json", "empty", "text")),
)
def limited_without_header(occasion: Occasion) -> Reply:
    body = {"json": _too_many(occasion), "empty": b"", "text": b"too many requests"}[occasion.args["body"]]
    told = occasion.args["retry_after"]
    headers = {} if told == "none" else {"Retry-After": told}
    return Reply(429, body, JSON_TYPE if occasion.args["body"] == "json" else "text/plain", _unlimited(headers))


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
    return Reply(429, _too_many(occasion), headers=_unlimited({}))


@fault(
    "H04",
    "reply",
    "500, 502, 503 or 504 (once with times 1, else for ever)",
    status=Arg(503, "the status", (500, 502, 503, 504)),
    body=Arg("html", "what it says", ("html", "json", "text", "empty")),
)
def broken(occasion: Occasion) -> Reply:
    message = encode_json({"message": "internal server error occurred"})
    bodies = {
        "html": (_HTML, "text/html"),
        "json": (message, JSON_TYPE),
        "text": (_TEXT, "text/plain"),
        "empty": (b"", "text/plain"),
    }
    body, kind = bodies[occasion.args["body"]]
    return Reply(occasion.args["status"], body, kind)


@fault("H05", "reply", "the key is rejected", status=Arg(401, "unauthorized. or forbidden.", (401, 403)))
def rejected_key(occasion: Occasion) -> Reply:
    status = occasion.args["status"]
    return Reply(status, encode_json({"message": "forbidden." if status == 403 else "unauthorized."}))  # noqa: PLR2004


@fault("H06", "reply", "403 recent SIP", form=Arg("new", "old has a code as in 2021", ("new", "old")))
def recent_sip(occasion: Occasion) -> Reply:
    code = {"code": 42210000} if occasion.args["form"] == "old" else {}
    return Reply(403, encode_json({**code, "message": _RECENT_SIP}))


@fault("H08", "reply", "404: the trading host's for an unknown asset, Not Found on the data host")
def not_found(occasion: Occasion) -> Reply:
    if occasion.endpoint in _DATA_ENDPOINTS:
        return Reply(404, encode_json({"message": "Not Found"}))
    name = occasion.symbol or ",".join(occasion.symbols)
    return Reply(404, encode_json({"code": 40410000, "message": f"asset not found for {name}"}))


@fault(
    "H09",
    "reply",
    "400 as long as one bad symbol is among those asked for (without a symbol the first one asked for)",
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


@fault("H24", "reply", "400: the page token is no longer good (only where one was sent)")
def stale_token(occasion: Occasion) -> Reply | None:
    if not occasion.params.get("page_token"):
        return None
    return Reply(400, encode_json({"message": "invalid page_token"}))


@fault(
    "H26",
    "reply",
    "a redirect",
    status=Arg(302, "which", (301, 302, 303, 307, 308)),
    location=Arg("http://127.0.0.1:9/elsewhere", "where to"),
)
def redirect(occasion: Occasion) -> Reply:
    return Reply(occasion.args["status"], b"", "text/html", {"Location": occasion.args["location"]})


@fault("H34", "reply", "414 for requests of many symbols", longer_than=Arg(50, "most symbols that are let through"))
def too_long(occasion: Occasion) -> Reply | None:
    if len(occasion.symbols) <= occasion.args["longer_than"]:
        return None
    return Reply(414, b"<html><head><title>414 Request-URI Too Large</title></head></html>", "text/html")


def _too_many(occasion: Occasion) -> bytes:
    if occasion.endpoint in _DATA_ENDPOINTS:
        return encode_json({"message": "too many requests."})
    return encode_json({"code": 42910000, "message": "rate limit exceeded"})


def _unlimited(headers: dict[str, Any]) -> dict[str, str]:
    """Without the usual headers of the limit: an empty value takes one out."""
    return {"X-RateLimit-Limit": "", "X-RateLimit-Remaining": "", "X-RateLimit-Reset": "", **headers}
