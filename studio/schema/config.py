"""Everything a run was asked to do: one frozen model from which forms, flags, docs and checks are derived."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

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
ZERO_WORDS = ("0 · nothing: plain data parallel", "1 · optimizer", "2 · optimizer and gradients", "3 · weights, too")
OFFLOAD_WORDS = ("where it is computed", "in the machine’s memory", "on its disk (NVMe)")


def _whole_number(value: Any) -> Any:
    """A number as it is typed, which a closed set of numbers would not take."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class TrainingConfig(FrozenModel):
    """All settings of a run, each with a value. `Plan` says why each is what it is."""

    task: str
    """What the model should do."""
    model: str
    """The base model: a starter, a Hub name or a folder."""
    method: str = DEFAULT_METHOD
    """How the model learns."""
    preset: str = "balanced"
    """Where the values that were not set by hand come from."""
    name: str = Field(default="", max_length=120)
    """What the run is called."""

    epochs: float = setting(
        3.0, About("learning", "Passes over the rows", "num_train_epochs", "passes", "basic"), gt=0, le=1000
    )
    """How often the model reads every row."""
    max_steps: int = setting(0, About("learning", "Most steps", "max_steps", "steps"), ge=0, le=10_000_000)
    """Ends after this many steps, where the passes have not ended before; 0 leaves it to the passes."""
    max_minutes: float = setting(0.0, About("learning", "Longest time", "", "minutes"), ge=0, le=1_000_000)
    """Stops after so many minutes at work and keeps the best step so far; 0 sets no limit. Resumed, it has as many."""
    learning_rate: float = setting(2e-4, About("learning", "Learning rate", "learning_rate", "", "basic"), gt=0, le=0.1)
    """How far each step moves the weights. Too high and the loss jumps, too low and nothing happens."""
    batch_size: int = setting(
        4, About("learning", "Rows at once", "per_device_train_batch_size", "rows", "basic"), ge=1, le=1024
    )
    """Rows that are read together in one go; more needs more memory."""
    gradient_accumulation: int = setting(
        1, About("learning", "Goes before a step", "gradient_accumulation_steps", "batches"), ge=1, le=1024
    )
    """Batches added up before the weights move: a larger batch in the same memory."""
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting(
        "cosine", About("learning", "Course of the rate", "lr_scheduler_type")
    )
    """How the learning rate changes from the first step to the last."""
    warmup_share: float = setting(0.05, About("learning", "Warm-up", "warmup_steps", "share of steps"), ge=0, lt=1)
    """Share of the steps over which the rate rises from zero."""
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
    """What turns gradients into steps. Most others save memory in full training; some need a GPU or a library."""
    loraplus_ratio: float = setting(
        1.0, About("learning", "Rate of the second side", "loraplus_lr_ratio", "times", by_method=True), ge=1, le=64
    )
    """LoRA+: how much faster the adapter's second matrix learns; 16 is usual, 1 is plain LoRA."""
    layer_decay: float = setting(
        1.0, About("learning", "Rate of each layer below", "", "of the one above", by_method=True), gt=0, le=1
    )
    """Lower layers know most of the language and should move less: 0.9 for few rows, 1 for the same rate in all."""
    head_first: float = setting(
        0.0,
        About("learning", "Only the head learns for", "requires_grad", "share of steps", by_method=True, by_task=True),
        ge=0,
        lt=1,
    )
    """With few rows: the new layers for labels or answers learn alone at first, then all of the model; 0 is at once."""
    neftune_alpha: float = setting(0.0, About("learning", "Noise on words", "neftune_noise_alpha"), ge=0, le=100)
    """NEFTune: a little noise on what words mean, against learning replies by heart; 5 is usual, 0 is none."""
    weight_decay: float = setting(0.0, About("learning", "Weight decay", "weight_decay"), ge=0, le=1)
    """Pulls weights towards zero; a little of it works against learning by heart."""
    max_grad_norm: float = setting(1.0, About("learning", "Longest gradient", "max_grad_norm"), gt=0, le=1000)
    """Longer gradients are cut to this length, so that one odd row can't upset the model."""
    label_smoothing: float = setting(
        0.0, About("learning", "Label smoothing", "label_smoothing_factor", by_task=True), ge=0, le=0.5
    )
    """Share of certainty taken from the right label and spread over the others."""

    max_length: int = setting(512, About("data", "Longest row", "max_length", "tokens", "basic"), ge=16, le=131_072)
    """Rows with more tokens are cut here; the preview shows where."""
    validation_share: float | None = setting(
        None, About("data", "Kept for validation", "", "share of rows"), ge=0, le=0.5
    )
    """Share of the rows that picks the best step and is never learned from. Empty: by the number of rows."""
    test_share: float | None = setting(None, About("data", "Kept for the test", "", "share of rows"), ge=0, le=0.5)
    """Share of the rows that only Evaluate sees. Empty: by the number of rows."""
    group_column: str = setting("", About("data", "Rows that stay together", "", "column"), max_length=500)
    """Column of a customer, say: rows that are equal there are never in two parts. Empty: each row for itself."""
    time_column: str = setting("", About("data", "Time of a row", "", "column"), max_length=500)
    """Column of a date: the latest rows are kept for the test, those before them for validation. Empty: at random."""
    split_column: str = setting("", About("data", "Parts from the file", "", "column"), max_length=500)
    """Column of train, validation or test. Empty: such a column when the file has one; none: not looked at."""
    stable_splits: bool = setting(False, About("data", "Parts by content alone", ""))
    """A row stays in its part whatever rows are added, removed or moved; the shares are met less exactly."""
    replay: float = setting(0.0, About("data", "General rows mixed in", "", "share of rows"), ge=0, le=0.9)
    """Against forgetting: so large a part of what is learned from are rows of another dataset. 0.1 to 0.3 is usual."""
    replay_from: str = setting("", About("data", "General rows from", ""), max_length=200)
    """A dataset's id or a sample (sample:call-notes) whose rows are mixed in; its columns are matched by themselves."""
    group_by_length: bool = setting(True, About("data", "Rows of like length together", "train_sampling_strategy"))
    """Puts rows of like length in one batch: less padding, more speed."""
    packing: bool = setting(True, About("data", "Short texts share a row", "packing", by_task=True))
    """Fills rows up with several short texts, which do not see each other: fewer rows, more speed."""
    system_prompt: str = setting("", About("data", "System prompt", "", by_task=True), max_length=8000)
    """Put before every conversation that brings none of its own, and before what a model that chats is asked."""
    learn_replies: Literal["all", "last"] = setting("all", About("data", "Replies that are learned", "", by_task=True))
    """Of a conversation with several replies: all of them, or only the last, the others being read."""
    thinking: Literal["keep", "drop"] = setting("keep", About("data", "Thinking in replies", "", by_task=True))
    """What stands between <think> and </think>: learned with the reply, or left out."""
    instruction: str = setting("", About("data", "Instruction", "", by_task=True), max_length=2000)
    """Put before every text, for models that are told what to do. Empty: as the model knows it."""
    answer_length: int = setting(
        128, About("data", "Longest answer", "max_target_length", "tokens", by_task=True), ge=8, le=4096
    )
    """Longer answers are cut while learning; a model with a reader and a writer writes no more than this."""
    stride: int = setting(128, About("data", "Overlap of pieces", "stride", "tokens", by_task=True), ge=0, le=4096)
    """A long passage is read in pieces that share so many tokens, so that no answer is cut in two."""
    balance_labels: bool = setting(False, About("learning", "Rare labels count more", "class weights", by_task=True))
    """Each label counts as much as any other, however few rows it has: more rare ones are found, at some cost."""
    beta: float = setting(0.1, About("learning", "Tie to the base", "beta", by_task=True), gt=0, le=10)
    """How dearly the model pays for leaving the base: higher keeps it closer."""
    preference_loss: Literal["sigmoid", "ipo", "hinge"] = setting(
        "sigmoid", About("learning", "Kind of loss", "loss_type", by_task=True)
    )
    """sigmoid is DPO as published; ipo learns less by heart from few pairs; hinge ignores pairs that are clear."""

    start_from: str = setting("", About("adapter", "Begin with the result of", "", "run"), max_length=80)
    """An earlier run of the same base model, by its id or last: this run goes on from what that one learned."""
    lora_rank: int = setting(8, About("adapter", "Rank", "r", "", "basic", by_method=True), ge=1, le=1024)
    """Width of the adapter: more can learn more, and learns by heart sooner."""
    lora_alpha: int = setting(16, About("adapter", "Strength", "lora_alpha", by_method=True), ge=1, le=4096)
    """How strongly the adapter counts; twice the rank is usual."""
    lora_dropout: float = setting(0.0, About("adapter", "Dropout", "lora_dropout", by_method=True), ge=0, le=0.9)
    """Share of the adapter that is switched off at random in each step, against learning by heart."""
    lora_targets: Literal["all-linear", "attention"] = setting(
        "all-linear", About("adapter", "Layers with an adapter", "target_modules", by_method=True)
    )
    """All linear layers learn most; attention layers alone are quicker."""
    dropout: float | None = setting(
        None, About("adapter", "Dropout in the model", "hidden_dropout_prob", by_method=True), ge=0, le=0.9
    )
    """Share of what flows through the model that is left out at random, where it has such layers: BERT, T5 and GPT-2
    have, Llama has none. Empty: as it was made."""
    quantisation: Literal["4-bit", "8-bit"] = setting(
        "4-bit", About("adapter", "Base held in", "load_in_4bit, load_in_8bit", by_method=True)
    )
    """4 bits need least memory; 8 bits are more exact, for small models say, and slower on a processor."""
    virtual_tokens: int = setting(
        16, About("adapter", "Virtual tokens", "num_virtual_tokens", "tokens", "basic", by_method=True), ge=1, le=4096
    )
    """Made-up words before every text that learn what they should mean."""
    last_layers: int = setting(
        4, About("adapter", "Layers that learn", "", "layers", "basic", by_method=True), ge=1, le=1000
    )
    """How many of the last layers learn whole; all below stay as they are."""
    frozen_layers: int = setting(
        0,
        About("adapter", "Lowest layers frozen", "requires_grad", "layers", by_method=True),
        ge=0,
        le=1000,
    )
    """So many of the lowest layers do not learn, nor do the embeddings below them: less is forgotten, less to do."""

    precision: Literal["bfloat16", "float16", "float32"] = setting("bfloat16", About("memory", "Precision", "dtype"))
    """Number format of the base model's weights. Full fine-tuning keeps float32 weights whatever this says."""
    gradient_checkpointing: bool = setting(
        False, About("memory", "Save memory by computing twice", "gradient_checkpointing")
    )
    """Less memory for activations, about a third more time."""

    eval_steps: int = setting(0, About("checkpoints", "Check every", "eval_steps", "steps"), ge=0, le=10_000_000)
    """Steps between two looks at the validation rows; 0 works it out, one before the first step, one at the end."""
    eval_rows: int = setting(64, About("checkpoints", "Rows in a check", "", "rows"), ge=1, le=100_000)
    """The most validation rows in a check during training, always the same ones."""
    early_stopping_patience: int = setting(
        3, About("checkpoints", "Stop after rises", "early_stopping_patience", "checks", "basic"), ge=0, le=1000
    )
    """Stops when validation loss (and of labels the score) has not improved for so many checks; 0 never stops."""
    keep_best: bool = setting(True, About("checkpoints", "Keep the best step", "load_best_model_at_end"))
    """The result is the step with the lowest validation loss (of labels: the best macro F1), not the last."""

    watch_share: float = setting(0.1, About("checkpoints", "Time for your prompts", "", "share of the run"), ge=0, le=1)
    """Test prompts are answered again at each new best and at the last check, at others while all that takes no more of
    the run's time; 0: at the end only."""

    seed: int = setting(42, About("machine", "Seed", "seed"), ge=0, le=2**31 - 1)
    """The same seed, rows and settings give the same run again."""
    threads: int = setting(0, About("machine", "Threads", "torch.set_num_threads"), ge=0, le=1024)
    """Processor threads for training; 0 uses all cores that are free. Several processes share them out."""
    processes: int = setting(1, About("machine", "Processes", "torchrun --nproc-per-node", "", "basic"), ge=1, le=64)
    """How many processes learn together, each from its part of every step's rows: one for each GPU, or for a few cores
    of a processor, where it is no faster."""
    zero: Annotated[Literal[0, 1, 2, 3], BeforeValidator(_whole_number)] = setting(
        0, About("machine", "What they share out", "zero_optimization.stage", "", "basic", words=ZERO_WORDS)
    )
    """DeepSpeed's ZeRO: what of a run each process holds only a part of. More shared is less memory, and slower."""
    offload: Literal["none", "cpu", "nvme"] = setting(
        "none", About("machine", "What they share is held", "offload_optimizer, offload_param", words=OFFLOAD_WORDS)
    )
    """Of ZeRO: in the machine's memory or on its disk in place of the GPU's memory. Slower; on a processor alone the
    machine's memory is where it is anyway."""
    fsdp: bool = setting(False, About("machine", "Share weights out by FSDP", "fully_shard"))
    """PyTorch's own way for several GPUs to share weights out, in place of ZeRO-3. Pick it where DeepSpeed is missing,
    or for an optimizer or a method that ZeRO can't take."""
    mirror: Literal["none", "tensorboard", "trackio", "wandb", "mlflow"] = setting(
        "none", About("machine", "Curves sent to", "report_to")
    )
    """Another program that gets a run's numbers besides. Off unless chosen; wandb, and mlflow or trackio where they are
    set up so, send them to another machine."""
    test_prompts: tuple[str, ...] = Field(default=(), max_length=10)
    """Prompts answered by the base before the first step, and by the tuned model at checks and at the end."""

    @property
    def together(self) -> int:
        """Rows that are read at once by all processes."""
        return self.batch_size * self.processes

    @property
    def rows_a_step(self) -> int:
        """Rows after which the weights move."""
        return self.together * self.gradient_accumulation

    @model_validator(mode="after")
    def _across_fields(self) -> Self:
        shares = (self.validation_share or 0) + (self.test_share or 0)
        if shares > 0.8:
            raise ValueError(
                f"Validation share and test share together keep {100 * shares:g} % of the rows back; 80 % is the most"
            )
        return self


def settings_of(model: type[BaseModel] = TrainingConfig) -> list[str]:
    """Names of the fields that are settings for people, in the order of the page."""
    return [name for name, field in model.model_fields.items() if isinstance(field.json_schema_extra, dict)]


class Plan(FrozenModel):
    """A config with every value filled in, and why."""

    config: TrainingConfig
    because: tuple[str, ...]
    """A sentence for each value that was worked out."""
    changed: tuple[str, ...] = ()
    """Settings set by hand."""
