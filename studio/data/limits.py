"""Limits while data is read: how large names, cells, rows and files may be. Every reader gets them as one value.

Hard limits hold for everybody: no sane table comes near them, and beyond them pages get slow or memory runs out.
Visitors of a demo get tighter ones from `studio.schema.limits.Limits`. An owner's table must fit into free memory.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from studio.schema.base import FrozenModel
from studio.schema.errors import StudioError
from studio.schema.limits import MB, Limits

NAME = 500
"""Characters of a column name. Questions of surveys have 300 and more; a longer name is shortened."""
LONGEST_NAME = 10_000
"""Characters beyond which a name is no name: the file is refused, since its first line is most likely a row."""
COLUMNS = 10_000
CELL = 10_000_000
"""Characters of one cell: a book of 2,000 pages has half of that."""
NESTING = 100
"""Lists and objects within each other. Tool definitions have 10 to 20 levels; Python stops at about 1,000."""
SHEETS = 500
"""Sheets of a workbook: each one is opened to see whether it has rows."""
MEMORY_SHARE = 0.5
"""Part of the free memory that the rows of an owner's dataset may take: they are copied once on the way."""
_INSTALL = "Upload a part of the rows, or install the studio on your own machine."


class ReadLimits(FrozenModel):
    """What one dataset may have. 0 means no limit."""

    file_bytes: int = 0
    """Size of the files."""
    rows: int = 0
    columns: int = COLUMNS
    cell_characters: int = CELL
    decoded_bytes: int = 0
    """Size of the rows in memory."""
    visitor: bool = False
    """They are those of a demo's visitor."""

    def refuse(self, what: str, given: str, valid: str, hint: str, visitors_hint: str = _INSTALL) -> NoReturn:
        """Raise the error for a limit that was passed."""
        code, hint = ("limit-reached", visitors_hint) if self.visitor else ("too-large", hint)
        raise StudioError(code, what, given=given, valid=valid, hint=hint)

    def check_file(self, name: str, size: int) -> None:
        """Refuse files that are too large."""
        if self.file_bytes and size > self.file_bytes:
            self.refuse(
                f"{name} is too large.",
                f"{size / MB:,.1f} MB",
                f"at most {self.file_bytes / MB:,.0f} MB",
                "Load a part of the rows.",
            )

    def check_columns(self, name: str, count: int) -> None:
        """Refuse too many columns."""
        if count > self.columns:
            self.refuse(
                f"{name} has too many columns.",
                f"more than {self.columns:,} columns",
                f"at most {self.columns:,} columns",
                "Each row should be one example, with the same few columns in every row.",
                "Remove the columns that you do not need.",
            )

    def check_rows(self, name: str, count: int) -> None:
        """Refuse too many rows."""
        if self.rows and count > self.rows:
            self.refuse(
                f"{name} has too many rows.",
                f"{count:,} rows or more",
                f"at most {self.rows:,} rows",
                "Load a part of the rows.",
            )

    def check_decoded(self, name: str, size: float) -> None:
        """Refuse rows that take too much memory once they are decoded."""
        if self.decoded_bytes and size > self.decoded_bytes:
            most = f"{self.decoded_bytes / MB:,.0f} MB"
            self.refuse(
                f"{name} takes too much memory after decoding."
                if self.visitor
                else f"{name} needs more memory than this machine has free.",
                f"{size / MB:,.0f} MB or more after decoding",
                f"at most {most}" if self.visitor else f"at most {most}, half of the free memory",
                "Load a part of the rows.",
            )

    def check_cell(self, name: str, row: int, column: str, characters: int) -> None:
        """Refuse a cell that is too long."""
        if characters > self.cell_characters:
            self.refuse(
                f"{name} has a cell that is too long.",
                f"{characters:,} characters in row {row:,}, column {column[:80]}",
                f"at most {self.cell_characters:,} characters in a cell",
                "Split long texts into several rows.",
                "Split long texts into several rows, or install the studio on your own machine.",
            )

    def size_of(self, row: Sequence[Any], columns: Sequence[str], name: str, number: int) -> int:
        """Characters of the texts of a row; refused when one of them is too long."""
        try:
            size = len("".join(row))  # the fastest way, and nearly all rows are texts alone
        except TypeError:
            size = sum([len(value) for value in row if isinstance(value, str)])
        if size > self.cell_characters:
            for column, value in zip(columns, row, strict=False):
                if isinstance(value, str):
                    self.check_cell(name, number, column, len(value))
        return size

    def check_json(self, name: str, start: int, column: str, texts: Sequence[str | None]) -> None:
        """Refuse lists and objects, written as JSON, that are too long or too deeply nested."""
        shortest = min(2 * NESTING, self.cell_characters)  # a shorter text can't be nested too deeply
        long = [place for place, text in enumerate(texts) if text and len(text) > shortest]
        for place in long:
            text = texts[place] or ""
            if len(text) > self.cell_characters:
                self.check_cell(name, start + place, column, len(text))
            if text.count("[") + text.count("{") > NESTING and depth_of(json.loads(text)) > NESTING:
                raise too_deep(name, start + place)


def too_deep(name: str, row: int) -> StudioError:
    """The error for lists and objects that are nested too deeply."""
    return StudioError(
        "too-large",
        f"{name} has lists or objects that are nested too deeply.",
        given=f"row {row:,}",
        valid=f"at most {NESTING} levels",
        hint="Flatten the row, or store the value as text.",
    )


def depth_of(value: Any) -> int:
    """Levels of lists and objects within each other."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, list | dict)]:
        depth += 1
        level = [below for each in level for below in (each.values() if isinstance(each, dict) else each)]
    return depth


HARD = ReadLimits()
"""The limits that hold for everybody."""


def read_limits(limits: Limits, visitor: bool, memory: int) -> ReadLimits:
    """The limits of a workspace; `memory` is what the machine has free, in bytes."""
    return ReadLimits(
        file_bytes=limits.upload_mb * MB,
        rows=limits.rows_per_dataset,
        columns=min(limits.columns_per_dataset or COLUMNS, COLUMNS),
        cell_characters=min(limits.cell_characters or CELL, CELL),
        decoded_bytes=limits.decoded_mb * MB or int(memory * MEMORY_SHARE),
        visitor=visitor,
    )
