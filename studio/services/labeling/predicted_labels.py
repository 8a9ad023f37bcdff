"""Predictions of a run's model as label suggestions, for rows without a label. They are no labels themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from studio.data.column import column_of
from studio.schema.errors import StudioError
from studio.schema.labeling import Suggestion, SuggestState
from studio.schema.runs import RunRecord
from studio.services.labeling.state import LabelingState
from studio.store.datasets import DatasetStore
from studio.store.predictions import PredictionStore
from studio.store.runs import RunStore

OTHER_LABELS = "The labels were changed after the model predicted these rows. Train again to predict the new labels."


@dataclass(frozen=True, eq=False)
class PredictedLabels:
    """The predictions that a person chose to review."""

    run: RunRecord
    id: str
    """Id of the saved predictions."""
    rows: Mapping[int, Suggestion]

    @cached_property
    def names(self) -> frozenset[str]:
        """All labels that the model can predict here."""
        return frozenset(name for each in self.rows.values() for name, _ in each.labels)

    def suggested(self, state: LabelingState) -> Mapping[int, Suggestion]:
        """Row → suggestion. Empty when a label was renamed or removed since."""
        return self.rows if self.names <= set(state.labels) else {}

    def progress(self, state: LabelingState) -> SuggestState:
        """How many rows are predicted, and how many of them have no label yet."""
        changed = not self.names <= set(state.labels)
        return SuggestState(
            run=self.run.id,
            run_name=self.run.name,
            predictions=self.id,
            predicted=len(self.rows),
            rows=0 if changed else sum(row not in state.values for row in self.rows),
            unavailable_reason=OTHER_LABELS if changed else "",
        )


def predicted_labels(
    chosen: Mapping[str, Any], datasets: DatasetStore, runs: RunStore, version: int, columns: Mapping[str, str]
) -> PredictedLabels | None:
    """Return the predictions that a person chose (`run` and `id`). None if they are gone or are about other rows.

    `version`: the current version of the dataset. `columns`: purpose → column, of the labeling.
    """
    try:
        run = runs.get(chosen["run"])
    except StudioError:  # it was deleted
        return None
    store = PredictionStore(runs.folder(run.id).predictions)
    saved = store.find(chosen["id"])
    if saved is None:
        return None
    texts = tuple(columns[purpose] for purpose in ("text", "second") if columns.get(purpose))
    if not rows_stay(datasets, saved.dataset, saved.version, version, texts):
        return None
    return PredictedLabels(run, saved.id, store.suggestions(saved.id))


def rows_stay(datasets: DatasetStore, dataset: str, before: int, after: int, columns: tuple[str, ...]) -> bool:
    """Return whether all rows of two versions have the same number and the same texts in these columns."""
    old, new = datasets.get(dataset, before), datasets.get(dataset, after)
    if before == after:
        return {*columns} <= {*new.columns}
    if old.rows != new.rows or not {*columns} <= {*old.columns} & {*new.columns}:
        return False
    paths = (datasets.rows_path(dataset, each) for each in (before, after))
    return _same_cells(*paths, columns)


@lru_cache(maxsize=32)
def _same_cells(old: Path, new: Path, columns: tuple[str, ...]) -> bool:
    """Return whether two tables have the same cells in these columns. Cached, because a version never changes."""
    return all(
        before == after
        for name in columns
        for before, after in zip(column_of(old, name), column_of(new, name), strict=True)
    )
