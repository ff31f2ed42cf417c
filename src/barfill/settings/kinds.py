"""What a setting can be: its kind, how its text is read, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from barfill.core.timeframe import Timeframe
from barfill.errors import UnknownTimeframe

FORMER_NAMES = {"polygon": "massive"}
"""Providers that people still call by another name."""
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


class Source(Enum):
    """Where a value came from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A type of setting.

    Attributes:
        name: For people, such as `whole number`.
        toml_type: What the settings file must hold; a bool is never taken for an int.
        parse: Makes the value from text (a file's number or bool arrives as its text); ValueError says what is wrong.
    """

    name: str
    toml_type: type
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """
    What is known of a setting besides its value.

    Attributes:
        name: The environment variable; in the settings file the same in lower case.
        kind: Its type.
        help: One line.
        unit: Of a number, or "".
        shown_default: The default in words.
        example: A value to begin with where the default is none, or "".
        is_secret: Whether the value must never be shown.
        is_in_file: Whether the settings file may hold it.
        alias: A second name of the environment variable, or "".
    """

    name: str
    kind: Kind
    help: str
    unit: str
    shown_default: str
    example: str
    is_secret: bool
    is_in_file: bool
    alias: str = ""


def parse_text(text: str) -> str:
    """Text without control characters."""
    if not text.isprintable():
        raise ValueError("holds a control character")
    return text


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a character that no key has: copy it again")
    return text


def _path(text: str) -> Path:
    path = Path(parse_text(text)).expanduser()
    return path if path.is_absolute() else Path.cwd() / path


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def choice(*words: str) -> Kind:
    """One of some words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"is unknown. Use one of {', '.join(words)}")
        return text.lower()

    return Kind(" or ".join(words), str, parse)


def whole(least: int, most: int) -> Kind:
    """A whole number between two bounds, both included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            raise ValueError("is not a whole number")
        if not least <= int(text) <= most:
            raise ValueError(f"is out of bounds. Use {least:,} to {most:,}")
        return int(text)

    return Kind(f"whole number, {least:,} to {most:,}", int, parse)


def names(text: str) -> tuple[str, ...]:
    """Words of lower-case letters and digits, with commas between them, each once."""
    given = (part.strip().lower() for part in text.split(",") if part.strip())
    words = tuple(dict.fromkeys(FORMER_NAMES.get(one, one) for one in given))
    if not words or not all(re.fullmatch(r"[a-z][a-z0-9]*", word) for word in words):
        raise ValueError("is no list of names such as alpaca,massive")
    return words


def _name(text: str) -> str:
    found = names(text)
    if len(found) != 1:
        raise ValueError("is no single name such as tradier")
    return found[0]


def _timeframes(text: str) -> tuple[Timeframe, ...]:
    try:
        wanted = {Timeframe.parse(part) for part in text.split(",") if part.strip()}
    except UnknownTimeframe:
        raise ValueError("names an unknown timeframe. Use some of 1m,5m,15m,30m,1h,4h,1d,1w") from None
    if not wanted:
        raise ValueError("names no timeframe. Use some of 1m,5m,15m,30m,1h,4h,1d,1w")
    return tuple(timeframe for timeframe in Timeframe if timeframe in wanted)


def _database_url(text: str) -> str:
    try:
        parts = urlsplit(parse_text(text))
        _ = parts.port
    except ValueError:
        raise ValueError(_DATABASE_URL_FORM) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(_DATABASE_URL_FORM)
    return text


_DATABASE_URL_FORM = "is not of the form postgresql://user:password@host:5432/database"


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(parse_text(text))
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    if parts.username is not None or parts.query or parts.fragment or "\\" in text:
        raise ValueError("may hold a scheme, a host, a port and a path, nothing else")
    if parts.scheme == "http" and not is_loopback(parts):
        raise ValueError("would send the keys unencrypted. Use https (http is fine on this machine only)")
    return text.rstrip("/")


def _host_names(text: str) -> tuple[str, ...]:
    hosts = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not hosts or not all(re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("is no list of host names without ports such as barfill.example.com,10.0.0.5")
    return hosts


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(dict.fromkeys(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip()))
    if not origins or not all(re.fullmatch(r"https?://[a-z0-9._-]+(:[0-9]{1,5})?", origin) for origin in origins):
        raise ValueError("is no list of origins such as https://example.com,http://localhost:5173")
    return origins


def is_loopback(parts: SplitResult) -> bool:
    """Whether a URL leads to this machine."""
    if parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


DATABASE = Kind("URL", str, _database_url)
HTTP_URL = Kind("URL", str, _base_url)
DIRECTORY = Kind("directory", str, _path)
FILE = Kind("file", str, _path)
KEY = Kind("text", str, _key)
SWITCH = Kind("true or false", bool, _bool)
NAMES = Kind("names, with commas", str, names)
NAME = Kind("name", str, _name)
TIMEFRAMES = Kind("timeframes, with commas", str, _timeframes)
HOSTS = Kind("host names, with commas", str, _host_names)
ORIGINS = Kind("origins, with commas", str, _origins)


def setting(
    name: str,
    kind: Kind,
    help_: str,
    default: object,
    *,
    shown_default: str = "",
    example: str = "",
    unit: str = "",
    is_secret: bool = False,
    is_in_file: bool = True,
    alias: str = "",
) -> Any:
    """A field of the settings."""
    shown = shown_default or ("not set" if default is None else str(default).lower())
    info = SettingInfo(name, kind, help_, unit, shown, example, is_secret, is_in_file, alias)
    if callable(default):
        return field(default_factory=default, metadata={"info": info}, repr=False)
    return field(default=default, metadata={"info": info}, repr=False)
