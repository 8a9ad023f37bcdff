"""Evaluation: losses are the libraries' own, intervals and rows follow from them, and notes say what was left out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_runs import CHAT_ROWS, LABELS, TEXTS, chat_run, label_run, starter, tiny_llama

from studio.evaluation.evaluate import evaluate
from studio.evaluation.reply_loss import reply_losses
from studio.inference.base_and_tuned import ModelPair, load_pair
from studio.schema.errors import StudioError
from studio.schema.report import Report


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    folder = tmp_path_factory.mktemp("talk")
    return load_pair(chat_run(tiny_llama(folder / "base"), folder / "run", precision="float32"))


@pytest.fixture(scope="module")
def sorter(tmp_path_factory: pytest.TempPathFactory) -> ModelPair:
    return load_pair(label_run(starter("starter-classify"), tmp_path_factory.mktemp("labels")))


def silent(*_: Any) -> None: ...


def texts_with(*more: tuple[str, str]) -> list[tuple[int, dict[str, str]]]:
    return list(enumerate(({"text": text, "label": label} for label, text in (*TEXTS, *more)), start=1))


@pytest.mark.parametrize("who", ["base", "tuned"])
def test_the_loss_of_a_reply_is_the_one_that_transformers_computes(talker: ModelPair, who: str) -> None:
    import torch

    examples = [talker.task.encode(row, talker.encoding(learned=True)) for row in CHAT_ROWS]
    found = reply_losses(talker, who, examples, silent)
    model = talker.base if who == "base" else talker.tuned
    for place, example in enumerate(examples):
        with torch.no_grad():
            out = model(input_ids=torch.tensor([example.input_ids]), labels=torch.tensor([example.labels]))
        assert found["tokens"][place] == sum(label != -100 for label in example.labels[1:])  # type: ignore[index, union-attr]
        assert found["loss"][place] / found["tokens"][place] == pytest.approx(float(out.loss), rel=1e-4)


def test_one_copy_of_the_weights_gives_the_same_losses(talker: ModelPair) -> None:
    examples = [talker.task.encode(row, talker.encoding(learned=True)) for row in CHAT_ROWS]
    beside = load_pair(talker.run, one_copy=True)
    for who in ("base", "tuned"):
        apart = (
            reply_losses(talker, who, examples, silent)["loss"] - reply_losses(beside, who, examples, silent)["loss"]
        )
        assert abs(apart).max() < 1e-3


def test_a_report_on_texts_has_metrics_of_both_and_rows_with_replies(talker: ModelPair) -> None:
    rows = [(number * 10, row) for number, row in enumerate(CHAT_ROWS * 2, start=1)]
    moves: list[tuple[int, int, str]] = []
    report = evaluate(talker, rows, "test", lambda *move: moves.append(move))
    assert (report.rows, report.split) == (12, "test") and "few test rows" in report.note
    for name in ("loss", "perplexity"):
        metric = report.metrics[name]
        assert metric.base is not None and metric.low is not None and metric.high is not None
        assert metric.low <= metric.tuned <= metric.high and not metric.higher_is_better
    scores = [row.score for row in (*report.best_rows, *report.worst_rows)]
    assert len(scores) == 6 and max(scores[:3]) <= min(scores[3:])
    for row in (*report.best_rows, *report.worst_rows, *report.changed_rows):
        assert row.row % 10 == 0 and row.expected in [each["answer"] for each in CHAT_ROWS] and row.tuned
    assert {message for *_, message in moves} == {"Reading the replies", "Writing replies"}
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_validation_rows_are_said_to_flatter(talker: ModelPair) -> None:
    report = evaluate(talker, list(enumerate(CHAT_ROWS, start=1)), "validation", silent)
    assert "also selected the checkpoint" in report.note


def test_of_too_many_rows_the_same_ones_are_drawn_each_time_and_it_is_said(
    talker: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.evaluation.evaluate.MOST_TEXTS", 8)
    rows = [(number, CHAT_ROWS[number % 6]) for number in range(1, 41)]
    first, again = (evaluate(talker, rows, "test", silent) for _ in range(2))
    assert first == again and first.rows == 8
    assert "8 of 40 rows were selected at random (seed 42)." in first.note


def test_rows_that_can_not_be_used_are_left_out_and_counted(talker: ModelPair) -> None:
    rows = [*enumerate(CHAT_ROWS, start=1), (7, {"question": "No answer?", "answer": ""})]
    assert "1 of 7 rows have no input or no correct answer" in evaluate(talker, rows, "file", silent).note
    with pytest.raises(StudioError) as refused:
        evaluate(talker, [rows[-1]], "file", silent)
    assert refused.value.code == "too-few-rows"


def test_a_report_on_labels_counts_right_answers_and_mistakes(sorter: ModelPair) -> None:
    report = evaluate(sorter, texts_with(("spam", "Buy now")), "test", silent)
    assert report.rows == len(TEXTS)
    assert "1 rows have a label that the run was not trained on" in report.note
    assert set(report.metrics) == {"accuracy", "macro_f1", "loss"}
    assert all(metric.base is None for metric in report.metrics.values()), "the base model has no head for labels"
    assert [each.name for each in report.baselines] == ["majority", "neighbors", "chance"]
    of_majority, of_neighbors = (each.metrics["accuracy"] for each in report.baselines[:2])
    assert of_majority.value == pytest.approx(1 / 3) and report.baselines[0].answer == "bug"
    assert of_neighbors.value < 1.0, "no row is its own nearest neighbor"
    assert of_neighbors.low is not None and of_neighbors.gain_low is not None
    assert report.confusion is not None and report.per_label is not None
    right = sum(report.confusion[label][label] for label in LABELS)
    assert report.metrics["accuracy"].tuned == pytest.approx(right / len(TEXTS))
    assert sum(count for row in report.confusion.values() for count in row.values()) == len(TEXTS)
    assert all(row.guess != row.tuned and not row.base for row in report.changed_rows)
    wrong = {(row.expected, row.tuned) for row in report.confused_rows}
    counts = report.confusion
    assert wrong == {(one, other) for one in LABELS for other in LABELS if one != other and counts[one][other]}
    assert report.outcome in ("useless", "worse", "unclear"), "an untrained head beats nothing"
    assert "on 12 test rows" in report.verdict or "of 12 test rows" in report.verdict


def test_a_baseline_named_by_a_run_is_the_most_frequent_label_of_its_training_rows(sorter: ModelPair) -> None:
    rows = [(number, row) for number, row in texts_with() if row["label"] != "bug"]
    report = evaluate(sorter, rows, "test", silent)
    assert report.baselines[0].answer == "bug" and report.baselines[0].metrics["accuracy"].value == 0


def test_without_the_rows_it_learned_from_only_the_tuned_is_judged(sorter: ModelPair, tmp_path: Path) -> None:
    alone = load_pair(sorter.run.model_copy(update={"learned_from": None}))
    report = evaluate(alone, texts_with(), "file", silent)
    assert report.metrics["accuracy"].base is None and "no longer here" in report.note
    assert [each.name for each in report.baselines] == ["majority", "chance"]
    assert "of these rows" in report.baselines[0].detail


@pytest.mark.parametrize(
    ("split", "changes", "said", "chose"),
    [
        ("validation", {}, "also selected the checkpoint", True),
        ("validation", {"keep_best": False, "early_stopping_patience": 0}, "", False),
        ("test", {}, "can't be added to these few test rows", False),
        ("test", {"keep_best": False, "early_stopping_patience": 0}, "", False),
        ("test+validation", {"keep_best": False, "early_stopping_patience": 0}, "did not select", False),
    ],
)
def test_a_report_says_whether_its_rows_chose_the_checkpoint(
    sorter: ModelPair, split: str, changes: dict[str, Any], said: str, chose: bool
) -> None:
    spec = sorter.run.spec.model_copy(update={"config": sorter.config.model_copy(update=changes)})
    pair = replace(sorter, run=sorter.run.model_copy(update={"spec": spec}))
    report = evaluate(pair, texts_with(), split, silent)
    assert (said in report.note if said else not report.note) and report.chose_checkpoint is chose
