"""What prompt and prefix tuning share: virtual tokens before the text learn, the model stays as it is."""

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import Adapting

REPLIES = "sft"
"""The trainer that learns replies; others compare, and call a model in ways that virtual tokens do not stand."""
LEFT = 32
"""Tokens of the context that must be left for the text."""


class VirtualTokens(Adapting):
    """Virtual tokens before the text learn."""

    mergeable = False
    family = "prompts"
    keeps = 0.8

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """For models that go on writing behind the virtual tokens."""
        if task.has_labels or model.kind == "encoder":
            return f"{self.title} is for models that write text; for sorting and finding, LoRA is as light."  # type: ignore[attr-defined]
        if model.kind != "causal":
            return f"{self.title} is for models that continue a text. For this one take LoRA or IA³."  # type: ignore[attr-defined]
        if task.variant(model.kind, {}).trainer != REPLIES:
            return f"{self.title} learns to write replies, not to prefer one of two. For this take LoRA or IA³."  # type: ignore[attr-defined]
        return ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """More virtual tokens than the context has room for."""
        found = []
        context = model.context or 2**20
        if config.virtual_tokens > context - LEFT:
            found.append(
                StudioError(
                    "bad-setting",
                    "The virtual tokens leave no room for the text in what the model can read.",
                    given=f"{config.virtual_tokens:,} virtual tokens, and a context of {context:,}",
                    valid=f"up to {max(1, context - LEFT):,}; 8 to 50 is usual",
                    field="virtual_tokens",
                )
            )
        elif config.max_length + config.virtual_tokens > context:
            found.append(
                StudioError(
                    "bad-setting",
                    "The longest row and the virtual tokens together are longer than the model can read.",
                    given=f"{config.max_length:,} and {config.virtual_tokens:,} tokens",
                    valid=f"up to {context:,} together",
                    field="max_length",
                )
            )
        if config.gradient_checkpointing and not self.recomputes:
            found.append(
                StudioError(
                    "bad-setting",
                    f"Activations can't be computed twice with {self.title}.",  # type: ignore[attr-defined]
                    given="gradient_checkpointing",
                    hint="Leave it off, or choose another method.",
                    field="gradient_checkpointing",
                )
            )
        return found
