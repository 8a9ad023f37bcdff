"""Common parts of prompt and prefix tuning: trained virtual tokens before the text, and a frozen model."""

from collections.abc import Sequence

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import NO_LIMIT, AdapterMethod, Draft, Rates

SUPERVISED_TRAINER = "sft"
"""The trainer of replies. Other trainers call the model in ways that virtual tokens do not support."""
MIN_TEXT_TOKENS = 32
"""Tokens of the context that must remain for the text."""


class VirtualTokens(AdapterMethod):
    """Trains virtual tokens before the text."""

    settings: Sequence[str] = ("virtual_tokens",)
    shape: Sequence[str] = ("virtual_tokens",)
    learns_besides = "virtual tokens"
    learns_virtual_tokens = True
    keeps = 0.8
    epoch_factor = 2.0
    rates: Rates = (
        (2_000_000_000, 3e-2, "virtual tokens are few parameters, which need a high rate"),
        (NO_LIMIT, 1e-2, "virtual tokens are few parameters, which need a high rate"),
    )

    def choose_size(self, draft: Draft) -> None:
        """Twice the preset's rank, at most an eighth of the context."""
        tokens = max(1, min(2 * draft.preset.rank, (draft.info.context or 2048) // 8))
        draft.put("virtual_tokens", tokens, f"{tokens} virtual tokens: enough for a style or a format.")

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Available for causal models with tasks that train on replies."""
        if task.has_labels or model.kind == "encoder":
            return f"{self.title} is for models that write text. For other tasks, use LoRA or IA³."  # type: ignore[attr-defined]
        if model.kind != "causal":
            return f"{self.title} is for decoder models. For this model, use LoRA or IA³."  # type: ignore[attr-defined]
        if task.variant(model.kind, {}).trainer != SUPERVISED_TRAINER:
            return f"{self.title} learns replies, not preferences. For this task, use LoRA or IA³."  # type: ignore[attr-defined]
        return ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """Problems when the virtual tokens do not fit the context, or gradient checkpointing is not supported."""
        problems = []
        context = model.context or 2**20
        if config.virtual_tokens > context - MIN_TEXT_TOKENS:
            what = "The virtual tokens leave too little of the context length for the text."
            given = f"{config.virtual_tokens:,} virtual tokens, and a context of {context:,}"
            valid = f"up to {max(1, context - MIN_TEXT_TOKENS):,}; 8 to 50 is usual"
            problems.append(bad_setting("virtual_tokens", what, given, valid))
        elif config.max_length + config.virtual_tokens > context:
            what = "The maximum length and the virtual tokens together exceed the model's context length."
            given = f"{config.max_length:,} and {config.virtual_tokens:,} tokens"
            problems.append(bad_setting("max_length", what, given, f"up to {context:,} together"))
        if config.gradient_checkpointing and not self.supports_checkpointing:
            what, name = f"Gradient checkpointing is not available with {self.title}.", "gradient_checkpointing"  # type: ignore[attr-defined]
            problems.append(bad_setting(name, what, name, hint="Turn it off, or choose another method."))
        return problems
