"""What a person decides about gaps on record: asked for again now, settled, or no longer settled."""

from __future__ import annotations

from collections.abc import Sequence

from barfill.store.database import Connection
from barfill.store.queries import load_queries
from barfill.store.writes import NEVER, OPEN_KINDS, GapKind

SQL = load_queries("decisions")


def make_due(conn: Connection, ids: Sequence[int]) -> None:
    """The next backfill asks for these gaps, whenever they would have been due; not what a person has settled."""
    conn.execute(SQL["make_due"], {"ids": list(ids)})


def settle(conn: Connection, ids: Sequence[int], reason: str, kind: GapKind | None = None) -> list[int]:
    """
    Gaps are accounted for, because a person says so, and not asked for again; the ids of those that were not before.

    Args:
        kind: What they are from now on; None leaves it.
    """
    return [row[0] for row in conn.execute(SQL["settle"], {"ids": list(ids), "reason": reason, "kind": kind})]


def unsettle(conn: Connection, ids: Sequence[int]) -> list[int]:
    """
    Gaps that were settled are open again and due at once; the ids of those that were.

    What a person had settled is of the open kind that it was before, with its reason; all else is `missing`. Gaps of
    rejected rows stay: `undo_decision` of `store.quarantine` opens them.
    """
    given = {"ids": list(ids), "open_kinds": list(OPEN_KINDS), "never": NEVER}
    return [row[0] for row in conn.execute(SQL["unsettle"], given)]
