"""Reads the settings: from the environment, then from barfill.toml, then their defaults."""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from barfill.errors import SettingsError
from barfill.settings.kinds import SettingInfo, Source
from barfill.settings.model import FILE_NAME, SETTINGS, Settings, default_home

_SHARED_BITS = stat.S_IRWXG | stat.S_IRWXO
_HOME = next(info for info in SETTINGS if info.name == "BARFILL_HOME")


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
        text = given.get(info.name) or given.get(info.alias)
        if info is not _HOME and text:
            reading.take(info, text, Source.ENVIRONMENT)
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
