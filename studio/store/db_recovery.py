"""A database that was found damaged: it is kept, what can be read of it is taken over, and the person is told.

Nobody is asked to do it. Whoever meets the damage first makes another file to come after it, and all who have the old
one open turn to that. What the old one no longer tells, runs and rows, is listed again from their folders.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from studio.machine.disk import sync_folder
from studio.schema.errors import StudioError
from studio.store.files import alone, write_whole

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NOTICE = "mended.json"


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is no whole database."""
    return isinstance(error, sqlite3.DatabaseError) and (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in DAMAGE


def generation(path: Path, number: int) -> Path:
    """The file itself, or the one that took its place when it was damaged: studio-2.db after studio.db.

    A name is never used again: whoever still has the old file open tidies up beside it by its name when he closes it.
    """
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def mend(path: Path, number: int, time: str, make: Callable[[Path], None]) -> None:
    """Make a whole file to come after a damaged one, unless somebody else just has. `make` makes an empty one."""
    old, new = generation(path, number), generation(path, number + 1)
    with alone(path):
        if new.exists() or _whole(old):
            return
        fresh = path.with_name(f".{new.name}.new")
        fresh.unlink(missing_ok=True)
        make(fresh)
        saved = _take_over(old, fresh)
        _tell(path.with_name(NOTICE), old, saved, time)
        os.replace(fresh, new)
        sync_folder(new.parent)


def told(folder: Path) -> list[str]:
    """What a person should know of damage that was mended."""
    try:
        notices = json.loads((folder / NOTICE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(each) for each in notices] if isinstance(notices, list) else []


def forget(folder: Path) -> None:
    """The person has seen it."""
    (folder / NOTICE).unlink(missing_ok=True)


def damaged(path: Path) -> StudioError:
    """What is said by the act that met the damage."""
    return StudioError(
        "damaged-database",
        "The studio's database was damaged, and was mended just now.",
        given=path.name,
        hint="Try again. The damaged file is kept; runs and rows are listed again from their folders.",
    )


def _tell(notice: Path, kept: Path, saved: int, time: str) -> None:
    sentence = (
        f"On {time[:10]} at {time[11:16]} UTC the database was found damaged. It is kept as {kept.name}; {saved:,} "
        "lines of it could be read and were taken over, and runs and rows were listed again from their folders. "
        "Look whether labels, tags and notes are as you left them."
    )
    write_whole(notice, json.dumps([*told(notice.parent), sentence]))


def _whole(path: Path) -> bool:
    """Whether every page of a database can be read."""
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    except sqlite3.OperationalError:  # another one writes: it can't be that bad
        return True
    except sqlite3.DatabaseError:
        return False


def _take_over(old: Path, new: Path) -> int:
    """Every line that can still be read, into the same table of the new file; how many."""
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
    return [
        "rowid",
        *(
            row[1]
            for row in connection.execute(f"PRAGMA table_info({table})").fetchall()
            if not (row[5] and str(row[2]).upper() == "INTEGER")
        ),
    ]


def _readable(old: Path, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Lines from the front up to the damage, then from the back down to it."""
    seen: set[Any] = set()
    for order in ("ASC", "DESC"):
        try:
            with closing(sqlite3.connect(old, timeout=5)) as source:
                found = source.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid {order}")
                while (row := found.fetchone()) is not None:
                    if row[0] in seen:
                        return
                    seen.add(row[0])
                    yield row
                return
        except sqlite3.Error:
            continue
