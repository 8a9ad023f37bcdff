"""Labels of a workspace's datasets, as the page and the command line use them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from studio.schema.dataset import DatasetRecord
from studio.schema.labeling import Agreement, Carried, Labeling, LabelList, Learned
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.import_export import LabelImportExport
from studio.services.labeling.label_schema import LabelNames
from studio.services.labeling.service import LabelingService
from studio.services.labeling.suggestions import Suggestions

Progress = Callable[[int, int, str], None]


class Labels:
    """Labeling. `labeller` is the name of the person; empty for a person alone."""

    def __init__(self, state: AnnotationState, suggestions: Suggestions) -> None:
        self._service = LabelingService(state, suggestions)
        self._suggestions, self._names, self._files = suggestions, LabelNames(state), LabelImportExport(state)

    def state(self, dataset: str, labeller: str = "", task: str = "") -> Labeling:
        """Progress, and the next row; `task` decides what rows get until a person chooses."""
        return self._service.state(dataset, labeller, task)

    def rows(
        self, dataset: str, labeller: str = "", show: str = "all", search: str = "", start: int = 1, count: int = 25
    ) -> LabelList:
        """Many rows at once; `show` is all, open, done, unsure, differ, sure or label:NAME."""
        return self._service.rows(dataset, labeller, show, search, start, count)

    def choose(self, dataset: str, work: str = "", columns: Mapping[str, str] | None = None) -> Labeling:
        """Choose what rows get (labels, replies or preferences), and the columns to read and write."""
        self._service.choose(dataset, work, columns)
        return self.state(dataset)

    def choose_order(self, dataset: str, order: str = "file", labeller: str = "") -> Labeling:
        """Choose the order of rows for one person."""
        self._service.choose_order(dataset, order, labeller)
        return self.state(dataset, labeller)

    def open(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Show a row now, labeled or not."""
        self._service.open(dataset, row, labeller)
        return self.state(dataset, labeller)

    def give(self, dataset: str, row: int, label: str, labeller: str = "") -> Labeling:
        """Give a row a label, a reply or a preference; saved before this returns."""
        self._service.give(dataset, row, label, labeller)
        return self.state(dataset, labeller)

    def give_many(self, dataset: str, rows: Sequence[int] = (), label: str = "", labeller: str = "") -> int:
        """Give many rows a label, or each its suggested one; how many got one."""
        return self._service.give_many(dataset, rows, label, labeller)

    def skip(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Leave a row for later."""
        return self._defer(dataset, row, "skip", labeller)

    def mark_unsure(self, dataset: str, row: int, labeller: str = "") -> Labeling:
        """Mark a row as unsure: it does not come again unless opened."""
        return self._defer(dataset, row, "unsure", labeller)

    def _defer(self, dataset: str, row: int, reason: Literal["skip", "unsure"], labeller: str) -> Labeling:
        self._service.put_aside(dataset, row, reason, labeller)
        return self.state(dataset, labeller)

    def undo(self, dataset: str, labeller: str = "") -> Labeling:
        """Undo this person's last action."""
        self._service.undo(dataset, labeller)
        return self.state(dataset, labeller)

    def type_reply(self, dataset: str, row: int, text: str, labeller: str = "") -> None:
        """Save a reply that is being typed."""
        self._service.type_reply(dataset, row, text, labeller)

    def set_names(self, dataset: str, labels: Sequence[str], text_column: str | None = None) -> Labeling:
        """Set the labels, and the column to read."""
        if text_column is not None:
            self._service.choose(dataset, "label", {"text": text_column})
        self._names.set(dataset, labels)
        return self.state(dataset)

    def add_names(self, dataset: str, labels: Sequence[str], labeller: str = "") -> Labeling:
        """Add labels."""
        self._names.add(dataset, labels, labeller)
        return self.state(dataset, labeller)

    def rename(self, dataset: str, label: str, new: str, merge: bool = False, labeller: str = "") -> int:
        """Rename a label; with `merge` the new name may be another label's. Returns how many rows had it."""
        return self._names.rename(dataset, label, new, merge, labeller)

    def remove_name(self, dataset: str, label: str, labeller: str = "") -> None:
        """Remove a label that no row has."""
        self._names.remove(dataset, label, labeller)

    def apply(self, dataset: str) -> DatasetRecord:
        """A new version of the dataset with the labels in a column."""
        return self._service.use(dataset)

    def agreements(self, dataset: str) -> tuple[Agreement, ...]:
        """Agreement of every two people on rows that both labeled."""
        return self.state(dataset).agreements

    def suggest(self, dataset: str, progress: Progress = lambda done, total, words: None) -> Learned | None:
        """Train a small classifier on the labels so far and suggest labels for the other rows; waits for it."""
        return self._suggestions.now(dataset, progress)

    def suggest_in_background(self, dataset: str) -> None:
        """The same in the background; `state` has the progress."""
        self._suggestions.begin(dataset)

    def export_text(self, dataset: str, format: str = "csv", each: bool = False) -> str:
        """The labels as CSV or JSONL; `each`: one line for each person's label."""
        return self._files.text(dataset, format, each)

    def export_file(self, dataset: str, to: Path | str, each: bool = False) -> int:
        """Write the labels to a file; how many lines."""
        return self._files.write(dataset, Path(to), each)

    def import_file(self, dataset: str, path: Path | str, labeller: str = "") -> Carried:
        """Import labels from a file, matched by row number or by text."""
        return self._files.take_file(dataset, Path(path), labeller)

    def import_text(self, dataset: str, text: str, labeller: str = "") -> Carried:
        """Import labels that were pasted."""
        return self._files.take_text(dataset, text, labeller)
