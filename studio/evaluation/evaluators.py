"""Evaluation of text replies and labels: observations per row, and the rows to show."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from studio.evaluation.baselines import Guess, majority
from studio.evaluation.reply_loss import reply_losses
from studio.evaluation.verdict import Measured, Verdict, of_labels, of_texts
from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import NEIGHBORS, NO_TRAINING_ROWS, neighbors, predicted_label, probabilities
from studio.inference.generate import BatchOptions
from studio.inference.predict import replies_in_batches
from studio.metrics import Observations
from studio.metrics.scores import confusion, per_label
from studio.schema.report import ChatSettings, JudgedRow
from studio.tasks import Example, Row

SHOWN = 3
"""Number of best, worst and most changed rows."""
CONFUSED, MOST_CONFUSED = 5, 200
"""Maximum rows of each pair of confused labels, and of all pairs together."""
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
    verdict: Callable[[Measured], Verdict]
    """Describes the metrics."""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    baselines: Sequence[Guess] = ()
    """What the fine-tuned model is compared with where the base model can't do the task."""


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
    base, tuned = (
        {name: np.add.reduceat(values, first) for name, values in each.items()}
        for each in losses_of_both(pair, examples, progress).values()
    )
    mean = {who: each["loss"] / each["tokens"] for who, each in (("base", base), ("tuned", tuned))}
    picks = pick_rows(-mean["tuned"], mean["base"] - mean["tuned"])
    picks.quality = mean["tuned"]
    usable = [(number, row) for number, row, _ in learned]
    note = _note(len(rows) - len(learned), sum(len(pieces) > max_pieces for pieces in all_pieces), max_pieces)
    details = report_rows(pair, usable, roles, picks, replies_to(picks, pair, usable, roles, progress))
    return Evaluation([number for number, _ in usable], base, tuned, of_texts, note, details)


def _note(left_out: int, more: int, max_pieces: int) -> str:
    notes = []
    if left_out:
        notes.append(f"{left_out:,} rows were left out: they are too long, and nothing of the reply is left.")
    if more:
        notes.append(f"Of {more:,} long texts, only {max_pieces:,} pieces each were evaluated.")
    return " ".join(notes)


