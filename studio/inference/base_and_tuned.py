"""Base and tuned of one run, in memory.

Where memory allows, both are plain models: the base untouched, and a second copy with the adapter merged in, which
decodes 1.4 to 1.6 times quicker than an adapter beside its base. Else the weights of the base are in memory once: the
tuned model has layers of its own with the adapter in them, and shares every weight with the base. Base models are
shared by all pairs that answer with them.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from studio.inference.generate import plain_model
from studio.inference.heads import Head, head_of, variant_of
from studio.inference.load import (
    beside,
    load_adapter,
    load_base,
    load_embedder,
    load_full,
    load_tokenizer,
    mergeable,
    merged,
    training_template,
)
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.tasks import Encoding, Task, TaskVariant, task_named

ROOM = 512 * 2**20
"""Bytes that stay free beside two copies of the weights, for caches and activations."""
WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes a weight."""


@dataclass
class Pair:
    """A run's two models. With `one_copy` they share the weights of the base."""

    run: RunRef
    tokenizer: Any
    tuned: Any
    base: Any
    """A model that writes; where the head is new, the base without one."""
    one_copy: bool
    how: str
    """What a person should know of how the tuned one answers."""
    neighbours: Any = None
    """A classifier's base guess, made when first needed (classify.py)."""
    head: Head = field(init=False)
    way: TaskVariant = field(init=False)
    _task: Task = field(init=False)

    def __post_init__(self) -> None:
        self._task = task_named(self.run.spec.config.task)
        self.head, self.variant = head_of(self.run.info, self.run.spec.data), variant_of(self.run.info, self.run.spec.data)

    @property
    def task(self) -> Task:
        return self._task

    @property
    def config(self) -> TrainingConfig:
        return self.run.spec.config

    @property
    def labels(self) -> tuple[str, ...]:
        return self.head.labels

    @property
    def base_points(self) -> bool:
        """Whether the base itself learned to point at answers before."""
        return self.head.name == "spans" and not self.one_copy and points(self.run.info)

    @property
    def context(self) -> int:
        """Longest input and reply together, in tokens."""
        return self.run.info.context or 2**20

    def encoding(self, roles: dict[str, str] | None = None, system: str = "", learned: bool = False) -> Encoding:
        """How this run's rows and prompts become tokens; `learned` when it matters which of them are learned."""
        data = self.run.spec.data if roles is None else self.run.spec.data.model_copy(update={"roles": roles})
        config = self.config.model_copy(update={"system_prompt": system}) if system else self.config
        return encoding_of(self.run.info, self.tokenizer, data, config, learned)

    @contextmanager
    def speaking(self, who: str) -> Iterator[Any]:
        """The model that answers as `base` or `tuned`."""
        yield self.tuned if who == "tuned" else self.base


class Bases:
    """Base models and tokenizers in memory. Each goes when the last pair that answers with it goes."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()

    def base(self, run: RunRef, head: Head) -> Any:
        """The base model of a run, with a head."""
        return self._kept("base", run, head, lambda: load_base(run.info, precision_of(run), head, run.trusted))

    def embedder(self, run: RunRef) -> Any:
        """The base model of a run, without a head."""
        return self._kept("embedder", run, None, lambda: load_embedder(run.info, precision_of(run), run.trusted))

    def tokenizer(self, run: RunRef) -> Any:
        """The tokenizer of a run's base model."""
        return self._kept("tokenizer", run, None, lambda: load_tokenizer(run.info, run.trusted))

    def _kept(self, kind: str, run: RunRef, head: Head | None, load: Callable[[], Any]) -> Any:
        key = (kind, run.info.model_dump_json(), precision_of(run), head, run.trusted)
        model = self._models.get(key)
        if model is None:
            self._models[key] = model = load()
        return model


