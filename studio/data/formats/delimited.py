"""CSV and TSV. Delimiter and encoding are detected. A line that can't be parsed becomes a bad row.

The standard parser runs in strict mode. When a record is malformed (for example, a quotation mark is never closed),
only its first line is bad, and reading continues with the next line.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path

from studio.data.columnar import Builder
from studio.data.formats.base import AS_FOUND, Format, Reading, ReadLimits
from studio.data.formats.encoding import UNDECODABLE, TooLong, encoding_of, line_too_long, lines_of, open_text
from studio.data.table import Table
from studio.schema.errors import StudioError

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITER = "\x1f"
"""The delimiter for a file with one column. No text contains it."""
LONGEST_CELL = 8_000_000
"""In characters. A quotation mark that is never closed is detected here at the latest."""
AT_ONCE, CHARACTERS_AT_ONCE = 1_000, 1_000_000
"""Number of lines parsed together, and number of characters that ends a batch earlier."""
SNIFFED = 100
"""Number of lines used for detection."""
ENOUGH_BELOW = 8
"""Minimum number of rows to detect that the first line is a row too."""
LONG_NAME = 80
"""In characters. A longer cell is not a column name."""
SENTENCE = 4
"""Number of words from which a cell is a sentence and not a name."""
_SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)


class _Lines:
    """Physical lines with their numbers. The lines of an open record can be read again."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines, self._unread_lines = lines, deque[str]()
        self.consumed: list[str] = []
        self.number = number
        """Number of the last line read."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._unread_lines.popleft() if self._unread_lines else next(self._lines)
        self.number += 1
        self.consumed.append(line)
        return line

    def unread(self) -> None:
        """Return all lines of the open record except the first to the input."""
        self._unread_lines.extendleft(reversed(self.consumed[1:]))
        self.number -= len(self.consumed) - 1


Record = tuple[int, list[str], str]
"""Number of its first line, cells, and the reason why it can't be used (empty: none)."""


def records(lines: Iterator[str], delimiter: str, first_line: int, has_undecodable: bool) -> Iterator[Record]:
    """Yield the records of delimited text, good and bad, without blank lines."""
    number = first_line
    while batch := _next_lines(lines):
        rows = None if has_undecodable else _parse_batch(batch, delimiter)
        if rows is None:
            yield from _one_by_one(chain(batch, lines), delimiter, number, has_undecodable)
            return
        yield from (each for each in zip(count(number), rows, repeat("")) if each[1])
        number += len(batch)


def _next_lines(lines: Iterator[str]) -> list[str]:
    """Return the next batch of lines."""
    batch, characters = [], 0
    for line in lines:
        batch.append(line)
        characters += len(line)
        if len(batch) >= AT_ONCE or characters > CHARACTERS_AT_ONCE:
            break
    return batch


def _parse_batch(lines: list[str], delimiter: str) -> list[list[str]] | None:
    """Return the records if every line is one record, as in most files. None if a record spans lines or is damaged."""
    whole = "".join(lines)
    if "\0" in whole or any(type(line) is not str for line in lines):
        return None
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def _one_by_one(lines: Iterator[str], delimiter: str, first_line: int, has_undecodable: bool) -> Iterator[Record]:
    """Yield the records of lines that can be malformed, or contain parts of a record."""
    source = _Lines(lines, first_line - 1)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.consumed.clear()
        start = source.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.unread()
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            yield start, [], _why(str(error))
            continue
        consumed = source.consumed
        may_be_broken = has_undecodable or len(consumed) != 1 or type(consumed[0]) is not str or "\0" in consumed[0]
        broken = _find_damage(consumed, start, has_undecodable) if may_be_broken else None
        if broken:
            yield broken[0], [], broken[1]
        elif cells:
            yield start, cells, ""


def _find_damage(lines: list[str], start: int, has_undecodable: bool) -> tuple[int, str] | None:
    """Return number and error of a line that is too long, or holds a NUL or an undecodable byte. Else None."""
    for line, text in enumerate(lines, start):
        if isinstance(text, TooLong):
            return line, line_too_long()
        if "\0" in text:
            return line, "It has a NUL byte."
        if has_undecodable and UNDECODABLE.search(text):
            return line, "It has a byte that is not valid in the file's encoding."
    return None


def _why(error: str) -> str:
    if "unexpected end of data" in error or "field larger" in error:
        return "A quotation mark is not closed."
    if "expected after" in error:
        return "A quotation mark is in the wrong place: it is not closed, or not doubled inside a cell."
    return f"It can't be read: {error}."


