"""Recovery of a damaged database: the file is kept, its readable rows are copied to a new file, and a notice is saved.

Recovery needs no confirmation. The first process that notices the damage creates the next file, and all processes that
have the old file open switch to it. Runs and rows that could not be read are restored from their folders.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from studio.machine.disk import sync_folder
from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.store.files import write_whole

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NOTICE = "mended.json"


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite means that the file is damaged or no database."""
    return isinstance(error, sqlite3.DatabaseError) and (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in DAMAGE


def generation(path: Path, number: int) -> Path:
    """The path of the n-th file: studio.db, and studio-2.db after the first was damaged.

    Names are never reused: a process that still has the old file open removes files of that name when it closes it.
    """
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def replace_damaged(path: Path, number: int, time: str, make: Callable[[Path], None]) -> None:
    """Create a new file as a replacement for a damaged one, unless another process just did. `make` creates an empty
    database."""
    old, new = generation(path, number), generation(path, number + 1)
    with alone(path):
        if new.exists() or _whole(old):
            return
        fresh = path.with_name(f".{new.name}.new")
        fresh.unlink(missing_ok=True)
        make(fresh)
        saved = _take_over(old, fresh)
        _add_notice(path.with_name(NOTICE), old, saved, time)
        os.replace(fresh, new)
        sync_folder(new.parent)


def read_notices(folder: Path) -> list[str]:
    """The saved notices about replaced databases."""
    try:
        notices = json.loads((folder / NOTICE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(each) for each in notices] if isinstance(notices, list) else []


def forget(folder: Path) -> None:
    """Delete the notices after the user has seen them."""
    (folder / NOTICE).unlink(missing_ok=True)


def damaged(path: Path) -> StudioError:
    """The error of the operation that found the damage."""
    return StudioError(
        "damaged-database",
        "The studio's database was damaged and has been repaired.",
        given=path.name,
        hint="Try again. Runs and rows were read from their folders, and the damaged file is still there.",
    )


def _add_notice(notice: Path, damaged_file: Path, saved: int, time: str) -> None:
    sentence = (
        f"On {time[:10]} at {time[11:16]} UTC the database was damaged. The studio repaired it with {saved:,} lines "
        "that could be read, and with the folders of runs and rows. Check whether labels, tags and notes are complete. "
        f"The damaged file is {damaged_file.name}."
    )
    write_whole(notice, json.dumps([*read_notices(notice.parent), sentence]))


def _whole(path: Path) -> bool:
    """Whether every page of a database can be read."""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    except sqlite3.OperationalError:  # another process is writing, so the file is usable
        return True
    except sqlite3.DatabaseError:
        return False


def _take_over(old: Path, new: Path) -> int:
    """Copy every readable row into the same table of the new file. Returns the number of rows."""
    count = 0
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        tables = {
            row[0]: _columns(target, row[0])
            for row in target.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        }
        target.execute("PRAGMA foreign_keys = OFF")
        target.execute("BEGIN")
        for table, columns in tables.items():
            marks = ", ".join("?" * len(columns))
            sql = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})"
            for row in _readable(old, table, columns):
                with suppress(sqlite3.Error):
                    count += target.execute(sql, row).rowcount
        target.execute("COMMIT")
    return count


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """The rowid and the columns of a table. A single INTEGER PRIMARY KEY is the rowid itself."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [row[1] for row in columns if row[5]]
    return ["rowid", *(row[1] for row in columns if not (keys == [row[1]] and str(row[2]).upper() == "INTEGER"))]


def _readable(old: Path, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows from the start up to the damage, then from the end back to the damage."""
    seen: set[Any] = set()
    for order in ("ASC", "DESC"):
        try:
            with closing(sqlite3.connect(old, timeout=5)) as source:
                cursor = source.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid {order}")
                while (row := cursor.fetchone()) is not None:
                    if row[0] in seen:
                        return
                    seen.add(row[0])
                    yield row
                return
        except sqlite3.Error:
            continue
