"""
`barfill init`: writes a settings file, and what runs barfill unattended on GitHub, under systemd or in containers.

The files come from `templates/`, beside this module; those that list the settings are generated from settings.py. Files
in which people write their keys are theirs: they can be read by their owner only, and what they hold is never shown.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from barfill import __version__
from barfill.cli.terminal import clean, counted
from barfill.errors import InvalidInput
from barfill.settings import FILE_NAME, SETTINGS, SettingInfo, settings_path, shown_path

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW = ".github/workflows/barfill.yml"
ENV_FILE = "barfill.env"
PASSWORD_FILE = "postgres.env"  # noqa: S105  a file's name
DIFFERING_LINES_SHOWN_MAX = 20

EPILOG = f"""\
\b
Examples:
  barfill init                              every setting as a comment in {FILE_NAME}
  barfill init --github-actions             a workflow that runs every six hours
  barfill init --systemd --directory units
  barfill init --compose --dry-run          which files it would write

\b
Files, in the current directory if no --directory is given:
  --github-actions  {WORKFLOW}
  --systemd         barfill-schedule.service, barfill-worker@.service, {ENV_FILE}
  --compose         compose.yaml, Containerfile, {ENV_FILE}, {PASSWORD_FILE}
  --settings        {FILE_NAME}, always in BARFILL_HOME

\b
A file that is there and differs is left alone (exit code 2, and nothing is written),
or with --force kept as NAME.old. The .env files are yours and are never replaced.
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A file that is to be written.

    Attributes:
        is_private: It may hold secrets: its mode is 600, and its lines are not shown.
        is_filled_in: People write their values into it, so one that is there is never replaced.
    """

    path: Path
    text: str
    is_private: bool = False
    is_filled_in: bool = False

    @property
    def present(self) -> str | None:
        """What stands in its place now; None if nothing does."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidInput(
                f"{shown_path(self.path)} cannot be read ({error.strerror}). Move it away, or choose another directory."
            ) from error


@dataclass(frozen=True, slots=True)
class Kit:
    """The files for one way to run barfill, and what is left to do by hand."""

    drafts: Sequence[Draft]
    steps: str


