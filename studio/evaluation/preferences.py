"""Evaluation of preferences: which of two replies is more likely, and whether liked replies are more likely."""

from functools import partial
from typing import Any

from studio.evaluation.evaluators import (
    Evaluation,
    Numbered,
    Progress,
    losses_of_both,
    pick_rows,
    replies_to,
    report_rows,
)
from studio.evaluation.verdict import of_share
from studio.inference.base_and_tuned import ModelPair
from studio.tasks import Example

PAIRS = "{opening} on {rows}, the better reply is more likely in {tuned} (base model: {base})."
THUMBS = "{opening} on {rows}, a liked reply is more likely than a disliked one in {tuned} (base model: {base})."
Encoded = list[tuple[int, Any, Example]]
"""Number, row and example of each row that can be evaluated."""


def evaluate_pairs(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Compute the likelihood of both replies under both models."""
    encoded = _encoded(pair, rows, roles)
    better = losses_of_both(pair, [example for *_, example in encoded], progress, 0, 2)
    worse = losses_of_both(pair, [example.other for *_, example in encoded if example.other], progress, 1, 2)
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
    details = _rows(pair, encoded, roles, progress, (margin, abs(margin)))
    return _evaluation(rows, encoded, observed, partial(of_share, name="preferred", sentence=PAIRS), details)


def evaluate_thumbs(pair: ModelPair, rows: Numbered, roles: dict[str, str], progress: Progress) -> Evaluation:
    """Compute the likelihood of liked and disliked replies under both models."""
    import numpy as np

    encoded = _encoded(pair, rows, roles)
    observed_each = losses_of_both(pair, [example for *_, example in encoded], progress)
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
    details = _rows(pair, encoded, roles, progress, (np.where(liked, reward, -reward), abs(reward)))
    return _evaluation(rows, encoded, observed, partial(of_share, name="thumbs_told_apart", sentence=THUMBS), details)


def _encoded(pair: ModelPair, rows: Numbered, roles: dict[str, str]) -> Encoded:
    encoding = pair.encoding(roles, learned=True)
    encoded = [(number, row, pair.task.encode(row, encoding)) for number, row in rows]
    return [each for each in encoded if each[2].has_targets]


def _evaluation(rows: Numbered, encoded: Encoded, observed: dict[str, Any], describe: Any, details: Any) -> Evaluation:
    note, left_out = "", len(rows) - len(encoded)
    if left_out:
        note = f"{left_out:,} rows were left out: they are too long, and nothing of a reply is left."
    return Evaluation([number for number, *_ in encoded], observed["base"], observed["tuned"], describe, note, details)


def _rows(
    pair: ModelPair, encoded: Encoded, roles: dict[str, str], progress: Progress, scores: tuple[Any, Any]
) -> dict[str, Any]:
    """Return the rows to show, with the replies of both models. `scores` are the quality and the change of each row."""
    picks = pick_rows(*scores)
    picks.gain = picks.quality
    rows = [(number, row) for number, row, _ in encoded]
    return report_rows(pair, rows, roles, picks, replies_to(picks, pair, rows, roles, progress))
