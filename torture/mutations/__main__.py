"""`python -m torture.mutations`: breaks barfill in one place at a time; the tests named for it must fail (R38)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from torture.mutations.copies import ROOT, WorkingCopy, working_copy
from torture.mutations.mutation import Mutation, OutOfDate
from torture.mutations.report import Table
from torture.mutations.table import MUTATIONS
from torture.mutations.trials import tried

KILLED, SURVIVED, CANNOT_TELL = 0, 1, 2
JOBS_MAX = 2
"""With more at a time tests that wait for something would wait too long."""


def main() -> int:
    """Tries the mutations and prints; 1 where one survives, 2 where nothing can be told."""
    options = _options()
    chosen = [one for one in MUTATIONS if options.only.lower() in f"{one.name} {one.file}".lower()]
    begun = time.monotonic()
    if not chosen:
        print(f"No mutation has {options.only!r} in its name or file. Without --only all are tried.")
        return CANNOT_TELL
    try:
        for mutation in chosen:
            mutation.applied_to((ROOT / mutation.path).read_text())
    except OutOfDate as error:
        print(error)
        return CANNOT_TELL
    with ExitStack() as stack:
        copies = [stack.enter_context(working_copy()) for _ in range(options.jobs)]
        if not _is_ready(chosen, copies):
            return CANNOT_TELL
        table = Table(chosen, says_why=options.why)
        print(table.head, flush=True)
        survived = []
        for trial in tried(chosen, copies):
            print(table.rendered(trial), flush=True)
            survived += [] if trial.is_killed else [trial.mutation.name]
    how = f"{len(survived)} of {len(chosen)} mutations survived" if survived else f"all {len(chosen)} mutations killed"
    print(f"\n{how}; {time.monotonic() - begun:.0f} s")
    return SURVIVED if survived else KILLED


def _is_ready(chosen: Sequence[Mutation], copies: Sequence[WorkingCopy]) -> bool:
    """Whether tests in a copy are of the copy, and pass as long as nothing is mutated."""
    first = copies[0]
    if not first.imports_itself():
        print("In a copy the installed barfill is imported, not the copy's: nothing could be told by its tests.")
        return False
    tests = sorted({test for mutation in chosen for test in mutation.tests})
    print(f"{len(tests)} tests without any mutation ...", file=sys.stderr, flush=True)
    outcomes = first.tested(tests, processes=len(copies))
    wrong = {test: outcome for test, outcome in outcomes.items() if outcome.kind != "passed"}
    for test, outcome in wrong.items():
        print(f"{outcome.kind} without any mutation: {test}\n    {outcome.said}")
    return not wrong


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="mutations with this in their name or file, such as `fence`")
    parser.add_argument("--why", action="store_true", help="tell what each test saw")
    jobs = min(JOBS_MAX, os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help=f"how many are tried at a time [{jobs}]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
