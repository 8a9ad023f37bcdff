"""Runs in a home, and the real worker process on them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from studio.api import Studio
from studio.data.checks import labels_of
from studio.data.formats import read
from studio.data.parquet_store import write_parquet
from studio.data.roles import infer
from studio.data.samples import sample_path
from studio.data.table import changed
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.events import StepEvent
from studio.schema.runs import RunRecord, RunSpec
from studio.store import Home
from studio.store.datasets import ROWS
from studio.tasks import TASKS
from tests.forked import AFRESH


def add_sample(home: Home, sample: str, rows: int | None = None) -> DatasetRecord:
    """A sample's rows, or the first of them, as a dataset with its reading."""
    store = home.workspace().datasets
    table = read(sample_path(sample))
    if rows is not None:
        table = changed(table, remove=range(rows + 1, len(table) + 1))
    found = infer(table, list(TASKS.values()))
    labels = tuple(labels_of(table, found.task, found.matched.roles)) if found.task.has_labels else ()
    spec = DatasetSpec(task=found.task.name, roles=found.matched.roles, label_names=labels)
    identity = store.new_id()
    folder = store.begin(identity, 1)
    write_parquet(table, folder / ROWS)
    return store.add(
        DatasetRecord(
            id=identity,
            name=sample,
            version=1,
            note="",
            created="",
            rows=len(table),
            columns=table.columns,
            bytes=0,
            source=f"sample:{sample}",
            format="csv",
            spec=spec,
        ),
        folder,
    )


def add_run(home: Home, dataset: DatasetRecord, model: str, **settings: Any) -> str:
    """A queued run's id."""
    assert dataset.spec is not None
    config = TrainingConfig(task=dataset.spec.task, model=model, **settings)
    spec = RunSpec(config=config, dataset=dataset.id, dataset_version=1, data=dataset.spec, splits=SplitSpec())
    run = home.workspace().runs.create(spec).id
    home.queue.enqueue("default", run)
    return run


def start_worker(home: Home, run: str, fresh: bool = False) -> "subprocess.Popen[bytes]":
    """The worker, as the services start it; `fresh`: not forked."""
    log = home.workspace().runs.folder(run).log
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "studio.worker", "--home", str(home.root), "--workspace", "default", run],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **(AFRESH if fresh else {})},
        )


def prepared_worker() -> "subprocess.Popen[bytes]":
    """A worker that has imported everything and waits on its stdin."""
    return subprocess.Popen(
        [sys.executable, "-m", "studio.worker", "--prepared"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def steps_of(home: Home, run: str) -> list[StepEvent]:
    """Step events so far."""
    return [each.event for each in home.workspace().events.after(run, kinds=("step",))]  # type: ignore[misc]


def wait_for(what: Callable[[], Any], seconds: float = 120, studio: Studio | None = None) -> Any:
    """Wait until a function returns something true. With a `studio`, its runs are reconciled before each call, as the
    server does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if studio is not None:
            studio.reconcile()
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def log_of(home: Home, run: str) -> str:
    """What the worker printed; nothing before it has begun."""
    log = home.workspace().runs.folder(run).log
    return log.read_text() if log.exists() else ""


def record_of(home: Home, run: str) -> RunRecord:
    """The run as it stands."""
    return home.workspace().runs.get(run)
