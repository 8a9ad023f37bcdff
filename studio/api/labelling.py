"""Labelling: labels, replies and choices, one row at a time or many; who agrees with whom; and suggestions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from studio.api.base import Door
from studio.schema.dataset import DatasetRecord
from studio.schema.labeling import Agreement, Carried, Labeling, LabelList, Learned

OnProgress = Callable[[int, int, str], None]


class LabellingDoor(Door):
    """Labelling. `labeller` is who does it; without a name it is somebody alone."""

    def labeling(self, dataset: str, labeller: str = "", task: str = "") -> Labeling:
        """Where labelling stands, and the next row; `task` says what is given to rows while nobody chose."""
        return self._labelling.state(dataset, labeller, task)

    def label_list(
        self, dataset: str, labeller: str = "", show: str = "all", search: str = "", start: int = 1, count: int = 25
    ) -> LabelList:
        """Many rows at once; `show` is all, open, done, unsure, differ, sure or label:NAME."""
        return self._labelling.rows(dataset, labeller, show, search, start, count)

    def choose_labelling(self, dataset: str, work: str = "", columns: Mapping[str, str] | None = None) -> Labeling:
        """Give labels, replies or choices; read and write other columns."""
        self._labelling.choose(dataset, work, columns)
        return self._labelling.state(dataset)

    def choose_label_order(self, dataset: str, order: str = "file", labeller: str = "") -> Labeling:
        """Have the rows come in another order for one person."""
        self._labelling.choose_order(dataset, order, labeller)
        return self._labelling.state(dataset, labeller)

    def open_label_row(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Have one row come now, done or not."""
        self._labelling.open(dataset, row, labeller)
        return self._labelling.state(dataset, labeller)

    def label(self, dataset: str, row: int, label: str, labeller: str = "") -> Labeling:
        """Put a label (or a reply, or a choice) on a row; stored before this returns."""
        self._labelling.give(dataset, row, label, labeller)
        return self._labelling.state(dataset, labeller)

    def label_rows(self, dataset: str, rows: Sequence[int] = (), label: str = "", labeller: str = "") -> int:
        """Put a label on many rows, or on each the one that is suggested; how many got one."""
        return self._labelling.give_many(dataset, rows, label, labeller)

    def skip(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Leave a row for later."""
        return self._put_aside(dataset, row, "skip", labeller)

    def unsure(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Say that one is unsure of a row: it does not come again unless it is asked for."""
        return self._put_aside(dataset, row, "unsure", labeller)

    def _put_aside(self, dataset: str, row: int, what: Literal["skip", "unsure"], labeller: str) -> Labeling:
        self._labelling.put_aside(dataset, row, what, labeller)
        return self._labelling.state(dataset, labeller)

    def undo_label(self, dataset: str, labeller: str = "") -> Labeling:
        """Take back what this person did last."""
        self._labelling.undo(dataset, labeller)
        return self._labelling.state(dataset, labeller)

    def type_reply(self, dataset: str, row: int, text: str, labeller: str = "") -> None:
        """Keep what was typed of a reply so far."""
        self._labelling.type_reply(dataset, row, text, labeller)

    def set_labels(self, dataset: str, labels: Sequence[str], text_column: str | None = None) -> Labeling:
        """Which labels there are, and which column is read."""
        if text_column is not None:
            self._labelling.choose(dataset, "label", {"text": text_column})
        self._label_names.set(dataset, labels)
        return self._labelling.state(dataset)

    def add_labels(self, dataset: str, labels: Sequence[str], labeller: str = "") -> Labeling:
        """Further labels."""
        self._label_names.add(dataset, labels, labeller)
        return self._labelling.state(dataset, labeller)

    def rename_label(self, dataset: str, label: str, new: str, merge: bool = False, labeller: str = "") -> int:
        """Give a label another name; with `merge` it may be another label's. How many rows had it."""
        return self._label_names.rename(dataset, label, new, merge, labeller)

    def remove_label(self, dataset: str, label: str, labeller: str = "") -> None:
        """Take away a label that no row has."""
        self._label_names.remove(dataset, label, labeller)

    def use_labels(self, dataset: str) -> DatasetRecord:
        """A new version with what was given in its column."""
        return self._labelling.use(dataset)

    def agreements(self, dataset: str) -> tuple[Agreement, ...]:
        """How far every two people agree on rows that both saw."""
        return self._labelling.state(dataset).agreements

    def suggest_labels(self, dataset: str, progress: OnProgress = lambda done, total, words: None) -> Learned | None:
        """Learn from the labels so far and suggest some for the other rows; waits for it."""
        return self._suggestions.now(dataset, progress)

    def begin_suggesting(self, dataset: str) -> None:
        """The same in the background; `labelling` says how far it is."""
        self._suggestions.begin(dataset)

    def labels_text(self, dataset: str, format: str = "csv", each: bool = False) -> str:
        """What was given to the rows, as CSV or JSONL."""
        return self._label_carrying.text(dataset, format, each)

    def export_labels(self, dataset: str, to: Path | str, each: bool = False) -> int:
        """The same into a file; how many lines."""
        return self._label_carrying.write(dataset, Path(to), each)

    def import_labels(self, dataset: str, path: Path | str, labeller: str = "") -> Carried:
        """Take in labels from a file, matched by row number or by text."""
        return self._label_carrying.take_file(dataset, Path(path), labeller)

    def paste_labels(self, dataset: str, text: str, labeller: str = "") -> Carried:
        """Take in labels that were pasted."""
        return self._label_carrying.take_text(dataset, text, labeller)
