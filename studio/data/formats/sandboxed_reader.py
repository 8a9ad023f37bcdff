"""Reads a packed file in a process with limited memory and time. A file that unpacks to more than that ends this
process and not the studio. The rows return as JSON, which can hold nothing but values.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studio.data.columnar import Builder
from studio.data.formats.base import HARD, Format, Reading, ReadLimits
from studio.data.table import Table
from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessError, ProcessLimits, run_in_process
from studio.schema.errors import StudioError
from studio.schema.numbers import memory as in_gigabytes

MEMORY = 3 << 30
"""Bytes of address space that reading a packed file may take."""
SECONDS = 300
VISITORS_MEMORY, VISITORS_SECONDS = 3 << 29, 60
"""The same for files of visitors of a demo. Several of them may read at a time."""
_SMALL_POOLS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Without these, memory that is only reserved counts against the limit."""


def read_sandboxed(format: Format, path: Path, name: str, how: Reading, limits: ReadLimits = HARD) -> Table:
    """Return the rows of a packed file, read by another process. Its temporary files are removed however it ends."""
    memory, seconds = (VISITORS_MEMORY, VISITORS_SECONDS) if limits.visitor else (MEMORY, SECONDS)
    builder = Builder(name, format.name, limits)
    bad_lines: dict[int, tuple[int, str]] = {}

    def receive(message: Any) -> None:
        """Take a row, or what is known of the table: it comes before the rows."""
        row = builder.count + 1
        if isinstance(message, dict):
            builder.set_columns(message["columns"])
            builder.encoding, builder.delimiter = message["encoding"], message["delimiter"]
            builder.notes += message["notes"]
            builder.detected, builder.sheets = message["detected"], message["sheets"]
            bad_lines.update({each["row"]: (each["line"], each["why"]) for each in message["bad_lines"]})
        elif row in bad_lines:
            builder.add_bad(*bad_lines[row])
        else:
            builder.add(message)

    with TemporaryDirectory(prefix="studio-") as folder:
        arguments = {
            "format": format.name,
            "path": str(path),
            "name": name,
            "options": {"reading": {**how.chosen, "ask": how.ask}, "limits": limits.model_dump(mode="json")},
        }
        environment = {**child_environment(visitors=True), **_SMALL_POOLS, "TMPDIR": folder}
        try:
            run_in_process(send_rows, arguments, ProcessLimits(memory, seconds, environment), progress=receive)
        except ProcessError as error:
            raise StudioError(
                "too-large",
                f"{name} can't be read: it needs more memory or time than the studio allows for a compressed file.",
                valid=f"a file that can be read with {in_gigabytes(memory)} of memory",
                hint="Save the rows as CSV or JSON Lines, and import that file.",
            ) from error
    return builder.table()


def send_rows(format: str, path: str, name: str, options: dict[str, Any], progress: Callable[[Any], None]) -> None:
    """Read a file in the other process, and pass to `progress` what is known of the table and then each row.

    `options`: fields of `Reading` (`reading`) and of `ReadLimits` (`limits`).
    """
    from studio.data.formats import FORMATS

    limits = ReadLimits.model_validate(options["limits"])
    table = FORMATS[format].read(Path(path), name, Reading(**options["reading"]), limits)
    progress(
        {
            "columns": table.columns,
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "notes": table.notes,
            "detected": table.detected.chosen,
            "sheets": table.sheets,
            "bad_lines": [bad.model_dump() for bad in table.bad_lines],
        }
    )
    for values in table.source.values(1):
        progress(list(values))
