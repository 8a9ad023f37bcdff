"""Label smoothing: the loss of learning has a little doubt in it, that of checks has none, and scores have none."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from studio.schema.config import TrainingConfig
from studio.training.trainers.classification import LabelTrainer

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 3.0]])


class Sorter(torch.nn.Module):
    """Says the same of every row."""

    def forward(self, **inputs: Any) -> Any:
        return SimpleNamespace(logits=LOGITS[:, : inputs["width"]])


def loss(smoothing: float, labels: torch.Tensor, problem: str = "", learning: bool = True, width: int = 3) -> float:
    trainer = LabelTrainer.__new__(LabelTrainer)
    trainer.settings = TrainingConfig(task="classification", model="m", label_smoothing=smoothing)
    trainer.problem, trainer.weights = problem, None
    model = Sorter().train(learning)
    return float(trainer.loss_of(model, {"labels": labels, "width": width}))


def test_a_part_of_the_loss_is_of_all_labels_alike_while_it_learns_and_none_in_a_check() -> None:
    labels = torch.tensor([0, 2])
    sure, doubtful = loss(0.0, labels), loss(0.3, labels)
    of_all = float(-F.log_softmax(LOGITS, -1).mean())
    assert doubtful == pytest.approx(0.7 * sure + 0.3 * of_all)
    assert loss(0.3, labels, learning=False) == pytest.approx(sure)


def test_each_of_several_labels_is_wanted_a_little_less_and_not_wanted_a_little_less() -> None:
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    kind = "multi_label_classification"
    wanted = F.binary_cross_entropy_with_logits(LOGITS, labels * 0.8 + 0.1)
    assert loss(0.2, labels, kind) == pytest.approx(float(wanted))
    assert loss(0.2, labels, kind, learning=False) == pytest.approx(loss(0.0, labels, kind))


def test_scores_have_no_doubt() -> None:
    scores = torch.tensor([1.0, 2.0])
    assert loss(0.5, scores, "regression", width=1) == loss(0.0, scores, "regression", width=1)
