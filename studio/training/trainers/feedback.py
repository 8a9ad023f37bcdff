"""KTO on thumbs: TRL's KTOTrainer, with the base remembered and the logits of learned positions alone."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from trl import KTOConfig, KTOTrainer

from studio.tasks import Example
from studio.tasks.base import IGNORE_INDEX
from studio.training.trainers import Parts
from studio.training.trainers.common import arguments
from studio.training.trainers.preference import padded_rows
from studio.training.trainers.reference_model import NUMBER, Referenced


class ThumbTrainer(Referenced, KTOTrainer):
    """TRL's trainer, with our order of rows, checkpoints and optimizer."""

    kept = ("ref_logps", "ref_KL_logps")
    names: ClassVar[Mapping[str, str]] = {
        "rewards/margins": "reward_gap",
        "rewards/chosen": "reward_liked",
        "rewards/rejected": "reward_disliked",
        "kl": "kl",
    }
    step_metrics = tuple(names.values())

    def counts_of(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """Rewards are of the liked, or of the disliked; the gap between them is reckoned from both."""
        rows, liked = float(self.rows_in(inputs)), float(inputs["label"].sum())
        return {"rewards/chosen": liked, "rewards/rejected": rows - liked, "kl": rows}

    def worked_out(self, told: dict[str, float]) -> dict[str, float]:
        """With the gap, where there were both kinds."""
        if {"rewards/chosen", "rewards/rejected"} <= set(told):
            told["rewards/margins"] = told["rewards/chosen"] - told["rewards/rejected"]
        return told


class Thumbs:
    """Collator: rows, and each prompt with another row's reply, by which KTO tells how far the model has moved."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        parts = []
        for kind in ("", "kl_"):
            ids = [torch.tensor(row[f"{kind}input_ids"]) for row in rows]
            labels = [torch.tensor(row[f"{kind}labels"]) for row in rows]
            parts.append(padded_rows(ids, labels, self.pad))
        own, other = parts
        return {
            **own,
            **{f"KL_{name}": value for name, value in other.items()},
            "label": torch.tensor([row["liked"] for row in rows]),
            NUMBER: torch.tensor([row[NUMBER] for row in rows]),
        }


def build(parts: Parts) -> ThumbTrainer:
    """A trainer over encoded rows, which TRL must not touch again."""
    liked = sum(example.liked for example in parts.train)
    disliked = len(parts.train) - liked
    few, many = sorted((max(liked, 1), max(disliked, 1)))
    size = parts.config.batch_size
    args = KTOConfig(
        **{**arguments(parts), "per_device_train_batch_size": max(2, size)},
        beta=parts.config.beta,
        max_length=None,
        precompute_ref_log_probs=not hasattr(parts.model, "peft_config"),
        # the paper's rule: both kinds weigh alike in sum
        desirable_weight=many / few if liked < disliked else 1.0,
        undesirable_weight=many / few if disliked < liked else 1.0,
    )
    trainer = ThumbTrainer(
        model=parts.model,
        args=args,
        data_collator=Thumbs(parts.encoding.tokenizer.pad_token_id),
        train_dataset=_dataset(parts.train, 0, parts.config.max_length),
        eval_dataset=_dataset(parts.validation, len(parts.train), parts.config.max_length)
        if parts.validation
        else None,
        processing_class=parts.encoding.tokenizer,
        callbacks=[parts.callback],
    )
    if size < 2:  # TRL pairs the replies of a batch with each other's prompts, ours come from anywhere
        args.per_device_train_batch_size = trainer._train_batch_size = size
    longest = max(len(each.input_ids) for each in (*parts.train, *parts.validation))
    trainer.start(longest, parts.callback.emit, parts.begun)
    return trainer


def _dataset(examples: Sequence[Example], first: int, size: int) -> Any:
    from datasets import Dataset

    strange = [_with_reply_of(example, examples[place - 1], size) for place, example in enumerate(examples)]
    return Dataset.from_dict(
        {
            "input_ids": [each.input_ids for each in examples],
            "labels": [each.labels for each in examples],
            "kl_input_ids": [ids for ids, _ in strange],
            "kl_labels": [labels for _, labels in strange],
            "liked": [each.liked for each in examples],
            NUMBER: list(range(first, first + len(examples))),
        }
    )


def _with_reply_of(asked: Example, other: Example, size: int) -> tuple[list[int], list[int]]:
    """One row's prompt with another row's reply, as TRL pairs them (it takes the row before)."""
    prompt = asked.input_ids[: _begin(asked)]
    reply = other.input_ids[_begin(other) :]
    ids = [*prompt, *reply][:size]
    return ids, [*[IGNORE_INDEX] * len(prompt), *other.labels[_begin(other) :]][:size]


def _begin(example: Example) -> int:
    """Where the reply begins."""
    return next(place for place, marked in enumerate(example.learned) if marked)
