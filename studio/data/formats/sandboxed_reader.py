"""Packed files are read in a process of its own, whose memory is limited: a file that grows beyond measure ends that
process and not the studio. The rows come back as lines of JSON, which can hold nothing but values.

`python -m studio.data.formats.sandboxed_reader FORMAT PATH NAME READING LIMITS MEMORY` is that process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import IO, Any

from studio.data.columnar import Builder
from studio.data.formats.base import HARD, Format, Reading, ReadLimits
from studio.data.table import Table
from studio.schema.errors import StudioError

MEMORY = 3 << 30
"""Bytes of address space that reading a packed file may take."""
SECONDS = 300
VISITORS_MEMORY, VISITORS_SECONDS = 3 << 29, 60
"""The same for files of a demo's visitors, of whom several may read at a time."""
_SMALL_POOLS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Without these, memory that is only set aside for later counts against the limit."""


def read_apart(
    format: Format, path: Path, name: str, how: Reading, limits: ReadLimits = HARD, memory: int = 0
) -> Table:
    """The rows of a packed file, read by another process, which leaves nothing behind however it ends."""
    asked = json.dumps({**how.chosen, "ask": how.ask})
    usual, seconds = (VISITORS_MEMORY, VISITORS_SECONDS) if limits.visitor else (MEMORY, SECONDS)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        __name__,
        format.name,
        str(path),
        name,
        asked,
        limits.model_dump_json(),
        str(memory or usual),
    ]
    with (
        TemporaryDirectory(prefix="studio-") as folder,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={**os.environ, **_SMALL_POOLS, "TMPDIR": folder},
        ) as child,
    ):
        clock = Timer(seconds, child.kill)
        clock.start()
        assert child.stdout is not None
        try:
            table = _take(child.stdout, Builder(name, format.name, limits))
        finally:
            clock.cancel()
            child.kill()
    if table is None:
        raise StudioError(
            "too-large",
            f"{name} can't be read: it needs more memory or time than the studio gives a packed file.",
            valid=f"what fits into {(memory or usual) / 1e9:.1f} GB when it is unpacked",
            hint="Bring the rows as CSV or JSON Lines.",
        )
    return table


def _take(lines: IO[str], builder: Builder) -> Table | None:
    """The table that the other process tells; None when it broke off."""
    bad: dict[int, tuple[int, str]] = {}
    for line in lines:
        told = json.loads(line) if line.endswith("\n") else None
        if isinstance(told, list):
            row = builder.count + 1
            builder.add_bad(*bad[row]) if row in bad else builder.add(told)
        elif told and "refused" in told:
            raise StudioError(**told["refused"])
        elif told and "columns" in told:
            builder.set_columns(told["columns"])
            builder.encoding, builder.delimiter = told["encoding"], told["delimiter"]
            builder.notes += told["notes"]
            builder.found, builder.sheets = told["found"], told["sheets"]
            bad = {each["row"]: (each["line"], each["why"]) for each in told["bad_lines"]}
        elif told:
            return builder.table()
    return None


def _limit(memory: int) -> None:
    """Where the system can limit a process's memory, it does."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory if hard < 0 else min(memory, hard), hard))
    except (ValueError, OSError):
        return


def _tell(told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")


def main() -> int:
    """Read the file and tell its rows; a refusal is told too."""
    from studio.data.formats import FORMATS

    format, path, name, how, limits, memory = sys.argv[1:]
    _limit(int(memory))
    try:
        allowed = ReadLimits.model_validate_json(limits)
        table = FORMATS[format].read(Path(path), name, Reading(**json.loads(how)), allowed)
        _tell(
            {
                "columns": table.columns,
                "encoding": table.encoding,
                "delimiter": table.delimiter,
                "notes": table.notes,
                "found": table.found.chosen,
                "sheets": table.sheets,
                "bad_lines": [bad.model_dump() for bad in table.bad_lines],
            }
        )
        for values in table.source.values(1):
            _tell(list(values))
        _tell({"done": True})
    except StudioError as error:
        facts = {name: getattr(error, name) for name in ("code", "what", "given", "valid", "hint", "field")}
        _tell(
            {
                "refused": {
                    name: value if isinstance(value, list) else value and str(value) for name, value in facts.items()
                }
            }
        )
    except MemoryError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
