"""Evaluation of multi-label classification and regression: baselines and fine-tuned model on the same rows."""

from functools import partial
from typing import Any

from studio.evaluation.baselines import Guess, majority, mean_score
from studio.evaluation.evaluators import (
    Evaluation,
    Numbered,
    Progress,
    neighbor_guess,
    outputs_of_both,
    pick_rows,
    predictions_at,
    report_rows,
)
from studio.evaluation.verdict import of_correlation, of_score
from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import NO_TRAINING_ROWS, targets_of
from studio.metrics.scores import per_label


def evaluate_multilabel(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the labels of each row. A label counts from a probability of 0.5."""
    targets = targets_of(pair, [row for _, row in rows], roles).astype(int)
    outputs = outputs_of_both(pair, rows, roles, progress, "Classifying the rows")
    observed: dict[str, dict[str, Any]] = {
        who: {"expected": targets, "predicted": (each >= 0.5).astype(int)} for who, each in outputs.items()
    }
    change = abs(outputs["tuned"] - outputs.get("neighbors", outputs["tuned"])).max(1)
    picks = pick_rows(1 - abs(targets - outputs["tuned"]).mean(1), change)
    picks.gain, picks.guessed = picks.quality, True
    details: dict[str, Any] = {
        "per_label": per_label(targets, observed["tuned"]["predicted"], pair.labels),
        **report_rows(pair, rows, roles, picks, predictions_at(picks, pair, outputs)),
    }
    describe = partial(of_score, name="micro_f1", title="the micro F1", as_share=True, main=("micro_f1", "macro_f1"))
    guesses = [majority(pair, targets), *neighbor_guess(pair, observed)]
    return _evaluation(rows, observed, describe, details, guesses)


def evaluate_scores(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the score of each row."""
    targets = targets_of(pair, [row for _, row in rows], roles)[:, 0]
    outputs = outputs_of_both(pair, rows, roles, progress, "Classifying the rows")
    observed: dict[str, dict[str, Any]] = {
        who: {"score": targets, "guess": each[:, 0]} for who, each in outputs.items()
    }
    change = abs(outputs["tuned"] - outputs.get("neighbors", outputs["tuned"]))[:, 0]
    picks = pick_rows(-abs(outputs["tuned"][:, 0] - targets), change)
    picks.gain, picks.guessed = picks.quality, True
    details = report_rows(pair, rows, roles, picks, predictions_at(picks, pair, outputs))
    guesses = [mean_score(pair, targets), *neighbor_guess(pair, observed)]
    return _evaluation(rows, observed, of_correlation, details, guesses)


def _evaluation(
    rows: Numbered, observed: dict[str, dict[str, Any]], describe: Any, details: dict[str, Any], guesses: list[Guess]
) -> Evaluation:
    note = "" if "neighbors" in observed else NO_TRAINING_ROWS
    return Evaluation([number for number, _ in rows], None, observed["tuned"], describe, note, details, guesses)
