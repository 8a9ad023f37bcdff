"""Several files as one table. The file of each row is recorded as a split or as a file name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from studio.data.columnar import Builder
from studio.data.columns import words_of
from studio.data.phrases import listed
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.dataset import Reading
from studio.schema.errors import StudioError
from studio.schema.numbers import plural, rows

SPLIT_COLUMN, FILE_COLUMN = "split", "file"
TEXTS = (".md", ".markdown", ".txt", ".text")
Opener = Callable[[Reading], Table]


def join(files: Sequence[tuple[str, Opener]], builder: Builder, how: Reading, notes: Sequence[str] = ()) -> Table:
    """Return the rows of all files as one table, with columns merged by name. Each file is opened when it is read.

    `builder` is empty: it has the name, the format and the limits of the table.
    """
    if len(files) == 1:
        table = files[0][1](how)
        return Table(table.columns, table.source, replace(table.info, notes=(*notes, *table.notes)))
    builder.notes += notes
    splits = [_split_of(file_name) for file_name, _ in files]
    if not any(splits):
        splits = [_split_folder_of(file_name) for file_name, _ in files]
    column, sources = (
        (SPLIT_COLUMN, splits)
        if all(splits) and len(set(splits)) > 1
        else (FILE_COLUMN, [file_name for file_name, _ in files])
    )
    counts, sheets = [], _Sheets(how)
    for (file_name, opened), source in zip(files, sources, strict=True):
        before = builder.count
        try:
            _append(builder, sheets.open(opened, file_name), file_name, column, source)
        except StudioError as error:
            if error.code != "empty-data":
                raise
            builder.notes.append(f"{file_name} has no rows.")
        counts.append(f"{file_name} ({rows(builder.count - before)})")
    builder.notes += sheets.notes()
    builder.sheets = list(sheets.known)
    joined = plural(
        len(files), "Joined from {n} file: {files}.", "Joined from {n} files: {files}.", files=listed(counts)
    )
    builder.notes.insert(0, joined)
    return builder.table()


class _Sheets:
    """Chooses the sheet of each workbook among the files: the requested one, where it exists."""

    def __init__(self, how: Reading) -> None:
        self.how = how
        self.known: dict[str, None] = {}
        """Sheets of the workbooks that have several sheets with rows."""
        self._without_sheet: dict[str, StudioError] = {}
        self._has_sheet = False

    def open(self, opener: Opener, file_name: str) -> Table:
        """Return the table of a file. A workbook without the requested sheet is read with the default sheet."""
        try:
            table = opener(self.how)
            self._has_sheet = self._has_sheet or table.detected.sheet == self.how.sheet
        except StudioError as error:
            if not self.how.sheet or error.field != "sheet":
                raise
            self._without_sheet[file_name] = error
            table = opener(self.how.model_copy(update={"sheet": "", "ask": False}))
        if len(table.sheets) > 1:
            self.known |= dict.fromkeys(table.sheets)
        return table

    def notes(self) -> list[str]:
        """Return notes on workbooks without the requested sheet. Raise `StudioError` if no workbook has it."""
        if self._without_sheet and not self._has_sheet:
            raise next(iter(self._without_sheet.values()))
        return [f"No sheet {self.how.sheet} in {listed(self._without_sheet)}."] if self._without_sheet else []


def choose_files(names: Sequence[str], readable: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return the files to read, and notes on the others. Text files beside tables (such as a README) are skipped."""
    chosen = [name for name in names if readable(name)]
    tables = [name for name in chosen if not name.lower().endswith(TEXTS)]
    chosen = tables or chosen
    read = set(chosen)
    skipped = [name for name in names if name not in read]
    return chosen, [f"Not read: {listed(skipped)}."] if skipped and chosen else []


def _append(builder: Builder, table: Table, file_name: str, column: str, source: str) -> None:
    bad = {each.row: each for each in table.bad_lines}
    has_column = column in table.columns
    for number, row in table.numbered():
        if number in bad:
            builder.add_bad(bad[number].line, f"In {file_name}: {bad[number].why}")
        else:
            builder.add_object(row if has_column else {**row, column: source})
    builder.notes += [f"{file_name}: {note}" for note in table.notes]


def _split_of(name: str) -> str:
    """Return the split word in a file's name: `train` in `data/train-00000.csv`."""
    return next((word for word in words_of(PurePosixPath(name).stem) if split_name(word)), "")


def _split_folder_of(name: str) -> str:
    """Return the folder of a file that has the name of a split: `train` in `data/train/rows.csv`."""
    return next((folder for folder in reversed(PurePosixPath(name).parts[:-1]) if split_name(folder)), "")
