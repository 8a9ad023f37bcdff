"""What a model ends in: a language model's table of words, or new layers for labels, scores or answers in a text.

A task names the head for a kind of model; which class of transformers loads it stands here, for training, chat,
evaluation and export.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.schema.dataset import DatasetSpec
from studio.schema.models import ModelInfo
from studio.tasks import TaskVariant, task_named
from studio.tasks.classification import label_role

CLASSES: Mapping[str, str] = {
    "text": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "labels": "AutoModelForSequenceClassification",
    "spans": "AutoModelForQuestionAnswering",
}
"""Head → the class of transformers that loads a model with it."""
AT_ONCE = ("labels", "spans")
"""Heads that answer in one go, with probabilities, instead of word by word."""


@dataclass(frozen=True)
class Head:
    """What a run's model ends in."""

    name: str = "text"
    labels: tuple[str, ...] = ()
    problem: str = ""
    """What transformers calls the kind of labels; empty: one of them fits."""

    @property
    def at_once(self) -> bool:
        return self.name in AT_ONCE

    @property
    def writes(self) -> bool:
        return not self.at_once

    @property
    def arguments(self) -> dict[str, Any]:
        """What `from_pretrained` must be told of new layers."""
        if not self.labels:
            return {}
        names = dict(enumerate(self.labels))
        told: dict[str, Any] = {"num_labels": len(names), "id2label": names}
        told["label2id"] = {label: number for number, label in names.items()}
        return told | ({"problem_type": self.problem} if self.problem else {})

    def model_class(self) -> Any:
        """The class that loads it."""
        import transformers

        return getattr(transformers, CLASSES[self.name])


TEXT = Head()
PROBLEMS = {"label": "", "labels": "multi_label_classification", "score": "regression"}
"""What a text is given → what transformers calls it; of one label it knows by itself."""


def variant_of(info: ModelInfo, data: DatasetSpec) -> TaskVariant:
    """How a run's task is done with its model and rows."""
    return task_named(data.task).variant(info.kind, data.roles)


def head_of(info: ModelInfo, data: DatasetSpec) -> Head:
    """The head of a run's model."""
    name = variant_of(info, data).head
    if name != "labels":
        return Head(name)
    told = label_role(data.roles)
    return Head(name, ("score",) if told == "score" else data.label_names, PROBLEMS[told])
