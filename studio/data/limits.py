"""Limits for reading data: sizes of names, cells, rows and files. Every reader gets them as one value.

Hard limits apply to everyone. Beyond them, pages get slow or memory runs out. Visitors of a demo get stricter limits
from `studio.schema.limits.Limits`. An owner's table must fit into free memory.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from studio.schema.base import FrozenModel
from studio.schema.errors import StudioError
from studio.schema.limits import MB, Limits

NAME = 500
"""Characters of a column name. Survey questions have 300 and more; a longer name is shortened."""
LONGEST_NAME = 10_000
"""Characters beyond which a file is refused, because its first line is most likely a row."""
COLUMNS = 10_000
CELL = 10_000_000
"""Characters of one cell. A book of 2,000 pages has half of that."""
NESTING = 100
"""Maximum nesting of lists and objects. Tool definitions have 10 to 20 levels; Python stops at about 1,000."""
SHEETS = 500
"""Sheets of a workbook. Each one is opened to check whether it has rows."""
MEMORY_SHARE = 0.5
"""Fraction of free memory for the rows of an owner's dataset. They are copied once while reading."""
_INSTALL = "Upload fewer rows, or install the studio on your own machine."


class ReadLimits(FrozenModel):
    """Limits for one dataset. 0 means no limit."""

    file_bytes: int = 0
    """Total size of the files."""
    rows: int = 0
    columns: int = COLUMNS
    cell_characters: int = CELL
    decoded_bytes: int = 0
    """Size of the rows in memory, in bytes."""
    visitor: bool = False
    """These limits are for a visitor of a demo."""

    def refuse(self, what: str, given: str, valid: str, hint: str, visitors_hint: str = _INSTALL) -> NoReturn:
        """Raise the error for an exceeded limit."""
        code, hint = ("limit-reached", visitors_hint) if self.visitor else ("too-large", hint)
        raise StudioError(code, what, given=given, valid=valid, hint=hint)

    def check_file(self, name: str, size: int) -> None:
        """Raise `StudioError` for files that are too large."""
        if self.file_bytes and size > self.file_bytes:
            self.refuse(
                f"{name} is too large.",
                f"{size / MB:,.1f} MB",
                f"at most {self.file_bytes / MB:,.0f} MB",
                "Import fewer rows.",
            )

    def check_columns(self, name: str, count: int) -> None:
        """Raise `StudioError` for too many columns."""
        if count > self.columns:
            self.refuse(
                f"{name} has too many columns.",
                f"more than {self.columns:,} columns",
                f"at most {self.columns:,} columns",
                "Each row should be one example, with the same few columns in every row.",
                "Remove the columns that you do not need.",
            )

    def check_rows(self, name: str, count: int) -> None:
        """Raise `StudioError` for too many rows."""
        if self.rows and count > self.rows:
            self.refuse(
                f"{name} has too many rows.",
                f"{count:,} rows or more",
                f"at most {self.rows:,} rows",
                "Import fewer rows.",
            )

    def check_decoded(self, name: str, size: float) -> None:
        """Raise `StudioError` for rows that take too much memory when decoded."""
        if self.decoded_bytes and size > self.decoded_bytes:
            most = f"{self.decoded_bytes / MB:,.0f} MB"
            self.refuse(
                f"{name} needs too much memory after decoding."
                if self.visitor
                else f"{name} needs more memory than this machine has free.",
                f"{size / MB:,.0f} MB or more after decoding",
                f"at most {most}" if self.visitor else f"at most {most}, half of the free memory",
                "Import fewer rows.",
            )

    def check_cell(self, name: str, row: int, column: str, characters: int) -> None:
        """Raise `StudioError` for a cell that is too long."""
        if characters > self.cell_characters:
            self.refuse(
                f"{name} has a cell that is too long.",
                f"{characters:,} characters in row {row:,}, column {column[:80]}",
                f"at most {self.cell_characters:,} characters in a cell",
                "Split long texts into several rows.",
                "Split long texts into several rows, or install the studio on your own machine.",
            )

    def size_of(self, row: Sequence[Any], columns: Sequence[str], name: str, number: int) -> int:
        """Return the number of characters of a row's texts. Raise `StudioError` if one of them is too long."""
        try:
            size = len("".join(row))  # the fastest way; nearly all rows contain only texts
        except TypeError:
            size = sum([len(value) for value in row if isinstance(value, str)])
        if size > self.cell_characters:
            for column, value in zip(columns, row, strict=False):
                if isinstance(value, str):
                    self.check_cell(name, number, column, len(value))
        return size

    def check_json(self, name: str, start: int, column: str, texts: Sequence[str | None]) -> None:
        """Raise `StudioError` for lists and objects, as JSON texts, that are too long or too deeply nested."""
        shortest = min(2 * NESTING, self.cell_characters)  # a shorter text can't be nested too deeply
        long_texts = [index for index, text in enumerate(texts) if text and len(text) > shortest]
        for index in long_texts:
            text = texts[index] or ""
            if len(text) > self.cell_characters:
                self.check_cell(name, start + index, column, len(text))
            if text.count("[") + text.count("{") > NESTING and depth_of(json.loads(text)) > NESTING:
                raise too_deep(name, start + index)


def too_deep(name: str, row: int) -> StudioError:
    """Return the error for lists and objects that are nested too deeply."""
    return StudioError(
        "too-large",
        f"{name} has lists or objects that are nested too deeply.",
        given=f"row {row:,}",
        valid=f"at most {NESTING} levels",
        hint="Flatten the row, or store the value as text.",
    )


def depth_of(value: Any) -> int:
    """Return the number of nested levels of lists and objects."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, list | dict)]:
        depth += 1
        level = [below for each in level for below in (each.values() if isinstance(each, dict) else each)]
    return depth


HARD = ReadLimits()
"""The limits that apply to everyone."""


def read_limits(limits: Limits, visitor: bool, memory: int) -> ReadLimits:
    """Return the limits of a workspace. `memory` is the machine's free memory in bytes."""
    return ReadLimits(
        file_bytes=limits.upload_mb * MB,
        rows=limits.rows_per_dataset,
        columns=min(limits.columns_per_dataset or COLUMNS, COLUMNS),
        cell_characters=min(limits.cell_characters or CELL, CELL),
        decoded_bytes=limits.decoded_mb * MB or int(memory * MEMORY_SHARE),
        visitor=visitor,
    )
