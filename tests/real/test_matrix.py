"""The matrix of docs/reference/matrix.md, cell by cell: each task, on each family of models, by each method.

`make test` takes a fair sample, in which every task, every family and every method comes up; `make test-matrix` all.
"""

import os
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from small_trainings import losses, run
from task_runs import tiny_model
from test_trained_completion import TEXTS
from test_trained_labels import SORTED
from test_trained_preference import PAIRS, THUMBS
from test_trained_questions import ROWS as QUESTIONS
from test_trained_summarization import NOTES

from studio.inference.base_and_tuned import load_pair
from studio.inference.heads import Head, head_of
from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.tasks import TASKS
from studio.training.loop.run import TrainingJob
from studio.training.methods import METHODS

FAMILIES = {
    "llama": "causal",
    "qwen": "causal",
    "gpt2": "causal",
    "bert": "encoder",
    "roberta": "encoder",
    "t5": "seq2seq",
    "bart": "seq2seq",
}
"""Family → kind of model."""
LARGE = MachineFacts(cores=16, memory_total=2**37, memory_available=2**37, disk_free=2**40)
RATES = {"ia3": 5e-2, "prompt-tuning": 1e-1, "prefix-tuning": 1e-1, "full": 3e-3}
"""Method → a rate at which a model of a few thousand weights learns at once, if it is not 0.01."""
Cell = tuple[str, str, str]
DATA: dict[str, tuple[list[dict[str, Any]], dict[str, str], tuple[str, ...]]] = {
    "chat": (PAIRS, {"prompt": "prompt", "chosen": "reply"}, ()),
    "classification": (SORTED, {"text": "text", "label": "label"}, ("broken", "kind", "late")),
    "summarization": (NOTES, {"dialogue": "text", "summary": "summary"}, ()),
    "question-answering": (QUESTIONS, {"question": "question", "context": "context", "answers": "answer"}, ()),
    "completion": (TEXTS, {"text": "text"}, ()),
    "preference": (PAIRS, {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}, ()),
    "feedback": (THUMBS, {"prompt": "prompt", "response": "reply", "thumbs_up": "thumb"}, ()),
}
"""Task → rows, what their columns are, labels. Other tasks are tried with the example rows of the Data tab."""


def example_rows(name: str) -> tuple[list[dict[str, Any]], dict[str, str], tuple[str, ...]]:
    """The example rows of a task, several times, with their roles and labels."""
    task = TASKS[name]
    rows = [dict(zip(task.example_roles, row, strict=True)) for row in task.example_rows] * 16
    labels = tuple(sorted({str(row["label"]) for row in rows})) if task.has_labels else ()
    return rows, {role: role for role in task.example_roles}, labels


def on_offer() -> list[Cell]:
    """(task, family, method) of every green cell."""
    cells = []
    for task in TASKS.values():
        for family, kind in FAMILIES.items():
            info = ModelInfo(name="x", title="x", source="folder", kind=kind, hidden=64)  # type: ignore[arg-type]
            if task.unavailable_reason(info):
                continue
            cells += [
                (task.name, family, m.name) for m in METHODS.values() if not m.unavailable_reason(info, task, LARGE)
            ]
    return cells


def sample(cells: list[Cell]) -> list[Cell]:
    """A cell for each task and kind, families and methods in turn; and one for each that did not come up."""
    methods, families = cycle(METHODS), cycle(FAMILIES)
    chosen = []
    for task, kind in dict.fromkeys((cell[0], FAMILIES[cell[1]]) for cell in cells):
        family = next(each for each in families if FAMILIES[each] == kind)
        offered = [cell[2] for cell in cells if cell[:2] == (task, family)]
        chosen.append((task, family, next(name for name in methods if name in offered)))
    for place, every in ((1, FAMILIES), (2, METHODS)):
        missing = set(every) - {cell[place] for cell in chosen}
        chosen += [next(cell for cell in cells if cell[place] == each) for each in sorted(missing)]
    return chosen


CELLS = on_offer() if os.environ.get("STUDIO_MATRIX") == "all" else sample(on_offer())


def test_every_task_every_family_and_every_method_is_in_the_sample() -> None:
    chosen = sample(on_offer())
    assert {task for task, *_ in chosen} == set(TASKS) >= set(DATA)
    assert {family for _, family, _ in chosen} == set(FAMILIES)
    assert {method for *_, method in chosen} == set(METHODS)


def test_each_cell_that_the_docs_show_green_is_one_that_is_tested() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "matrix.md").read_text(encoding="utf-8")
    table = page.split("## Methods for tasks and models")[1].split("\n## ")[0]
    assert sum(line.split(" | ").count("yes") + line.endswith("| yes |") for line in table.splitlines()) == len(
        on_offer()
    )


def plainly(info: ModelInfo, result: Path, head: Head, precision: str) -> Any:
    """The result by transformers and peft alone."""
    dtype = getattr(torch, precision)
    if result.name != "adapter":
        return head.model_class().from_pretrained(str(result), dtype=dtype).eval()
    base = head.model_class().from_pretrained(str(info.path), dtype=dtype, **head.arguments)
    return PeftModel.from_pretrained(base, str(result)).eval()


def says(model: Any, ids: list[int], head: Head) -> Any:
    """What a model says of some tokens: of the last one, where it writes."""
    given = {"input_ids": torch.tensor([ids])}
    if head.name == "seq2seq":
        given["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
    with torch.no_grad():
        out = model(**given)
    return (out.start_logits if head.name == "spans" else out.logits[:, -1] if head.generates else out.logits)[
        0
    ].float()


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")  # embeddings are trained apart from the head on purpose
@pytest.mark.parametrize(("task", "family", "method"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_cell_of_the_matrix_learns_and_its_result_says_the_same_to_plain_libraries(
    tmp_path: Path, task: str, family: str, method: str
) -> None:
    info = tiny_model(family, tmp_path / "base", width=64)
    assert info.kind == FAMILIES[family]
    rows, roles, labels = DATA.get(task) or example_rows(task)
    data = DatasetSpec(task=task, roles=roles, label_names=labels)
    precision = "bfloat16" if method == "qlora" else "float32"
    config = TrainingConfig(
        task=task,
        model=info.name,
        method=method,
        epochs=4,
        batch_size=8,
        max_length=96,
        seed=1,
        learning_rate=RATES.get(method, 1e-2),
        precision=precision,
        answer_length=24,
        virtual_tokens=4,
        last_layers=1,
        early_stopping_patience=0,
    )
    rows = rows[:32]
    job = TrainingJob(
        config=config, info=info, data=data, train_rows=rows, validation_rows=rows, folder=tmp_path / "run", threads=1
    )
    outcome, said = run(job)
    assert len(losses(said)) > 2
    assert outcome.metrics["eval_loss"] < outcome.metrics["base_eval_loss"]
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    pair, head = load_pair(RunRef(info=info, spec=spec, folder=str(job.folder))), head_of(info, data)
    assert pair.head == head
    assert outcome.path is not None and outcome.path.name == METHODS[method].result
    ids = pair.tokenizer("Where is my lamp?")["input_ids"]
    ours = says(pair.tuned, ids, head)
    theirs = says(plainly(info, outcome.path, head, precision), ids, head)
    near = 1e-3 if precision == "float32" else 0.1
    torch.testing.assert_close(theirs, ours, atol=near, rtol=near)
    if head.generates:
        assert (says(pair.base, ids, head) - ours).abs().max() > near, "and not what the base says"
