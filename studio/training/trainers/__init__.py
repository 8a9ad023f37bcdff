"""Trainers, each a module with a function `build`. It is imported, and torch with it, when a run needs it."""

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
    """The `build` function of a trainer: of a module of this package, or of a plugin's module by its full name."""
    build: Callable[[Parts], Any] = import_module(name if "." in name else f"{__name__}.{name}").build
    return build
