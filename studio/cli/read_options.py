"""The flags that control how DATA is read: one for each field of `Reading`. The default is detection."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.schema.dataset import PIECES, DatasetRecord

if TYPE_CHECKING:
    from studio.cli.context import Context

PANEL = "Reading the data"
DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "pipe": "|", "space": " "}
"""Names for delimiters, since some are hard to type."""


def _flag(kind: Any, *flags: str, help: str, default: str, metavar: str | None = None) -> Any:
    option = typer.Option(*flags, help=help, metavar=metavar, rich_help_panel=PANEL, show_default=default)
    return Annotated[kind | None, option]


READING_FLAGS: dict[str, Any] = {
    "delimiter": _flag(
        str, "--delimiter", metavar="TEXT", help="Between cells: tab, comma, semicolon, bar.", default="detected"
    ),
    "encoding": _flag(
        str, "--encoding", metavar="NAME", help="Encoding of a text file, as in cp1252.", default="detected"
    ),
    "header": _flag(bool, "--header/--no-header", help="The first line has the column names.", default="detected"),
    "sheet": _flag(str, "--sheet", metavar="NAME", help="Sheet of a workbook.", default="the only one with rows"),
    "pieces": _flag(
        str, "--split-text", metavar="HOW", help=f"Rows of a plain text: {', '.join(PIECES)}.", default="detected"
    ),
    "hub_config": _flag(
        str, "--hub-config", metavar="NAME", help="Config of a dataset on the Hub.", default="the only one"
    ),
    "hub_split": _flag(str, "--hub-split", metavar="NAME", help="Split of a dataset on the Hub.", default="all"),
    "row_limit": _flag(
        int, "--row-limit", metavar="N", help="Maximum number of rows of each split on the Hub.", default="automatic"
    ),
}
"""Field of `Reading` → its flag."""


def parse_reading(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the flags from a command's options and return those that have a value."""
    taken = {name: value for name in READING_FLAGS if (value := options.pop(name)) is not None}
    if "delimiter" in taken:
        taken["delimiter"] = DELIMITERS.get(taken["delimiter"].strip().lower(), taken["delimiter"])
    return {**taken, "ask": True}


def open_dataset(context: "Context", data: str, reading: dict[str, Any]) -> DatasetRecord:
    """Import or open DATA as a dataset, and print the notes about how it was read."""
    record = import_dataset(context, data, reading)
    for note in record.notes:
        context.note(f"{record.name}: {note}")
    return record


def import_dataset(context: "Context", data: str, reading: dict[str, Any]) -> DatasetRecord:
    """Import or open DATA as a dataset, with a progress bar. Its notes are left to the caller."""
    path = Path(data)
    total = path.stat().st_size if path.is_file() else 0
    with context.progress("Reading") as move:
        return context.studio.datasets.open(
            data, lambda rows, size: move(size, total, f"Reading {rows:,} rows" if rows else "Reading"), **reading
        )


def shared_options(reading: dict[str, Any]) -> dict[str, Any]:
    """The options for a second file beside DATA: the same ones, except those about DATA only."""
    own = ("sheet", "hub_config", "hub_split", "row_limit")
    return {name: value for name, value in reading.items() if name not in own}
