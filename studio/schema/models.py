"""What is known of a base model before it is loaded, and of what it needs."""

from typing import Literal

from studio.schema.base import FrozenModel

ModelSource = Literal["starter", "hub", "folder"]
ModelKind = Literal["causal", "encoder", "seq2seq", "other"]
BASE_KEYS = ("base_model_name_or_path", "tokenizer_name_or_path", "name_or_path", "_name_or_path")
"""Keys in the settings files of a saved model that can name the folder that its base model was loaded from."""


class ModelInfo(FrozenModel):
    """A base model as its own files (or the Hub) describe it."""

    name: str
    """How it is asked for: `starter-chat`, `owner/name`, or a folder's path."""
    title: str
    """A short name for people, `SmolLM2 135M` say."""
    source: ModelSource
    kind: ModelKind
    architecture: str = ""
    """Class name in config.json, `LlamaForCausalLM` say."""
    path: str | None = None
    """Folder with the weights; None while it is not here."""
    origin: str = ""
    """Where the weights are from: Hub id and revision, or the name of the package that carried them."""
    hub_id: str | None = None
    """Name on the Hub, used in exported adapters and cards in place of a path."""
    revision: str | None = None
    parameters: int = 0
    bytes: int = 0
    """Size of the weights on disk or to be downloaded, in bytes."""
    licence: str = ""
    languages: tuple[str, ...] = ()
    context: int = 0
    """Longest input in tokens."""
    has_chat_template: bool = False
    gated: bool = False
    downloads: int | None = None
    here: bool = False
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    vocabulary: int = 0
    tasks: tuple[str, ...] = ()
    """Tasks that it can do, by name."""
    needs_trust: str = ""
    """Why loading it would run code or unpickle (empty: it would not)."""
    fingerprint: str = ""
    """What that code and those pickles are known by: the revision on the Hub, or a sum of the files."""
    quantised: str = ""
    """What has put its weights into fewer bits already, `bitsandbytes` or `gptq` say; empty: nothing has."""
    note: str = ""
    """A sentence that a person should know, the starter's differing weights, say."""


class Measured(FrozenModel):
    """What a few real steps of a planned run took."""

    memory_bytes: int
    tokens_per_second: float
    steps: int


class ProcessMemory(FrozenModel):
    """What each of several processes would take at its peak. Sizes in bytes."""

    way: str
    """`One process`, `Data parallel`, `ZeRO-1` …"""
    zero: int
    fsdp: bool = False
    processes: int
    sentence: str
    process_bytes: int
    memory_bytes: int
    """Of all processes together, with the one that starts them."""
    chosen: bool = False
    unavailable_reason: str = ""


class Estimate(FrozenModel):
    """What a run would take, before it starts. Sizes in bytes, time in seconds."""

    fits: bool
    memory_bytes: int
    available_bytes: int
    seconds: float
    steps: int
    epochs: float
    effective_batch_size: int
    trainable_parameters: int
    total_parameters: int
    probed: bool = False
    """Memory and time were measured by a few real steps."""
    per_process: tuple[ProcessMemory, ...] = ()
    """Memory by process and stage of ZeRO."""
    beside_bytes: int = 0
    """Of the machine's own memory, what is held there in place of the GPUs'."""
    beside_available_bytes: int = 0
    disk_bytes: int = 0
    """What its checkpoints and its result take on the disk at most."""
    short: str = ""
    """Which memory is short, the GPU's or the machine's or both; empty when it fits."""
    because: tuple[str, ...] = ()
    """One sentence for each setting that was chosen: what, and why."""
