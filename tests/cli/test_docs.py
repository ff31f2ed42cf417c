"""The documentation stays true: references are generated, nothing that exists is left out, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from barfill import __version__, errors
from barfill.cli.main import COMMANDS
from barfill.engine.advice import ADVICE
from barfill.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def error_classes() -> list[type[errors.BarfillError]]:
    return [
        found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.BarfillError)
    ]


def requirements() -> list[str]:
    pyproject = tomllib.loads(text_of("pyproject.toml"))
    named = [*pyproject["project"]["dependencies"], *pyproject["dependency-groups"]["dev"]]
    return [re.split(r"[\[<>=~! ]", one)[0] for one in named]


def test_the_generated_references_are_up_to_date() -> None:
    """Otherwise: make docs."""
    script = [sys.executable, str(ROOT / "scripts" / "write_references.py"), "--check"]

    done = subprocess.run(script, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("code", sorted({found.code for found in error_classes()}))
def test_every_error_code_is_documented(code: str) -> None:
    """With what it means and what to do."""
    assert f"| `{code}` |" in text_of("docs/reference/errors.md")


def test_advice_is_what_the_reference_says() -> None:
    """`barfill jobs show` tells the last column of the errors' table, for every code in it."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|.*\| (.+?) \|$", text_of("docs/reference/errors.md"), re.MULTILINE)

    assert dict(rows) == dict(ADVICE)


def test_every_reason_is_documented() -> None:
    """The words that tell cases of one code apart are stable, so they are written down."""
    sources = [path.read_text() for path in (ROOT / "src" / "barfill").rglob("*.py") if "simulate" not in path.parts]
    used = {word for text in sources for word in re.findall(r'\breason="([a-z0-9_]+)"', text)}

    documented = set(re.findall(r"`([a-z0-9_]+)`", text_of("docs/reference/errors.md").partition("## Reasons")[2]))

    assert used <= documented


@pytest.mark.parametrize("info", SETTINGS, ids=lambda info: info.name)
def test_every_setting_is_documented(info: object) -> None:
    """In the settings reference."""
    assert f"| `{getattr(info, 'name', '')}` |" in text_of("docs/reference/settings.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    """In the command reference."""
    assert f"## barfill {command}\n" in text_of("docs/reference/cli.md")


def test_every_relation_and_its_columns_are_documented() -> None:
    """As the migrations make them, functions for users too."""
    migrations = sorted((ROOT / "src" / "barfill" / "store" / "migrations").glob("*.sql"))
    schema = "\n".join(path.read_text(encoding="utf-8") for path in migrations)
    tables = re.findall(r"^create (?:table|view) (\w+)", schema, re.MULTILINE)
    functions = re.findall(r"^create function (\w+)\((?!\) returns trigger)", schema, re.MULTILINE)

    documented = text_of("docs/reference/tables.md")

    partitions = re.compile(r"ohlc_bars_[mhdw]\d+")
    assert [name for name in tables if f"`{name}`" not in documented and not partitions.fullmatch(name)] == []
    assert [name for name in functions if f"`{name}(" not in documented] == []


@pytest.mark.parametrize("name", requirements())
def test_every_requirement_says_what_it_saves_us(name: str) -> None:
    """In CONTRIBUTING.md."""
    assert name in text_of("CONTRIBUTING.md")


def test_the_changelog_knows_the_version_or_has_an_unreleased_section() -> None:
    """Both never go separate ways."""
    assert re.search(rf"^## (Unreleased|{re.escape(__version__)})", text_of("CHANGELOG.md"), re.MULTILINE)
    assert tomllib.loads(text_of("pyproject.toml"))["project"]["version"] == __version__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links name files that exist."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_in_pages_exist(page: Path) -> None:
    """`barfill NAME` and `make NAME` in code are real."""
    blocks = re.findall(r"```(?:console|text)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    shown = [match for line in lines if (match := re.match(r"\$ (?:\.venv/bin/)?(barfill|make) ([a-z-]+)", line))]
    targets = re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE)

    assert [match[0] for match in shown if match[2] not in (COMMANDS if match[1] == "barfill" else targets)] == []
