"""The rows of a run: read from the dataset's file and split."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.data.checks import usable_rows
from studio.data.parquet_store import open_parquet
from studio.data.table import Row
from studio.schema.runs import Replay, RunSpec
from studio.store.datasets import DatasetStore
from studio.store.run_rows import own_rows
from studio.store.split_store import VersionSplit
from studio.tasks import Task, as_turns, task_named
from studio.tasks.chat import Chat


@dataclass(frozen=True)
class RunRows:
    """The rows of a run."""

    train: list[Row]
    validation: list[Row]
    splits: dict[str, Any] = field(default_factory=dict)
    """Split → row numbers, as saved in splits.json."""


def rows_of_run(datasets: DatasetStore, spec: RunSpec, most: int = 0) -> RunRows:
    """The usable rows of a run's dataset by split. Validation rows may come from another dataset, which is used whole.

    `most` is the maximum number of training rows (0: all). They are sampled with the run's seed and keep their order.
    """
    task, reading = task_named(spec.data.task), spec.data
    record = datasets.get(spec.dataset, spec.dataset_version)
    table = open_parquet(datasets.rows_path(spec.dataset, spec.dataset_version))
    with_validation = spec.validation_dataset is not None
    division = VersionSplit(datasets, record, reading, spec.splits, with_validation, spec.fold).assign()
    splits: dict[str, Any] = {name: division.rows(name) for name in ("train", "validation", "test")}
    count = own_rows(len(splits["train"]), most, spec.config.replay if spec.replay else 0.0)
    sampled = count < len(splits["train"])
    if sampled:
        splits["train"] = sorted(random.Random(spec.config.seed).sample(splits["train"], count))
    train = set(splits["train"])
    parts: dict[str, list[Row]] = {"train": [], "validation": []}
    for number, row in usable_rows(
        table, task, reading.roles, left_out=reading.left_out, rows_left_out=reading.rows_left_out
    ):
        part = division.splits.get(number)
        if part in parts and not (sampled and part == "train" and number not in train):
            parts[part].append(row)
    if spec.validation_dataset is not None:
        other = open_parquet(datasets.rows_path(spec.validation_dataset, spec.validation_version))
        parts["validation"] = [row for _, row in usable_rows(other, task, reading.roles, left_out=reading.left_out)]
        splits["validation_dataset"] = spec.validation_dataset
        splits["validation_version"] = spec.validation_version
    if spec.replay is not None:
        replay_rows = _replay_rows(datasets, spec.replay, reading.roles, task)
        share = spec.config.replay
        count = min(len(replay_rows), round(len(parts["train"]) * share / (1 - share)))
        parts["train"] += random.Random(spec.config.seed).sample(replay_rows, count)
        splits["replay"] = {"dataset": spec.replay.dataset, "version": spec.replay.version, "rows": count}
    return RunRows(parts["train"], parts["validation"], splits)


def _replay_rows(datasets: DatasetStore, replay: Replay, roles: Mapping[str, str], task: Task) -> list[Row]:
    """Usable rows of another dataset, with the column names of this one."""
    table = open_parquet(datasets.rows_path(replay.dataset, replay.version))
    here = {role: column for column, role in roles.items()}
    names = {column: here[role] for column, role in replay.roles.items() if role in here}
    rows = usable_rows(table, task, replay.roles, left_out=replay.left_out)
    if isinstance(task, Chat) and as_turns(task, replay.roles, roles):
        names = {column: name for column, name in names.items() if replay.roles[column] == "tools"}
        return [
            {name: row.get(column) for column, name in names.items()}
            | {here["messages"]: task.turns(row, replay.roles)}
            for _, row in rows
        ]
    return [{name: row.get(column) for column, name in names.items()} for _, row in rows]
