"""The rows of a dataset with their predictions, as a table that is read from two files, one row after the other."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from studio.data.table import Row, Table
from studio.schema.predictions import REVIEWS, PredictedRow
from studio.store.predictions import PredictionStore

PERSON = "a person"
"""Who labeled a row, if they gave no name."""
Given = Mapping[int, tuple[Any, str]]
"""Row number → the label that a person gave, and their name."""
AddCells = Callable[[int, PredictedRow | None], Row]
"""Gets the number of a row and its prediction, and returns more cells."""


def predicted_rows(
    table: Table, store: PredictionStore, id: str, columns: Sequence[str] = (), add: AddCells | None = None
) -> Table:
    """Return the rows with `prediction`, and `confidence` where there is one. `add`: the cells of more `columns`."""
    source = _PredictedRows(table, store, id, add)
    own = [column for column in table.columns if column not in source.added]  # own ones of these names give way
    source.columns = (*own, *source.added, *(column for column in columns if column not in own))
    return Table(source.columns, source, table.info)


def reviewed(column: str, given: Given) -> AddCells:
    """Return what adds the labels that people gave, and whether they accepted the prediction."""
    accepted, corrected, open_ = REVIEWS

    def add(number: int, predicted: PredictedRow | None) -> Row:
        value, labeler = given.get(number, (None, ""))
        review = None
        if predicted is not None:
            review = open_ if value is None else accepted if value == predicted.prediction else corrected
        return {column: value, "labeled_by": None if value is None else labeler or PERSON, "review": review}

    return add


class _PredictedRows:
    """The source of such a table. It holds the place of each prediction in its file: 8 bytes a row."""

    shareable = False

    def __init__(self, table: Table, store: PredictionStore, id: str, add: AddCells | None) -> None:
        self.table, self.store, self.id, self.add = table, store, id, add
        self.columns: tuple[str, ...] = table.columns
        self.places = array("q", [-1]) * (len(table) + 1)
        scored = False
        for row, place, has_confidence in store.scan(id):
            if row <= len(table):
                self.places[row] = place
                scored = scored or has_confidence
        self.added = ("prediction", "confidence") if scored else ("prediction",)

    def __len__(self) -> int:
        return len(self.table)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        with self.store.reader(self.id) as read:
            for number, row in self.table.numbered(start):
                place = self.places[number]
                each = read(place) if place >= 0 else None
                row.update({column: getattr(each, column, None) for column in self.added})
                if self.add is not None:
                    row.update(self.add(number, each))
                yield [row.get(column) for column in self.columns]
