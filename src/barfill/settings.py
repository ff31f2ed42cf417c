"""
Every setting, read once: from the environment, then from barfill.toml, then its default.

The settings file is `barfill.toml` in BARFILL_HOME and nowhere else. A file in the current directory is never
read: whoever can put one there could point ALPACA_BASE_URL, and with it the keys, at a host of his own.
Only the wiring knows settings; everything below is handed what it needs.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from barfill.core.timeframe import Timeframe
from barfill.errors import SettingsError, UnknownTimeframe

FILE_NAME = "barfill.toml"
PAGE_SIZE_MAX = 10_000
CONCURRENT_JOBS_MAX = 64
REQUESTS_PER_MINUTE_MAX = 100_000
WORKER_PATIENCE_MIN, WORKER_PATIENCE_MAX = 4, 60
DAYS_MAX = 36_500
DAILY_BUDGET_MAX = 100_000_000

_SHARED_BITS = stat.S_IRWXG | stat.S_IRWXO
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
    """

    name: str
    kind: Kind
    help: str
    unit: str
    shown_default: str
    example: str
    is_secret: bool
    is_in_file: bool


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a control character")
    return text


def _key(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("holds a character that no key has: copy it again")
    return text


def _path(text: str) -> Path:
    path = Path(_text(text)).expanduser()
    return path if path.is_absolute() else Path.cwd() / path


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("is neither true nor false")


def _choice(*words: str) -> Kind:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"is unknown. Use one of {', '.join(words)}")
        return text.lower()

    return Kind(" or ".join(words), str, parse)


def _whole(least: int, most: int) -> Kind:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text):
            raise ValueError("is not a whole number")
        if not least <= int(text) <= most:
            raise ValueError(f"is out of bounds. Use {least:,} to {most:,}")
        return int(text)

    return Kind(f"whole number, {least:,} to {most:,}", int, parse)


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
        parts = urlsplit(_text(text))
        _ = parts.port
    except ValueError:
        raise ValueError(_DATABASE_URL_FORM) from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError(_DATABASE_URL_FORM)
    return text


_DATABASE_URL_FORM = "is not of the form postgresql://user:password@host:5432/database"


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(_text(text))
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    if parts.username is not None or parts.query or parts.fragment or "\\" in text:
        raise ValueError("may hold a scheme, a host, a port and a path, nothing else")
    if parts.scheme == "http" and not _is_loopback(parts):
        raise ValueError("would send the keys unencrypted. Use https (http is fine on this machine only)")
    return text.rstrip("/")


def _is_loopback(parts: SplitResult) -> bool:
    if parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


_TEXT_URL = Kind("URL", str, _database_url)
_HTTP_URL = Kind("URL", str, _base_url)
_PATH = Kind("directory", str, _path)
_KEY = Kind("text", str, _key)
_SWITCH = Kind("true or false", bool, _bool)
_TIMEFRAMES = Kind("timeframes, with commas", str, _timeframes)


def _setting(
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
) -> Any:
    shown = shown_default or ("not set" if default is None else str(default).lower())
    info = SettingInfo(name, kind, help_, unit, shown, example, is_secret, is_in_file)
    if callable(default):
        return field(default_factory=default, metadata={"info": info}, repr=False)
    return field(default=default, metadata={"info": info}, repr=False)


