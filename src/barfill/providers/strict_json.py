"""
JSON, strictly: what Python's own parser lets through is refused (H16).

One document, valid UTF-8, no `NaN` or `Infinity`, no number too large for a float, no key twice, no nesting bomb.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn, TypeVar

import msgspec

from barfill.errors import BadResponse, excerpt
from barfill.providers.base import HttpResponse

T = TypeVar("T")


def strict_json(body: bytes) -> object:
    """
    The document in *body*.

    Raises:
        BadResponse: It is not strict JSON (`json`), or nested too deeply (`too_large`).
    """
    try:
        return _DECODER.decode(body.decode())
    except RecursionError as error:
        raise BadResponse("The answer is nested too deeply to be read.", reason="too_large") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise BadResponse(
            f"The answer is no valid JSON ({excerpt(str(error))}). It begins: {shown(body)}", reason="json"
        ) from error


def read_json(body: bytes, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """
    The value in *body* as *decoder* types it.

    Raises:
        BadResponse: No strict JSON (`json`, `too_large`), or no *what* (`schema`).
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        strict_json(body)  # says what is wrong where it is no JSON at all
        raise BadResponse(f"The answer is no {what}: {excerpt(str(error))}.", reason="schema") from error


def check_is_json(response: HttpResponse) -> None:
    """
    Refuses what is no JSON by its label or its first look.

    Raises:
        BadResponse: An empty body, a web page or another content type (`body`).
    """
    kind = response.headers.get("content-type", "")
    if not response.body.strip():
        raise BadResponse(f"The answer (HTTP {response.status}) is empty.", reason="body")
    if kind and "json" not in kind.lower():
        raise BadResponse(
            f"The answer is '{excerpt(kind)}' instead of JSON. It begins: {shown(response.body)}", reason="body"
        )
    if response.body.lstrip().startswith(b"<"):
        raise BadResponse(f"The answer is a web page instead of JSON: {shown(response.body)}", reason="body")


def shown(body: bytes) -> str:
    """The beginning of a body, fit for a message."""
    return excerpt(body[:1000].decode(errors="replace").strip())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:40]!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_no_key_twice, parse_float=_finite, parse_constant=_no_constant)
