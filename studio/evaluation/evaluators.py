"""Evaluation of text replies and labels: observations per row, and the rows to show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from studio.evaluation.reply_loss import reply_losses
from studio.evaluation.verdict import of_labels, of_texts
from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import neighbors, probabilities
from studio.inference.predict import replies_in_batches
from studio.metrics import Observations
from studio.metrics.scores import confusion, per_label
from studio.schema.report import ChatSettings, JudgedRow, Metric
from studio.tasks import Row

SHOWN = 3
"""Number of best, worst and most changed rows."""
MOST_PIECES = 400
"""Maximum number of pieces of long texts to evaluate. Each row has at least one."""
REPLY = ChatSettings(max_new_tokens=128)
LEAST = 1e-7
"""Minimum probability: zero would be an infinite loss."""
Progress = Callable[[int, int, str], None]
Numbered = Sequence[tuple[int, Row]]


@dataclass
class Evaluation:
    """Observations of both models on the same rows, and the task-specific parts of the report."""

    numbers: list[int]
    base: Observations | None
    tuned: Observations
    verdict: Callable[[Mapping[str, Metric], int], str]
    """Describes the metrics of a number of rows."""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def evaluate_replies(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Compute the loss of each reply, and generate replies for the rows to show."""
    import numpy as np

    encoding = pair.encoding(roles, learned=True)
    max_pieces = max(1, MOST_PIECES // len(rows))
    all_pieces = [[each for each in pair.task.examples(row, encoding) if each.has_targets] for _, row in rows]
    sampled_pieces = [
        [pieces[at * len(pieces) // max_pieces] for at in range(max_pieces)] if len(pieces) > max_pieces else pieces
        for pieces in all_pieces
    ]
    learned = [(*row, pieces) for row, pieces in zip(rows, sampled_pieces, strict=True) if pieces]
    if not learned:
        return Evaluation([], {}, {}, of_texts)
    examples = [example for *_, pieces in learned for example in pieces]
    first = np.cumsum([0, *(len(pieces) for *_, pieces in learned)])[:-1]
    total = 2 * len(examples)

    def report_from(before: int) -> Callable[[int], None]:
        return lambda done: progress(before + done, total, "Reading the replies")

    observed_each = (
        reply_losses(pair, who, examples, report_from(at * len(examples))) for at, who in enumerate(("base", "tuned"))
    )
    base, tuned = ({name: np.add.reduceat(values, first) for name, values in each.items()} for each in observed_each)
    mean = {who: each["loss"] / each["tokens"] for who, each in (("base", base), ("tuned", tuned))}
    gain = mean["base"] - mean["tuned"]
    picks = pick_rows(-mean["tuned"], gain)
    replies_by_row = generate_replies(pair, [learned[place][1] for place in picks.all], roles, progress)

    def row(place: int, score: float) -> JudgedRow:
        number, values, _ = learned[place]
        replies = replies_by_row[picks.all.index(place)]
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=replies[0],
            tuned=replies[1],
            score=round(score, 4),
        )

    left_out, more = len(rows) - len(learned), sum(len(pieces) > max_pieces for pieces in all_pieces)
    note = f"{left_out:,} rows are so long that nothing of the reply is left and were left out." if left_out else ""
    note += f"Of {more:,} long texts {max_pieces:,} pieces each were read." if more else ""
    details = picks.judged(row, mean["tuned"], gain)
    return Evaluation([number for number, *_ in learned], base, tuned, of_texts, note, details)


def evaluate_labels(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the label of each row. The base's prediction is that of its nearest neighbors."""
    import numpy as np

    encoding = pair.encoding(roles)
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for _, row in rows]
    expected = np.array([pair.labels.index(pair.task.expected(row, roles)) for _, row in rows])
    total = 2 * len(ids)
    probabilities_by_model = {"tuned": probabilities(pair, ids, lambda done: progress(done, total, "Sorting the rows"))}
    note = "The rows that the run learned from are not here, so the base could not guess."
    if pair.run.learned_from is not None:
        nearest = neighbors(pair)
        probabilities_by_model["base"] = nearest.probabilities(
            pair, ids, lambda done: progress(len(ids) + done, total, "Asking the base")
        )
        note = nearest.how
    observed = {
        who: {"expected": expected, "predicted": each.argmax(1)} for who, each in probabilities_by_model.items()
    }
    probability = probabilities_by_model["tuned"][np.arange(len(ids)), expected]
    observed["tuned"]["loss"] = -np.log(np.maximum(probability, LEAST))
    gain = probability - (
        probabilities_by_model["base"][np.arange(len(ids)), expected] if "base" in probabilities_by_model else 0
    )
    differs = observed["tuned"]["predicted"] != observed.get("base", observed["tuned"])["predicted"]
    picks = pick_rows(probability, np.where(differs, gain, 0))
    picks.changed = [place for place in picks.changed if differs[place]]

    def row(place: int, score: float) -> JudgedRow:
        number, values = rows[place]
        predictions = {who: pair.labels[int(each["predicted"][place])] for who, each in observed.items()}
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=predictions.get("base", ""),
            tuned=predictions["tuned"],
            score=round(score, 4),
        )

    details: dict[str, Any] = {
        "per_label": per_label(expected, observed["tuned"]["predicted"], pair.labels),
        "confusion": confusion(expected, observed["tuned"]["predicted"], pair.labels),
        **picks.judged(row, probability, gain),
    }
    numbers = [number for number, _ in rows]
    describe = partial(of_labels, per_label=details["per_label"])
    return Evaluation(numbers, observed.get("base"), observed["tuned"], describe, note, details)


@dataclass
class PickedRows:
    best: list[int]
    worst: list[int]
    changed: list[int]

    @property
    def all(self) -> list[int]:
        return sorted({*self.best, *self.worst, *self.changed})

    def judged(self, row: Callable[[int, float], JudgedRow], quality: Any, gain: Any) -> dict[str, Any]:
        """Return the rows as fields of a report. `row` gets the place and the score: `gain` for a changed row."""
        return {
            "best_rows": tuple(row(place, float(quality[place])) for place in self.best),
            "worst_rows": tuple(row(place, float(quality[place])) for place in self.worst),
            "changed_rows": tuple(row(place, float(gain[place])) for place in self.changed),
        }


def pick_rows(quality: Any, gain: Any) -> PickedRows:
    """Pick the rows to show. A row is either among the best or among the worst."""
    order = [int(place) for place in quality.argsort(kind="stable")[::-1]]
    best = order[:SHOWN]
    worst = [place for place in order[::-1][:SHOWN] if place not in best]
    changed = [int(place) for place in abs(gain).argsort(kind="stable")[::-1][:SHOWN]]
    return PickedRows(best, worst, changed)


def generate_replies(
    pair: ModelPair, rows: Sequence[Row], roles: dict[str, str], progress: Progress, reply: ChatSettings = REPLY
) -> list[tuple[str, str]]:
    """Return the replies of base and fine-tuned model to some rows, at temperature 0."""
    encoding = pair.encoding(roles)
    prompts = [pair.task.prompt_ids(pair.task.comparison_prompt(row, roles), encoding) for row in rows]
    replies = []
    for before, who in ((0, "base"), (len(prompts), "tuned")):

        def report(done: int, total: int, before: int = before) -> None:
            progress(before + done, 2 * total, "Writing replies")

        replies.append(replies_in_batches(pair, prompts, who, reply, report, lambda: False))
    return list(zip(*replies, strict=True))
