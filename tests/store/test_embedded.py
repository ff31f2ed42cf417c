"""The private server: shared, restarted, stopped with its last user, and clear about what it cannot do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from barfill.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from barfill.store.cluster import Cluster
from barfill.store.database import open_database
from barfill.store.embedded import EmbeddedServer, embedded_server
from barfill.store.tuning import tuning
from tests.store.fixtures import short_directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")

_HOLD = """
import os, sys
from pathlib import Path
from barfill.store.database import open_database
with open_database(None, Path(sys.argv[1])) as database:
    if len(sys.argv) > 2 and os.fork() == 0:
        sys.stdin.readline()
        os._exit(0)
    print(database.run(lambda conn: conn.execute("select pg_postmaster_start_time()::text").fetchone()[0]), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home directory for a private server; whatever still runs there is stopped afterwards."""
    with short_directory() as path:
        yield path
        for process in servers(path):
            process.send_signal(signal.SIGQUIT)
            process.wait(20)


def servers(home: Path) -> list[psutil.Process]:
    """The first processes of the servers that run on *home*'s data directory."""
    path = home / "postgres" / "data" / "postmaster.pid"
    try:
        process = psutil.Process(int(path.read_text().split()[0]))
        return [process] if process.status() != psutil.STATUS_ZOMBIE else []
    except (OSError, psutil.Error):
        return []


def user_process(home: Path, *more: str) -> subprocess.Popen[str]:
    """A process that uses the private server until a line comes in; it prints when that server was started."""
    command = [sys.executable, "-c", _HOLD, str(home), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def started_at(process: subprocess.Popen[str]) -> str:
    """When the server that *process* uses was started."""
    assert process.stdout is not None
    return process.stdout.readline()


def let_go(process: subprocess.Popen[str]) -> None:
    """Ends a user in the ordinary way."""
    process.communicate("go\n", timeout=60)
    assert process.returncode == 0


def test_ten_processes_share_one_server(home: Path) -> None:
    """
    Ten processes that start together make one data directory and one server; the last to go stops it.
    """
    processes = [user_process(home) for _ in range(10)]

    assert len({started_at(process) for process in processes}) == 1
    for process in processes[:-1]:
        let_go(process)
    assert len(servers(home)) == 1
    let_go(processes[-1])
    assert servers(home) == []


def test_killed_user_does_not_keep_the_server(home: Path) -> None:
    """
    A user killed by SIGKILL counts no more: the server stays for the others and stops with the last of them.
    """
    killed, other = user_process(home), user_process(home)
    started = {started_at(killed), started_at(other)}
    killed.kill()
    killed.communicate()

    assert len(started) == 1
    assert len(servers(home)) == 1
    let_go(other)
    assert servers(home) == []


def test_server_left_behind_is_adopted(home: Path) -> None:
    """
    A server whose last user was killed is used by the next one as it is, and stopped with it.
    """
    killed = user_process(home)
    started = started_at(killed)
    killed.kill()
    killed.communicate()
    assert len(servers(home)) == 1

    with open_database(None, home) as database:
        found = database.run(lambda conn: conn.execute("select pg_postmaster_start_time()::text").fetchone())

    assert found == (started.strip(),)
    assert servers(home) == []


def test_forked_child_does_not_hold_the_server(home: Path) -> None:
    """
    A child that lives longer than the user it was forked from does not keep its hold.
    """
    parent = user_process(home, "fork")
    started_at(parent)
    children = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()

    with embedded_server(home / "postgres"):
        assert any(child.is_running() for child in children)
    assert servers(home) == []
    parent.communicate("go\n")


def test_killed_server_is_restarted_by_the_next_use(home: Path) -> None:
    """
    After kill -9 of the server, an open database comes back by itself and has lost nothing that was committed.
    """
    with open_database(None, home) as database:
        database.run(lambda conn: conn.execute("create table kept as select 1 as one"))
        (server,) = servers(home)
        server.kill()
        psutil.wait_procs([server], timeout=10)

        _until_it_answers(database.now)
        found = database.run(lambda conn: conn.execute("select one from kept").fetchall())

    assert found == [(1,)]


def test_number_of_another_program_in_the_pid_file_is_seen_through(home: Path) -> None:
    """
    A postmaster.pid left by a crash whose number now belongs to another program does not stop the start.
    """
    with open_database(None, home):
        pass
    other = subprocess.Popen(["sleep", "60"])
    try:
        data = home / "postgres" / "data"
        lines = [str(other.pid), str(data), "1700000000", "5432", str(home / "postgres"), "", "0 0", "ready", ""]
        (data / "postmaster.pid").write_text("\n".join(lines))

        with open_database(None, home) as database:
            assert database.now() is not None
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("name", ["a path with spaces", 'quote\'s $HOME `x` "y"', "x" * 120])
def test_any_path_will_do(home: Path, name: str) -> None:
    """
    Spaces, quotes and paths too long for a socket are no hindrance.
    """
    with open_database(None, home / name) as database:
        assert database.now() is not None
        assert len(servers(home / name)) == 1
    assert servers(home / name) == []


def test_directory_is_private_and_the_server_has_no_port(home: Path) -> None:
    """
    Nobody else reaches the files or the socket, and nothing listens on the network.
    """
    with open_database(None, home) as database:
        (server,) = servers(home)
        assert [one for one in server.net_connections("inet") if one.status == psutil.CONN_LISTEN] == []
        settings = database.run(lambda conn: conn.execute("show synchronous_commit").fetchone())
    assert (home / "postgres").stat().st_mode & 0o077 == 0
    assert settings == ("on",)


def test_settings_are_written_once_and_then_the_users(home: Path) -> None:
    """
    `barfill.conf` is made with the data directory; what a user changes in it holds and stays.
    """
    with open_database(None, home):
        pass
    settings = home / "postgres" / "data" / "barfill.conf"
    settings.write_text(settings.read_text().replace("work_mem = 16MB", "work_mem = 5MB"))

    with open_database(None, home) as database:
        assert database.run(lambda conn: conn.execute("show work_mem").fetchone()) == ("5MB",)


def test_memory_decides_the_buffers() -> None:
    """
    A quarter of the memory, at least 128 MB and at most 2 GB.
    """
    gigabyte = 1 << 30

    assert "shared_buffers = 128MB" in tuning(gigabyte // 4)
    assert "shared_buffers = 1024MB" in tuning(4 * gigabyte)
    assert "shared_buffers = 2048MB" in tuning(64 * gigabyte)


def test_half_made_data_directory_is_made_anew(home: Path) -> None:
    """
    What a process killed inside initdb left behind neither counts as a data directory nor stays.
    """
    leftover = home / "postgres" / "data.new-killed"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")

    with open_database(None, home) as database:
        assert database.now() is not None
    assert not leftover.exists()


def test_file_in_place_of_the_directory_is_named(home: Path) -> None:
    """
    A file where a directory should be is an error that says so.
    """
    (home / "postgres").write_text("")
    with pytest.raises(StoreUnavailable, match="is a file"):
        EmbeddedServer(home / "postgres")
    with pytest.raises(StoreUnavailable, match="is a file"):
        EmbeddedServer(home / "postgres" / "below")


def test_data_of_another_version_is_left_alone(home: Path) -> None:
    """
    A data directory of another PostgreSQL is not touched; the text names both versions.
    """
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "PG_VERSION").write_text("16\n")

    with pytest.raises(StoreUnavailable, match="PostgreSQL 16, this barfill brings PostgreSQL 18"):
        EmbeddedServer(home / "postgres")


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A file system of its own that can be filled up or made read-only."""
    path = home / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(path)], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("may not mount")
    yield path
    for process in servers(path):
        process.send_signal(signal.SIGQUIT)
        process.wait(20)
    subprocess.run(["umount", "-l", str(path)], check=True)


@needs_root
def test_read_only_directory_is_named(small_disk: Path) -> None:
    """
    A read-only file system is an error that says what to do, before and after the data directory exists.
    """
    with open_database(None, small_disk):
        pass
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    for path in (small_disk, small_disk / "new"):
        with pytest.raises(StoreReadOnly, match="BARFILL_HOME"), open_database(None, path):
            pass


@needs_root
def test_full_disk_is_named_when_the_server_is_made(small_disk: Path) -> None:
    """
    A disk too full for a data directory is an error that says so, and the next try on an emptied disk succeeds.
    """
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(90 << 20))
    with pytest.raises(StoreFull, match="Free some space"), open_database(None, small_disk):
        pass
    ballast.unlink()

    with open_database(None, small_disk) as database:
        assert database.now() is not None


@needs_root
def test_full_disk_is_named_during_a_write_and_passes(small_disk: Path) -> None:
    """
    S07: a disk that fills up during a write undoes that write and says so; with space again, work goes on.
    """
    with open_database(None, small_disk) as database:
        database.run(lambda conn: conn.execute("create table filled (text text)"))
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            free = os.statvfs(small_disk)
            file.write(bytes(free.f_bavail * free.f_frsize - (4 << 20)))

        with pytest.raises((StoreFull, StoreUnavailable)):
            database.run(
                lambda conn: conn.execute("insert into filled select repeat('x', 8000) from generate_series(1, 99999)")
            )
        ballast.unlink()

        _until_it_answers(database.now)
        assert database.run(lambda conn: conn.execute("select count(*) from filled").fetchone()) == (0,)


@needs_root
def test_missing_useradd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Root on a system where the server's user cannot be made is told what to do instead.
    """
    monkeypatch.setattr("barfill.store.cluster.SYSTEM_USER", "barfill-nobody-has-this")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(StoreUnavailable, match=r"useradd.*ordinary user"):
        Cluster(Path("/tmp/never-made"))


_AS_NOBODY = """
import os, sys, psutil
from pathlib import Path
from barfill.core.calendar import trading_calendar
from barfill.store.database import open_database
trading_calendar("XNYS", 2100)
if os.geteuid() == 0:  # the interpreter may lie where nobody else can reach it: it is loaded by now
    os.chown(sys.argv[1], 65534, 65534)
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
with open_database(None, Path(sys.argv[1])) as database:
    server = int((Path(sys.argv[1]) / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    print(psutil.Process(server).uids().real == os.geteuid(), database.now() is not None)
"""


def test_ordinary_user_needs_nobody_else(home: Path) -> None:
    """
    An ordinary user's server runs under that user.
    """
    done = subprocess.run([sys.executable, "-c", _AS_NOBODY, str(home)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("True True\n", "")
    assert servers(home) == []


def test_letting_go_twice_does_nothing(home: Path) -> None:
    """
    A second release neither fails nor stops a server that others use by now.
    """
    first = EmbeddedServer(home / "postgres")
    first.release()
    with embedded_server(home / "postgres"):
        first.release()
        assert len(servers(home)) == 1


def test_two_holds_of_one_process_count_as_two(home: Path) -> None:
    """
    Two users within one process do not stop the server on each other.
    """
    with embedded_server(home / "postgres") as first:
        with embedded_server(home / "postgres"):
            pass
        with psycopg.connect(first.url) as conn:
            assert conn.execute("select 1").fetchone() == (1,)


def _until_it_answers(question: object) -> None:
    assert callable(question)
    for _ in range(100):
        try:
            question()
        except StoreError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("The database does not come back.")
