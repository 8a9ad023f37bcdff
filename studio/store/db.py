"""One SQLite file: a small connection pool, WAL mode, explicit transactions, and migrations that are applied once.

When a file is damaged, the first process that notices replaces it (store/db_recovery.py). All other processes switch to
the new file.
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
from studio.store.db_recovery import damaged, generation, is_damage, replace_damaged
from studio.store.files import disk_full

WAIT_SECONDS = 30
"""Seconds to wait for another writer."""
IDLE_CONNECTIONS = 2
"""Connections per database that stay open for reuse. Each holds up to three open files."""
Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


def now() -> str:
    """The current UTC time in ISO 8601 format with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn on WAL mode, which is stored in the file. SQLite does not wait when two processes turn it on at once."""
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
    """Decorate a method so that it runs again when the database was replaced during its transaction."""

    @wraps(function)
    def retried(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except StudioError as error:
            if error.code != "damaged-database":
                raise
            return function(*args, **kwargs)

    return retried  # type: ignore[return-value]


class Database:
    """A SQLite file with its connections and migrations.

    Nothing is opened before the first use. A database that was never written has no file and reads as empty. Each read
    or transaction takes a connection from a small pool, so the number of open files does not grow with the number of
    threads. `migrations` are SQL scripts. A script and the record that it was applied commit together. Writers take the
    lock at once (BEGIN IMMEDIATE) and wait for it.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self.path, self._migrations = path, tuple(migrations)
        self._number = 1
        """Which file is in use. The number grows each time a damaged file is replaced."""
        self.patience = float(WAIT_SECONDS)
        """Seconds to wait for another writer. A worker, which could lose hours of work, waits longer."""
        self.on_replaced: Callable[[], None] = lambda: None
        """Called after a damaged file was replaced, to restore records from folders."""
        self._idle: list[tuple[int, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        self._local = threading.local()
        """`connection`: the connection of this thread's transaction."""
        self._migrated = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for reads: that of this thread's transaction, otherwise one from the pool."""
        own: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if own is not None:
            yield own
        elif not self._exists():
            with closing(self._empty()) as empty:
                yield empty
        else:
            with self._borrowed() as connection:
                yield connection

    def check(self) -> None:
        """Detect a damaged file, and apply migrations, now instead of at the first use."""
        self.rows("SELECT name FROM sqlite_master LIMIT 1")

    def close(self) -> None:
        """Close the idle connections. New ones are opened when needed."""
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
        """The file in use: the newest one when a damaged file was replaced."""
        while generation(self.path, self._number + 1).exists():
            self._number += 1
        return generation(self.path, self._number)

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone. It returns to the pool if it is usable and the pool has room."""
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
        # Threads share connections, but only one thread uses a connection at a time.
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            _write_ahead(connection)
            # FULL instead of NORMAL: no state change may be lost in a power failure. `write` can relax this.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _empty(self) -> sqlite3.Connection:
        """An in-memory database with all tables and no rows."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.row_factory = sqlite3.Row
        _apply(connection, self._migrations)
        return connection

    @contextmanager
    def write(self, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start. It is rolled back on any exception.

        Without `sync`, the commit does not wait for the disk. It survives the end of this process, even kill -9, but a
        power failure may lose it. The next transaction with `sync` makes it durable.
        """
        if getattr(self._local, "connection", None) is not None:
            raise RuntimeError("a transaction within a transaction")
        try:
            with self._borrowed() as connection:
                connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._begin(connection)
                self._local.connection = connection
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # on a full disk, SQLite has already rolled back
                        with suppress(sqlite3.DatabaseError):
                            connection.execute("ROLLBACK")
                    raise
                finally:
                    self._local.connection = None
        except BaseException as error:
            if _is_full(error):
                raise disk_full(self.path) from error
            if is_damage(error):
                self._replace_damaged()
                raise damaged(self.path) from error
            raise

    def read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        """The result of a function that only reads. A damaged file is replaced, and the function called again."""
        try:
            with self.reading() as connection:
                return query(connection)
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                raise busy(self.path) from error
            if _is_full(error):
                raise disk_full(self.path) from error
            if not is_damage(error):
                raise
            self._replace_damaged()
            with self.reading() as connection:
                return query(connection)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self.read(lambda connection: connection.execute(sql, values).fetchall())

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the write lock. Waits up to `patience` seconds."""
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

    def _replace_damaged(self) -> None:
        """Replace a damaged file, and restore records from folders."""
        self.close()

        def make(path: Path) -> None:
            fresh = Database(path, self._migrations)
            with fresh._borrowed() as connection:
                connection.execute("PRAGMA journal_mode = DELETE")  # one file only, so that it can be moved
            fresh.close()

        replace_damaged(self.path, self._number, now(), make)
        self.on_replaced()

    def _migrate(self, path: Path) -> None:
        """Apply the missing migrations. Several processes may call it at once."""
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
    """Apply the missing migrations within the caller's transaction."""
    for number, script in enumerate(migrations[_applied(connection) :], start=_applied(connection) + 1):
        for statement in script.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number:d}")


def _applied(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def busy(path: Path) -> StudioError:
    """The error when another program holds the write lock for too long."""
    return StudioError(
        "busy-database",
        "Another program has locked the studio's database.",
        given=path.name,
        hint="This can be a backup or a sync program. Try again when it has finished.",
    )


def _is_busy(error: BaseException) -> bool:
    """Whether SQLite reports that another connection holds the lock."""
    return isinstance(error, sqlite3.OperationalError) and (error.sqlite_errorcode or 0) & 0xFF == sqlite3.SQLITE_BUSY


def _is_full(error: BaseException) -> bool:
    """Whether SQLite reports a full disk."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
