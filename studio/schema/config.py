"""The settings of a run: one frozen model that defines forms, flags, docs and checks."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from studio.schema.base import FrozenModel
from studio.schema.fields import About, setting

GROUPS: dict[str, str] = {
    "learning": "Learning",
    "data": "Data",
    "adapter": "Adapter",
    "memory": "Memory",
    "checkpoints": "Checkpoints",
    "machine": "Machine",
}
"""Group → title, in the order of the page."""
DEFAULT_METHOD = "lora"
"""The method of a config that names none, as in files of settings: training/methods has an object of this name."""
MAX_SYSTEM_PROMPT = 8000
"""Characters."""
FORMER_NAMES = {"quantisation": "quantization"}
"""Names of settings in files and data folders of earlier versions → today's names."""
ZERO_WORDS = ("0 · nothing (data parallel)", "1 · optimizer states", "2 · and gradients", "3 · and weights")
OFFLOAD_WORDS = ("off (GPU memory)", "to the machine’s memory", "to its disk (NVMe)")


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under today's names, with those of earlier versions renamed."""
    return {FORMER_NAMES.get(name, name): value for name, value in values.items()}


def by_field_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by field name. Names may have dashes, as on the command line, or be those of earlier versions."""
    return with_current_names({name.replace("-", "_"): value for name, value in values.items()})


def _whole_number(value: Any) -> Any:
    """A number from digits that were typed: a `Literal` of numbers does not accept text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class TrainingConfig(FrozenModel):
    """All settings of a run, each with a value. `Plan` says why each is what it is."""

    task: str
    """What the model should learn to do."""
    model: str
    """The base model: a starter, a name on the Hub or a folder."""
    method: str = DEFAULT_METHOD
    """How the model is trained, for example lora."""
    preset: str = "balanced"
    """Where the values of settings that you did not set come from."""
    name: str = Field(default="", max_length=120)
    """The name of the run."""

    epochs: float = setting(3.0, About("learning", "Epochs", "num_train_epochs", "epochs", "basic"), gt=0, le=1000)
    """How often each training row is used. Raise it when the model still improves at the end. Lower it when it
    overfits."""
    max_steps: int = setting(0, About("learning", "Maximum steps", "max_steps", "steps"), ge=0, le=10_000_000)
    """Maximum number of steps. Training ends earlier when all epochs are done. 0: no limit."""
    max_minutes: float = setting(0.0, About("learning", "Time limit", "", "minutes"), ge=0, le=1_000_000)
    """Time limit in minutes. Training then stops and keeps the best checkpoint. A resumed run gets the full time again.
    0: no limit."""
    learning_rate: float = setting(2e-4, About("learning", "Learning rate", "learning_rate", "", "basic"), gt=0, le=0.1)
    """How much a step changes the weights. Lower it when the loss jumps. Raise it when the loss hardly falls."""
    batch_size: int = setting(
        4, About("learning", "Batch size", "per_device_train_batch_size", "rows", "basic"), ge=1, le=1024
    )
    """Rows that each process reads at a time. Raise it for speed on a GPU. Lower it when memory is short."""
    gradient_accumulation: int = setting(
        1, About("learning", "Gradient accumulation", "gradient_accumulation_steps", "batches"), ge=1, le=1024
    )
    """Batches that are added up for one step. Raise it for a larger effective batch size in the same memory."""
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting(
        "cosine", About("learning", "Learning-rate schedule", "lr_scheduler_type")
    )
    """How the learning rate changes during training. cosine and linear lower it towards the end. constant keeps it."""
    warmup_share: float = setting(0.05, About("learning", "Warm-up", "warmup_steps", "share of steps"), ge=0, lt=1)
    """Share of steps with a rising learning rate. It rises from zero at the start of training. Raise it when the loss
    jumps there."""
    optimizer: Literal[
        "adamw",
        "adafactor",
        "adamw-8bit",
        "lion",
        "lion-8bit",
        "ademamix",
        "ademamix-8bit",
        "rmsprop",
        "adagrad",
        "sgd",
        "stable-adamw",
        "schedule-free",
        "paged-adamw",
        "paged-adamw-8bit",
        "paged-lion",
        "paged-lion-8bit",
        "paged-ademamix",
        "paged-ademamix-8bit",
    ] = setting("adamw", About("learning", "Optimizer", "optim"))
    """The algorithm that changes the weights. Most of the others need less memory in full fine-tuning than adamw. Some
    need a GPU or a library."""
    loraplus_ratio: float = setting(
        1.0, About("learning", "LoRA+ learning-rate ratio", "loraplus_lr_ratio", "times", by_method=True), ge=1, le=64
    )
    """Learning rate of matrix B relative to matrix A. An adapter consists of these two. 16 is usual. 1 is plain
    LoRA."""
    layer_decay: float = setting(
        1.0,
        About("learning", "Layer-wise learning-rate decay", "", "times the layer above", by_method=True),
        gt=0,
        le=1,
    )
    """Learning rate relative to the layer above. 0.9 protects what lower layers know, with few rows. 1: the same rate
    in all layers."""
    head_first: float = setting(
        0.0,
        About("learning", "Head-only training", "requires_grad", "share of steps", by_method=True, by_task=True),
        ge=0,
        lt=1,
    )
    """Share of steps that train only the head. The head is the new layers for labels or answers. Try it with few rows.
    0: off."""
    neftune_alpha: float = setting(
        0.0, About("learning", "Embedding noise (NEFTune)", "neftune_noise_alpha"), ge=0, le=100
    )
    """Adds noise to the token embeddings. Try 5 when the model memorizes replies. 0: off."""
    weight_decay: float = setting(0.0, About("learning", "Weight decay", "weight_decay"), ge=0, le=1)
    """Each step pulls the weights towards zero. Raise it when the model overfits."""
    max_grad_norm: float = setting(1.0, About("learning", "Gradient clipping", "max_grad_norm"), gt=0, le=1000)
    """Longer gradients are cut to this norm. Then one unusual row can't upset the model. Lower it when the loss
    jumps."""
    label_smoothing: float = setting(
        0.0, About("learning", "Label smoothing", "label_smoothing_factor", by_task=True), ge=0, le=0.5
    )
    """Certainty that the other labels get. It is a share, taken from the correct label. Raise it when the model is too
    sure. 0: off."""

    max_length: int = setting(512, About("data", "Maximum length", "max_length", "tokens", "basic"), ge=16, le=131_072)
    """Maximum number of tokens in a row. Longer rows are truncated. Raise it when that happens to many rows. Lower it
    to save memory and time."""
    validation_share: float | None = setting(None, About("data", "Validation split", "", "share of rows"), ge=0, le=0.5)
    """Share of the rows for validation. They choose the best checkpoint and are not trained on. Empty: chosen by the
    number of rows."""
    test_share: float | None = setting(None, About("data", "Test split", "", "share of rows"), ge=0, le=0.5)
    """Share of the rows for the test set. Only Evaluate uses them. Empty: chosen by the number of rows."""
    group_column: str = setting("", About("data", "Group column", "", "column"), max_length=500)
    """A column that groups rows. Rows with the same value stay in one split, for example all rows of a customer. Empty:
    no groups."""
    time_column: str = setting("", About("data", "Time column", "", "column"), max_length=500)
    """A column with dates. The latest rows become the test set, and the rows before them the validation set. Empty:
    random splits."""
    split_column: str = setting("", About("data", "Split column", "", "column"), max_length=500)
    """A column with the splits. Its values are train, validation or test. Empty: automatic. A file's own split column
    is then used. none: it is ignored."""
    stable_splits: bool = setting(False, About("data", "Stable splits", ""))
    """Each row keeps its split when you add or remove rows. The sizes of the splits are then less exact."""
    replay: float = setting(0.0, About("data", "Replay data", "", "share of rows"), ge=0, le=0.9)
    """Share of rows from another dataset. They help the model to forget less. 0.1 to 0.3 is usual. 0: off."""
    replay_from: str = setting("", About("data", "Replay source", ""), max_length=200)
    """Where replay rows come from. Give the id of a dataset, or a sample (sample:call-notes). The columns are matched
    automatically."""
    group_by_length: bool = setting(True, About("data", "Group by length", "train_sampling_strategy"))
    """Puts rows of similar length into one batch. Less padding makes training faster."""
    packing: bool = setting(True, About("data", "Packing", "packing", by_task=True))
    """Puts several short texts into one row. They don't see each other. Fewer rows make training faster."""
    system_prompt: str = setting("", About("data", "System prompt", "", by_task=True), max_length=MAX_SYSTEM_PROMPT)
    """Begins each conversation. A conversation with a system prompt of its own keeps that. Chat uses it, too.
    Empty: that of the rows, where all have the same."""
    learn_replies: Literal["all", "last"] = setting("all", About("data", "Replies to train on", "", by_task=True))
    """Which replies of a conversation are trained on. all: every reply. last: only the last one."""
    thinking: Literal["keep", "drop"] = setting("keep", About("data", "Reasoning in replies", "", by_task=True))
    """The text between <think> and </think>. keep: train on it with the reply. drop: leave it out."""
    instruction: str = setting("", About("data", "Instruction", "", by_task=True), max_length=2000)
    """Placed before each text. It is for models that follow instructions. Empty: the instruction that the model was
    made with."""
    answer_length: int = setting(
        128, About("data", "Maximum answer length", "max_target_length", "tokens", by_task=True), ge=8, le=4096
    )
    """Longer answers are truncated in training. Encoder-decoder models also write no more than this."""
    stride: int = setting(128, About("data", "Window overlap", "stride", "tokens", by_task=True), ge=0, le=4096)
    """Tokens that two windows of a long text share. The model reads a long text in windows. Raise it for long answers,
    so that none is cut in two."""
    balance_labels: bool = setting(
        False, About("learning", "More weight on rare labels", "class weights", by_task=True)
    )
    """All labels count the same, however few rows they have. Rare labels are found more often, at some cost."""
    beta: float = setting(0.1, About("learning", "Stay close to the base model", "beta", by_task=True), gt=0, le=10)
    """How close the model stays to the base model. Raise it when replies get worse. Lower it when too little
    changes."""
    preference_loss: Literal["sigmoid", "ipo", "hinge"] = setting(
        "sigmoid", About("learning", "Preference loss", "loss_type", by_task=True)
    )
    """The loss for preference pairs. sigmoid is the original DPO loss. ipo overfits less with few pairs. hinge ignores
    pairs that are already clear."""

    start_from: str = setting("", About("adapter", "Start from run", "", "run"), max_length=80)
    """An earlier run, or last. Training starts from its result. Both need the same base model. Empty: the base
    model."""
    lora_rank: int = setting(8, About("adapter", "Rank", "r", "", "basic", by_method=True), ge=1, le=1024)
    """Size of the adapter. Raise it when the model underfits. Lower it when the model overfits or memory is short."""
    lora_alpha: int = setting(16, About("adapter", "Adapter strength", "lora_alpha", by_method=True), ge=1, le=4096)
    """How strongly the adapter changes the base model. Twice the rank is usual."""
    lora_dropout: float = setting(
        0.0, About("adapter", "Adapter dropout", "lora_dropout", by_method=True), ge=0, le=0.9
    )
    """Share of the adapter that is switched off at random. Raise it when the model overfits."""
    lora_targets: Literal["all-linear", "attention"] = setting(
        "all-linear", About("adapter", "Layers with an adapter", "target_modules", by_method=True)
    )
    """Which layers get an adapter. all-linear can learn the most. attention is faster."""
    dropout: float | None = setting(
        None, About("adapter", "Model dropout", "hidden_dropout_prob", by_method=True), ge=0, le=0.9
    )
    """Share of activations that are dropped. They are chosen at random. BERT, T5 and GPT-2 have such layers, Llama has
    none. Empty: the model's own."""
    quantization: Literal["4-bit", "8-bit"] = setting(
        "4-bit", About("adapter", "Quantization", "load_in_4bit, load_in_8bit", by_method=True)
    )
    """Bits for each weight of the base model. 4-bit needs the least memory. 8-bit is more exact, but slower on a
    CPU."""
    virtual_tokens: int = setting(
        16, About("adapter", "Virtual tokens", "num_virtual_tokens", "tokens", "basic", by_method=True), ge=1, le=4096
    )
    """Trainable tokens before each text. Raise it when the model underfits."""
    last_layers: int = setting(
        4, About("adapter", "Trainable layers", "", "layers", "basic", by_method=True), ge=1, le=1000
    )
    """How many of the last layers are trained. The layers below stay as they are. Raise it when the model underfits."""
    frozen_layers: int = setting(
        0,
        About("adapter", "Frozen layers", "requires_grad", "layers", by_method=True),
        ge=0,
        le=1000,
    )
    """How many of the first layers are not trained. From 1 on, this includes the embeddings. Raise it to forget less
    and save time."""

    precision: Literal["bfloat16", "float16", "float32"] = setting("bfloat16", About("memory", "Precision", "dtype"))
    """Format of the weights. bfloat16 needs half the memory of float32. In full fine-tuning, adamw keeps float32
    copies."""
    gradient_checkpointing: bool = setting(False, About("memory", "Gradient checkpointing", "gradient_checkpointing"))
    """Computes parts of the model twice to save memory. Training takes about a third longer."""

    eval_steps: int = setting(
        0, About("checkpoints", "Validation interval", "eval_steps", "steps"), ge=0, le=10_000_000
    )
    """Validates every N steps. Training also validates before the first step and at the end. 0: automatic."""
    eval_rows: int = setting(64, About("checkpoints", "Rows per validation", "", "rows"), ge=1, le=100_000)
    """Maximum number of rows per validation. They are always the same. More rows are slower but more exact."""
    early_stopping_patience: int = setting(
        3,
        About("checkpoints", "Early stopping patience", "early_stopping_patience", "validations", "basic"),
        ge=0,
        le=1000,
    )
    """Validations to wait for an improvement. Training stops after this many without one. Raise it when the validation
    loss is noisy. 0: off."""
    keep_best: bool = setting(True, About("checkpoints", "Keep the best checkpoint", "load_best_model_at_end"))
    """The result is the best checkpoint, not the last one. The best has the lowest validation loss. For labels, it has
    the highest macro F1."""

    watch_share: float = setting(0.1, About("checkpoints", "Time for test prompts", "", "share of the run"), ge=0, le=1)
    """Share of the run's time for test prompts. The model answers them at each new best validation and at the end.
    Other validations do so within this share. 0: only at the end."""

    seed: int = setting(42, About("machine", "Seed", "seed"), ge=0, le=2**31 - 1)
    """Start value of all random choices. On the same machine, the same seed, rows and settings give the same run."""
    threads: int = setting(0, About("machine", "CPU threads", "torch.set_num_threads"), ge=0, le=1024)
    """CPU threads for training. 0: all free cores. Several processes share them."""
    processes: int = setting(1, About("machine", "Processes", "torchrun --nproc-per-node", "", "basic"), ge=1, le=64)
    """Processes that train together, one per GPU. Each trains on its part of the rows of a step. On a CPU, more are not
    faster."""
    zero: Annotated[Literal[0, 1, 2, 3], BeforeValidator(_whole_number)] = setting(
        0, About("machine", "ZeRO stage", "zero_optimization.stage", "", "basic", words=ZERO_WORDS)
    )
    """What ZeRO splits between the processes. It needs DeepSpeed. A higher stage needs less memory in each process, but
    is slower."""
    offload: Literal["none", "cpu", "nvme"] = setting(
        "none", About("machine", "Offloading", "offload_optimizer, offload_param", words=OFFLOAD_WORDS)
    )
    """Keeps what ZeRO splits outside the GPU. cpu: in the machine's memory. nvme: on its disk. This saves GPU memory,
    but is slower. Without a GPU, `cpu` has no effect."""
    fsdp: bool = setting(False, About("machine", "Shard weights with FSDP", "fully_shard"))
    """Splits the weights between GPUs with PyTorch instead of ZeRO-3. Use it without DeepSpeed, or for an optimizer or
    method that ZeRO does not support."""
    mirror: Literal["none", "tensorboard", "trackio", "wandb", "mlflow"] = setting(
        "none", About("machine", "Experiment tracker", "report_to")
    )
    """A program that also gets the run's curves. wandb sends them to another machine. mlflow and trackio can do so,
    too."""
    test_prompts: tuple[str, ...] = Field(default=(), max_length=10)
    """Prompts that the base model answers before the first step, and the fine-tuned model at validations and at the
    end."""

    @property
    def together(self) -> int:
        """Rows that all processes read at the same time."""
        return self.batch_size * self.processes

    @property
    def rows_a_step(self) -> int:
        """Rows of one optimizer step: the effective batch size."""
        return self.together * self.gradient_accumulation

    @property
    def validation_chooses(self) -> bool:
        """Whether the validation rows decide which step is the result. Then they are no test of it."""
        return self.keep_best or self.early_stopping_patience > 0

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, values: Any) -> Any:
        return with_current_names(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _across_fields(self) -> Self:
        shares = (self.validation_share or 0) + (self.test_share or 0)
        if shares > 0.8:
            raise ValueError(
                f"The validation and test splits together take {100 * shares:g}% of the rows. The maximum is 80%"
            )
        return self


def settings_of(model: type[BaseModel] = TrainingConfig) -> list[str]:
    """Names of the fields that people can set, in the order of the page."""
    return [name for name, field in model.model_fields.items() if isinstance(field.json_schema_extra, dict)]


class Plan(FrozenModel):
    """A config with every value filled in, and why."""

    config: TrainingConfig
    because: tuple[str, ...]
    """A sentence for each value that was chosen automatically."""
    changed: tuple[str, ...] = ()
    """Settings set by hand."""

    @field_validator("changed")
    @classmethod
    def _current_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(FORMER_NAMES.get(name, name) for name in names)