@click.command(epilog=EPILOG)
@click.option("--github-actions", "for_github", is_flag=True, help="A workflow for GitHub Actions.")
@click.option("--systemd", "for_systemd", is_flag=True, help="Units for systemd: a scheduler, and workers.")
@click.option("--compose", "for_compose", is_flag=True, help="A container file and a compose file.")
@click.option("--settings", "for_settings", is_flag=True, help="The settings file. [default: if nothing else is asked]")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Write here. [default: the current directory]",
)
@click.option("--force", is_flag=True, help="Replace files that differ; the old ones are kept as NAME.old.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
def init(
    for_github: bool,
    for_systemd: bool,
    for_compose: bool,
    for_settings: bool,
    directory: Path,
    force: bool,
    dry_run: bool,
) -> int:
    """
    Write a settings file, or what runs barfill unattended.

    Without an option it writes the settings file: every setting as a comment, with its default.
    """
    kits = []
    if for_settings or not (for_github or for_systemd or for_compose):
        kits.append(_settings_kit())
    if for_github:
        kits.append(_github_kit(directory))
    if for_systemd:
        kits.append(_systemd_kit(directory))
    if for_compose:
        kits.append(_compose_kit(directory))
    drafts = {draft.path: draft for kit in kits for draft in kit.drafts}  # one that two kits share is written once
    if not force:
        _refuse_to_overwrite(drafts.values())
    for draft in drafts.values():
        click.echo(clean(_put(draft, is_dry=dry_run)))
    if not dry_run:
        for kit in kits:
            click.echo("\n" + kit.steps.rstrip())
    return 0


SETTINGS_STEPS = """\
Next, for the settings: take the # away from what you want to set, then: barfill doctor
"""

GITHUB_STEPS = f"""\
Next, for GitHub Actions:
  1. Set the secrets DATABASE_URL, ALPACA_API_KEY and ALPACA_API_SECRET (in the repository: Settings, Secrets and
     variables, Actions). The database must be reachable from GitHub, since a runner's disk is lost when its job ends.
     Supabase: the URL of the session pooler (port 5432), or of the transaction pooler (port 6543) with the variable
     DATABASE_POOLER set to true; the direct URL is IPv6 only, which GitHub's runners do not speak.
  2. Say what is to be kept complete, from any machine with that DATABASE_URL: barfill watchlist add tech AAPL MSFT
  3. Commit {WORKFLOW} to the default branch. Try it: Actions, barfill, Run workflow.
"""

SYSTEMD_STEPS = f"""\
Next, for systemd, as root:
  1. python3 -m venv /opt/barfill && /opt/barfill/bin/pip install barfill
  2. install -D -m 600 {ENV_FILE} /etc/barfill/barfill.env, and write your keys and DATABASE_URL into it
  3. cp barfill-schedule.service barfill-worker@.service /etc/systemd/system/ && systemctl daemon-reload
  4. systemctl enable --now barfill-schedule, and for more at a time: systemctl enable --now barfill-worker@1
"""

COMPOSE_STEPS = f"""\
Next, for containers:
  1. Write your keys into {ENV_FILE}. Commit neither it nor {PASSWORD_FILE}, which holds the database's password.
  2. docker compose up --detach --build
  3. docker compose run --rm scheduler watchlist add tech AAPL MSFT
"""

SETTINGS_HEAD = f"""\
# barfill's settings. Written by: barfill init
#
# Take the # away from a setting to set it; what stays a comment has its default. An environment variable of the same
# name in capitals wins over this file. {FILE_NAME} is read in BARFILL_HOME only, and must be yours alone (chmod 600).
"""

ENV_HEAD = """\
# barfill's settings as environment variables, for systemd and containers. Written by: barfill init
#
# Take the # away from a setting to set it; what stays a comment has its default. Values stand without quotes.
# Keep this file to yourself (chmod 600), and out of git.
"""

SERVER_HEAD = """\
# The password of the database in compose.yaml, made at random: for the server, and for those who connect to it.
# It counts when the database is made; changing it here later changes nothing there. Keep it out of git.
"""


def settings_text() -> str:
    """The settings file: every setting as a comment, with its help and its default, else an example."""

    def line(info: SettingInfo) -> str:
        value = _suggested(info)
        return f"#{info.name.lower()} = {json.dumps(value) if info.kind.toml_type is str else value}"

    return SETTINGS_HEAD + _listed(line)


def env_text() -> str:
    """The same as environment variables."""
    return ENV_HEAD + _listed(lambda info: f"#{info.name}={_suggested(info)}")


def _listed(line: Callable[[SettingInfo], str]) -> str:
    blocks = []
    for info in SETTINGS:
        if info.is_in_file:
            unit = f" {info.unit}" if info.unit and info.shown_default[-1:].isdigit() else ""
            blocks.append(f"\n# {info.help}\n# {info.kind.name}. Default: {info.shown_default}{unit}.\n{line(info)}\n")
    return "".join(blocks)


def _suggested(info: SettingInfo) -> str:
    return info.example or info.shown_default


def _settings_kit() -> Kit:
    return Kit([Draft(settings_path(), settings_text(), is_private=True)], SETTINGS_STEPS)


def _github_kit(directory: Path) -> Kit:
    return Kit([_from_template("barfill.yml", directory / WORKFLOW)], GITHUB_STEPS)


def _systemd_kit(directory: Path) -> Kit:
    names = ("barfill-schedule.service", "barfill-worker@.service")
    return Kit([*(_from_template(name, directory / name) for name in names), _env_file(directory)], SYSTEMD_STEPS)


def _compose_kit(directory: Path) -> Kit:
    files = [_from_template(name, directory / name) for name in ("compose.yaml", "Containerfile")]
    return Kit([*files, _env_file(directory), _password_file(directory)], COMPOSE_STEPS)


def _from_template(name: str, path: Path) -> Draft:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return Draft(path, text.replace("@VERSION@", __version__))


def _env_file(directory: Path) -> Draft:
    return Draft(directory / ENV_FILE, env_text(), is_private=True, is_filled_in=True)


def _password_file(directory: Path) -> Draft:
    password = secrets.token_urlsafe(24)
    text = f"{SERVER_HEAD}POSTGRES_PASSWORD={password}\nPGPASSWORD={password}\n"
    return Draft(directory / PASSWORD_FILE, text, is_private=True, is_filled_in=True)


def _refuse_to_overwrite(drafts: Iterable[Draft]) -> None:
    """Raises InvalidInput if a file is there and differs: it names all of them, and what differs."""
    told = []
    for draft in drafts:
        present = draft.present
        if present is not None and present != draft.text and not draft.is_filled_in:
            told += [f"{shown_path(draft.path)} is there and differs:", *_difference(draft, present)]
    if told:
        raise InvalidInput("\n".join([*told, "Nothing was written. With --force it is kept as NAME.old."]))


def _difference(draft: Draft, present: str) -> list[str]:
    if draft.is_private:
        names = re.findall(r"^\s*([A-Za-z0-9_]+)\s*=", present, re.MULTILINE)
        return [f"  it sets {', '.join(names)}" if names else "  its comments are others, and it sets nothing"]
    lines = list(difflib.unified_diff(present.splitlines(), draft.text.splitlines(), n=0, lineterm=""))[2:]
    shown = [f"  {line}" for line in lines if not line.startswith("@@")]
    hidden = len(shown) - DIFFERING_LINES_SHOWN_MAX
    return shown if hidden <= 0 else [*shown[:DIFFERING_LINES_SHOWN_MAX], f"  and {counted(hidden, 'more line')}"]


def _put(draft: Draft, *, is_dry: bool) -> str:
    """Writes the file, unless it is there and the same or its owner's; what became of it."""
    present, shown = draft.present, shown_path(draft.path)
    if present == draft.text:
        return f"Unchanged: {shown}"
    if present is not None and draft.is_filled_in:
        return f"Left as it is, since it holds your values: {shown}"
    note = "" if present is None else f" (what was there: {draft.path.name}.old)"
    if is_dry:
        return f"Would write {shown}{note}"
    try:
        _write(draft)
    except OSError as error:
        raise InvalidInput(
            f"{shown} cannot be written ({error.strerror}). Give yourself the right to, or choose another directory."
        ) from error
    return f"Wrote {shown}{', mode 600' if draft.is_private else ''}{note}"


def _write(draft: Draft) -> None:
    """Whole or not at all; the text is never readable by others where it is private, not even for a moment."""
    draft.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if draft.path.name == FILE_NAME else 0o777)
    partial = draft.path.with_name(draft.path.name + ".partial")
    partial.unlink(missing_ok=True)
    mode = 0o600 if draft.is_private else 0o644
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(draft.text)
    if os.path.lexists(draft.path):
        draft.path.replace(draft.path.with_name(draft.path.name + ".old"))
    partial.replace(draft.path)
