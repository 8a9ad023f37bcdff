"""Runs in a home of their own, with the studio's own defaults, through the real worker."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.data.checks import labels_of
from studio.data.formats import read
from studio.data.parquet_store import write_parquet
from studio.data.roles import infer
from studio.machine.facts import machine_facts
from studio.models import find_model
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.store import Home
from studio.store.datasets import ROWS
from studio.tasks import TASKS, Encoding, task_named
from studio.training.planning.presets import PlanFacts, PlanRequest, default_method, make_plan

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def add_file(home: Home, file: Path) -> DatasetRecord:
    """A file as a dataset, its columns matched as the studio does."""
    store = home.workspace().datasets
    table = read(file)
    found = infer(table, list(TASKS.values()))
    labels = tuple(labels_of(table, found.task, found.matched.roles)) if found.task.has_labels else ()
    spec = DatasetSpec(task=found.task.name, roles=found.matched.roles, label_names=labels)
    identity = store.new_id()
    folder = store.begin(identity, 1)
    write_parquet(table, folder / ROWS)
    record = DatasetRecord(
        id=identity,
        name=file.name,
        version=1,
        note="",
        created="",
        rows=len(table),
        columns=table.columns,
        bytes=file.stat().st_size,
        source="file",
        format=table.format,
        spec=spec,
    )
    return store.add(record, folder)


def add_run(home: Home, data: DatasetRecord, model: str, prompts: Sequence[str] = ()) -> str:
    """A run with the defaults that the Method tab would show."""
    from studio.data.parquet_store import open_parquet
    from studio.data.splits import Splitter
    from studio.inference.load import load_tokenizer, training_template

    assert data.spec is not None
    task, info = task_named(data.spec.task), find_model(model)
    table = open_parquet(home.workspace().datasets.rows_path(data.id, 1))
    counts = Splitter(table, task, data.spec.roles, SplitSpec()).assign().counts
    tokenizer = load_tokenizer(info)
    template = training_template(tokenizer) if not task.has_labels else None
    encoding = Encoding(tokenizer, data.spec.roles, info.context, data.spec.label_names, "", template)
    lengths = [task.encode(row, encoding).full_length for row in table.sample(500)]
    facts = PlanFacts(
        counts.train + counts.validation + counts.test,
        counts.train,
        counts.validation,
        len(data.spec.label_names),
        lengths,
        0.6,
        max(lengths),
    )
    settings: dict[str, Any] = {"test_prompts": tuple(prompts)}
    plan = make_plan(
        PlanRequest(task, info, "balanced", facts, machine_facts(), "benchmark"), default_method(task, info), settings
    )
    spec = RunSpec(config=plan.config, dataset=data.id, dataset_version=1, data=data.spec, splits=SplitSpec())
    run = home.workspace().runs.create(spec).id
    home.queue.enqueue("default", run)
    return run


def train(home: Home, run: str) -> float:
    """Seconds from starting the worker to its end."""
    began = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-m", "studio.worker", "--home", str(home.root), run]
    log = home.workspace().runs.folder(run).log
    with log.open("ab") as out:
        done = subprocess.run(command, stdout=out, stderr=out, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(log.read_text())
    return time.perf_counter() - began