def sniff(lines: list[str], default_delimiter: str = ",") -> str:
    """Return the delimiter that splits most lines into as many cells as the first line."""
    best, best_score = "", (0.0, 0)
    for delimiter in sorted(DELIMITERS, key=lambda each: each != default_delimiter):
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        score = (sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0]))
        if score > best_score:
            best, best_score = delimiter, score
    return best or NO_DELIMITER


def read_lines(
    file: Iterable[str], builder: Builder, has_undecodable: bool, default_delimiter: str = ",", how: Reading = AS_FOUND
) -> Table:
    """Return a table from delimited text."""
    csv.field_size_limit(LONGEST_CELL)
    file = iter(file)
    head = list(islice(file, SNIFFED))
    first_line = 1
    delimiter = how.delimiter
    if head and (named := _SEPARATOR_LINE.match(head[0])):
        delimiter, first_line = delimiter or named[1], 2
        head = head[1:]
    if len(delimiter) > 1:
        raise StudioError(
            "bad-setting",
            "The delimiter is not a single character.",
            given=delimiter,
            valid=list(DELIMITERS),
            field="delimiter",
        )
    delimiter = delimiter or sniff([line.replace("\0", "") for line in head], default_delimiter)
    builder.delimiter = "" if delimiter == NO_DELIMITER else delimiter
    rows = _without_blank(records(chain(head, file), delimiter, first_line, has_undecodable))
    first = list(islice(rows, SNIFFED))
    header = how.header if how.header is not None else not _starts_with_a_row([cells for _, cells, _ in first])
    if not first:
        return builder.table()
    builder.detected["header"] = header
    if header:
        line, cells, why = first.pop(0)
        width = _header(builder, line, cells, why)
    else:
        width = max(len(cells) for _, cells, why in first if not why or len(first) == 1)
        builder.set_columns([f"column {number}" for number in range(1, width + 1)])
        if how.header is None:
            builder.notes.append("The first line looks like a row, so the columns are called column 1, column 2 …")
    for line, cells, why in chain(first, rows):
        if why:
            builder.add_bad(line, why)
        elif len(cells) == width:
            builder.add(cells)
        elif len(cells) > width and not any(cells[width:]):
            builder.add(cells[:width])
        else:
            builder.add_bad(line, f"It has {len(cells)} cells; the line with the column names has {width}.")
    return builder.table()


def _without_blank(rows: Iterable[Record]) -> Iterator[Record]:
    """Yield records without blank ones. In a file with one column, cells of spaces are kept."""
    width = 0
    for line, cells, why in rows:
        if width != 1 and not why and len(cells) == 1 and cells[0].isspace():
            continue
        width = width or len(cells)
        yield line, cells, why


def _starts_with_a_row(rows: list[list[str]]) -> bool:
    """Return whether the first line is a row and not a header.

    It is if it consists of sentences and one of them is too long for a name, or if it has a sentence beside a value
    that repeats below it.
    """
    first, below = rows[0] if rows else [], rows[1:]
    if len(first) < 2 or len(below) < ENOUGH_BELOW:
        return False
    sentences = [cell for cell in first if len(cell.split()) >= SENTENCE]
    if len(sentences) == len(first) and max(map(len, sentences)) > LONG_NAME:
        return True
    for place, cell in enumerate(first):
        values = [row[place].strip() for row in below if len(row) > place]
        label = cell.strip() and values.count(cell.strip()) > 1 and 2 <= len(set(values)) <= len(values) / 2
        if label and any(other != cell for other in sentences):
            return True
    return False


def _header(builder: Builder, line: int, cells: list[str], why: str) -> int:
    if why:
        raise StudioError(
            "unreadable-file",
            f"The column names in line {line} of {builder.name} can't be read.",
            given=why.rstrip("."),
            hint="Save the file again as CSV in UTF-8.",
        )
    width = len(cells)
    while width > 1 and not cells[width - 1].strip() and not cells[width - 2].strip():
        width -= 1
    builder.set_columns(cells[:width])
    return width


def _read(path: Path, name: str, format: str, how: Reading, limits: ReadLimits) -> Table:
    encoding_ = encoding_of(path, how.encoding)
    builder = Builder(name, format, limits, encoding=encoding_.name)
    if encoding_.note:
        builder.notes.append(encoding_.note)
    with open_text(path, encoding_) as file:
        return read_lines(lines_of(file), builder, encoding_.has_undecodable, "\t" if format == "tsv" else ",", how)


def _read_csv(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, "csv", how, limits)


def _read_tsv(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, "tsv", how, limits)


CSV = Format("csv", "CSV", (".csv",), _read_csv)
TSV = Format("tsv", "TSV", (".tsv", ".tab"), _read_tsv)
