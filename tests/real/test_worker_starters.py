"""The starters, tuned on samples by the real worker, beat the base on rows kept apart.

A few rows show that they learn; what they have learned from a whole sample is looked at by `make test-matrix`.
"""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from task_runs import TaskRun, asked_plainly, ended
from worker_runs import add_run, add_sample, log_of, record_of, start_worker

from studio.api import Studio
from studio.data.samples import sample_path
from studio.inference.classify import classify
from studio.models import find_model
from studio.schema.events import EvaluationEvent
from studio.schema.report import Report
from studio.store import Home

ASK = """
inputs = tokenizer(asked, return_tensors="pt")
shares = model(**inputs).logits[0].softmax(-1).tolist()
answer = {model.config.id2label[number]: share for number, share in enumerate(shares)}
"""
STYLE = ("Thanks for asking.", "Write back any time, Nora at Northwind.")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def tuned_on(home: Home, sample: str, rows: int | None, model: str, **settings: Any) -> str:
    """A run that the worker has finished."""
    run = add_run(home, add_sample(home, sample, rows), model, **settings)
    assert start_worker(home, run).wait(500) == 0, log_of(home, run)
    return run


def test_starter_chat_learns_from_a_few_rows(home: Home) -> None:
    few: dict[str, Any] = {"max_steps": 3, "eval_steps": 3, "gradient_accumulation": 1, "batch_size": 2, "eval_rows": 2}
    run = tuned_on(
        home,
        "support-tone",
        12,
        "starter-chat",
        **few,
        learning_rate=5e-3,
        warmup_share=0.0,
        lora_rank=8,
        max_length=128,
        watch_share=0.0,
    )
    metrics = record_of(home, run).metrics
    assert metrics["eval_loss"] < 0.9 * metrics["base_eval_loss"]


@pytest.mark.matrix
def test_starter_chat_learns_the_house_style_from_forty_rows(home: Home) -> None:
    asked = ("Can I pick up my parcel myself?", "Do you mend torn jackets?", "My lamp came without a plug.")
    run = tuned_on(
        home,
        "support-tone",
        40,
        "starter-chat",
        epochs=2,
        learning_rate=2e-3,
        eval_steps=9,
        lora_rank=8,
        lora_alpha=16,
        max_length=160,
        test_prompts=asked,
        watch_share=0.0,
    )
    record = record_of(home, run)
    assert record.metrics["eval_loss"] < 0.6 * record.metrics["base_eval_loss"]
    said = {who: [] for who in ("base", "tuned")}  # type: dict[str, list[str]]
    for each in home.workspace().events.after(run, kinds=("reply",)):
        said[each.event.who].append(each.event.text.strip())  # type: ignore[union-attr]
    assert len(said["base"]) == len(said["tuned"]) == 3
    assert all(text.startswith(STYLE[0]) and text.endswith(STYLE[1]) for text in said["tuned"])
    assert not any(text.startswith(STYLE[0]) for text in said["base"])
    report = judged(home, run, later_rows(home, "support-tone", 100, 6))
    loss = report.metrics["loss"]
    assert report.rows == 6 and loss.base is not None and loss.high is not None
    assert loss.high < loss.base, report.verdict


def later_rows(home: Home, sample: str, after: int, count: int) -> str:
    """A file with rows of the sample that the run was not given, not even to choose its best step."""
    with sample_path(sample).open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    path = home.root / "kept apart.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows[after : after + count]])
    return str(path)


def judged(home: Home, run: str, data: str | None = None) -> Report:
    """Base and tuned as the studio judges them: on the file, or on the rows that the run kept apart."""
    studio = Studio(home)
    try:
        return studio.evaluation.evaluate(run, data)
    finally:
        studio.close()


def test_starter_classify_learns_from_a_few_rows(home: Home) -> None:
    run = tuned_on(
        home,
        "review-mood",
        60,
        "starter-classify",
        method="full",
        precision="float32",
        epochs=3,
        learning_rate=3e-4,
        batch_size=8,
        max_length=48,
        warmup_share=0.0,
        eval_steps=100,
    )
    metrics = record_of(home, run).metrics
    assert metrics["eval_loss"] < 0.9 * metrics["base_eval_loss"]
    asked = "Wonderful, I would buy it again."
    labels_are_the_same_to_plain_transformers(ended(home, run, find_model("starter-classify")), asked)


@pytest.mark.matrix
def test_starter_classify_sorts_messages_that_it_never_saw(home: Home) -> None:
    run = tuned_on(
        home,
        "intent-routing",
        None,
        "starter-classify",
        method="full",
        precision="float32",
        epochs=4,
        learning_rate=2e-4,
        batch_size=16,
        max_length=64,
        scheduler="linear",
        eval_rows=512,
    )
    record = record_of(home, run)
    checks = [each.event for each in home.workspace().events.after(run, kinds=("evaluation",))]
    assert all(isinstance(check, EvaluationEvent) and "macro_f1" in check.metrics for check in checks)
    assert record.metrics["macro_f1"] > 0.8, "twelve intents: by chance it would be 0.08"
    assert checks[0].metrics["macro_f1"] < 0.3  # type: ignore[union-attr]
    asked = "Where is my parcel? It should have been here last week."
    said = labels_are_the_same_to_plain_transformers(ended(home, run, find_model("starter-classify")), asked)
    assert said == "track_order"
    splits = json.loads(home.workspace().runs.folder(run).splits.read_text())
    assert len(splits["train"]) + len(splits["validation"]) + len(splits["test"]) == 480
    report = judged(home, run)
    assert report.split == "test" and report.rows == len(splits["test"])
    assert report.metrics["accuracy"].tuned > 0.6, "these rows did not choose the step either"


def labels_are_the_same_to_plain_transformers(run: TaskRun, asked: str) -> str:
    """The label that the studio gives a text, which is the one that plain transformers give it."""
    plain = asked_plainly(run, "AutoModelForSequenceClassification", asked, ASK)
    base, tuned = classify(run.pair(), asked)
    assert tuned.labels[0].label == max(plain, key=plain.__getitem__)
    assert {each.label: each.probability for each in tuned.labels} == pytest.approx(
        {each.label: plain[each.label] for each in tuned.labels}, abs=1e-3
    )
    assert "nearest neighbors" in base.how and base.labels != tuned.labels
    return tuned.labels[0].label
