"""Named queries: the `.sql` file beside a module, read once, handed out by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load_queries(name: str) -> Mapping[str, bytes]:
    """The queries of `<name>.sql` in this folder, by name."""
    text = (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {title: body.strip().encode() for title, body in zip(parts[::2], parts[1::2], strict=True)}
