"""Evaluation of multi-label classification and regression: base and fine-tuned model on the same rows."""

from functools import partial
from typing import Any

from studio.evaluation.evaluators import Evaluation, Numbered, Progress, pick_rows
from studio.evaluation.verdict import of_correlation, of_score
from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import neighbors, predicted_label, probabilities, targets_of
from studio.metrics.scores import per_label
from studio.schema.report import JudgedRow

UNKNOWN = "The rows that the run learned from are not here, so the base could not guess."


def evaluate_multilabel(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the labels of each row. A label counts from a probability of 0.5."""
    targets = targets_of(pair, [row for _, row in rows], roles).astype(int)
    outputs, note = _predictions(pair, rows, roles, progress)
    observed: dict[str, dict[str, Any]] = {
        who: {"expected": targets, "predicted": (each >= 0.5).astype(int)} for who, each in outputs.items()
    }
    quality = 1 - abs(targets - outputs["tuned"]).mean(1)
    details = _rows(
        pair, rows, roles, outputs, quality, abs(outputs["tuned"] - outputs.get("base", outputs["tuned"])).max(1)
    )
    details["per_label"] = per_label(targets, observed["tuned"]["predicted"], pair.labels)
    describe = partial(of_score, name="micro_f1", title="F1 over all labels", as_share=True)
    return Evaluation([number for number, _ in rows], observed.get("base"), observed["tuned"], describe, note, details)


def evaluate_scores(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the score of each row."""
    targets = targets_of(pair, [row for _, row in rows], roles)[:, 0]
    outputs, note = _predictions(pair, rows, roles, progress)
    observed: dict[str, dict[str, Any]] = {
        who: {"score": targets, "guess": each[:, 0]} for who, each in outputs.items()
    }
    error = abs(outputs["tuned"][:, 0] - targets)
    change = abs(outputs["tuned"] - outputs.get("base", outputs["tuned"]))[:, 0]
    details = _rows(pair, rows, roles, outputs, -error, change)
    numbers = [number for number, _ in rows]
    return Evaluation(numbers, observed.get("base"), observed["tuned"], of_correlation, note, details)


def _predictions(
    pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress
) -> tuple[dict[str, Any], str]:
    """Return the outputs of both models, rows × labels. Without the training rows, only those of the fine-tuned one."""
    encoding = pair.encoding(roles)
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for _, row in rows]
    total = 2 * len(ids)
    outputs = {"tuned": probabilities(pair, ids, lambda done: progress(done, total, "Reading the rows"))}
    if pair.run.learned_from is None:
        return outputs, UNKNOWN
    nearest = neighbors(pair)
    outputs["base"] = nearest.probabilities(pair, ids, lambda done: progress(len(ids) + done, total, "Asking the base"))
    return outputs, nearest.how


def _rows(
    pair: ModelPair, rows: Numbered, roles: dict[str, str], outputs: dict[str, Any], quality: Any, change: Any
) -> dict[str, Any]:
    picks = pick_rows(quality, change)

    def row(place: int, score: float) -> JudgedRow:
        number, values = rows[place]
        predictions = {who: predicted_label(pair, each[place]) for who, each in outputs.items()}
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=predictions.get("base", ""),
            tuned=predictions["tuned"],
            score=round(score, 4),
        )

    return picks.judged(row, quality, quality)
