"""
Writes the references in docs/reference that follow from the program; with --check, says whether they are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from barfill.cli.main import barfill
from barfill.settings import FILE_NAME, SETTINGS
from barfill.simulate import fault_table

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the program. Change the program, not this file. -->"


def cli_reference() -> str:
    """Every command's help, as the terminal shows it."""
    parts = [
        "# Commands",
        MADE,
        CLI_INTRODUCTION.strip(),
    ]
    for path, command in _commands((), barfill):
        context = click.Context(
            command, info_name=" ".join(("barfill", *path)), max_content_width=100, **barfill.context_settings
        )
        context.terminal_width = 100
        heading = "#" * (2 + max(0, len(path) - 1))
        parts.append(f"{heading} {context.info_name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts) + "\n"


def settings_reference() -> str:
    """Every setting with its type, default and unit."""
    lines = [SETTINGS_INTRODUCTION.format(made=MADE, file=FILE_NAME)]
    for info in SETTINGS:
        notes = [info.help]
        if info.unit:
            notes.append(f"In {info.unit}.")
        if info.is_secret:
            notes.append("Secret: never printed.")
        if not info.is_in_file:
            notes.append("Environment only.")
        lines.append(f"| `{info.name}` | {info.kind.name} | {info.shown_default} | {' '.join(notes)} |")
    lines.append(SWITCHES)
    return "\n".join(lines)


def faults_reference() -> str:
    """Every fault of the simulated exchange with its arguments."""
    return "\n".join([FAULTS_INTRODUCTION.format(made=MADE), fault_table(), ""])


FAULTS_INTRODUCTION = """\
# Faults of the simulated exchange

{made}

How to put them into a script: [the simulated exchange](../simulate.md). H: what goes wrong on the wire; D: what is
wrong with the data; V: oddities of a single vendor. Stages: `reply` acts instead of the page, `page` on its rows and
token, `events` on lists of splits and dividends, `wire` on bytes.
"""

CLI_INTRODUCTION = """
Results go to stdout, progress and advice to stderr. Exit codes: 0 done and complete; 1 something failed; 2 usage or
settings; 3 finished, but gaps remain that may still fill; 130 interrupted.

An error is one sentence on stderr; with `BARFILL_DEBUG=1` its traceback comes first.
"""

SETTINGS_INTRODUCTION = """\
# Settings

{made}

Each setting is read once at start: from the environment, then from the settings file, then its default. A variable
that is set to nothing counts as not set. All problems are reported together. `barfill doctor` prints what is in force
and where it came from.

The settings file is `{file}` in `BARFILL_HOME`, and nowhere else: a file in the current directory is never read,
since whoever can put one there could send your keys to a host of his own. It is TOML with the names below in lower
case, and types are strict: numbers without quotes, texts with quotes, `true` or `false`. A file that holds a secret
must be yours alone (`chmod 600`), or it is refused.

```toml
alpaca_api_key = "PK..."
alpaca_api_secret = "..."
max_concurrent_jobs = 5
```

| name | type | default | what it is |
| --- | --- | --- | --- |"""

SWITCHES = """
Two switches are read from the environment only: `BARFILL_DEBUG=1` prints the traceback of an error before its
sentence; `BARFILL_CRASH_AT=k8:3` kills the process at a named point, for tests (see
[architecture](../architecture.md)).
"""

REFERENCES = {"cli.md": cli_reference, "settings.md": settings_reference, "faults.md": faults_reference}


def main() -> int:
    """Writes what differs; with --check only tells, and gives 1 if anything does."""
    stale = [name for name, make in REFERENCES.items() if _stored(name) != make()]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} is not up to date. Run: make docs")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(REFERENCES[name](), encoding="utf-8")
    return 0


def _stored(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else None


def _commands(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands((*path, name), found)


if __name__ == "__main__":
    sys.exit(main())
