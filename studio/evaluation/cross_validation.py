"""Cross-validation: each fold's model answers the rows that it did not see, and all answers together are one report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from studio.evaluation.baselines import Guess
from studio.evaluation.evaluate import Progress, judge, measured, metric_names
from studio.evaluation.evaluators import MOST_CONFUSED, SHOWN, Evaluation
from studio.evaluation.verdict import Measured, of_labels
from studio.inference.base_and_tuned import ModelPair
from studio.metrics import METRICS, Observations, measure
from studio.metrics.scores import confusion, per_label
from studio.schema.report import FoldScore, JudgedRow, Report
from studio.tasks import Row

SPLIT = "folds"
"""The split of a report, where each row was in the test split of one fold."""


class CrossValidationReport:
    """Collects the evaluations of the folds, one after the other, so that only one model is in memory."""

    def __init__(self, folds: int) -> None:
        self.folds = folds
        self.evaluations: list[Evaluation] = []
        self.scores: list[FoldScore] = []
        self.names: list[str] = []
        self.labels: Sequence[str] = ()
        self.known = 0
        """Rows that could be evaluated. Of many, a sample is."""

    def add(self, pair: ModelPair, rows: Sequence[tuple[int, Row]], run: str, progress: Progress) -> None:
        """Evaluate a fold's model on its test rows."""
        evaluation, about_rows = judge(pair, rows, None, _part_of(progress, len(self.evaluations), self.folds))
        self.known += about_rows.known
        self.names, self.labels = metric_names(pair), pair.labels
        scores = measure(self.names, evaluation.tuned)
        self.evaluations.append(evaluation)
        self.scores.append(FoldScore(run=run, rows=len(evaluation.numbers), metrics=scores))

    def report(self) -> Report:
        """Return the report over the rows of all folds."""
        evaluation = self._pooled()
        metrics, baselines = measured(self.names, evaluation)
        rows = len(evaluation.numbers)
        verdict = evaluation.verdict(Measured(metrics, rows, SPLIT, baselines))
        return Report(
            rows=rows,
            split=SPLIT,
            metrics=metrics,
            verdict=verdict.text,
            note=" ".join(filter(None, (self._note(), evaluation.note))),
            baselines=baselines,
            outcome=verdict.outcome,
            rows_needed=verdict.rows_needed,
            fold_scores=tuple(self.scores),
            **evaluation.details,
        )

    def _pooled(self) -> Evaluation:
        """Return one evaluation with the observations of all folds."""
        first = self.evaluations[0]
        bases = [each.base for each in self.evaluations if each.base is not None]
        pooled = Evaluation(
            numbers=[number for each in self.evaluations for number in each.numbers],
            base=_joined(bases) if len(bases) == self.folds else None,
            tuned=_joined([each.tuned for each in self.evaluations]),
            verdict=first.verdict,
            note=" ".join(dict.fromkeys(each.note for each in self.evaluations if each.note)),
            details=_rows_to_show([each.details for each in self.evaluations]),
            baselines=self._baselines(),
        )
        return self._with_labels(pooled) if "per_label" in first.details else pooled

    def _with_labels(self, pooled: Evaluation) -> Evaluation:
        """Return the evaluation with the scores of each label, and with the confusions where a row has one label."""
        expected, predicted = pooled.tuned["expected"], pooled.tuned["predicted"]
        by_label = per_label(expected, predicted, self.labels)
        details = {**pooled.details, "per_label": by_label}
        if "confusion" not in self.evaluations[0].details:
            return replace(pooled, details=details)
        counts = confusion(expected, predicted, self.labels)
        describe = partial(of_labels, per_label=by_label, confusion=counts)
        return replace(pooled, details={**details, "confusion": counts}, verdict=describe)

    def _baselines(self) -> list[Guess]:
        """Return the baselines of all folds together. What is always answered can differ, so it is the usual one."""
        guesses = []
        for guess in self.evaluations[0].baselines:
            same = [each for fold in self.evaluations for each in fold.baselines if each.name == guess.name]
            if len(same) == self.folds:
                answer = Counter(each.answer for each in same).most_common(1)[0][0]
                guesses.append(replace(guess, observed=_joined([each.observed for each in same]), answer=answer))
        return guesses

    def _note(self) -> str:
        """What the scores and their intervals cover."""
        rows = f"Each of the {self.folds} models answered only rows that it was not trained on."
        evaluated, known = sum(each.rows for each in self.scores), self.known
        if evaluated < known:
            rows += f" {evaluated:,} of {known:,} rows were selected at random."
        covers = "The intervals cover which rows were drawn. They do not cover other random seeds."
        name = next((name for name in self.names if all(name in each.metrics for each in self.scores)), "")
        if not name:
            return f"{rows} {covers}"
        values, info = [each.metrics[name] for each in self.scores], METRICS[name]
        low, high = (f"{end:.0%}" if info.as_share else f"{end:.3g}" for end in (min(values), max(values)))
        between = f"{info.title} of the single folds is {low} to {high}."
        return f"{rows} {covers} {between}"


def _part_of(progress: Progress, fold: int, folds: int) -> Progress:
    """Return a progress function for one fold, which counts in parts per thousand of all folds."""

    def report(done: int, total: int, message: str) -> None:
        progress(fold * 1000 + round(1000 * done / max(1, total)), folds * 1000, message)

    return report


def _joined(observed: Sequence[Observations]) -> Observations:
    """Return the observations of all folds, those that each fold has."""
    import numpy as np

    names = [name for name in observed[0] if all(name in each for each in observed)]
    return {name: np.concatenate([each[name] for each in observed]) for name in names}


def _rows_to_show(details: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the best, worst, changed and confused rows of all folds."""
    best, worst, changed, confused = (
        [row for each in details for row in each.get(name, ())]
        for name in ("best_rows", "worst_rows", "changed_rows", "confused_rows")
    )
    # a fold of three rows has no worst rows, but its best rows are in order
    ordered = ((*each.get("best_rows", ()), *reversed(each.get("worst_rows", ()))) for each in details)
    rises = sum(rows[0].score - rows[-1].score for rows in ordered if rows) >= 0
    best.sort(key=_score, reverse=rises)
    return {
        "best_rows": tuple(best[:SHOWN]),
        "worst_rows": tuple(sorted(worst or best[SHOWN:], key=_score, reverse=not rises)[:SHOWN]),
        "changed_rows": tuple(sorted(changed, key=lambda row: -abs(row.score))[:SHOWN]),
        "confused_rows": tuple(confused[:MOST_CONFUSED]),
    }


def _score(row: JudgedRow) -> float:
    return row.score
