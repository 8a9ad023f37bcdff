"""The evaluation report: both models and baselines on the same rows, for any task. The caller passes the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from studio.data.checks.base import RowView
from studio.data.overlap import rows_also_in
from studio.evaluation.baselines import compare
from studio.evaluation.evaluators import Evaluation, evaluate_labels, evaluate_replies
from studio.evaluation.extractive_qa import evaluate_extracted
from studio.evaluation.generation import evaluate_generated
from studio.evaluation.multilabel_regression import evaluate_multilabel, evaluate_scores
from studio.evaluation.preferences import evaluate_pairs, evaluate_thumbs
from studio.evaluation.verdict import Measured
from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import has_known_labels
from studio.inference.rows import read_rows, sample_of
from studio.metrics import METRICS, measure
from studio.metrics.intervals import difference_of, interval_of, resampled
from studio.schema.errors import StudioError
from studio.schema.report import FEW_TEST_ROWS, Baseline, Metric, Report
from studio.tasks import Row

MOST_TEXTS = 200
MOST_LABELS = 2000
SEED = 42
"""Seed for sampling the rows, and for the resamples of the intervals."""
EVALUATORS: dict[str, Callable[..., Evaluation]] = {
    "sft": evaluate_replies,
    "classification": evaluate_labels,
    "preference": evaluate_pairs,
    "feedback": evaluate_thumbs,
    "seq2seq": evaluate_generated,
    "generation": evaluate_generated,
    "spans": evaluate_extracted,
    "multilabel": evaluate_multilabel,
    "regression": evaluate_scores,
}
"""Name of a trainer, or of an evaluator that a task variant requests → the evaluator function. A task of a plugin can
name its own as `package.module:function`."""
Progress = Callable[[int, int, str], None]


def evaluate(
    pair: ModelPair,
    rows: Sequence[tuple[int, Row]],
    split: str,
    progress: Progress,
    roles: dict[str, str] | None = None,
) -> Report:
    """Evaluate the base and the fine-tuned model on (number, row) pairs.

    Of many rows, a sample with a fixed seed is used. Raise `StudioError` if no row is usable.
    """
    evaluation, about_rows = judge(pair, rows, roles, progress)
    metrics, baselines = measured(metric_names(pair), evaluation)
    verdict = evaluation.verdict(Measured(metrics, len(evaluation.numbers), split, baselines))
    known, chose = about_rows.known, pair.config.validation_chooses
    return Report(
        rows=len(evaluation.numbers),
        split=split,
        metrics=metrics,
        verdict=verdict.text,
        note=" ".join(filter(None, (about_rows.words, _about_split(split, known, chose), evaluation.note))),
        baselines=baselines,
        outcome=verdict.outcome,
        rows_needed=verdict.rows_needed,
        chose_checkpoint="validation" in split and chose,
        also_in_training=_also_in_training(pair, rows, evaluation.numbers, roles),
        **evaluation.details,
    )


def _also_in_training(
    pair: ModelPair, rows: Sequence[tuple[int, Row]], numbers: Sequence[int], roles: dict[str, str] | None
) -> int:
    """Return how many of the evaluated rows are also training rows. 0 if the training rows are no longer here."""
    if pair.run.learned_from is None:
        return 0
    own, evaluated = pair.run.spec.data.roles, set(numbers)
    training = [_view(pair, number, row, own) for number, row in read_rows(pair.run.learned_from)]
    measured = [_view(pair, number, row, roles or own) for number, row in rows if number in evaluated]
    return len(rows_also_in(training, measured))


def _view(pair: ModelPair, number: int, row: Row, roles: dict[str, str]) -> RowView:
    return RowView(number, dict(row), pair.task.values(row, roles), "")


@dataclass(frozen=True)
class EvaluatedRows:
    """Which of the rows were evaluated."""

    known: int
    """Rows with an input and a correct answer that the run knows."""
    words: str
    """Why others were not, in sentences."""


def judge(
    pair: ModelPair, rows: Sequence[tuple[int, Row]], roles: dict[str, str] | None, progress: Progress
) -> tuple[Evaluation, EvaluatedRows]:
    """Let the models answer rows, or a sample of many. Raise `StudioError` if no row is usable."""
    roles = pair.run.spec.data.roles if roles is None else roles
    usable = [(number, row) for number, row in rows if not pair.task.missing(row, roles)]
    known = [(number, row) for number, row in usable if _label_is_known(pair, row, roles)]
    if not known:
        raise StudioError(
            "too-few-rows",
            "The evaluation found no usable row.",
            given=f"{len(rows):,} rows, none usable",
            hint="Choose a file whose rows have both an input and the correct answer.",
        )
    most = MOST_LABELS if pair.head.single_pass else MOST_TEXTS
    chosen = [known[place] for place in sample_of(range(len(known)), most, SEED)]
    evaluation = _evaluator(pair.variant.judge or pair.variant.trainer)(pair, chosen, roles, progress)
    return evaluation, EvaluatedRows(len(known), _about_rows(len(rows), len(usable), len(known), len(chosen)))


def metric_names(pair: ModelPair) -> list[str]:
    """Return the names of the metrics of a run's task, the main ones first."""
    return list(dict.fromkeys((*pair.variant.metrics, "loss")))


