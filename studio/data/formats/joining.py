"""Several files as one table. Which file a row is from is kept where it says something: as its part, or as its file."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from studio.data.columnar import Builder
from studio.data.columns import words_of
from studio.data.limits import HARD, ReadLimits
from studio.data.phrases import listed, many
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.dataset import Reading
from studio.schema.errors import StudioError

SPLIT_COLUMN, FILE_COLUMN = "split", "file"
TEXTS = (".md", ".markdown", ".txt", ".text")
Opener = Callable[[Reading], Table]


def join(
    files: Sequence[tuple[str, Opener]],
    name: str,
    format: str,
    how: Reading,
    notes: Sequence[str] = (),
    limits: ReadLimits = HARD,
) -> Table:
    """The rows of all files, one file below the other, columns by name; each file is opened when its turn comes."""
    if len(files) == 1:
        table = files[0][1](how)
        return Table(
            table.columns,
            table.source,
            format=table.format,
            encoding=table.encoding,
            delimiter=table.delimiter,
            notes=[*notes, *table.notes],
            bad_lines=table.bad_lines,
            found=table.found,
            sheets=table.sheets,
        )
    builder = Builder(name, format, limits)
    builder.notes += notes
    parts = [_part_of(given) for given, _ in files]
    column, marks = (
        (SPLIT_COLUMN, parts) if all(parts) and len(set(parts)) > 1 else (FILE_COLUMN, [given for given, _ in files])
    )
    counts, sheets = [], _Sheets(how)
    for (given, opened), mark in zip(files, marks, strict=True):
        before = builder.count
        try:
            _append(builder, sheets.open(opened, given), given, column, mark)
        except StudioError as error:
            if error.code != "empty-data":
                raise
            builder.notes.append(f"{given} holds no rows.")
        counts.append(f"{given} ({many(builder.count - before, 'row')})")
    builder.notes += sheets.notes()
    builder.sheets = list(sheets.known)
    builder.notes.insert(0, f"Joined from {many(len(files), 'file')}: {listed(counts)}.")
    return builder.table()


class _Sheets:
    """Which sheet is read of each workbook among the files: the one that is asked for, where a workbook has it."""

    def __init__(self, how: Reading) -> None:
        self.how = how
        self.known: dict[str, None] = {}
        """Sheets of those workbooks that have several with rows."""
        self._lacking: dict[str, StudioError] = {}
        self._found = False

    def open(self, opener: Opener, given: str) -> Table:
        """The table of a file; a workbook without the sheet is read as if none was asked for."""
        try:
            table = opener(self.how)
            self._found = self._found or table.found.sheet == self.how.sheet
        except StudioError as error:
            if not self.how.sheet or error.field != "sheet":
                raise
            self._lacking[given] = error
            table = opener(self.how.model_copy(update={"sheet": "", "ask": False}))
        if len(table.sheets) > 1:
            self.known |= dict.fromkeys(table.sheets)
        return table

    def notes(self) -> list[str]:
        """What is said of workbooks without the sheet; refused when none has it."""
        if self._lacking and not self._found:
            raise next(iter(self._lacking.values()))
        return [f"No sheet {self.how.sheet} in {listed(self._lacking)}."] if self._lacking else []


def choose(names: Sequence[str], readable: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The files to read, and what is said of the others; texts beside tables (a README, say) are left aside too."""
    chosen = [name for name in names if readable(name)]
    tables = [name for name in chosen if not name.lower().endswith(TEXTS)]
    chosen = tables or chosen
    aside = [name for name in names if name not in chosen]
    return chosen, [f"Not read: {listed(aside)}."] if aside and chosen else []


def _append(builder: Builder, table: Table, given: str, column: str, mark: str) -> None:
    bad = {each.row: each for each in table.bad_lines}
    own = column in table.columns
    for number, row in table.numbered():
        if number in bad:
            builder.add_bad(bad[number].line, f"In {given}: {bad[number].why}")
        else:
            builder.add_object(row if own else {**row, column: mark})
    builder.notes += [f"{given}: {note}" for note in table.notes]


def _part_of(name: str) -> str:
    """The word for a part in a file's name: `train` in `data/train-00000.csv`."""
    return next((word for word in words_of(PurePosixPath(name).stem) if split_name(word)), "")
