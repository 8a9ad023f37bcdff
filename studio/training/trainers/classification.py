"""Text classification and regression: transformers' Trainer with encoders and generative models."""

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
from studio.training.loop.eval_predictions import row_predictions
from studio.training.trainers import Parts
from studio.training.trainers.common import StudioTrainer, arguments, dataset_of, trainer_arguments

MAX_WEIGHT = 20.0
"""Maximum weight of a label."""


class LabelTrainer(StudioTrainer, Trainer):
    """transformers' trainer with our row order, checkpoints, optimizer and loss."""

    problem = ""
    weights: Any = None
    """One weight per label, if rare labels are weighted."""
    head: Head
    last_validation: tuple[Any, Any] | None = None
    """Logits and labels of the last validation."""

    def weight_of(self, inputs: Any) -> float:
        """The sum of the label weights of a batch if there are any, since its loss is their weighted mean."""
        if self.weights is None or self.problem:
            return super().weight_of(inputs)
        return float(self.weights[inputs["labels"].cpu()].sum())

    def missed(self) -> dict[str, int]:
        """Only for single-label classification. With several labels per row, many are naturally rare."""
        if self.last_validation is None or self.problem:
            return {}
        logits, targets = self.last_validation
        predicted = set(logits.argmax(-1).tolist())
        known, rows = np.unique(targets, return_counts=True)
        return {
            self.head.labels[label]: int(count)
            for label, count in zip(known, rows, strict=True)
            if int(label) not in predicted
        }

    def row_predictions(self) -> list[HeldRow]:
        """The first rows of the last validation with prediction and label."""
        return [] if self.last_validation is None else row_predictions(*self.last_validation, self.head)

    def loss_of(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        logits = outputs.logits.float()
        smoothing = self.settings.label_smoothing if model.training else 0.0
        weights = None if self.weights is None else self.weights.to(logits.device)
        if self.problem == "regression":
            loss = F.mse_loss(logits.squeeze(-1), labels.float())
        elif self.problem:
            smoothed = labels.float() * (1 - smoothing) + smoothing / 2
            loss = F.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights)
        else:
            loss = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
        return (loss, outputs) if return_outputs else loss


def balanced_weights(examples: Sequence[Example], head: Head) -> Any:
    """A weight for each label: scikit-learn's balanced weights, or with several labels per row, the ratio of rows
    without to rows with the label."""
    targets = np.array([example.labels for example in examples])
    if head.problem:
        positives = targets.sum(0)
        return torch.tensor(
            ((len(targets) - positives) / np.maximum(positives, 1)).clip(0.1, MAX_WEIGHT), dtype=torch.float32
        )
    known = np.unique(targets)
    weights = np.ones(len(head.labels))
    weights[known] = compute_class_weight("balanced", classes=known, y=targets)
    return torch.tensor(weights.clip(0, MAX_WEIGHT), dtype=torch.float32)


def set_head_bias(model: Any, mean: float) -> None:
    """Initialize the bias of a new regression head with the mean score, so that it learns differences and not the
    scale."""
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module.out_features == 1 and module.bias is not None:
            torch.nn.init.constant_(module.bias, mean)


def build(parts: Parts) -> LabelTrainer:
    """A trainer over encoded rows."""
    problem = parts.head.problem
    if problem == "regression" and not parts.has_start_weights:
        set_head_bias(parts.model, float(np.mean([example.labels for example in parts.train])))

    def compute_metrics(prediction: Any) -> dict[str, float]:
        logits = prediction.predictions
        logits = logits[0] if isinstance(logits, tuple) else logits
        trainer.last_validation = logits, prediction.label_ids
        if problem == "regression":
            return parts.measure({"score": prediction.label_ids, "guess": logits.squeeze(-1)})
        if problem:
            return parts.measure({"expected": prediction.label_ids.astype(int), "predicted": (logits > 0).astype(int)})
        return parts.measure({"expected": prediction.label_ids, "predicted": logits.argmax(-1)})

    trainer = LabelTrainer(
        **trainer_arguments(parts, dataset_of),
        args=TrainingArguments(**arguments(parts)),
        data_collator=DataCollatorWithPadding(parts.encoding.tokenizer),
        compute_metrics=compute_metrics,
    )
    trainer.problem, trainer.head = problem, parts.head
    if parts.config.balance_labels and problem != "regression":
        trainer.weights = balanced_weights(parts.train, parts.head)
    # transformers assumes that a model with **kwargs divides its loss by num_items_in_batch. Classifiers do not, and
    # with gradient accumulation their loss and gradient would be several times too large.
    trainer.model_accepts_loss_kwargs = False
    return trainer
