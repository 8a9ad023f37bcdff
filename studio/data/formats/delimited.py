"""CSV and TSV: delimiter and encoding are sniffed; a line that does not parse is named and kept as a bad row.

The standard parser is used in its strict mode. When a record breaks off (a quotation mark that is never closed, say),
only its first line is bad and reading goes on with the next one.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path

from studio.data.columnar import Builder
from studio.data.formats import encoding
from studio.data.formats.base import AS_FOUND, Format, Reading, ReadLimits
from studio.data.formats.encoding import LINE_TOO_LONG, UNDECODABLE, TooLong, encoding_of, lines_of, open_text
from studio.data.table import Table
from studio.schema.errors import StudioError

DELIMITERS = (",", ";", "\t", "|")
ALONE = "\x1f"
"""Stands in for a delimiter when a file has one column: it occurs in no text."""
LONGEST_CELL = 8_000_000
"""Characters; a quotation mark that is never closed is noticed at the latest here."""
AT_ONCE, CHARACTERS_AT_ONCE = 1_000, 1_000_000
"""Lines that are parsed together, and characters from which they are fewer."""
SNIFFED = 100
"""Lines that are looked at first."""
ENOUGH_BELOW = 8
"""Rows that are needed to tell that the first line is one too."""
LONG_NAME = 80
"""Characters; what is longer is no column's name."""
SENTENCE = 4
"""Words of a cell from which it is a sentence and no name."""
_SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)


class _Lines:
    """Physical lines with their numbers; those of an open record can be given back."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines, self._again = lines, deque[str]()
        self.taken: list[str] = []
        self.number = number
        """Line number of the line that was taken last."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.number += 1
        self.taken.append(line)
        return line

    def give_back(self) -> None:
        """Offer all lines of the open record but its first once more."""
        self._again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1


Record = tuple[int, list[str], str]
"""Line that it starts on, cells, and why it can't be used (empty: it can)."""


def records(lines: Iterator[str], delimiter: str, first_line: int, dirty: bool) -> Iterator[Record]:
    """The records of a delimited text, good and bad, blank lines left out."""
    number = first_line
    while some := _some(lines):
        rows = None if dirty else _plain(some, delimiter)
        if rows is None:
            yield from _one_by_one(chain(some, lines), delimiter, number, dirty)
            return
        yield from (each for each in zip(count(number), rows, repeat("")) if each[1])
        number += len(some)


def _some(lines: Iterator[str]) -> list[str]:
    """The next lines, as many as are parsed at once."""
    some, characters = [], 0
    for line in lines:
        some.append(line)
        characters += len(line)
        if len(some) >= AT_ONCE or characters > CHARACTERS_AT_ONCE:
            break
    return some


def _plain(lines: list[str], delimiter: str) -> list[list[str]] | None:
    """The records of lines each of which is one, as nearly all are; None where one is not, or is damaged."""
    whole = "".join(lines)
    if "\0" in whole or any(type(line) is not str for line in lines):
        return None
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def _one_by_one(lines: Iterator[str], delimiter: str, first_line: int, dirty: bool) -> Iterator[Record]:
    """The records of lines of which some are broken, or hold only a part of a record."""
    source = _Lines(lines, first_line - 1)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.taken.clear()
        start = source.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.give_back()
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            yield start, [], _why(str(error))
            continue
        taken = source.taken
        may_be_broken = dirty or len(taken) != 1 or type(taken[0]) is not str or "\0" in taken[0]
        broken = _damage(taken, start, dirty) if may_be_broken else None
        if broken:
            yield broken[0], [], broken[1]
        elif cells:
            yield start, cells, ""


def _damage(lines: list[str], start: int, dirty: bool) -> tuple[int, str] | None:
    """The line of a record that is too long, or holds a NUL or a byte that can't be decoded."""
    for line, text in enumerate(lines, start):
        if isinstance(text, TooLong):
            return line, LINE_TOO_LONG.format(most=encoding.LONGEST_LINE)
        if "\0" in text:
            return line, "It holds a NUL byte."
        if dirty and UNDECODABLE.search(text):
            return line, "It holds a byte that is not valid in the file's encoding."
    return None


def _why(error: str) -> str:
    if "unexpected end of data" in error or "field larger" in error:
        return "A quotation mark is opened and never closed."
    if "expected after" in error:
        return "A quotation mark stands where none can: it is opened and not closed, or not doubled inside a cell."
    return f"It can't be read: {error}."


def sniff(lines: list[str], preferred: str = ",") -> str:
    """The delimiter that cuts most lines into as many cells as the first."""
    best, best_score = "", (0.0, 0)
    for delimiter in sorted(DELIMITERS, key=lambda each: each != preferred):
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        score = (sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0]))
        if score > best_score:
            best, best_score = delimiter, score
    return best or ALONE


def read_lines(
    file: Iterable[str], builder: Builder, dirty: bool, preferred: str = ",", how: Reading = AS_FOUND
) -> Table:
    """A table from delimited text."""
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
            "bad-setting", "A delimiter is one character.", given=delimiter, valid=list(DELIMITERS), field="delimiter"
        )
    delimiter = delimiter or sniff([line.replace("\0", "") for line in head], preferred)
    builder.delimiter = "" if delimiter == ALONE else delimiter
    rows = _filled(records(chain(head, file), delimiter, first_line, dirty))
    first = list(islice(rows, SNIFFED))
    header = how.header if how.header is not None else not _starts_with_a_row([cells for _, cells, _ in first])
    if not first:
        return builder.table()
    builder.found["header"] = header
    if header:
        line, cells, why = first.pop(0)
        width = _header(builder, line, cells, why)
    else:
        width = max(len(cells) for _, cells, why in first if not why or len(first) == 1)
        builder.set_columns([f"column {number}" for number in range(1, width + 1)])
        if how.header is None:
            builder.notes.append("The first line reads like a row: the columns are called column 1, column 2 …")
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


def _filled(rows: Iterable[Record]) -> Iterator[Record]:
    """Records without those of one cell of spaces; in a file of one column they are kept."""
    width = 0
    for line, cells, why in rows:
        if width != 1 and not why and len(cells) == 1 and cells[0].isspace():
            continue
        width = width or len(cells)
        yield line, cells, why


def _starts_with_a_row(rows: list[list[str]]) -> bool:
    """Whether the first line is a row and no names: it holds nothing but sentences, one of them too long for a name, or
    a sentence beside a value that comes back below it."""
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
            hint="Save the file anew as CSV in UTF-8.",
        )
    width = len(cells)
    while width > 1 and not cells[width - 1].strip() and not cells[width - 2].strip():
        width -= 1
    builder.set_columns(cells[:width])
    return width


def _read(path: Path, name: str, format: str, preferred: str, how: Reading, limits: ReadLimits) -> Table:
    found = encoding_of(path, how.encoding)
    builder = Builder(name, format, limits, encoding=found.name)
    if found.note:
        builder.notes.append(found.note)
    with open_text(path, found) as file:
        return read_lines(lines_of(file), builder, found.dirty, preferred, how)


def _read_csv(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, "csv", ",", how, limits)


def _read_tsv(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, "tsv", "\t", how, limits)


CSV = Format("csv", "CSV", (".csv",), _read_csv)
TSV = Format("tsv", "TSV", (".tsv", ".tab"), _read_tsv)
