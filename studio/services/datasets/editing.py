"""Editing of cells. Each change makes a new version of the dataset."""

import json
from collections.abc import Mapping
from typing import Any

from studio.data.checks import labels_of
from studio.data.phrases import listed
from studio.data.table import changed
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, nearest, raise_all
from studio.services.datasets.service import Datasets
from studio.tasks import task_named

LONGEST = 100_000
"""Maximum characters of a cell that can be edited."""


class Editing:
    """Edits cells of a workspace's datasets."""

    def __init__(self, datasets: Datasets) -> None:
        self.datasets = datasets

    def cells(self, dataset: str, row: int) -> dict[str, str | None]:
        """Column → the cell as text. None for a cell that is too long to edit."""
        values = self.datasets.table(dataset).row(row)
        texts = {column: _text(value) for column, value in values.items()}
        return {column: text if len(text) <= LONGEST else None for column, text in texts.items()}

    def edit(self, dataset: str, row: int, cells: Mapping[str, str]) -> DatasetRecord:
        """A new version with new texts in some cells of a row (column → text). Lists and numbers keep their type."""
        record, table = self.datasets.store.get(dataset), self.datasets.table(dataset)
        before = table.row(row)
        raise_all(
            [
                StudioError(
                    "bad-setting",
                    f"There is no column {column}.",
                    valid=list(table.columns),
                    hint=nearest(column, table.columns),
                    field="column",
                )
                for column in cells
                if column not in before
            ]
        )
        most = min(LONGEST, self.datasets.read_limits.cell_characters)
        written = {column: _value(text, before[column], column, most) for column, text in cells.items()}
        values = {
            column: value
            for column, value in written.items()
            if value is not before[column] and value != before[column]
        }
        if not values:
            raise StudioError(
                "bad-setting",
                "Nothing was changed: the cells have these values already.",
                given=f"row {row:,}",
                hint="Change at least one cell.",
            )
        note = f"Row {row:,} edited: {listed(values)}."
        new, spec = changed(table, values={row: values}, note=note), record.spec
        if spec is not None and task_named(spec.task).has_labels:
            names = tuple(labels_of(new, task_named(spec.task), spec.roles))
            spec = spec.model_copy(update={"label_names": names})
        return self.datasets.write(new, record, note, spec)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(text: str, before: Any, column: str, most: int) -> Any:
    """The value of a text, with the type of the value that it replaces."""
    length = len(text)
    if length > most:
        raise StudioError(
            "too-large",
            f"The text for the column {column} is too long.",
            given=f"{length:,} characters",
            valid=f"at most {most:,}",
            field="column",
        )
    if text == _text(before):
        return before
    if isinstance(before, list | dict):
        return _like(before, text, column)
    if isinstance(before, bool | int | float):
        try:
            read = json.loads(text)
        except ValueError:
            return text
        return read if isinstance(read, bool | int | float) else text
    return text


def _like(before: list[Any] | dict[str, Any], text: str, column: str) -> Any:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, type(before)):
        what = f"The cell in the column {column} has an object. Your text is not an object."
        valid = 'an object as JSON, for example {"name": "Ann"}'
        if isinstance(before, list):
            what = f"The cell in the column {column} has a list. Your text is not a list."
            valid = 'a list as JSON, for example ["a", "b"]'
        raise StudioError(
            "bad-setting",
            what,
            given=text[:80],
            valid=valid,
            field="column",
        )
    return read
