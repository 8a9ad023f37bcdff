"""Base models before they are loaded, and what runs need."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from studio.schema.base import FrozenModel

ModelSource = Literal["starter", "hub", "modelscope", "kaggle", "torchhub", "folder", "gguf", "keras", "tensorflow"]
ModelKind = Literal["causal", "encoder", "seq2seq", "other"]
BASE_KEYS = ("base_model_name_or_path", "tokenizer_name_or_path", "name_or_path", "_name_or_path")
"""Keys in the settings files of a saved model that can name the folder that its base model was loaded from."""


class ModelInfo(FrozenModel):
    """A base model as its own files (or the Hub) describe it."""

    name: str
    """How it is asked for: `starter-chat`, `owner/name`, `modelscope:owner/name`, or a folder's path."""
    title: str
    """A short name for people, for example `SmolLM2 135M`."""
    source: ModelSource
    """Where the model is from."""
    kind: ModelKind
    """What it does: generates (`causal`), encodes, or both (`seq2seq`)."""
    architecture: str = ""
    """Class name in config.json, for example `LlamaForCausalLM`."""
    path: str | None = None
    """Folder with the weights. None while they are not on this machine."""
    origin: str = ""
    """Where the weights are from: Hub id and revision, or the name of the package that carried them."""
    hub_id: str | None = None
    """Name on the Hub, used in exported adapters and cards in place of a path."""
    revision: str | None = None
    """Revision on the Hub."""
    parameters: int = 0
    """Number of parameters; 0: unknown."""
    bytes: int = 0
    """Size of the weights on disk or to be downloaded, in bytes."""
    licence: str = ""
    """License, as the Hub or the model card names it."""
    languages: tuple[str, ...] = ()
    """Codes of its languages."""
    context: int = 0
    """Longest input in tokens."""
    has_chat_template: bool = False
    """The tokenizer has a chat template."""
    gated: bool = False
    """The Hub gives it only to people who have accepted its terms."""
    downloads: int | None = None
    """Downloads in the last 30 days, as the Hub counts them."""
    here: bool = False
    """The weights are on this machine."""
    layers: int = 0
    """Number of layers."""
    hidden: int = 0
    """Hidden size."""
    intermediate: int = 0
    """Size of the feed-forward layers."""
    vocabulary: int = 0
    """Size of the vocabulary."""
    tasks: tuple[str, ...] = ()
    """Tasks that it can do, by name."""
    needs_trust: str = ""
    """Why loading it would run code or read pickled weights. Empty when it would not."""
    fingerprint: str = ""
    """Fingerprint of this code and these weights: the revision on the Hub, or a hash of the files."""
    quantized: str = ""
    """The library that has quantized its weights, for example `bitsandbytes` or `gptq`. Empty: not quantized."""
    tools: str = ""
    """Name of the environment with the converter that it needs before it is on this machine. Empty: none."""
    note: str = ""
    """A note for people, for example that the starter's weights differ from the original."""

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, values: Any) -> Any:
        former = isinstance(values, Mapping) and "quantised" in values  # as earlier versions wrote it
        return {"quantized" if name == "quantised" else name: values[name] for name in values} if former else values

    @property
    def is_described(self) -> bool:
        """Whether it is known what it can do. Search results of some sources do not say it."""
        return self.kind != "other" or bool(self.architecture) or self.here

    @property
    def is_converted(self) -> bool:
        """Whether it is brought to this machine by converting files of this machine, and not by a download."""
        return self.source in ("gguf", "keras", "tensorflow")


class Measured(FrozenModel):
    """Memory and speed of a few real steps of a planned run."""

    memory_bytes: int
    """Peak memory in bytes."""
    tokens_per_second: float
    """Training speed."""
    steps: int
    """Number of measured steps."""


class ProcessMemory(FrozenModel):
    """What each of several processes would take at its peak. Sizes in bytes."""

    way: str
    """`One process`, `Data parallel`, `ZeRO-1` …"""
    zero: int
    """ZeRO stage."""
    fsdp: bool = False
    """With FSDP."""
    processes: int
    """Number of processes."""
    sentence: str
    """What the processes share."""
    process_bytes: int
    """Of one process."""
    memory_bytes: int
    """Of all processes together, with the one that starts them."""
    chosen: bool = False
    """The run uses this one."""
    unavailable_reason: str = ""
    """Why it can't be used. Empty when it can."""


class Estimate(FrozenModel):
    """What a run would take, before it starts. Sizes in bytes, time in seconds."""

    fits: bool
    """It fits the available memory."""
    memory_bytes: int
    """Peak memory of the run."""
    available_bytes: int
    """Memory that a run can use."""
    seconds: float
    """Working time, without waiting in the queue and without pauses."""
    low_seconds: float = 0.0
    """In nine of ten cases the time is between this and `high_seconds`."""
    high_seconds: float = 0.0
    time_because: tuple[str, ...] = ()
    """What the time is based on, a sentence each."""
    steps: int
    """Optimizer steps."""
    epochs: float
    """Epochs."""
    effective_batch_size: int
    """Rows of one optimizer step."""
    trainable_parameters: int
    """Number of trainable parameters."""
    total_parameters: int
    """Number of all parameters."""
    probed: bool = False
    """Memory and time were measured by a few real steps."""
    per_process: tuple[ProcessMemory, ...] = ()
    """Memory by process and stage of ZeRO."""
    beside_bytes: int = 0
    """Memory of the machine that offloading uses."""
    beside_available_bytes: int = 0
    """Memory of the machine."""
    disk_bytes: int = 0
    """Maximum disk space of its checkpoints and its result."""
    short: str = ""
    """Which memory is too small: that of the GPU, of the machine, or both. Empty when it fits."""
    because: tuple[str, ...] = ()
    """A sentence for each setting that was chosen: what, and why."""
