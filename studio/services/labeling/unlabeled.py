"""Rows without labels: how to recognize them, how many to label first, and what a test on few labels can show."""

import math

from studio.data.columns import Column
from studio.data.roles import match
from studio.data.split_assignment import SMALL, default_fractions
from studio.metrics.sample_size import rows_for_margin, share_interval
from studio.schema.dataset import DatasetRecord
from studio.schema.labeling import HeldOutSize, Unlabeled
from studio.services.datasets.service import Datasets
from studio.tasks import TASKS, task_named

FIRST = 40
"""Rows to label before the first training."""
WORDS_PER_SECOND, CHARACTERS_PER_WORD = 4.0, 6.0
"""Silent reading, 238 words a minute (Brysbaert 2019, Journal of Memory and Language 109), and the spaces between."""
DECISION_SECONDS = 3.0
"""Time to decide and to press a key."""
SHARE, MARGIN = 0.8, 0.1
"""A usual accuracy, and the margin with which a test is useful."""


def unlabeled(datasets: Datasets, dataset: str, task: str = "") -> Unlabeled | None:
    """Return how many rows to label first, if a dataset has texts but no labels yet. None: it has, or is unclear.

    `task`: the chosen task. Empty: none was chosen, because no task fits the columns.
    """
    record = datasets.get(dataset)
    task_info = task_named(task) if task else next(each for each in TASKS.values() if each.has_labels)
    if not task_info.has_labels or record.rows == 0:
        return None
    columns = datasets.columns(dataset)
    matched = match(columns, task_info, partial=True)
    by_role = {role: columns[name] for name, role in matched.roles.items()}
    text = by_role.get("text")
    label = next((by_role[role] for role in ("label", "labels", "score") if role in by_role), None)
    if text is None or (matched.complete and (label is None or label.filled)):
        return None
    others = [each for each in columns.values() if each not in (text, label) and not each.bookkeeping]
    if any(_may_be_labels(each) for each in others):
        return None
    if not task and any(each.prose for each in others):
        return None  # two columns of texts: they may be prompts and replies
    return first_rows(record, text)


def first_rows(record: DatasetRecord, text: Column) -> Unlabeled:
    """Return how many rows to label before the first training, and how long it takes."""
    rows = min(FIRST, record.rows)
    each = text.mean_length / CHARACTERS_PER_WORD / WORDS_PER_SECOND + DECISION_SECONDS
    return Unlabeled(column=text.name, rows=record.rows, first=rows, minutes=max(1, round(rows * each / 60)))


def held_out_size(labeled: int, held_out: int | None = None) -> HeldOutSize:
    """Return what a test of a model that was trained on so many labeled rows can show.

    `held_out`: the rows that are not trained on, if the splits are known. Default: by the usual fractions.
    """
    estimated = held_out is None
    if held_out is None:
        fractions = default_fractions(labeled)
        held_out = max(2, round(labeled * (fractions.validation + fractions.test))) if labeled > 2 else 0
    low, high = share_interval(SHARE, held_out)
    usual = default_fractions(SMALL)
    useful = math.ceil(rows_for_margin(SHARE, MARGIN) / (usual.validation + usual.test) / 10) * 10
    return HeldOutSize(labeled=labeled, held_out=held_out, estimated=estimated, low=low, high=high, useful=useful)


def _may_be_labels(column: Column) -> bool:
    """Return whether a person may have to say that a column has the labels."""
    return column.filled > 0 and (column.few_values or column.thumbs or column.label_lists or column.scores)
