"""Answers pointed at in a passage: transformers' Trainer on models that read."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from studio.inference.spans import find, unwrapped
from studio.metrics.answers import observe
from studio.tasks import Example
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments


class PointingTrainer(StudioTrainer, Trainer):
    """transformers' trainer, with our order of rows, checkpoints and optimizer."""

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """As the library's, but padding can't be pointed at: what is learned of a row is the same in any company."""
        from torch.nn.functional import cross_entropy

        outputs, padding = model(**inputs), inputs["attention_mask"] == 0
        begins, ends = (
            cross_entropy(logits.float().masked_fill(padding, float("-inf")), right)
            for logits, right in (
                (outputs.start_logits, inputs["start_positions"]),
                (outputs.end_logits, inputs["end_positions"]),
            )
        )
        loss = (begins + ends) / 2
        return (loss, outputs) if return_outputs else loss


def build(parts: Parts) -> PointingTrainer:
    """A trainer over encoded pieces of passages."""

    def judge(prediction: Any) -> dict[str, float]:
        starts, ends = prediction.predictions[:2]
        said, right = [], []
        numbered = list(enumerate(parts.validation))
        for _, group in groupby(numbered, key=lambda each: each[1].row):
            places, pieces = zip(*group, strict=True)
            spans = find(pieces, [starts[n] for n in places], [ends[n] for n in places], pieces[0].text)
            said.append(spans[0].text)
            right.append(pieces[0].accepted)
        return parts.measure(observe(said, right))

    model = parts.model
    if (below := unwrapped(model)) is not model:
        # Which of the two texts a token is of is told to a model with an adapter, too. Whatever lies around the model
        # (of several processes DDP or DeepSpeed) goes on calling the model itself.
        model.forward = below.forward
    return PointingTrainer(
        model=model,
        args=TrainingArguments(**arguments(parts)),
        data_collator=DataCollatorWithPadding(parts.encoding.tokenizer),
        train_dataset=_dataset(parts.train),
        eval_dataset=_dataset(parts.validation) if parts.validation else None,
        processing_class=parts.encoding.tokenizer,
        compute_metrics=judge,
        callbacks=[parts.callback],
    )


def _dataset(pieces: Sequence[Example]) -> Any:
    from datasets import Dataset

    columns: dict[str, list[Any]] = {
        "input_ids": [each.input_ids for each in pieces],
        "start_positions": [each.labels[0] for each in pieces],
        "end_positions": [each.labels[1] for each in pieces],
    }
    if pieces[0].types:
        columns["token_type_ids"] = [each.types for each in pieces]
    return Dataset.from_dict(columns)
