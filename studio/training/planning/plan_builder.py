"""Presets, and a plan while its values are chosen."""

from dataclasses import dataclass
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.errors import named
from studio.schema.limits import OWNER, Limits
from studio.schema.models import ModelInfo
from studio.schema.settings_check import config_from
from studio.tasks import Task
from studio.training.methods import method_named
from studio.training.planning.gradient_checkpointing import supports_checkpointing
from studio.training.planning.plan_facts import PlanFacts, as_trained


@dataclass(frozen=True)
class Preset:
    """How thoroughly to train."""

    name: str
    title: str
    sentence: str
    epoch_factor: float
    """Factor of the usual number of epochs."""
    rank: int
    rank_purpose: str
    """What this rank can learn."""
    patience: int


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "quick",
            "Quick try",
            "A third of the epochs. Shows quickly whether the data works.",
            1 / 3,
            8,
            "a first test",
            2,
        ),
        Preset(
            "balanced",
            "Balanced",
            "As many epochs as your rows need. A good choice for most data.",
            1,
            8,
            "a style, a format or a few hundred facts",
            3,
        ),
        Preset(
            "thorough",
            "Thorough",
            "Twice the epochs and a larger adapter. For a model that you will keep.",
            2,
            16,
            "much new content",
            5,
        ),
    )
}
USUAL = "balanced"
"""The default preset."""


def preset_named(name: str) -> Preset:
    """The preset of that name. Raises a `StudioError` that suggests the most similar name."""
    return named(PRESETS, name, "preset", field="preset")


@dataclass(frozen=True)
class PlanRequest:
    """The run to plan, and the machine."""

    task: Task
    info: ModelInfo
    preset: str
    facts: PlanFacts
    machine: MachineFacts
    name: str = ""
    limits: Limits = OWNER


class PlanDraft:
    """The values chosen so far. Values set by the user do not change."""

    def __init__(self, request: PlanRequest, values: dict[str, Any]) -> None:
        self.task, self.info, self.facts = request.task, request.info, request.facts
        self.machine, self.limits = request.machine, request.limits
        self.preset = PRESETS.get(request.preset, PRESETS[USUAL])
        self.method = method_named(values["method"])
        self.fixed = set(values)
        self.values = dict(values)
        self.because: list[str] = []

    def put(self, name: str, value: Any, reason: str = "") -> None:
        """Set a value unless the user has set it, and add the reason."""
        if name not in self.fixed:
            self.values[name] = value
            if reason:
                self.because.append(reason)

    def config(self) -> TrainingConfig:
        """The values as a validated config."""
        return config_from(self.values)

    @property
    def learned(self) -> PlanFacts:
        """The rows as the trainer gets them. Their maximum length must be known."""
        return as_trained(self.facts, self.config())

    @property
    def virtual_tokens(self) -> int:
        """Tokens of the context that the method uses itself."""
        return int(self.values["virtual_tokens"]) if self.method.learns_virtual_tokens else 0

    @property
    def can_checkpoint(self) -> bool:
        """Whether gradient checkpointing is off, possible and not set by the user."""
        unset = not self.values.get("gradient_checkpointing") and "gradient_checkpointing" not in self.fixed
        return unset and self.method.supports_checkpointing and supports_checkpointing(self.info)