def evaluate_labels(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Predict the label of each row, and compare with the baselines."""
    import numpy as np

    expected = np.array([pair.labels.index(pair.task.expected(row, roles)) for _, row in rows])
    outputs = outputs_of_both(pair, rows, roles, progress, "Classifying the rows")
    observed = {who: {"expected": expected, "predicted": each.argmax(1)} for who, each in outputs.items()}
    predicted = observed["tuned"]["predicted"]
    probability = outputs["tuned"][np.arange(len(rows)), expected]
    guesses = [majority(pair, expected), *neighbor_guess(pair, observed)]
    observed["tuned"]["loss"] = -np.log(np.maximum(probability, LEAST))
    gain = probability - (outputs["neighbors"][np.arange(len(rows)), expected] if "neighbors" in outputs else 0)
    differs = predicted != observed.get("neighbors", observed["tuned"])["predicted"]
    picks = pick_rows(probability, np.where(differs, gain, 0))
    picks.changed = [place for place in picks.changed if differs[place]]
    picks.guessed = True
    picks.confused = _confused(expected, predicted, probability)
    counts = confusion(expected, predicted, pair.labels)
    details: dict[str, Any] = {
        "per_label": per_label(expected, predicted, pair.labels),
        "confusion": counts,
        **report_rows(pair, rows, roles, picks, predictions_at(picks, pair, outputs)),
    }
    numbers = [number for number, _ in rows]
    describe = partial(of_labels, per_label=details["per_label"], confusion=counts)
    note = "" if "neighbors" in outputs else NO_TRAINING_ROWS
    return Evaluation(numbers, None, observed["tuned"], describe, note, details, guesses)


def _confused(expected: Any, predicted: Any, probability: Any) -> list[int]:
    """Return places of wrong rows: the most confident mistakes of each pair of labels."""
    taken: Counter[tuple[int, int]] = Counter()
    places = []
    for place in probability.argsort(kind="stable"):
        pair = int(expected[place]), int(predicted[place])
        if pair[0] != pair[1] and taken[pair] < CONFUSED:
            taken[pair] += 1
            places.append(int(place))
    return places[:MOST_CONFUSED]


def neighbor_guess(pair: ModelPair, observed: Mapping[str, Observations]) -> list[Guess]:
    """Return the baseline of the nearest neighbors, if there are training rows."""
    if "neighbors" not in observed:
        return []
    return [Guess("neighbors", NEIGHBORS, neighbors(pair).detail, observed["neighbors"])]


@dataclass
class PickedRows:
    """Places of the rows to show."""

    best: list[int]
    worst: list[int]
    changed: list[int]
    quality: Any
    """The scores of the best and the worst rows, by place."""
    gain: Any
    """The scores of the changed rows."""
    confused: list[int] = field(default_factory=list)
    """Rows with a wrong label."""
    guessed: bool = False
    """The base model can't do the task. The first of two answers is that of a baseline."""

    @property
    def all(self) -> list[int]:
        return sorted({*self.best, *self.worst, *self.changed, *self.confused})


def pick_rows(quality: Any, gain: Any) -> PickedRows:
    """Pick the rows to show. A row is either among the best or among the worst."""
    order = [int(place) for place in quality.argsort(kind="stable")[::-1]]
    best = order[:SHOWN]
    worst = [place for place in order[::-1][:SHOWN] if place not in best]
    changed = [int(place) for place in abs(gain).argsort(kind="stable")[::-1][:SHOWN]]
    return PickedRows(best, worst, changed, quality, gain)


def report_rows(
    pair: ModelPair, rows: Numbered, roles: dict[str, str], picks: PickedRows, answers: Mapping[int, tuple[str, str]]
) -> dict[str, tuple[JudgedRow, ...]]:
    """Return the picked rows as fields of a report. `answers` has those of base and fine-tuned model by place."""

    def judged(places: list[int], scores: Any) -> tuple[JudgedRow, ...]:
        return tuple(
            JudgedRow(
                row=rows[place][0],
                text=pair.task.text_of(rows[place][1], roles),
                expected=pair.task.expected(rows[place][1], roles),
                base="" if picks.guessed else answers[place][0],
                tuned=answers[place][1],
                score=round(float(scores[place]), 4),
                guess=answers[place][0] if picks.guessed else "",
            )
            for place in places
        )

    return {
        "best_rows": judged(picks.best, picks.quality),
        "worst_rows": judged(picks.worst, picks.quality),
        "changed_rows": judged(picks.changed, picks.gain),
        "confused_rows": judged(picks.confused, picks.quality),
    }


def losses_of_both(
    pair: ModelPair, examples: Sequence[Example], progress: Progress, part: int = 0, parts: int = 1
) -> dict[str, Observations]:
    """Return the losses of some replies under both models. `part` numbers the calls of an evaluation with several."""
    count = len(examples)

    def report_from(before: int) -> Callable[[int], None]:
        return lambda done: progress(before + done, 2 * parts * count, "Reading the replies")

    return {
        who: reply_losses(pair, who, examples, report_from((2 * part + at) * count))
        for at, who in enumerate(("base", "tuned"))
    }


def outputs_of_both(
    pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress, message: str
) -> dict[str, Any]:
    """Return the outputs of a classifier, and of the nearest neighbors as `neighbors`, rows × labels.

    Without the training rows there are no neighbors.
    """
    encoding = pair.encoding(roles)
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for _, row in rows]
    total = 2 * len(ids)
    outputs = {"tuned": probabilities(pair, ids, lambda done: progress(done, total, message))}
    if pair.run.learned_from is not None:
        outputs["neighbors"] = neighbors(pair).probabilities(
            pair, ids, lambda done: progress(len(ids) + done, total, "Comparing with similar rows")
        )
    return outputs


def predictions_at(picks: PickedRows, pair: ModelPair, outputs: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """Return the predictions of nearest neighbors and fine-tuned model for the picked rows, by place."""
    nearest = outputs.get("neighbors")
    return {
        place: (
            "" if nearest is None else predicted_label(pair, nearest[place]),
            predicted_label(pair, outputs["tuned"][place]),
        )
        for place in picks.all
    }


def replies_to(
    picks: PickedRows, pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress
) -> dict[int, tuple[str, str]]:
    """Return the replies of both models to the picked rows, by place."""
    replies = generate_replies(pair, [rows[place][1] for place in picks.all], roles, progress)
    return dict(zip(picks.all, replies, strict=True))


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

        replies.append(replies_in_batches(pair, prompts, who, BatchOptions(reply, report)))
    return list(zip(*replies, strict=True))
