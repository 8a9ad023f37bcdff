"""Preferences judged: which of two replies a model finds likelier, and whether it tells liked replies from others."""

from collections.abc import Callable
from functools import partial
from typing import Any

from studio.evaluation.evaluators import Judged, Numbered, Progress, picks_of, written
from studio.evaluation.reply_loss import reply_losses
from studio.evaluation.verdict import of_share
from studio.inference.base_and_tuned import Pair
from studio.schema.report import JudgedRow
from studio.tasks import Example

PAIRS = "pairs kept apart it finds the better reply the likelier one in"
THUMBS = "replies kept apart it finds a liked one likelier than a disliked one in"


def judge_pairs(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """How likely both replies are to base and tuned."""
    known = _encoded(pair, rows, roles)
    better = _likelihoods(pair, [example for *_, example in known], progress, 0, 2)
    worse = _likelihoods(pair, [example.other for *_, example in known if example.other], progress, 1, 2)
    observed: dict[str, dict[str, Any]] = {}
    for who in ("base", "tuned"):
        observed[who] = {
            "loss": better[who]["loss"],
            "tokens": better[who]["tokens"],
            "chosen": -better[who]["loss"] / better[who]["tokens"],
            "rejected": -worse[who]["loss"] / worse[who]["tokens"],
        }
    beta = pair.config.beta
    rewards = {
        name: beta * (side["base"]["loss"] - side["tuned"]["loss"])
        for name, side in (("reward_chosen", better), ("reward_rejected", worse))
    }
    observed["tuned"] |= rewards
    margin = rewards["reward_chosen"] - rewards["reward_rejected"]
    details = _rows(pair, known, roles, progress, margin, abs(margin))
    note = _cut(len(rows) - len(known))
    return Judged(
        [number for number, *_ in known],
        observed["base"],
        observed["tuned"],
        partial(of_share, name="preferred", words=PAIRS),
        note,
        details,
    )


def judge_thumbs(pair: Pair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Judged:
    """How likely liked and disliked replies are to base and tuned."""
    import numpy as np

    known = _encoded(pair, rows, roles)
    said = _likelihoods(pair, [example for *_, example in known], progress, 0, 1)
    liked = np.array([example.liked for *_, example in known])
    observed: dict[str, dict[str, Any]] = {
        who: {**said[who], "liked": liked, "likelihood": -said[who]["loss"] / said[who]["tokens"]}
        for who in ("base", "tuned")
    }
    reward = pair.config.beta * (said["base"]["loss"] - said["tuned"]["loss"])
    observed["tuned"]["reward"] = reward
    details = _rows(pair, known, roles, progress, np.where(liked, reward, -reward), abs(reward))
    note = _cut(len(rows) - len(known))
    return Judged(
        [number for number, *_ in known],
        observed["base"],
        observed["tuned"],
        partial(of_share, name="thumbs_told_apart", words=THUMBS),
        note,
        details,
    )


def _encoded(pair: Pair, rows: Numbered, roles: dict[str, str]) -> list[tuple[int, Any, Example]]:
    encoding = pair.encoding(roles, learned=True)
    encoded = [(number, row, pair.task.encode(row, encoding)) for number, row in rows]
    return [each for each in encoded if each[2].has_targets]


def _likelihoods(pair: Pair, examples: list[Example], progress: Progress, part: int, parts: int) -> dict[str, Any]:
    total = 2 * parts * len(examples)

    def moved(before: int) -> Callable[[int], None]:
        return lambda done: progress(before + done, total, "Reading the replies")

    first = 2 * part * len(examples)
    return {
        who: dict(reply_losses(pair, who, examples, moved(first + at * len(examples))))
        for at, who in enumerate(("base", "tuned"))
    }


def _rows(
    pair: Pair, known: list[tuple[int, Any, Example]], roles: dict[str, str], progress: Progress, good: Any, moved: Any
) -> dict[str, Any]:
    """The rows that a person should see, with what both write to them."""
    picks = picks_of(good, moved)
    shown = written(pair, [known[place][1] for place in picks.all], roles, progress)

    def row(place: int) -> JudgedRow:
        number, values, _ = known[place]
        base, tuned = shown[picks.all.index(place)]
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=base,
            tuned=tuned,
            score=round(float(good[place]), 4),
        )

    return {
        "best_rows": tuple(map(row, picks.best)),
        "worst_rows": tuple(map(row, picks.worst)),
        "changed_rows": tuple(map(row, picks.changed)),
    }


def _cut(rows: int) -> str:
    return f"{rows:,} rows are so long that nothing of a reply is left and were left out." if rows else ""
