"""Several labels a row, scores, and rare labels that count more: what is learned, and what comes of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_runs import asked_plainly, tiny_model, train_rows

from studio.evaluation.evaluate import evaluate
from studio.export import ExportJob, export_named
from studio.inference.classify import classify, probabilities
from studio.inference.generate import BatchOptions
from studio.inference.heads import Head
from studio.inference.model_cache import ModelCache
from studio.inference.predict import predict
from studio.inference.rows import read_rows
from studio.schema.host import CardFacts
from studio.schema.report import ChatSettings
from studio.tasks import Example
from studio.training.trainers.classification import balanced_weights

PARTS = {"late": "it came far too late", "broken": "the lid was broken", "kind": "the people were kind"}
SEVERAL = [
    {"text": f"Order {n}: {' and '.join(PARTS[name] for name in names)}.", "tags": list(names)}
    for n in range(8)
    for names in (("late",), ("broken",), ("kind",), ("late", "broken"), ("late", "kind"), ("broken", "kind"))
]
SCORED = [
    {"text": f"{' '.join(['good'] * good + ['bad'] * (6 - good))} number {n}", "score": 1.5 + good * 0.5}
    for n in range(8)
    for good in range(7)
]

PAIRED = [
    {
        "premise": f"the {thing} is {where}, number {n}",
        "hypothesis": f"{word} {thing} is {where}",
        "label": "not" if word == "no" else "follows",
    }
    for n in range(3)
    for thing in ("lamp", "lid", "chair", "clock")
    for where in ("here", "broken")
    for word in ("a", "no")
]
SORTED = [{"text": row["text"], "label": row["tags"][0]} for row in SEVERAL]
SHARES = """
inputs = tokenizer(*asked, return_tensors="pt")
answer = model(**inputs).logits[0].softmax(-1).tolist()
"""
ASK = """
inputs = tokenizer(asked, return_tensors="pt")
answer = model(**inputs).logits[0].tolist()
"""


def test_a_run_with_several_labels_a_row_learns_them_and_its_result_tells_them_alike(tmp_path: Path) -> None:
    info = tiny_model("bert", tmp_path / "base")
    run = train_rows(
        tmp_path,
        SEVERAL,
        info,
        "classification",
        method="full",
        epochs=30,
        learning_rate=5e-3,
        batch_size=8,
        test_prompts=("it came far too late",),
    )
    assert run.spec.roles["tags"] == "labels" and run.spec.label_names == ("broken", "kind", "late")
    assert run.learned() and run.checks[-1].metrics["micro_f1"] > 0.8
    pair = run.pair()
    text = "it came far too late and the lid was broken"
    plain = 1 / (1 + np.exp(-np.array(asked_plainly(run, "AutoModelForSequenceClassification", text, ASK))))
    ours = probabilities(pair, [pair.task.prompt_ids(text, pair.encoding())])[0]
    np.testing.assert_allclose(ours, plain, atol=1e-4)
    base, tuned = classify(pair, text)
    assert set(tuned.text.split(", ")) == {"broken", "late"} and "without this text" in base.how
    said = predict(pair, [{"text": text}], {"text": "text"}, False, BatchOptions(ChatSettings(), lambda *_: None))
    assert said[0][0] == tuned.text
    assert run.ref.learned_from is not None
    report = evaluate(pair, read_rows(run.ref.learned_from)[:20], "file", lambda *_: None)
    assert report.also_in_training == report.rows, "all of them were learned"
    assert report.metrics["micro_f1"].tuned > 0.8 and report.metrics["micro_f1"].base is None
    assert [each.name for each in report.baselines] == ["majority", "neighbors", "chance"]
    assert report.per_label is not None and set(report.per_label) == {"broken", "kind", "late"}


@pytest.mark.parametrize(("shape", "method"), [("bert", "full"), ("llama", "lora")])
def test_a_run_on_scores_learns_them_and_its_result_scores_alike(tmp_path: Path, shape: str, method: str) -> None:
    info = tiny_model(shape, tmp_path / "base")
    run = train_rows(
        tmp_path,
        SCORED,
        info,
        "classification",
        method=method,
        epochs=12,
        learning_rate=5e-3,
        batch_size=8,
        test_prompts=("good good bad",),
    )
    assert run.spec.roles["score"] == "score" and run.spec.label_names == ()
    assert run.learned() and {"pearson", "spearman", "mse"} <= set(run.checks[-1].metrics)
    assert run.checks[-1].metrics["pearson"] > 0.8
    pair, text = run.pair(), "good good good bad bad bad"
    head: dict[str, Any] = {"num_labels": 1, "pad_token_id": pair.tokenizer.pad_token_id} if method == "lora" else {}
    plain = asked_plainly(run, "AutoModelForSequenceClassification", text, ASK, **head)
    base, tuned = classify(pair, text)
    assert float(tuned.text) == pytest.approx(plain[0], abs=1e-2) and not tuned.labels
    assert run.ref.learned_from is not None
    report = evaluate(pair, read_rows(run.ref.learned_from)[:20], "file", lambda *_: None)
    assert report.metrics["pearson"].tuned > 0.8 and [each.name for each in report.baselines] == [
        "mean",
        "neighbors",
        "chance",
    ]
    assert base.text and report.verdict


@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_a_run_on_two_texts_beside_each_other_learns_and_its_result_says_alike(tmp_path: Path, shape: str) -> None:
    info = tiny_model(shape, tmp_path / "base")
    run = train_rows(
        tmp_path,
        PAIRED,
        info,
        "classification",
        epochs=6,
        learning_rate=1e-2,
        batch_size=8,
        test_prompts=("the lamp is here\n\nno lamp is here",),
    )
    assert run.spec.roles == {"premise": "text", "hypothesis": "second", "label": "label"}
    assert run.learned()
    pair, first, second = run.pair(), "the lid was broken", "it is not a lid"
    asked = [first, second] if shape == "bert" else [f"{first}\n\n{second}"]
    head = {"num_labels": 2, "pad_token_id": pair.tokenizer.pad_token_id}
    plain = asked_plainly(run, "AutoModelForSequenceClassification", asked, SHARES, **head)
    encoding = pair.encoding()
    ours = probabilities(pair, [pair.task.prompt_ids(f"{first}\n\n{second}", encoding)])[0]
    np.testing.assert_allclose(ours, plain, atol=1e-4)
    swapped = probabilities(pair, [pair.task.prompt_ids(f"{second}\n\n{first}", encoding)])[0]
    assert abs(swapped - ours).max() > 1e-6, "which text is which makes a difference"
    row = {"premise": first, "hypothesis": second}
    said = predict(
        pair, [row], {"premise": "text", "hypothesis": "second"}, False, BatchOptions(ChatSettings(), lambda *_: None)
    )
    assert said[0][0] == classify(pair, f"{first}\n\n{second}")[1].text
    assert run.ref.learned_from is not None
    report = evaluate(pair, read_rows(run.ref.learned_from)[:12], "file", lambda *_: None)
    assert report.metrics["accuracy"].base is None and report.baselines[1].name == "neighbors"
    job = ExportJob(run.ref, CardFacts(run="r", name="pairs", dataset="p", rows=9), ModelCache(), zip=False)
    made = export_named("adapter").export(job, tmp_path / "out", lambda *_: None)
    assert made.tested.startswith("Tested without the studio: ") and "get the same labels" in made.tested


def test_rare_labels_count_as_much_as_common_ones() -> None:
    one = [Example([1], label, 1) for label in [0] * 6 + [1] * 2]
    assert balanced_weights(one, Head("labels", ("a", "b"))).tolist() == pytest.approx([8 / 12, 8 / 4])
    several = [Example([1], labels, 1) for labels in [(1.0, 0.0)] * 6 + [(1.0, 1.0)] * 2]
    weights = balanced_weights(several, Head("labels", ("a", "b"), "multi_label_classification")).tolist()
    assert weights == pytest.approx([0.1, 3.0])  # the label of every row hardly counts where it is given


def test_a_run_that_balances_labels_learns(tmp_path: Path) -> None:
    bad = {"text": "the lid broke", "label": "bad"}
    rows = [bad if n % 6 == 0 else {"text": f"all is well {n}", "label": "good"} for n in range(48)]
    run = train_rows(
        tmp_path,
        rows,
        tiny_model("roberta", tmp_path / "base"),
        "classification",
        method="full",
        epochs=8,
        learning_rate=5e-3,
        balance_labels=True,
    )
    assert run.learned() and run.checks[-1].metrics["macro_f1"] > 0.6
