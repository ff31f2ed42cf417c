"""A copy of the working tree in which a mutation can do no harm, and tests run in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torture.mutations.mutation import Mutation
from torture.mutations.outcomes import Outcome, outcomes_in

ROOT = Path(__file__).parents[2]
TEST_TIMEOUT_S = 40
RUN_TIMEOUT_S = 300


class WorkingCopy:
    """The files of the repository as they stand in the working tree, below *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """Mutated for the length of the block."""
        file = self.path / mutation.path
        text = file.read_text()
        file.write_text(mutation.applied_to(text))
        try:
            yield
        finally:
            file.write_text(text)

    def tested(self, tests: Sequence[str], *, processes: int = 0) -> dict[str, Outcome]:
        """How each test ended, by node id; one that never ended has been stopped, and counts as timed out."""
        report = self.path / "outcomes.xml"
        report.unlink(missing_ok=True)
        options = ["-q", f"--timeout={TEST_TIMEOUT_S}", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *(["-n", str(processes)] if processes else []), *tests]
        is_over, said = self._ended(command)
        if not is_over:
            return dict.fromkeys(tests, Outcome("timed out", f"not over after {RUN_TIMEOUT_S} s"))
        found = outcomes_in(report) if report.exists() else {}
        return {test: found.get(test, Outcome("broken", said[-800:])) for test in tests}

    def imports_itself(self) -> bool:
        """Whether `barfill` is the copy's, in spite of the one that is installed for editing."""
        probe = "import barfill.store.pages, tests, torture; print(barfill.__file__, tests.__file__, torture.__file__)"
        is_over, said = self._ended([sys.executable, "-c", probe])
        return is_over and all(Path(one).is_relative_to(self.path) for one in said.split())

    def _ended(self, command: Sequence[str]) -> tuple[bool, str]:
        """Whether *command* ended by itself, and what it said; otherwise it is killed with its children."""
        # What is mutated twice within a second would be taken from the cache of compiled files.
        mine = {"PYTHONPATH": f"{self.path / 'src'}:{self.path}", "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            command,
            cwd=self.path,
            env=os.environ | mine,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                return True, process.communicate(timeout=RUN_TIMEOUT_S)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return False, process.communicate()[0]


@contextmanager
def working_copy() -> Iterator[WorkingCopy]:
    """A copy of what git knows or would add, removed afterwards."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="barfill-mutations-") as directory:
        path = Path(directory).resolve()
        for name in filter(None, names):
            source, target = ROOT / name, path / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        yield WorkingCopy(path)
