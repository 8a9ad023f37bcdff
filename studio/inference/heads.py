"""Heads: a language model's output layer, or a new layer for labels, scores or extracted answers.

A task selects the head for a kind of model. This module maps it to the transformers class, for training, chat,
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
"""Head → the transformers class that loads a model with it."""
SINGLE_PASS_HEADS = ("labels", "spans")
"""Heads that answer in a single forward pass, with probabilities, instead of token by token."""


@dataclass(frozen=True)
class Head:
    """The head of a run's model."""

    name: str = "text"
    labels: tuple[str, ...] = ()
    problem: str = ""
    """The problem type in transformers. Empty: single-label classification."""

    @property
    def single_pass(self) -> bool:
        return self.name in SINGLE_PASS_HEADS

    @property
    def generates(self) -> bool:
        return not self.single_pass

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for `from_pretrained` that describe the new layer."""
        if not self.labels:
            return {}
        names = dict(enumerate(self.labels))
        arguments_: dict[str, Any] = {"num_labels": len(names), "id2label": names}
        arguments_["label2id"] = {label: number for number, label in names.items()}
        return arguments_ | ({"problem_type": self.problem} if self.problem else {})

    def model_class(self) -> Any:
        """Return the transformers class that loads the model."""
        import transformers

        return getattr(transformers, CLASSES[self.name])


TEXT = Head()
PROBLEMS = {"label": "", "labels": "multi_label_classification", "score": "regression"}
"""Role of the labels → problem type in transformers. Empty for single labels, where transformers needs none."""


def variant_of(info: ModelInfo, data: DatasetSpec) -> TaskVariant:
    """Return how a run's task works with its model and rows."""
    return task_named(data.task).variant(info.kind, data.roles)


def takes_conversations(data: DatasetSpec) -> bool:
    """Return whether the prompts of a run are conversations as they are. Other tasks format them, for example with an
    instruction before a text."""
    return any("messages" in roles for roles in task_named(data.task).alternatives)


def head_of(info: ModelInfo, data: DatasetSpec) -> Head:
    """Return the head of a run's model."""
    name = variant_of(info, data).head
    if name != "labels":
        return Head(name)
    role = label_role(data.roles)
    return Head(name, ("score",) if role == "score" else data.label_names, PROBLEMS[role])
