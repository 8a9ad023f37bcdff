"""One SQLite file: a small pool of connections, WAL, explicit transactions, migrations applied once, in order.

A file that is found damaged is mended (store/db_recovery.py) by whoever meets it, and all others turn to the new one.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from studio.schema.errors import StudioError
from studio.store.db_recovery import damaged, generation, is_damage, mend
from studio.store.files import disk_full

WAIT_SECONDS = 30
"""How long one waits for another that writes."""
IDLE_CONNECTIONS = 2
"""Connections of one database that are kept open for the next use; each holds up to three open files."""
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


class Database:
    """A file, its connections and its migrations.

    Nothing is opened before the first use. A database without a write has no file and reads as empty.
    Connections are taken from a small pool for one read or one transaction, so that the number of open files does not
    grow with the number of threads. `migrations` are SQL scripts; the change and the record that it was applied commit
    together, so that a kill in between leaves the file as it was. Writers take the lock at once (BEGIN IMMEDIATE) and
    wait for it.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path, self._migrations = path, tuple(migrations)
        self._number = 1
        """Which of the files is in use: a further one for each time that it was damaged."""
        self.patience = float(WAIT_SECONDS)
        """Seconds to wait for another that writes; a worker, which has hours of work to lose, waits longer."""
        self.when_mended: Callable[[], None] = lambda: None
        """Called when the file was found damaged and was replaced, to list again what folders tell."""
        self._idle: list[tuple[int, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        self._mine = threading.local()
        """`connection`: the one of the transaction that this thread is in."""
        self._migrated = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for some reads: that of this thread's transaction when it is in one, else one of the pool."""
        own: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if own is not None:
            yield own
        elif not self._exists():
            with closing(self._empty()) as empty:
                yield empty
        else:
            with self._borrowed() as connection:
                yield connection

    def check(self) -> None:
        """Find out now, and not at the first use, whether the file is damaged or older than this version."""
        self.rows("SELECT name FROM sqlite_master LIMIT 1")

    def close(self) -> None:
        """Close the connections that are not in use; others are opened when needed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    @property
    def open_connections(self) -> int:
        """Idle connections in the pool."""
        return len(self._idle)

    def _exists(self) -> bool:
        return bool(self._idle) or self._current().exists()

    def _current(self) -> Path:
        """The file in use: the newest, when a damaged one was replaced."""
        while generation(self.path, self._number + 1).exists():
            self._number += 1
        return generation(self.path, self._number)

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone; it goes back to the pool when it is whole and there is room."""
        number, connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = number == self._number and len(self._idle) < IDLE_CONNECTIONS and not connection.in_transaction
            if keep:
                self._idle.append((number, connection))
        if not keep:
            connection.close()

    def _take(self) -> tuple[int, sqlite3.Connection]:
        path = self._current()
        while True:
            with self._lock:
                if not self._idle:
                    break
                number, connection = self._idle.pop()
            if number == self._number:
                return number, connection
            connection.close()
        if self._migrated != self._number:
            number = self._number
            self._migrate(path)
            self._migrated = number
        return self._number, self._connect(path)

    def _connect(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One thread at a time uses it, but not always the same.
        found = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            found.row_factory = sqlite3.Row
            _write_ahead(found)
            # FULL, not NORMAL: after a power cut no change of state may be missing. `write` says what may.
            found.execute("PRAGMA synchronous = FULL")
            found.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            found.close()
            raise
        return found

    def _empty(self) -> sqlite3.Connection:
        """What a database without a file reads as."""
        found = sqlite3.connect(":memory:", isolation_level=None)
        found.row_factory = sqlite3.Row
        _apply(found, self._migrations)
        return found

    @contextmanager
    def write(self, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start; rolled back on any exception.

        Without `sync` it does not wait until the disk has it: it survives the end of this process, kill -9 included,
        but a power failure may lose it. The next transaction with `sync` makes it last too.
        """
        if getattr(self._mine, "connection", None) is not None:
            raise RuntimeError("a transaction within a transaction")
        try:
            with self._borrowed() as connection:
                connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._begin(connection)
                self._mine.connection = connection
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # of a full disk SQLite has rolled back by itself
                        with suppress(sqlite3.DatabaseError):
                            connection.execute("ROLLBACK")
                    raise
                finally:
                    self._mine.connection = None
        except BaseException as error:
            if _is_full(error):
                raise disk_full(self.path) from error
            if is_damage(error):
                self._mend()
                raise damaged(self.path) from error
            raise

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            with self.reading() as connection:
                return connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                raise busy(self.path) from error
            if _is_full(error):
                raise disk_full(self.path) from error
            if not is_damage(error):
                raise
            self._mend()
            with self.reading() as connection:
                return connection.execute(sql, values).fetchall()

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
        self.close()

        def make(path: Path) -> None:
            fresh = Database(path, self._migrations)
            with fresh._borrowed() as connection:
                connection.execute("PRAGMA journal_mode = DELETE")  # nothing beside it, so that it can be moved
            fresh.close()

        mend(self.path, self._number, now(), make)
        self.when_mended()

    def _migrate(self, path: Path) -> None:
        """Bring the file up to date; safe when several processes do it at once."""
        with closing(self._connect(path)) as connection:
            if _applied(connection) == len(self._migrations):
                return
            self._begin(connection)
            try:
                _apply(connection, self._migrations)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _apply(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Apply the migrations that a database has not had, within the transaction of the caller."""
    for number, script in enumerate(migrations[_applied(connection) :], start=_applied(connection) + 1):
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number:d}")


def _applied(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


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
