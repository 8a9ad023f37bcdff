"""What is observed of each row, and which rows a person should see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from studio.evaluation.reply_loss import reply_losses
from studio.evaluation.verdict import of_labels, of_texts
from studio.inference.base_and_tuned import Pair
from studio.inference.classify import neighbours, probabilities
from studio.inference.predict import texts_of
from studio.metrics import Observations
from studio.metrics.scores import confusion, per_label
from studio.schema.report import ChatSettings, JudgedRow, Metric
from studio.tasks import Row

SHOWN = 3
"""Best, worst and most changed rows each."""
MOST_PIECES = 400
"""Pieces of long texts that are read in all, but one of each row at least."""
REPLY = ChatSettings(max_new_tokens=128)
LEAST = 1e-7
"""A probability of zero would be an endless loss."""
Progress = Callable[[int, int, str], None]
Numbered = Sequence[tuple[int, Row]]


@dataclass
class Judged:
    """Observations of both models on the same rows, and parts of the report that depend on the task."""

    numbers: list[int]
    base: Observations | None
    tuned: Observations
    verdict: Callable[[Mapping[str, Metric], int], str]
    """The metrics of so many rows in words."""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def judge_texts(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """Loss of each reply; replies themselves are written for the rows that are shown."""
    import numpy as np

    encoding = pair.encoding(roles, learned=True)
    each_most = max(1, MOST_PIECES // len(rows))
    whole = [[each for each in pair.task.examples(row, encoding) if each.has_targets] for _, row in rows]
    read = [
        [pieces[at * len(pieces) // each_most] for at in range(each_most)] if len(pieces) > each_most else pieces
        for pieces in whole
    ]
    learned = [(*row, pieces) for row, pieces in zip(rows, read, strict=True) if pieces]
    if not learned:
        return Judged([], {}, {}, of_texts)
    examples = [example for *_, pieces in learned for example in pieces]
    first = np.cumsum([0, *(len(pieces) for *_, pieces in learned)])[:-1]
    total = 2 * len(examples)

    def moved(before: int) -> Callable[[int], None]:
        return lambda done: progress(before + done, total, "Reading the replies")

    said = (reply_losses(pair, who, examples, moved(at * len(examples))) for at, who in enumerate(("base", "tuned")))
    base, tuned = ({name: np.add.reduceat(values, first) for name, values in each.items()} for each in said)
    mean = {who: each["loss"] / each["tokens"] for who, each in (("base", base), ("tuned", tuned))}
    gain = mean["base"] - mean["tuned"]
    picks = picks_of(-mean["tuned"], gain)
    shown = written(pair, [learned[place][1] for place in picks.all], roles, progress)

    def row(place: int, score: float) -> JudgedRow:
        number, values, _ = learned[place]
        said = shown[picks.all.index(place)]
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=said[0],
            tuned=said[1],
            score=round(score, 4),
        )

    cut, more = len(rows) - len(learned), sum(len(pieces) > each_most for pieces in whole)
    note = f"{cut:,} rows are so long that nothing of the reply is left and were left out." if cut else ""
    note += f"Of {more:,} long texts {each_most:,} pieces each were read." if more else ""
    details = {
        "best_rows": tuple(row(place, float(mean["tuned"][place])) for place in picks.best),
        "worst_rows": tuple(row(place, float(mean["tuned"][place])) for place in picks.worst),
        "changed_rows": tuple(row(place, float(gain[place])) for place in picks.changed),
    }
    return Judged([number for number, *_ in learned], base, tuned, of_texts, note, details)


def judge_labels(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """The label of each row; the base's is its nearest neighbours' guess."""
    import numpy as np

    encoding = pair.encoding(roles)
    ids = [pair.task.prompt_ids(pair.task.text_of(row, roles), encoding) for _, row in rows]
    expected = np.array([pair.labels.index(pair.task.expected(row, roles)) for _, row in rows])
    total = 2 * len(ids)
    shares = {"tuned": probabilities(pair, ids, lambda done: progress(done, total, "Sorting the rows"))}
    note = "The rows that the run learned from are not here, so the base could not guess."
    if pair.run.learned_from is not None:
        near = neighbours(pair)
        shares["base"] = near.probabilities(pair, ids, lambda done: progress(len(ids) + done, total, "Asking the base"))
        note = near.how
    observed = {who: {"expected": expected, "predicted": each.argmax(1)} for who, each in shares.items()}
    certain = shares["tuned"][np.arange(len(ids)), expected]
    observed["tuned"]["loss"] = -np.log(np.maximum(certain, LEAST))
    gain = certain - (shares["base"][np.arange(len(ids)), expected] if "base" in shares else 0)
    differ = observed["tuned"]["predicted"] != observed.get("base", observed["tuned"])["predicted"]
    picks = picks_of(certain, np.where(differ, gain, 0))

    def row(place: int, score: float) -> JudgedRow:
        number, values = rows[place]
        said = {who: pair.labels[int(each["predicted"][place])] for who, each in observed.items()}
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=said.get("base", ""),
            tuned=said["tuned"],
            score=round(score, 4),
        )

    details: dict[str, Any] = {
        "per_label": per_label(expected, observed["tuned"]["predicted"], pair.labels),
        "confusion": confusion(expected, observed["tuned"]["predicted"], pair.labels),
        "best_rows": tuple(row(place, float(certain[place])) for place in picks.best),
        "worst_rows": tuple(row(place, float(certain[place])) for place in picks.worst),
        "changed_rows": tuple(row(place, float(gain[place])) for place in picks.changed if differ[place]),
    }
    numbers = [number for number, _ in rows]
    in_words = partial(of_labels, per_label=details["per_label"])
    return Judged(numbers, observed.get("base"), observed["tuned"], in_words, note, details)


@dataclass
class Picks:
    best: list[int]
    worst: list[int]
    changed: list[int]

    @property
    def all(self) -> list[int]:
        return sorted({*self.best, *self.worst, *self.changed})


def picks_of(goodness: Any, gain: Any) -> Picks:
    """Places of the rows that are shown; a row is either among the best or among the worst."""
    order = [int(place) for place in goodness.argsort(kind="stable")[::-1]]
    best = order[:SHOWN]
    worst = [place for place in order[::-1][:SHOWN] if place not in best]
    changed = [int(place) for place in abs(gain).argsort(kind="stable")[::-1][:SHOWN]]
    return Picks(best, worst, changed)


def written(
    pair: Pair, rows: Sequence[Row], roles: dict[str, str], progress: Progress, reply: ChatSettings = REPLY
) -> list[tuple[str, str]]:
    """What base and tuned reply to some rows, at temperature 0."""
    encoding = pair.encoding(roles)
    prompts = [pair.task.prompt_ids(pair.task.comparison_prompt(row, roles), encoding) for row in rows]
    said = []
    for before, who in ((0, "base"), (len(prompts), "tuned")):

        def moved(done: int, total: int, before: int = before) -> None:
            progress(before + done, 2 * total, "Writing replies")

        said.append(texts_of(pair, prompts, who, reply, moved, lambda: False))
    return list(zip(*said, strict=True))
