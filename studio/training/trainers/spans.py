"""Extractive question answering: transformers' Trainer with encoders."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from studio.inference.spans import rank_spans, unwrapped
from studio.metrics.answers import observe
from studio.tasks import Example
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, trainer_arguments


class SpanTrainer(StudioTrainer, Trainer):
    """transformers' trainer with our row order, checkpoints and optimizer."""

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """As in the library, but padding is excluded from the softmax, so that the loss of a row does not depend on
        its batch."""
        from torch.nn.functional import cross_entropy

        outputs, padding = model(**inputs), inputs["attention_mask"] == 0
        begins, ends = (
            cross_entropy(logits.float().masked_fill(padding, float("-inf")), positions)
            for logits, positions in (
                (outputs.start_logits, inputs["start_positions"]),
                (outputs.end_logits, inputs["end_positions"]),
            )
        )
        loss = (begins + ends) / 2
        return (loss, outputs) if return_outputs else loss


def build(parts: Parts) -> SpanTrainer:
    """A trainer over encoded pieces of passages."""

    def compute_metrics(prediction: Any) -> dict[str, float]:
        starts, ends = prediction.predictions[:2]
        predicted, accepted = [], []
        numbered = list(enumerate(parts.validation))
        for _, group in groupby(numbered, key=lambda each: each[1].row):
            places, pieces = zip(*group, strict=True)
            spans = rank_spans(pieces, [starts[n] for n in places], [ends[n] for n in places], pieces[0].text)
            predicted.append(spans[0].text)
            accepted.append(pieces[0].accepted)
        return parts.measure(observe(predicted, accepted))

    model = parts.model
    if (inner := unwrapped(model)) is not model:
        # PEFT's wrapper would drop the token type ids. Wrappers around the model (DDP, DeepSpeed) still call the model
        # itself.
        model.forward = inner.forward
    return SpanTrainer(
        **trainer_arguments(parts, _dataset),
        args=TrainingArguments(**arguments(parts)),
        data_collator=DataCollatorWithPadding(parts.encoding.tokenizer),
        compute_metrics=compute_metrics,
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
