"""Connections: errors in our words, secrets out of them, and no state left in a session."""

from __future__ import annotations

import threading
from datetime import UTC

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from barfill.core.ranges import Ranges
from barfill.errors import SettingsError, StoreError, StoreReadOnly, StoreUnavailable
from barfill.store.database import Database, check_version, open_database, transaction
from barfill.store.failures import from_driver, translated
from tests.store.builders import minute, minutes, query
from tests.store.fixtures import empty_database

SECRET = "canary-42"


def test_given_server_is_migrated_and_used(any_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    With a URL the database there is brought up to date, and no private server is made.
    """
    home = tmp_path_factory.mktemp("home")
    with empty_database(any_server_url) as empty, open_database(empty.url, home) as database:
        assert query(database, "select count(*) from symbols") == [(0,)]
    assert list(home.iterdir()) == []


def test_unreadable_url_keeps_the_password_to_itself() -> None:
    """
    X15: a URL that cannot be parsed is refused without a word of it, also in what caused the error.
    """
    with pytest.raises(SettingsError) as refusal:
        Database(f"postgresql://user:%zz{SECRET}@host/x").connect()

    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_server_that_is_not_there_is_unavailable() -> None:
    """
    No server at the address is a transient failure that tells where to look, without the password.
    """
    with pytest.raises(StoreUnavailable, match="barfill doctor") as failure:
        Database(f"postgresql://user:{SECRET}@127.0.0.1:1/x").connect()

    assert failure.value.is_transient
    assert SECRET not in f"{failure.value} {failure.value.__cause__}"


def test_instants_and_ranges_come_back_in_utc(database: Database) -> None:
    """
    T01: whatever the session's time zone and date style, instants are UTC and ranges are ours.
    """
    with database.connection() as conn:
        conn.execute("set timezone to 'America/New_York'")
        conn.execute("set datestyle to 'SQL, DMY'")
        text = "select %s::timestamptz, %s::tstzrange, %s::tstzmultirange"
        row = conn.execute(
            text, [minute(5), minutes(1, 3), Ranges([minutes(1, 3), minutes(5, 9)])], binary=True
        ).fetchone()
        conn.execute("reset all")

    assert row == (minute(5), minutes(1, 3), Ranges([minutes(1, 3), minutes(5, 9)]))
    assert row[0].tzinfo is UTC


def test_range_that_is_not_half_open_is_refused(database: Database) -> None:
    """
    A stored range without bounds is an error where it is read, never a silent guess.
    """
    with pytest.raises(StoreError), database.connection() as conn:
        conn.execute("select '(,)'::tstzrange", binary=True).fetchone()


def test_clock_moves_within_a_transaction(database: Database) -> None:
    """
    T09: time is the database's, and it is not frozen at the start of a transaction.
    """
    with database.connection() as conn, conn.transaction():
        first = conn.execute("select clock_timestamp()").fetchone()
        second = conn.execute("select clock_timestamp()").fetchone()

    assert first is not None
    assert second is not None
    assert first[0] < second[0]
    assert abs((database.now() - first[0]).total_seconds()) < 60


def test_transaction_leaves_no_setting_behind(database: Database) -> None:
    """
    S09: what the hot path sets ends with its transaction, and nothing is prepared in the session.
    """
    with database.connection() as conn:
        with transaction(conn):
            assert conn.execute("show jit").fetchone() == ("off",)
        for _ in range(20):
            conn.execute("select %s::integer", [1])
        assert conn.execute("show enable_seqscan").fetchone() == ("on",)
        assert conn.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)


def test_no_statement_is_prepared(database: Database) -> None:
    """
    S09: however often a statement comes, nothing stays in the session: behind a pooler the next one is another's.
    """
    with database.connection() as conn:
        for number in range(20):
            conn.execute("select %s::integer", [number])

        assert conn.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)


def test_connections_are_kept_and_bounded(database: Database) -> None:
    """
    The same connection serves one user after the other, and no more are open at once than allowed.
    """
    bounded = Database(database.url, connections_max=2)
    with bounded.connection() as first:
        pass
    with bounded.connection() as second:
        assert second is first
        with bounded.connection():
            waiting = threading.Thread(target=bounded.now)
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive()
        waiting.join()
    bounded.close()


def test_connection_that_the_server_closed_is_replaced(database: Database) -> None:
    """
    S05: a kept connection that the server has ended meanwhile is noticed before it is handed out.
    """
    with database.connection() as conn:
        process = conn.info.backend_pid
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", [process])

    assert database.now() is not None


def test_failed_block_leaves_a_clean_connection(database: Database) -> None:
    """
    An error in the middle of a transaction is translated, keeps its cause, and does not poison the next user.
    """
    with pytest.raises(StoreError, match="division by zero") as failure:
        query(database, "begin; select 1 / 0")

    assert isinstance(failure.value.__cause__, psycopg.errors.DivisionByZero)
    assert database.now() is not None


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("53100", "StoreFull"),
        ("25006", "StoreReadOnly"),
        ("42501", "StoreReadOnly"),
        ("57P01", "StoreUnavailable"),
        ("53300", "StoreCrowded"),
        ("25P03", "StoreUnavailable"),
        ("40P01", "StoreUnavailable"),
        ("22P02", "StoreError"),
    ],
)
def test_each_failure_has_its_class(database: Database, sqlstate: str, kind: str) -> None:
    """
    S07: what PostgreSQL reports becomes the error that says what happens next.
    """
    with pytest.raises(StoreError) as failure, translated(), database.connect() as conn:
        conn.execute(f"do $$ begin raise exception 'x' using errcode = '{sqlstate}'; end $$".encode())

    assert type(failure.value).__name__ == kind


def test_every_error_of_the_driver_has_a_translation() -> None:
    """
    No class of the driver's errors is left without one of ours.
    """
    classes = [one for one in vars(psycopg.errors).values() if isinstance(one, type) and issubclass(one, psycopg.Error)]

    assert len(classes) > 200
    assert all(isinstance(from_driver(one("x")), StoreError) for one in classes)


def test_read_only_database_is_named(database: Database) -> None:
    """
    A server that takes no writes, such as a standby, is an error of its own.
    """
    read_only = Database(make_conninfo(database.url, options="-c default_transaction_read_only=on"))

    with pytest.raises(StoreReadOnly, match="primary"):
        query(read_only, "insert into symbols (ticker) values ('A')")
    read_only.close()


def test_settings_in_the_url_win(database: Database) -> None:
    """
    What the user writes into the URL is not overridden by barfill's own connection settings.
    """
    named = Database(make_conninfo(database.url, application_name="mine"))

    assert query(named, "show application_name") == [("mine",)]
    assert conninfo_to_dict(named.url)["application_name"] == "mine"
    named.close()


def test_server_versions_are_checked(database: Database) -> None:
    """
    Servers of the supported versions pass.
    """
    database.run(check_version)
