"""The interface of engines: programs that answer requests for a model, each in a process with a port of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.schema.serving import Generation, ServedModel


@dataclass(frozen=True)
class Launch:
    """How an engine is started."""

    entry: str
    """"module:function", or a module that is run like `python -m`."""
    arguments: Sequence[str]
    folder: Path
    """The working folder. Paths in the arguments may be relative to it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to those of the gateway."""
    health: str = "/health"
    """The address that answers 200 when the engine can be used."""


class Engine(ABC):
    """One kind of engine."""

    name: str
    title: str
    at_once: int = 1
    """Requests that it answers at the same time, as a rule."""
    needs_weights = True
    """Whether it needs a folder with standalone weights, merged and with the chat template (weights.py)."""
    serves_together = False
    """Whether one process serves a base model and all runs of it."""
    serves_base = True
    """Whether it serves base models."""
    own_defaults: Mapping[str, Any] = {}
    """Parameters of its requests whose defaults would change replies, with values that change nothing."""
    prepares_prompts = False
    """Whether it adds the run's system prompt itself, and refuses prompts that are too long."""

    def slots(self, model: ServedModel) -> int:
        """Return how many requests to a model it answers at the same time."""
        return self.at_once

    def context(self, model: ServedModel) -> int:
        """Return how many tokens a prompt and its reply may have together."""
        return model.run.info.context or 2**20

    @abstractmethod
    def unavailable_reason(self, model: ServedModel) -> str:
        """Return why it can't serve a model on this machine, or ""."""

    @abstractmethod
    def reason(self, model: ServedModel) -> str:
        """Return why it is a good choice for a model, in a sentence."""

    @abstractmethod
    def launch(self, models: Sequence[ServedModel], folders: Mapping[str, Path], port: int, secret: str) -> Launch:
        """Return how to start it.

        Args:
            models: The models that one process serves. One, unless `serves_together`.
            folders: Model name → its folder with standalone weights. Empty unless `needs_weights`.
            port: Where it must listen, on 127.0.0.1.
            secret: A key that the gateway sends as its bearer token.
        """

    @abstractmethod
    def model_name(self, model: ServedModel) -> str:
        """Return the model's name in requests to the engine."""

    def body(self, model: ServedModel, generation: Generation) -> dict[str, Any]:
        """Return the body of a request to the engine, which answers as a stream."""
        body = {
            "model": self.model_name(model),
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "stream": True,
            **({"messages": list(generation.messages)} if generation.chat else {"prompt": generation.prompt}),
        }
        return {**body, **self.own_defaults} | ({} if generation.seed is None else {"seed": generation.seed})
