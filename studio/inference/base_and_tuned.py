"""The base and the fine-tuned model of one run, in memory.

If memory allows, both are standalone models: the base, and a second copy with the adapter merged in, which decodes 1.4
to 1.6 times faster than an unmerged adapter. Otherwise the base's weights are in memory once: the fine-tuned model has
its own layers with the adapter, and shares every weight with the base. Base models are shared by all pairs that use
them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from studio.inference.generate import plain_model
from studio.inference.heads import Head, head_of, variant_of
from studio.inference.load import (
    load_adapter,
    load_base,
    load_embedder,
    load_full,
    load_tokenizer,
    mergeable,
    merged,
    training_template,
    with_virtual_tokens,
)
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.tasks import Encoding, Task, TaskVariant, task_named

MEMORY_RESERVE = 512 * 2**20
"""Bytes that stay free besides the weights, for caches and activations."""
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes per weight."""


@dataclass
class ModelPair:
    """The two models of a run. With `one_copy` they share the weights of the base."""

    run: RunRef
    tokenizer: Any
    tuned: Any
    base: Any
    """A generative model; for tasks with a new head, the base without a head."""
    one_copy: bool
    how: str
    """A note on how the fine-tuned model answers, if it needs one."""
    neighbors: Any = None
    """The base's nearest-neighbor classifier, created on first use (classify.py)."""
    reference: Any = None
    """The answers that exports are compared with, computed at the first export (export/agreement_check.py)."""
    task: Task = field(init=False)
    head: Head = field(init=False)
    variant: TaskVariant = field(init=False)

    def __post_init__(self) -> None:
        info, data = self.run.info, self.run.spec.data
        self.task = task_named(self.run.spec.config.task)
        self.head, self.variant = head_of(info, data), variant_of(info, data)

    @property
    def config(self) -> TrainingConfig:
        return self.run.spec.config

    @property
    def labels(self) -> tuple[str, ...]:
        return self.head.labels

    @property
    def base_has_qa_head(self) -> bool:
        """Whether the base itself has a trained head for question answering."""
        return self.head.name == "spans" and not self.one_copy and has_qa_head(self.run.info)

    @property
    def context(self) -> int:
        """Maximum length of input and reply together, in tokens. Virtual tokens take a part of the model's context."""
        return (self.run.info.context or 2**20) - getattr(self.tuned, "num_virtual_tokens", 0)

    def encoding(self, roles: dict[str, str] | None = None, system: str = "", learned: bool = False) -> Encoding:
        """Return how rows and prompts become tokens. Use `learned` if it matters which tokens are learned."""
        data = self.run.spec.data if roles is None else self.run.spec.data.model_copy(update={"roles": roles})
        config = self.config.model_copy(update={"system_prompt": system}) if system else self.config
        return encoding_of(self.run.info, self.tokenizer, data, config, learned)

    def model_for(self, who: str) -> Any:
        """Return the model named `base` or `tuned`."""
        return self.tuned if who == "tuned" else self.base


class BaseModelCache:
    """Base models and tokenizers in memory. Each is freed with the last pair that uses it."""

    def __init__(self) -> None:
        self._models: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()

    def base(self, run: RunRef, head: Head) -> Any:
        """Return the base model of a run, with a head."""
        return self._cached("base", run, head, lambda: load_base(run.info, precision_of(run), head, run.trusted))

    def embedder(self, run: RunRef) -> Any:
        """Return the base model of a run, without a head."""
        return self._cached("embedder", run, None, lambda: load_embedder(run.info, precision_of(run), run.trusted))

    def tokenizer(self, run: RunRef) -> Any:
        """Return the tokenizer of a run's base model."""
        return self._cached("tokenizer", run, None, lambda: load_tokenizer(run.info, run.trusted))

    def _cached(self, kind: str, run: RunRef, head: Head | None, load: Callable[[], Any]) -> Any:
        key = (kind, run.info.model_dump_json(), precision_of(run), head, run.trusted)
        model = self._models.get(key)
        if model is None:
            self._models[key] = model = load()
        return model


