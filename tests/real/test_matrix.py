"""The matrix of docs/matrix.md, cell by cell: each task, on each kind of model, by each method that is on offer for it.

`make test` takes a fair sample, in which every task, every kind and every method comes up; `make test-matrix` all.
"""

import os
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from small_trainings import losses, run
from task_runs import tiny_model
from test_trained_completion import TEXTS
from test_trained_labels import SEVERAL
from test_trained_preference import PAIRS, THUMBS
from test_trained_questions import ROWS as QUESTIONS
from test_trained_summarization import NOTES

from studio.inference.heads import head_of
from studio.inference.pair import load_pair
from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.tasks import TASKS
from studio.training.methods import METHODS
from studio.training.run import TrainingJob

SHAPES = {"causal": "llama", "encoder": "bert", "seq2seq": "t5"}
LARGE = MachineFacts(cores=16, memory_total=2**37, memory_available=2**37, disk_free=2**40)
RATES = {"low-rank": 1e-2, "scales": 5e-2, "prompts": 1e-1, "last": 1e-2, "weights": 3e-3}
"""Family of methods → a rate at which a model of a few thousand weights learns at once."""
SORTED = [{"text": row["text"], "label": row["tags"][0]} for row in SEVERAL]
DATA: dict[str, tuple[list[dict[str, Any]], dict[str, str], tuple[str, ...]]] = {
    "chat": (PAIRS, {"prompt": "prompt", "chosen": "reply"}, ()),
    "classification": (SORTED, {"text": "text", "label": "label"}, ("broken", "kind", "late")),
    "summarization": (NOTES, {"dialogue": "text", "summary": "summary"}, ()),
    "question-answering": (QUESTIONS, {"question": "question", "context": "context", "answers": "answer"}, ()),
    "completion": (TEXTS, {"text": "text"}, ()),
    "preference": (PAIRS, {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}, ()),
    "feedback": (THUMBS, {"prompt": "prompt", "response": "reply", "thumbs_up": "thumb"}, ()),
}
"""Task → rows, what their columns are, labels."""


def on_offer() -> list[tuple[str, str, str]]:
    """(task, kind, method) of every green cell."""
    cells = []
    for task in TASKS.values():
        for kind in SHAPES:
            info = ModelInfo(name="x", title="x", source="folder", kind=kind, hidden=64)  # type: ignore[arg-type]
            if task.why_not(info):
                continue
            cells += [(task.name, kind, m.name) for m in METHODS.values() if not m.why_not(info, task, LARGE)]
    return cells


def sample(cells: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A cell for each task and kind, the methods in turn; and one for each method that did not come up."""
    methods = cycle(METHODS)
    chosen = []
    for pair in dict.fromkeys(cell[:2] for cell in cells):
        offered = [cell[2] for cell in cells if cell[:2] == pair]
        chosen.append((*pair, next(name for name in methods if name in offered)))
    missing = set(METHODS) - {method for *_, method in chosen}
    return chosen + [next(cell for cell in cells if cell[2] == method) for method in sorted(missing)]


CELLS = on_offer() if os.environ.get("STUDIO_MATRIX") == "all" else sample(on_offer())


def test_every_task_and_every_method_is_in_the_sample() -> None:
    chosen = sample(on_offer())
    assert {task for task, *_ in chosen} == set(TASKS) == set(DATA)
    assert {method for *_, method in chosen} == set(METHODS)


@pytest.mark.parametrize(("task", "kind", "method"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_cell_of_the_matrix_learns_and_its_result_can_be_loaded(
    tmp_path: Path, task: str, kind: str, method: str
) -> None:
    info = tiny_model(SHAPES[kind], tmp_path / "base", width=64)
    rows, roles, labels = DATA[task]
    data = DatasetSpec(task=task, roles=roles, label_names=labels)
    config = TrainingConfig(
        task=task, model=info.name, method=method, epochs=4, batch_size=8, max_length=96, seed=1,
        learning_rate=RATES[METHODS[method].family], precision="bfloat16" if method == "qlora" else "float32",
        answer_length=24, virtual_tokens=4, last_layers=1, early_stopping_patience=0,
    )  # fmt: skip
    rows = rows[:32]
    job = TrainingJob(config=config, info=info, data=data, train_rows=rows, validation_rows=rows,
                      folder=tmp_path / "run", threads=1)  # fmt: skip
    outcome, said = run(job)
    assert len(losses(said)) > 2
    assert outcome.metrics["eval_loss"] < outcome.metrics["base_eval_loss"]
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    pair = load_pair(RunRef(info=info, spec=spec, folder=str(job.folder)))
    assert pair.head == head_of(info, data)
    assert outcome.path is not None and outcome.path.name == METHODS[method].result