def default_home() -> Path:
    """The platform's directory for a user's data."""
    import platformdirs  # noqa: PLC0415  only needed where BARFILL_HOME is not set

    return Path(platformdirs.user_data_dir("barfill", appauthor=False))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings. `repr` shows where each came from and no value; `shown` gives a value that may be printed."""

    database_url: str | None = _setting(
        "DATABASE_URL",
        _TEXT_URL,
        "The PostgreSQL database (14 to 18). Not set: barfill runs a private one in BARFILL_HOME.",
        None,
        example="postgresql://user:password@host:5432/database",
        is_secret=True,
    )
    database_pooler: bool = _setting(
        "DATABASE_POOLER",
        _SWITCH,
        "Whether a transaction pooler stands before DATABASE_URL: then workers poll and take no locks.",
        False,
    )
    barfill_home: Path = _setting(  # noqa: RUF009  it makes a field(), which the rule cannot see
        "BARFILL_HOME",
        _PATH,
        f"Directory of the private database and of {FILE_NAME}.",
        default_home,
        shown_default="the platform's user data directory (Linux: ~/.local/share/barfill)",
        is_in_file=False,
    )
    alpaca_api_key: str | None = _setting(
        "ALPACA_API_KEY", _KEY, "Key id of your Alpaca account.", None, example="PK...", is_secret=True
    )
    alpaca_api_secret: str | None = _setting(
        "ALPACA_API_SECRET", _KEY, "Secret that belongs to the key.", None, example="...", is_secret=True
    )
    alpaca_base_url: str | None = _setting(
        "ALPACA_BASE_URL",
        _HTTP_URL,
        "Where Alpaca is reached, such as a simulated exchange.",
        None,
        shown_default="Alpaca's own hosts",
        example="http://127.0.0.1:8900/alpaca",
    )
    alpaca_plan: str = _setting(
        "ALPACA_PLAN",
        _choice("free", "paid"),
        "Your data plan: free (Basic) or paid (Algo Trader Plus).",
        "free",
    )
    alpaca_feed: str | None = _setting(
        "ALPACA_FEED",
        _choice("sip", "iex"),
        "The tape that bars come from: sip (all exchanges) or iex (one exchange, 2-3 % of the volume).",
        None,
        shown_default="sip",
    )
    alpaca_requests_per_minute: int | None = _setting(
        "ALPACA_REQUESTS_PER_MINUTE",
        _whole(1, REQUESTS_PER_MINUTE_MAX),
        "How many requests the plan allows.",
        None,
        shown_default="what the plan allows (free 200, paid 10,000)",
        example="200",
        unit="requests per minute",
    )
    alpaca_page_size: int = _setting(
        "ALPACA_PAGE_SIZE",
        _whole(1, PAGE_SIZE_MAX),
        "How many bars one request asks for at most.",
        PAGE_SIZE_MAX,
        unit="bars",
    )
    alpaca_daily_budget: int | None = _setting(
        "ALPACA_DAILY_BUDGET",
        _whole(1, DAILY_BUDGET_MAX),
        "No more requests than this in a day (UTC), by all processes together.",
        None,
        shown_default="no bound",
        example="10000",
        unit="requests per day",
    )
    resample_h1_from_m15: bool = _setting(
        "RESAMPLE_H1_FROM_M15",
        _SWITCH,
        "Derive 1h bars from finer ones. Alpaca's hours begin at full hours, not at the open: always derived there.",
        True,
    )
    resample_h4_from_m15: bool = _setting("RESAMPLE_H4_FROM_M15", _SWITCH, "The same for 4h bars.", True)
    max_concurrent_jobs: int = _setting(
        "MAX_CONCURRENT_JOBS",
        _whole(1, CONCURRENT_JOBS_MAX),
        "How many slices are fetched at the same time.",
        5,
        unit="slices",
    )
    worker_patience_seconds: int = _setting(
        "WORKER_PATIENCE_SECONDS",
        _whole(WORKER_PATIENCE_MIN, WORKER_PATIENCE_MAX),
        "A worker that gives no sign of life for so long is dead, and others take its runs over.",
        WORKER_PATIENCE_MAX,
        unit="seconds",
    )
    default_timeframes: tuple[Timeframe, ...] = _setting(
        "DEFAULT_TIMEFRAMES",
        _TIMEFRAMES,
        "What is kept complete of a symbol that is put on a watchlist.",
        tuple(Timeframe),
        shown_default="1m,5m,15m,30m,1h,4h,1d,1w",
    )
    default_window_days: int = _setting(
        "DEFAULT_WINDOW_DAYS",
        _whole(1, DAYS_MAX),
        "How far back it is kept complete.",
        730,
        unit="days",
    )
    job_runs_retention_days: int = _setting(
        "JOB_RUNS_RETENTION_DAYS",
        _whole(1, DAYS_MAX),
        "How long finished runs are remembered; workers clear them away every hour, or 'barfill jobs prune'.",
        90,
        unit="days",
    )
    barfill_api_key: str | None = _setting(
        "BARFILL_API_KEY",
        _KEY,
        "Key of barfill's own HTTP API. Kept for it; nothing uses it yet.",
        None,
        example="...",
        is_secret=True,
    )
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        given = ", ".join(f"{info.name} from {self.source(info).value}" for info in SETTINGS)
        return f"Settings({given})"

    def source(self, info: SettingInfo) -> Source:
        """Where the value of *info* came from."""
        return self.sources.get(info.name, Source.DEFAULT)

    def shown(self, info: SettingInfo) -> str:
        """The value as it may be printed: of a secret only that it is set, the home directory as `~`."""
        value = getattr(self, info.name.lower())
        if value is None:
            return info.shown_default
        if info.name == "DATABASE_URL":
            return _shown_database(str(value))
        if info.is_secret:
            return "set"
        if isinstance(value, Path):
            return shown_path(value)
        if isinstance(value, tuple):
            return ",".join(timeframe.label for timeframe in value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    @property
    def file(self) -> Path:
        """Where the settings file is, or would be."""
        return self.barfill_home / FILE_NAME

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be printed, the database's password among them."""
        values = [getattr(self, info.name.lower()) for info in SETTINGS if info.is_secret]
        found = [str(value) for value in values if value is not None]
        if self.database_url is not None:
            found.append(urlsplit(self.database_url).password or "")
        return tuple(sorted(filter(None, found), key=len, reverse=True))

    @property
    def would_mix_in_invented_bars(self) -> bool:
        """Whether a server on this machine, which may be a simulated exchange, would fill the default database."""
        is_local = self.alpaca_base_url is not None and _is_loopback(urlsplit(self.alpaca_base_url))
        return is_local and self.database_url is None and self.barfill_home == default_home()

    def alpaca_keys(self) -> tuple[str, str]:
        """
        Key and secret of Alpaca.

        Raises:
            SettingsError: They are not set.
        """
        if self.alpaca_api_key is None or self.alpaca_api_secret is None:
            raise SettingsError(NO_KEYS)
        return self.alpaca_api_key, self.alpaca_api_secret


