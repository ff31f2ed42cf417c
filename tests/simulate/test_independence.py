"""The simulated exchange shares no code with the side that it tests."""

import ast
from pathlib import Path

import barfill.simulate

FOLDER = Path(barfill.simulate.__file__).parent


def test_only_the_errors_are_shared() -> None:
    """No module of simulate imports anything of barfill but simulate itself and barfill.errors."""
    foreign = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign |= {name for name in names if name.split(".")[0] == "barfill"}

    assert {name for name in foreign if not name.startswith("barfill.simulate")} == {"barfill.errors"}


def test_modules_are_small() -> None:
    """No module grows beyond 350 lines."""
    assert max(len(path.read_text().splitlines()) for path in FOLDER.rglob("*.py")) <= 350
