"""Evaluation of preferences: which of two replies is more likely, and whether liked replies are more likely."""

from collections.abc import Callable
from functools import partial
from typing import Any

from studio.evaluation.evaluators import Evaluation, Numbered, Progress, generate_replies, pick_rows
from studio.evaluation.reply_loss import reply_losses
from studio.evaluation.verdict import of_share
from studio.inference.base_and_tuned import ModelPair
from studio.schema.report import JudgedRow
from studio.tasks import Example

PAIRS = "pairs kept apart it finds the better reply the likelier one in"
THUMBS = "replies kept apart it finds a liked one likelier than a disliked one in"


def evaluate_pairs(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Compute the likelihood of both replies under both models."""
    encoded = _encoded(pair, rows, roles)
    better = _likelihoods(pair, [example for *_, example in encoded], progress, 0, 2)
    worse = _likelihoods(pair, [example.other for *_, example in encoded if example.other], progress, 1, 2)
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
    details = _rows(pair, encoded, roles, progress, margin, abs(margin))
    note = _note_left_out(len(rows) - len(encoded))
    return Evaluation(
        [number for number, *_ in encoded],
        observed["base"],
        observed["tuned"],
        partial(of_share, name="preferred", words=PAIRS),
        note,
        details,
    )


def evaluate_thumbs(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Compute the likelihood of liked and disliked replies under both models."""
    import numpy as np

    encoded = _encoded(pair, rows, roles)
    observed_each = _likelihoods(pair, [example for *_, example in encoded], progress, 0, 1)
    liked = np.array([example.liked for *_, example in encoded])
    observed: dict[str, dict[str, Any]] = {
        who: {
            **observed_each[who],
            "liked": liked,
            "likelihood": -observed_each[who]["loss"] / observed_each[who]["tokens"],
        }
        for who in ("base", "tuned")
    }
    reward = pair.config.beta * (observed_each["base"]["loss"] - observed_each["tuned"]["loss"])
    observed["tuned"]["reward"] = reward
    details = _rows(pair, encoded, roles, progress, np.where(liked, reward, -reward), abs(reward))
    note = _note_left_out(len(rows) - len(encoded))
    return Evaluation(
        [number for number, *_ in encoded],
        observed["base"],
        observed["tuned"],
        partial(of_share, name="thumbs_told_apart", words=THUMBS),
        note,
        details,
    )


def _encoded(pair: ModelPair, rows: Numbered, roles: dict[str, str]) -> list[tuple[int, Any, Example]]:
    encoding = pair.encoding(roles, learned=True)
    encoded = [(number, row, pair.task.encode(row, encoding)) for number, row in rows]
    return [each for each in encoded if each[2].has_targets]


def _likelihoods(
    pair: ModelPair, examples: list[Example], progress: Progress, pass_: int, passes: int
) -> dict[str, Any]:
    total = 2 * passes * len(examples)

    def report_from(before: int) -> Callable[[int], None]:
        return lambda done: progress(before + done, total, "Reading the replies")

    first = 2 * pass_ * len(examples)
    return {
        who: dict(reply_losses(pair, who, examples, report_from(first + at * len(examples))))
        for at, who in enumerate(("base", "tuned"))
    }


def _rows(
    pair: ModelPair,
    encoded: list[tuple[int, Any, Example]],
    roles: dict[str, str],
    progress: Progress,
    quality: Any,
    change: Any,
) -> dict[str, Any]:
    """Return the rows to show, with the replies of both models."""
    picks = pick_rows(quality, change)
    replies = generate_replies(pair, [encoded[place][1] for place in picks.all], roles, progress)

    def row(place: int, score: float) -> JudgedRow:
        number, values, _ = encoded[place]
        base, tuned = replies[picks.all.index(place)]
        return JudgedRow(
            row=number,
            text=pair.task.text_of(values, roles),
            expected=pair.task.expected(values, roles),
            base=base,
            tuned=tuned,
            score=round(score, 4),
        )

    return picks.judged(row, quality, quality)


def _note_left_out(rows: int) -> str:
    return f"{rows:,} rows are so long that nothing of a reply is left and were left out." if rows else ""
