"""One SQLite file: a connection a thread, WAL, explicit transactions, migrations applied once, in order.

A file that is found damaged is mended (store/mending.py) by whoever meets it, and all others turn to the new one.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from studio.schema.errors import StudioError
from studio.store.files import disk_full
from studio.store.mending import damaged, generation, is_damage, mend

WAIT_SECONDS = 30
"""How long one waits for another that writes."""
Function = TypeVar("Function", bound=Callable[..., Any])


def now() -> str:
    """This moment in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn on WAL. It is kept in the file; SQLite does not wait when two that make the file turn it on at once."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def repeatable(function: Function) -> Function:
    """A method that is done once more when the database was mended under it: its transaction is whole or not at all."""

    @wraps(function)
    def once_more(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except StudioError as error:
            if error.code != "damaged-database":
                raise
            return function(*given, **named)

    return once_more  # type: ignore[return-value]


class _Held:
    """A thread's connection, closed when the thread or the database object goes."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self.connection, self.number = connection, number

    def __del__(self) -> None:
        self.connection.close()


class Database:
    """A file, its connections and its migrations.

    `migrations` are SQL scripts; the change and the record that it was applied commit together, so that a kill in
    between leaves the file as it was. Writers take the lock at once (BEGIN IMMEDIATE) and wait for it.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path, self._migrations = path, tuple(migrations)
        self._number = 1
        """Which of the files is in use: a further one for each time that it was damaged."""
        self.patience = float(WAIT_SECONDS)
        """Seconds to wait for another that writes; a worker, which has hours of work to lose, waits longer."""
        self.when_mended: Callable[[], None] = lambda: None
        """Called when the file was found damaged and was replaced, to list again what folders tell."""
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._migrate(self._migrations)
        except sqlite3.DatabaseError as error:
            if _is_full(error):
                raise disk_full(path) from error
            if not is_damage(error):
                raise
            self._mend()

    def connection(self) -> sqlite3.Connection:
        """This thread's connection; a new one when another file has come into the place of the one it was for."""
        held: _Held | None = getattr(self._local, "held", None)
        while generation(self.path, self._number + 1).exists():
            self._number += 1
        if held is not None and held.number != self._number and not held.connection.in_transaction:
            held = self._local.held = None
        if held is None:
            # Only its own thread uses it, but another one may come to close it when all is over.
            number = self._number
            path = generation(self.path, number)
            found = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            _write_ahead(found)
            # FULL, not NORMAL: after a power cut no event that a person has seen may be missing.
            found.execute("PRAGMA synchronous = FULL")
            found.execute("PRAGMA foreign_keys = ON")
            held = self._local.held = _Held(found, number)
        return held.connection

    def close(self) -> None:
        """Close this thread's connection; another is opened when needed."""
        self._local.held = None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; rolled back on any exception."""
        connection: sqlite3.Connection | None = None
        try:
            connection = self.connection()
            self._begin(connection)
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None and connection.in_transaction:  # of a full disk SQLite has rolled back by itself
                with suppress(sqlite3.DatabaseError):
                    connection.execute("ROLLBACK")
            if _is_full(error):
                raise disk_full(self.path) from error
            if is_damage(error):
                self._mend()
                raise damaged(self.path) from error
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            return self.connection().execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                raise busy(self.path) from error
            if not is_damage(error):
                raise
            self._mend()
            return self.connection().execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the write lock, waiting for it as long as this one's patience lasts."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                if time.monotonic() >= deadline:
                    raise busy(self.path) from error

    def _mend(self) -> None:
        """Have a whole file in the place of a damaged one, and list again what folders tell."""
        self._local.held = None

        def make(path: Path) -> None:
            fresh = Database(path, self._migrations)
            fresh.connection().execute("PRAGMA journal_mode = DELETE")  # nothing beside it, so that it can be moved
            fresh.close()

        mend(self.path, self._number, now(), make)
        self._migrate(self._migrations)
        self.when_mended()

    def _migrate(self, migrations: Sequence[str]) -> None:
        if self._applied() == len(migrations):
            return
        with self.write() as connection:
            for number, script in enumerate(migrations[self._applied() :], start=self._applied() + 1):
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number:d}")

    def _applied(self) -> int:
        return int(self.connection().execute("PRAGMA user_version").fetchone()[0])


def busy(path: Path) -> StudioError:
    """What is said when another one writes and does not end."""
    return StudioError(
        "busy-database",
        "Another program holds the studio's database, and does not let go of it.",
        given=path.name,
        hint="A backup or a synchroniser may be at it. Try again when it is done.",
    )


def _is_busy(error: BaseException) -> bool:
    """Whether another one holds the lock."""
    return isinstance(error, sqlite3.OperationalError) and (error.sqlite_errorcode or 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_full(error: BaseException) -> bool:
    """Whether the disk had no room for what was to be written."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