def encoding_of(
    info: ModelInfo, tokenizer: Any, data: DatasetSpec, config: TrainingConfig, learned: bool = True
) -> Encoding:
    """How rows become tokens, the same for preview, training, evaluation and chat."""
    templated = learned and variant_of(info, data).templated
    return Encoding(
        tokenizer=tokenizer,
        roles=data.roles,
        max_length=config.max_length,
        label_names=data.label_names,
        system_prompt=config.system_prompt,
        training_template=training_template(tokenizer) if templated else None,
        kind=info.kind,
        architecture=info.architecture,
        instruction=config.instruction,
        answer_length=config.answer_length,
        stride=config.stride,
        learn_replies=config.learn_replies,
        thinking=config.thinking,
    )


def load_pair(run: RunRef, one_copy: bool | None = None, bases: Bases | None = None) -> Pair:
    """Both models of a run. `one_copy` None: by what memory allows."""
    folder = result_folder(run)
    head = head_of(run.info, run.spec.data)
    adapter, bases = folder.name == "adapter", bases or Bases()
    if one_copy is None:
        one_copy = not has_room_for(run, 2)
    one_copy = adapter and mergeable(folder) and one_copy
    if adapter and not mergeable(folder):
        base = bases.base(run, head)
        tuned = beside(sharing_weights(base), folder)
    elif one_copy:
        whole = bases.base(run, head)
        tuned = load_adapter(sharing_weights(whole), folder)
        base = backbone_of(whole) if head.at_once else whole
    else:
        tuned = load_tuned(run)
        own_head = not head.at_once or (head.name == "spans" and points(run.info))
        base = bases.base(run, head) if own_head else bases.embedder(run)
    return Pair(
        run=run,
        tokenizer=bases.tokenizer(run),
        tuned=tuned,
        base=base,
        one_copy=one_copy,
        how=how(run.spec.config),
    )


def sharing_weights(model: Any) -> Any:
    """A copy of a model with modules of its own whose weights are the model's, so that an adapter can be put into it.

    Each has its own parameters: kinds of adapters that replace a weight of their base replace it in the copy alone.
    """
    import torch

    memo: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    memo |= {id(each): torch.nn.Parameter(each.data, requires_grad=False) for each in model.parameters()}
    return copy.deepcopy(model, memo)


def points(info: ModelInfo) -> bool:
    """Whether a base comes with layers that point at answers."""
    return info.architecture.endswith("ForQuestionAnswering")


def load_tuned(run: RunRef) -> Any:
    """The tuned model alone, as a plain model where it can be one: what the merged export writes and the chat asks."""
    folder, precision = result_folder(run), precision_of(run)
    head = head_of(run.info, run.spec.data)
    if folder.name == "model":
        return load_full(run.info, folder, precision, head, run.trusted)
    return (merged if mergeable(folder) else beside)(load_base(run.info, precision, head, run.trusted), folder)


def result_folder(run: RunRef) -> Path:
    """The run's adapter/ or model/."""
    for name, mark in (("adapter", "adapter_config.json"), ("model", "config.json")):
        if (Path(run.folder) / name / mark).exists():
            return Path(run.folder) / name
    raise StudioError(
        "wrong-state",
        "This run has no tuned model yet.",
        given=run.spec.config.name or Path(run.folder).name,
        hint="Wait until it has finished, or resume it.",
    )


def precision_of(run: RunRef) -> str:
    """The number format in which both answer and in which the merged model is saved."""
    return run.spec.config.precision


def has_room_for(run: RunRef, copies: int) -> bool:
    """Whether the base's weights fit so many times into the memory that is free."""
    from studio.machine.facts import machine_facts

    weights = run.info.parameters * WIDTH[precision_of(run)] or run.info.bytes
    return machine_facts().memory_available > copies * weights + ROOM


def how(config: TrainingConfig) -> str:
    """A word on how the tuned model answers, where it needs one."""
    if config.method == "qlora":
        bits = {"4-bit": "a 4-bit", "8-bit": "an 8-bit"}[config.quantisation]
        return f"It learned on {bits} copy of the base and answers on the base as it is, unquantised."
    return ""


def backbone_of(model: Any) -> Any:
    """The layers of a model below its head, whether it is wrapped in an adapter or not."""
    return plain_model(model).base_model
