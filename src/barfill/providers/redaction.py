"""
Keeps keys out of logs and messages.

HTTP libraries log full URLs and exceptions carry them, so the filter goes on every handler and works on the finished
text, traceback included. It must run before anything is shortened: half a key no longer matches.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = "[redacted]"
SECRET_LENGTH_MIN = 4
"""Shorter values are words like `key` in a demo; replacing them would only garble the log."""
ECHO_LENGTH_MIN = 12
"""A provider's answer is data: only what is as long as a real key is taken out of it."""

_HEADER = re.compile(
    r"""(?ix) (apca-api-(?:key-id|secret-key) | x-api-key | x-finnhub-token | (?:proxy-)?authorization)
        (["'\s]*[:=,]\s*(?:b(?=["']))?["']?) (?:bearer\s+|basic\s+)? [^\s"',)\]}]+"""
)
_PARAMETER = re.compile(r"""(?i)([?&](?:api_?key|token|access_token|secret|password)=)[^&\s"'<>)\]]+""")
_FORMATTER = logging.Formatter()


class Redactor:
    """
    Replaces every form of some secrets in texts: plain, URL-encoded and base64, and whatever stands as a key header.

    Args:
        secrets: Key values; those shorter than `SECRET_LENGTH_MIN` are only found by their header or parameter.
    """

    __slots__ = ("_bytes", "_forms")

    def __init__(self, secrets: Iterable[str]) -> None:
        secrets = tuple(secrets)
        forms = {form for secret in secrets if len(secret) >= SECRET_LENGTH_MIN for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, longest_first))) if forms else None
        self._bytes = tuple(secret.encode() for secret in secrets if len(secret) >= ECHO_LENGTH_MIN)

    def __call__(self, text: str) -> str:
        """*text* without secrets."""
        if self._forms is not None:
            text = self._forms.sub(REDACTED, text)
        text = _HEADER.sub(rf"\1\2{REDACTED}", text)
        return _PARAMETER.sub(rf"\1{REDACTED}", text)

    def clean(self, body: bytes) -> bytes:
        """*body* without the secrets themselves; the same object where there are none."""
        for secret in self._bytes:
            if secret in body:
                body = body.replace(secret, REDACTED.encode())
        return body


class RedactingFilter(logging.Filter):
    """A filter for log handlers that passes every record, without secrets in any part of it."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Makes the text final and clean; formatters find the traceback ready-made in `exc_text`."""
        record.msg, record.args = self._redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        record.exc_info = None  # the text is all that a formatter may still show
        for name, value in vars(record).items():
            if isinstance(value, str):
                setattr(record, name, self._redact(value))
        return True


def redact_handlers(redact: Redactor, handlers: Iterable[logging.Handler]) -> None:
    """Puts the filter on each handler; once is enough, twice does no harm."""
    for handler in handlers:
        handler.addFilter(RedactingFilter(redact))


def _forms(secret: str) -> Iterable[str]:
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    # Inside a longer base64 text the key starts at one of three offsets; its first and last digits mix with others.
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
        whole = encoded[-(-lead * 8 // 6) : (lead + len(raw)) * 8 // 6]
        if len(whole) >= ECHO_LENGTH_MIN:
            yield whole