SETTINGS: tuple[SettingInfo, ...] = tuple(
    cast(SettingInfo, one.metadata["info"]) for one in fields(Settings) if "info" in one.metadata
)
_HOME = next(info for info in SETTINGS if info.name == "BARFILL_HOME")

NO_KEYS = (
    "No provider has a key: set ALPACA_API_KEY and ALPACA_API_SECRET (a free account at alpaca.markets gives both). "
    "To try barfill without an account, run 'barfill simulate' in another terminal and paste the export lines that it "
    "prints here."
)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """
    The settings of *environment* (this process's, if None) and of the settings file.

    A variable that is set to nothing counts as not set, as shells and CI systems pass on undefined ones.

    Raises:
        SettingsError: Lists every problem at once.
    """
    given = {name: text.strip() for name, text in (os.environ if environment is None else environment).items()}
    reading = _Reading()
    if given.get(_HOME.name):
        reading.take(_HOME, given[_HOME.name], Source.ENVIRONMENT)
    home = cast("Path | None", reading.values.get("barfill_home")) or default_home()
    in_file = _read_file(home / FILE_NAME, reading.problems)
    for info in SETTINGS:
        if info is not _HOME and given.get(info.name):
            reading.take(info, given[info.name], Source.ENVIRONMENT)
        elif in_file.get(info.name):
            reading.take(info, in_file[info.name], Source.FILE)
    reading.check_pairs()
    if reading.problems:
        raise SettingsError(_all_of(reading.problems))
    reading.values["barfill_home"] = home
    return Settings(**cast("dict[str, Any]", reading.values), sources=reading.sources)


def settings_path() -> Path:
    """
    Where this process's settings file is, or would be; the file itself may be absent or wrong.

    Raises:
        SettingsError: BARFILL_HOME cannot be used.
    """
    reading = _Reading()
    text = os.environ.get(_HOME.name, "").strip()
    if text:
        reading.take(_HOME, text, Source.ENVIRONMENT)
    if reading.problems:
        raise SettingsError(_all_of(reading.problems))
    return (cast("Path | None", reading.values.get("barfill_home")) or default_home()) / FILE_NAME


class _Reading:
    """What was read so far, and what is wrong with it."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, Source] = {}
        self.problems: list[str] = []

    def take(self, info: SettingInfo, text: str, source: Source) -> None:
        try:
            self.values[info.name.lower()] = info.kind.parse(text)
            self.sources[info.name] = source
        except ValueError as error:
            # A URL with an @ may hold a password although it should not.
            shown = "" if info.is_secret or "@" in text else f" {text[:60]!r}"
            self.problems.append(f"{info.name}{shown} ({source.value}) {error}.")

    def check_pairs(self) -> None:
        names = ("ALPACA_API_KEY", "ALPACA_API_SECRET")
        lacking = [name for name in names if name.lower() not in self.values]
        if len(lacking) == 1 and not any(problem.startswith(lacking[0]) for problem in self.problems):
            self.problems.append(f"{lacking[0]} is not set, but its counterpart is: set both.")


def shown_path(path: Path) -> str:
    """The path with the home directory as `~`, so that what is printed can be passed on."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _all_of(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} settings need a correction:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _read_file(path: Path, problems: list[str]) -> dict[str, str]:
    """What the settings file holds, by the variable's name, as text; what is wrong with it goes to *problems*."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            table = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror}.")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path} is not valid TOML: {error}.")
        return {}
    known = {info.name.lower(): info for info in SETTINGS}
    found: dict[str, str] = {}
    for name, value in table.items():
        problem = _file_problem(path, name, value, known)
        if problem:
            problems.append(problem)
        else:
            found[known[name].name] = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if mode & _SHARED_BITS and any(info.is_secret for name, info in known.items() if name in table):
        problems.append(f"{path} holds secrets and others may read it (mode {mode:o}). Run: chmod 600 {path}")
    return found


def _file_problem(path: Path, name: str, value: object, known: Mapping[str, SettingInfo]) -> str | None:
    info = known.get(name)
    if info is None:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{path} sets {name[:60]!r}, which is no setting.{hint}"
    if not info.is_in_file:
        return f"{path} sets {name}, which only the environment can: it decides where this file is."
    # type() and not isinstance: TOML's true would pass for the number 1.
    if type(value) is not info.kind.toml_type:
        wanted = {str: 'text in quotes, such as "value"', int: "a whole number, without quotes", bool: "true or false"}
        return f"{path} sets {name} to a {_toml_name(value)}. Write {wanted[info.kind.toml_type]}."
    return None


def _toml_name(value: object) -> str:
    names = {bool: "true or false", int: "number", float: "decimal number", str: "text", list: "list", dict: "table"}
    return names.get(type(value), "date or time")


def _shown_database(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or "local socket"
    port = f":{parts.port}" if parts.port else ""
    return f"set (host {host}{port}, database {parts.path.lstrip('/') or 'of the user'})"
