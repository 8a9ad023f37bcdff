"""Labels out of the studio and into it: as CSV for a spreadsheet, as JSONL for a program; matched by row or by text."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.data.formats import read, read_text
from studio.data.table import Table
from studio.data.values import for_spreadsheet, label_name
from studio.schema.errors import StudioError
from studio.schema.labeling import Carried
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.session import LabelingSession, clean_name

FORMATS = ("csv", "jsonl")


class LabelImportExport:
    """What was given to the rows of a dataset, as a file."""

    def __init__(self, bench: AnnotationState) -> None:
        self.bench = bench

    def text(self, dataset: str, format: str = "csv", each: bool = False) -> str:
        """Everything that was given, a row a line; with `each` a line for everyone who gave it something."""
        if format not in FORMATS:
            raise StudioError("unknown-format", "Labels go out as CSV or JSONL.", given=format, valid=FORMATS)
        with self.bench.lock:
            desk = self.bench.desks.of(dataset)
            rows = list(_lines(desk, each))
        if format == "jsonl":
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        header = list(rows[0]) if rows else ["row", desk.work.name, "labeller", "time"]
        writer.writerow([for_spreadsheet(name) for name in header])
        writer.writerows([for_spreadsheet(_flat(row[name])) for name in header] for row in rows)
        return out.getvalue()

    def write(self, dataset: str, to: Path, each: bool = False) -> int:
        """The same into a file; how many lines. The file's ending says the format."""
        self.bench.desks.of(dataset)
        self.bench.context.owner_only("Writing to a folder of this machine")
        ending = to.suffix.lower().lstrip(".")
        text = self.text(dataset, ending or to.name, each)
        if not to.parent.is_dir():
            raise StudioError(
                "unknown-format",
                "There is no such folder to write to.",
                given=to.parent,
                field="to",
                hint="Make it first, or name another one.",
            )
        to.write_text(text, encoding="utf-8", newline="")
        return text.count("\n") if ending == "jsonl" else _records(text)

    def take_file(self, dataset: str, path: Path, labeller: str = "") -> Carried:
        """Take labels in from a file."""
        self.bench.desks.of(dataset)
        self.bench.context.owner_only("Reading a file by its path")
        if not path.is_file():
            raise StudioError(
                "unreadable-file", "There is no such file.", given=path.name, hint="Check its name and its folder."
            )
        return self._take(dataset, read(path, limits=self.bench.datasets.read_limits), labeller)

    def take_text(self, dataset: str, text: str, labeller: str = "") -> Carried:
        """Take in labels that were pasted."""
        self.bench.desks.of(dataset)
        return self._take(dataset, read_text(text, limits=self.bench.datasets.read_limits), labeller)

    def _take(self, dataset: str, table: Table, labeller: str) -> Carried:
        with self.bench.lock:
            desk, who = self.bench.desks.of(dataset), clean_name(labeller)
            value_column = _column(table, desk.work.name, "label", "labels", "category", "class", "reply", "choice")
            if value_column is None:
                raise StudioError(
                    "columns-unclear",
                    f"No column is called {desk.work.name}.",
                    given=", ".join(table.columns),
                    valid=f"a column {desk.work.name}, and a column row or the text",
                )
            places = _Places(desk, table, value_column)
            facts, lost, same, by_name = [], 0, 0, _column(table, "labeller")
            for cells in table.rows():
                value = desk.work.checked(label_name(cells.get(value_column)))
                row = places.of(cells)
                if not value or row is None:
                    lost += 1
                    continue
                name = clean_name(str(cells.get(by_name) or "")) if by_name else ""
                mine = desk.board.mine(row, name or who)
                before = mine.value if mine else None if name or who else desk.board.final.get(row)
                if before == value:
                    same += 1
                    continue
                facts.append(self.bench.fact(desk, "given", name or who, row, value))
            self.bench.add(desk, facts)
        return Carried(taken=len(facts), same=same, lost=lost, by=places.how)


class _Places:
    """Which row of the dataset a line is about: by its number, else by its text."""

    def __init__(self, desk: LabelingSession, table: Table, value_column: str) -> None:
        self.total = desk.record.rows
        self.number = _column(table, "row")
        text = next((c for c in desk.columns.values() if c in table.columns and c != value_column), None)
        self.text = None if self.number else text
        self.how = "row" if self.number else "text"
        if self.number is None and self.text is None:
            raise StudioError(
                "columns-unclear",
                "Nothing says which row a line is about.",
                given=", ".join(table.columns),
                valid="a column row with the number, or the dataset's own column with the text",
            )
        self._rows: dict[str, list[int]] = defaultdict(list)
        if self.text:
            for row, words in desk.texts(range(1, desk.record.rows + 1)).items():
                self._rows[words.strip()].append(row)

    def of(self, cells: dict[str, Any]) -> int | None:
        """The row, None when there is none."""
        if self.number:
            name = label_name(cells.get(self.number))
            return int(name) if name.isdecimal() and 1 <= int(name) <= self.total else None
        # the apostrophe before a formula is ours, from the way out
        words = str(cells.get(self.text or "") or "").strip()
        found = self._rows.get(words) or self._rows.get(words.removeprefix("'"))
        return found.pop(0) if found and len(found) > 1 else next(iter(found or ()), None)


def _lines(desk: LabelingSession, each: bool) -> Iterator[dict[str, Any]]:
    board = desk.board
    done = sorted(board.final)
    texts = desk.texts(done)
    first = next(iter(desk.columns.values()))
    times = {fact.id: fact.time for fact, _ in board.history}
    for row in done:
        given = [
            (mark.fact, name, mark.value)
            for name, mark in board.marks.get(row, {}).items()
            if mark.what == "given" and mark.value is not None
        ]
        newest = max(given, default=(0, "", board.final[row]))
        for fact, name, value in (sorted(given) or [newest]) if each else [newest]:
            yield {
                "row": row,
                first: texts.get(row, ""),
                desk.work.name: value,
                "labeller": name,
                "time": times.get(fact, ""),
            }


def _column(table: Table, *names: str) -> str | None:
    by_name = {column.strip().lower(): column for column in table.columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _records(text: str) -> int:
    """Lines of a CSV that are no header; a cell may hold line ends."""
    return max(0, sum(1 for _ in csv.reader(io.StringIO(text, newline=""))) - 1)
