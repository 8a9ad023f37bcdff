"""The registry of trainers by the name that a task gives. A trainer module, and torch with it, is imported on first
use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.inference.heads import Head
from studio.schema.config import TrainingConfig
from studio.tasks import Encoding, Example

if TYPE_CHECKING:
    from studio.training.loop.callbacks import EventCallback

TRAINERS: dict[str, str] = {
    "sft": "studio.training.trainers.sft",
    "preference": "studio.training.trainers.preference",
    "feedback": "studio.training.trainers.feedback",
    "seq2seq": "studio.training.trainers.seq2seq",
    "spans": "studio.training.trainers.spans",
    "classification": "studio.training.trainers.classification",
}


@dataclass(frozen=True)
class Parts:
    """The parts that a trainer is built from."""

    model: Any
    head: Head
    encoding: Encoding
    config: TrainingConfig
    folder: Path
    """The folder for checkpoints."""
    train: Sequence[Example]
    validation: Sequence[Example]
    callback: "EventCallback"
    resumed: bool
    has_start_weights: bool
    """Whether it starts from the weights of an earlier run."""
    measure: Callable[[Mapping[str, Any]], dict[str, float]]
    """Observations on the validation rows → the task's metrics."""


def builder(name: str) -> Callable[[Parts], Any]:
    """The `build` function of a trainer."""
    build: Callable[[Parts], Any] = import_module(TRAINERS[name]).build
    return build