def _evaluator(name: str) -> Callable[..., Evaluation]:
    if name in EVALUATORS:
        return EVALUATORS[name]
    module, _, function = name.partition(":")
    evaluator: Callable[..., Evaluation] = getattr(import_module(module), function)
    return evaluator


def _label_is_known(pair: ModelPair, row: Row, roles: dict[str, str]) -> bool:
    return pair.head.name != "labels" or has_known_labels(pair, row, roles)


def measured(names: Sequence[str], evaluation: Evaluation) -> tuple[dict[str, Metric], tuple[Baseline, ...]]:
    """Return the metrics that can be computed, with intervals, and the baselines. The base's metrics are left out if it
    has no observations. Raise `StudioError` if there is no metric."""
    base, tuned = evaluation.base, evaluation.tuned
    of_base = {} if base is None else measure(names, base)
    results, resamples = {}, {}
    for name, value in measure(names, tuned).items():
        metric_info = METRICS[name]
        values = resamples[name] = resampled(metric_info.compute, tuned, SEED)
        ci = interval_of(values, tuned, metric_info.as_share)
        metric = Metric(
            base=of_base.get(name),
            tuned=value,
            low=ci and ci.low,
            high=ci and ci.high,
            higher_is_better=metric_info.higher_is_better,
            title=metric_info.title,
            as_share=metric_info.as_share,
        )
        if base is not None and name in of_base:
            base_values = resampled(metric_info.compute, base, SEED)
            base_ci = interval_of(base_values, base, metric_info.as_share)
            gain_ci = difference_of(base_values, values, base, tuned)
            fields = {"base_low": base_ci and base_ci.low, "base_high": base_ci and base_ci.high}
            fields |= {"gain_low": gain_ci and gain_ci.low, "gain_high": gain_ci and gain_ci.high}
            metric = metric.model_copy(update=fields)
        results[name] = metric
    if not results:
        raise StudioError(
            "too-few-rows",
            "All rows are longer than the run's maximum length, and nothing of the replies is left.",
            hint="Evaluate on shorter rows, or train again with a larger maximum length.",
        )
    return results, compare(evaluation.baselines, tuned, list(results), resamples, SEED)


def _about_rows(total: int, usable: int, known: int, chosen: int) -> str:
    notes = []
    if usable < total:
        incomplete = total - usable
        notes.append(f"{incomplete:,} of {total:,} rows have no input or no correct answer and were left out.")
    if known < usable:
        unknown = usable - known
        notes.append(f"{unknown:,} rows have a label that the run was not trained on and were left out.")
    if chosen < known:
        notes.append(f"{chosen:,} of {known:,} rows were selected at random (seed {SEED}).")
    return " ".join(notes)


def _about_split(split: str, rows: int, chose: bool) -> str:
    if split == "validation" and chose:
        return (
            "These are the validation rows, which also selected the checkpoint. So the results are slightly optimistic."
        )
    if split == "test" and rows < FEW_TEST_ROWS and chose:
        return (
            "The validation rows can't be added to these few test rows: they selected the checkpoint, so they would "
            "make the results too good."
        )
    if split == "test+validation":
        return "The validation rows were added to the few test rows. They did not select the checkpoint."
    return ""
