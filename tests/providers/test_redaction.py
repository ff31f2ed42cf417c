"""No key in any log, whatever goes wrong."""

from __future__ import annotations

import base64
import io
import logging
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from barfill.errors import BarfillError
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient, Timeouts
from barfill.providers.limiter import SlidingQuota
from barfill.providers.redaction import REDACTED, Redactor, redact_handlers
from tests.providers.conftest import KEY, SECRET, Clock, bars_query
from tests.providers.servers import HEAD, Wire, endless, raw, reset, then_hang, wire_server

CANARY = "c4nary/Key+with&odd=signs"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged at DEBUG, as a handler with the filter writes it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(key)s", defaults={"key": ""}))
    redact_handlers(Redactor([KEY, SECRET, CANARY]), [handler])
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize(
    "text",
    [
        f"key {CANARY}",
        f"GET https://x/v2?apiKey={quote(CANARY, safe='')}&a=1",
        f"Basic {base64.b64encode(f'user:{CANARY}'.encode()).decode()}",
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"ab{CANARY}cd".encode()).decode(),
        "GET /v2?symbol=A&apiKey=unknownvalue123&limit=1",
        "GET /candle?token=unknownvalue123",
        "headers {'APCA-API-SECRET-KEY': 'unknownvalue123', 'Accept': 'x'}",
        "[(b'apca-api-key-id', b'unknownvalue123'), (b'accept', b'x')]",
        "Authorization: Bearer unknownvalue123",
        "X-Finnhub-Token=unknownvalue123",
    ],
)
def test_every_form_of_a_key_is_taken_out(text: str) -> None:
    """Plain, URL-encoded, base64 at any offset, and whatever stands behind a key header or parameter."""
    cleaned = Redactor([CANARY])(text)

    assert REDACTED in cleaned
    for form in (CANARY, quote(CANARY, safe=""), "unknownvalue", base64.b64encode(CANARY.encode()).decode()[4:-6]):
        assert form not in cleaned


def test_what_is_no_secret_stays() -> None:
    """Page tokens, symbols and ordinary words are left alone, and so is a very short key."""
    text = "GET /v2/stocks/bars?symbols=KEY,TOKEN&page_token=QUFQTHxEfA== key to success"

    assert Redactor(["key", CANARY])(text) == text


@pytest.mark.parametrize("part", ["message", "argument", "extra", "exception", "stack"])
def test_all_parts_of_a_record_are_cleaned(log: io.StringIO, part: str) -> None:
    """Message, arguments, extra fields, traceback and stack hold no key when they are written."""
    logger = logging.getLogger("test")
    match part:
        case "message":
            logger.debug(f"value {CANARY}")
        case "argument":
            logger.debug("value %s and %r", CANARY, {"a": CANARY})
        case "extra":
            logger.debug("value", extra={"key": CANARY})
        case "exception":
            try:
                int(CANARY)
            except ValueError:
                logger.exception("failed")
        case "stack":
            logger.debug("value", stack_info=True, extra={"key": CANARY})

    assert REDACTED in log.getvalue()
    assert CANARY not in log.getvalue()


ERROR = b"HTTP/1.1 500 Down\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
ECHO = f'{{"message": "APCA-API-KEY-ID: {KEY} {SECRET * 9}"}}'.encode()

FAULTS: dict[str, Wire] = {
    "reset": reset(),
    "reset in body": reset(HEAD + b"Content-Length: 99\r\n\r\n{"),
    "hang": then_hang(),
    "hang in body": then_hang(HEAD + b"Content-Length: 99\r\n\r\n{"),
    "drip": endless(HEAD + b"\r\n", b" ", pause_s=0.02),
    "cut": raw(HEAD + b"Content-Length: 99\r\n\r\n{"),
    "no http": raw(b"SSH-2.0\r\n\r\n"),
    "damaged gzip": raw(HEAD + b"Content-Encoding: gzip\r\n\r\nnope"),
    "html": raw(HEAD.replace(b"application/json", b"text/html") + b"\r\n<html>" + ECHO),
    "echo 500": raw(ERROR % (len(ECHO), ECHO)),
    "echo 401": raw((ERROR % (len(ECHO), ECHO)).replace(b"500", b"401")),
    "echo 429": raw((ERROR % (len(ECHO), ECHO)).replace(b"500 Down", b"429 Slow\r\nRetry-After: 7200")),
    "echo 200": raw(HEAD + b"\r\n" + ECHO),
    "echo in broken json": raw(HEAD + b"\r\n" + ECHO[:-1]),
    "redirect": raw(f"HTTP/1.1 302 Go\r\nLocation: https://evil/{SECRET}\r\n\r\n".encode()),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_puts_the_key_into_log_or_text(log: io.StringIO, fault: str) -> None:
    """With everything logged at DEBUG, text, cause chain and traceback of each fault are free of the key (X15)."""
    clock = Clock()
    async with wire_server(FAULTS[fault]) as url:
        provider = Alpaca(KEY, SECRET, base_url=url)
        http = HttpClient(provider.base_urls, timeouts=Timeouts(connect_s=0.1, read_s=0.1, total_s=0.15))
        client = ProviderClient(
            provider,
            http,
            SlidingQuota(200, clock=clock, sleep=clock.sleep),
            attempts=2,
            clock=clock,
            sleep=clock.sleep,
        )
        with pytest.raises(BarfillError) as caught:
            await client.fetch_page(bars_query(), None)
        await client.aclose()
    logging.getLogger("test").error("page failed", exc_info=caught.value)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    for text in (log.getvalue(), shown, repr(caught.value), str(vars(caught.value))):
        for secret in (KEY, SECRET, SECRET[:16], base64.b64encode(SECRET.encode()).decode()[:40]):
            assert secret not in text
