"""Sorting texts under labels: transformers' Trainer on encoders and on models that write text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from studio.inference.heads import Head
from studio.schema.events import HeldRow
from studio.tasks import Example
from studio.training.loop.eval_predictions import held_rows
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of

MOST = 20.0
"""The most that a label counts beside others."""


class LabelTrainer(StudioTrainer, Trainer):
    """transformers' trainer, with our order of rows, checkpoints, optimizer and loss."""

    problem = ""
    weights: Any = None
    """Of each label, where rare ones count more."""
    head: Head
    judged: tuple[Any, Any] | None = None
    """Logits and labels of the last check."""

    def weight_of(self, inputs: Any) -> float:
        """A batch counts by the weights of its labels, where they have some: its loss is their mean."""
        if self.weights is None or self.problem:
            return super().weight_of(inputs)
        return float(self.weights[inputs["labels"].cpu()].sum())

    def missed(self) -> dict[str, int]:
        """Of single labels alone: of several, many are rare by nature."""
        if self.judged is None or self.problem:
            return {}
        logits, given = self.judged
        said = set(logits.argmax(-1).tolist())
        known, rows = np.unique(given, return_counts=True)
        return {
            self.head.labels[label]: int(count)
            for label, count in zip(known, rows, strict=True)
            if int(label) not in said
        }

    def held(self) -> list[HeldRow]:
        """The first rows of a check, each with what is said and what is right."""
        return [] if self.judged is None else held_rows(*self.judged, self.head)

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        logits = outputs.logits.float()
        smoothing = self.settings.label_smoothing if model.training else 0.0
        weights = None if self.weights is None else self.weights.to(logits.device)
        if self.problem == "regression":
            loss = F.mse_loss(logits.squeeze(-1), labels.float())
        elif self.problem:
            wanted = labels.float() * (1 - smoothing) + smoothing / 2
            loss = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights)
        else:
            loss = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
        return (loss, outputs) if return_outputs else loss


def balanced(examples: Sequence[Example], head: Head) -> Any:
    """A weight for each label: as scikit-learn balances them; of several labels a row, rows without to rows with it."""
    given = np.array([example.labels for example in examples])
    if head.problem:
        with_it = given.sum(0)
        return torch.tensor(((len(given) - with_it) / np.maximum(with_it, 1)).clip(0.1, MOST), dtype=torch.float32)
    known = np.unique(given)
    weights = np.ones(len(head.labels))
    weights[known] = compute_class_weight("balanced", classes=known, y=given)
    return torch.tensor(weights.clip(0, MOST), dtype=torch.float32)


def begin_at(model: Any, score: float) -> None:
    """Let a new head for scores begin at their mean, so that it learns differences and not the scale."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module.out_features == 1 and module.bias is not None:
            torch.nn.init.constant_(module.bias, score)


def build(parts: Parts) -> LabelTrainer:
    """A trainer over encoded rows."""
    problem = parts.head.problem
    if problem == "regression" and not parts.resumed and not parts.begun:
        begin_at(parts.model, float(np.mean([example.labels for example in parts.train])))

    def judge(prediction: Any) -> dict[str, float]:
        logits = prediction.predictions
        logits = logits[0] if isinstance(logits, tuple) else logits
        trainer.judged = logits, prediction.label_ids
        if problem == "regression":
            return parts.measure({"score": prediction.label_ids, "guess": logits.squeeze(-1)})
        if problem:
            return parts.measure({"expected": prediction.label_ids.astype(int), "predicted": (logits > 0).astype(int)})
        return parts.measure({"expected": prediction.label_ids, "predicted": logits.argmax(-1)})

    trainer = LabelTrainer(
        model=parts.model,
        args=TrainingArguments(**arguments(parts)),
        data_collator=DataCollatorWithPadding(parts.encoding.tokenizer),
        train_dataset=dataset_of(parts.train),
        eval_dataset=dataset_of(parts.validation) if parts.validation else None,
        processing_class=parts.encoding.tokenizer,
        compute_metrics=judge,
        callbacks=[parts.callback],
    )
    trainer.problem, trainer.head = problem, parts.head
    if parts.config.balance_labels and problem != "regression":
        trainer.weights = balanced(parts.train, parts.head)
    # transformers believes that every model that takes **kwargs divides its loss by num_items_in_batch; classifiers do
    # not, and with gradient accumulation loss and gradient would come out several times too large.
    trainer.model_accepts_loss_kwargs = False
    return trainer
