"""The database: migrations once and whole, writers in turn, readers never locked out."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from studio.store.db import IDLE_CONNECTIONS, Database, now
from studio.store.migrations import QUEUE, WORKSPACE

FIRST = "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL)"
SECOND = "ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'none'; CREATE INDEX by_colour ON notes (colour)"

COUNTS_UP = """
import sys
from pathlib import Path
from studio.store.db import Database
db = Database(Path(sys.argv[1]), ["CREATE TABLE numbers (value INTEGER)"])
for _ in range(int(sys.argv[2])):
    with db.write() as connection:
        value = connection.execute("SELECT coalesce(max(value), 0) FROM numbers").fetchone()[0]
        connection.execute("INSERT INTO numbers VALUES (?)", (value + 1,))
"""


MAKES_AT = """
import sys, time
from pathlib import Path
from studio.store.db import Database
from studio.store.migrations import WORKSPACE
while time.time() < float(sys.argv[2]):
    pass
Database(Path(sys.argv[1]), WORKSPACE).rows("SELECT * FROM runs")
"""


def columns(db: Database, table: str) -> list[str]:
    return [row["name"] for row in db.rows(f"PRAGMA table_info({table})")]


def made(folder: Path, migrations: Sequence[str]) -> Database:
    """A database that is a file already: something was written to it."""
    db = Database(folder / "x.db", migrations)
    with db.write():
        pass
    return db


def test_an_older_file_is_brought_forward_with_its_rows(tmp_path: Path) -> None:
    old = Database(tmp_path / "x.db", [FIRST])
    with old.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('kept')")
    old.close()
    new = Database(tmp_path / "x.db", [FIRST, SECOND])
    assert columns(new, "notes") == ["id", "text", "colour"]
    assert dict(new.rows("SELECT * FROM notes")[0]) == {"id": 1, "text": "kept", "colour": "none"}


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    made(tmp_path, [FIRST]).close()
    broken = "ALTER TABLE notes ADD COLUMN colour TEXT; CREATE TABLE notes (again INTEGER)"
    with pytest.raises(sqlite3.OperationalError):
        Database(tmp_path / "x.db", [FIRST, broken]).rows("SELECT * FROM notes")
    db = Database(tmp_path / "x.db", [FIRST])
    assert columns(db, "notes") == ["id", "text"]
    assert Database(tmp_path / "x.db", [FIRST, SECOND]).row("PRAGMA user_version")[0] == 2  # type: ignore[index]


def test_a_migration_is_applied_once_when_many_open_the_file_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: made(tmp_path, [FIRST, SECOND]), range(8)))
    assert all(columns(db, "notes") == ["id", "text", "colour"] for db in opened)


@pytest.mark.slow
def test_processes_that_make_a_file_at_the_same_moment_do_not_trip_over_each_other(tmp_path: Path) -> None:
    for attempt in range(3):
        path, moment = tmp_path / f"{attempt}.db", str(time.time() + 0.8)
        makers = [subprocess.Popen([sys.executable, "-c", MAKES_AT, str(path), moment]) for _ in range(5)]
        assert [maker.wait() for maker in makers] == [0] * 5


@pytest.mark.parametrize("migrations", [WORKSPACE, QUEUE], ids=["workspace", "queue"])
def test_the_studios_own_tables_can_be_made_and_opened_again(migrations: tuple[str, ...], tmp_path: Path) -> None:
    made(tmp_path, migrations).close()
    db = Database(tmp_path / "x.db", migrations)
    assert db.row("PRAGMA integrity_check")[0] == "ok"  # type: ignore[index]
    assert db.row("PRAGMA journal_mode")[0] == "wal"  # type: ignore[index]
    assert db.row("PRAGMA foreign_keys")[0] == 1  # type: ignore[index]


def test_every_connection_waits_until_the_disk_has_what_was_written(tmp_path: Path) -> None:
    db = made(tmp_path, [FIRST])
    told: list[tuple[str, int, int]] = []

    def look() -> None:
        modes = [db.row(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
        told.append(tuple(mode[0] for mode in modes if mode))  # type: ignore[arg-type]
        db.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    look()
    look()  # opened anew
    assert told == [("wal", 2, 1)] * 3, "2 is FULL"


def test_what_need_not_last_through_a_power_cut_is_not_waited_for_and_the_next_that_must_is(tmp_path: Path) -> None:
    db = made(tmp_path, [FIRST])
    modes = []
    for sync in (True, False, True):
        with db.write(sync=sync) as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('kept')")
            modes.append(connection.execute("PRAGMA synchronous").fetchone()[0])
    assert modes == [2, 1, 2], "2 is FULL, 1 is NORMAL"
    assert len(Database(db.path, [FIRST]).rows("SELECT * FROM notes")) == 3


def test_what_was_written_without_waiting_survives_kill_9(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from studio.store.db import Database\n"
        f"db = Database(Path(sys.argv[1]), [{FIRST!r}])\n"
        "for n in range(50):\n"
        "    with db.write(sync=False) as c: c.execute('INSERT INTO notes (text) VALUES (?)', (str(n),))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.db")]).returncode == -9
    assert len(Database(tmp_path / "x.db", [FIRST]).rows("SELECT * FROM notes")) == 50


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    db = Database(tmp_path / "x.db", [FIRST])
    with pytest.raises(KeyError), db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('lost')")
        raise KeyError("something else went wrong")
    assert db.rows("SELECT * FROM notes") == []
    with db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('next')")
    assert len(db.rows("SELECT * FROM notes")) == 1


@pytest.mark.slow
def test_writers_of_several_processes_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    writers = [subprocess.Popen([sys.executable, "-c", COUNTS_UP, str(path), "40"]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    values = [
        row["value"]
        for row in Database(path, ["CREATE TABLE numbers (value INTEGER)"]).rows(
            "SELECT value FROM numbers ORDER BY value"
        )
    ]
    assert values == list(range(1, 121))


def test_a_reader_is_not_locked_out_by_a_writer(tmp_path: Path) -> None:
    db = made(tmp_path, [FIRST])
    seen: list[int] = []
    with db.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('not yet committed')")
        reader = threading.Thread(target=lambda: (seen.append(len(db.rows("SELECT * FROM notes"))), db.close()))
        reader.start()
        reader.join(timeout=5)
    assert seen == [0]


def test_a_database_that_nobody_has_written_to_reads_as_empty_and_is_no_file(tmp_path: Path) -> None:
    db = Database(tmp_path / "new" / "x.db", [FIRST, SECOND])
    assert db.rows("SELECT * FROM notes") == []
    assert db.row("SELECT count(*) AS n FROM notes")["n"] == 0  # type: ignore[index]
    assert not (tmp_path / "new").exists()


def test_two_threads_never_share_a_connection_at_the_same_moment(tmp_path: Path) -> None:
    db = made(tmp_path, [FIRST])
    others: list[sqlite3.Connection] = []

    def read() -> None:
        with db.reading() as connection:
            others.append(connection)

    with db.reading() as mine:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert others[0] is not mine


def test_many_threads_leave_no_more_than_a_few_files_open_and_a_closed_pool_opens_again(tmp_path: Path) -> None:
    db = made(tmp_path, [FIRST])
    before = len(os.listdir("/proc/self/fd"))
    meet = threading.Barrier(24)

    def read() -> None:
        meet.wait()
        db.rows("SELECT * FROM notes")

    threads = [threading.Thread(target=read) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir("/proc/self/fd")) - before <= 3 * IDLE_CONNECTIONS
    db.close()
    db.close()
    assert db.open_connections == 0
    assert db.rows("SELECT * FROM notes") == []


def test_times_are_utc_and_sort_as_text() -> None:
    first, second = now(), now()
    assert first.endswith("Z")
    assert first <= second
    assert datetime.fromisoformat(first).utcoffset() is not None