def encoding_of(
    info: ModelInfo, tokenizer: Any, data: DatasetSpec, config: TrainingConfig, learned: bool = True
) -> Encoding:
    """Return how rows become tokens, the same for preview, training, evaluation and chat."""
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


def load_pair(run: RunRef, one_copy: bool | None = None, bases: BaseModelCache | None = None) -> ModelPair:
    """Load both models of a run. If `one_copy` is None, free memory decides."""
    folder = result_folder(run)
    head = head_of(run.info, run.spec.data)
    adapter, bases = folder.name == "adapter", bases or BaseModelCache()
    if one_copy is None:
        one_copy = not fits_in_memory(run, 2)
    one_copy = adapter and mergeable(folder) and one_copy
    if adapter and not mergeable(folder):
        base = bases.base(run, head)
        tuned = with_virtual_tokens(copy_sharing_weights(base), folder)
    elif one_copy:
        full_model = bases.base(run, head)
        tuned = load_adapter(copy_sharing_weights(full_model), folder)
        base = backbone_of(full_model) if head.single_pass else full_model
    else:
        tuned = load_tuned(run)
        base_has_head = not head.single_pass or (head.name == "spans" and has_qa_head(run.info))
        base = bases.base(run, head) if base_has_head else bases.embedder(run)
    return ModelPair(
        run=run,
        tokenizer=bases.tokenizer(run),
        tuned=tuned,
        base=base,
        one_copy=one_copy,
        how=how(run.spec.config, run.quantized),
    )


def copy_sharing_weights(model: Any) -> Any:
    """Return a copy of a model with its own modules that share the model's weights, for adding an adapter.

    The copy has its own parameters, so adapters that replace a base weight replace it in the copy alone.
    """
    import torch

    memo: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    memo |= {id(each): torch.nn.Parameter(each.data, requires_grad=False) for each in model.parameters()}
    return copy.deepcopy(model, memo)


def has_qa_head(info: ModelInfo) -> bool:
    """Return whether a base has a head for question answering."""
    return info.architecture.endswith("ForQuestionAnswering")


def load_tuned(run: RunRef) -> Any:
    """Load the fine-tuned model alone, merged if possible, as the merged export and the chat use it."""
    folder, precision = result_folder(run), precision_of(run)
    head = head_of(run.info, run.spec.data)
    if folder.name == "model":
        return load_full(run.info, folder, precision, head, run.trusted)
    return (merged if mergeable(folder) else with_virtual_tokens)(
        load_base(run.info, precision, head, run.trusted), folder
    )


def result_folder(run: RunRef) -> Path:
    """Return the run's adapter/ or model/ folder. Raise `StudioError` if there is none yet."""
    for name, mark in (("adapter", "adapter_config.json"), ("model", "config.json")):
        if (Path(run.folder) / name / mark).exists():
            return Path(run.folder) / name
    raise StudioError(
        "wrong-state",
        "This run has no fine-tuned model yet.",
        given=run.spec.config.name or Path(run.folder).name,
        hint="Wait until the run has finished, or resume it.",
    )


def precision_of(run: RunRef) -> str:
    """Return the number format of both models and of the merged export."""
    return run.spec.config.precision


def fits_in_memory(run: RunRef, copies: int) -> bool:
    """Return whether this many copies of the base's weights fit into free memory."""
    from studio.machine.facts import machine_facts

    weights = run.info.parameters * DTYPE_BYTES[precision_of(run)] or run.info.bytes
    return machine_facts().memory_available > copies * weights + MEMORY_RESERVE


def how(config: TrainingConfig, quantized: bool) -> str:
    """Return a note on how the fine-tuned model answers, if it needs one."""
    if quantized:
        bits = {"4-bit": "a 4-bit", "8-bit": "an 8-bit"}[config.quantization]
        return f"Trained on {bits} quantized copy of the base model. It answers without quantization."
    return ""


def backbone_of(model: Any) -> Any:
    """Return the layers of a model below its head, with or without an adapter."""
    return plain_model(model).base_model
