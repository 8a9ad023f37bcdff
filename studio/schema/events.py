"""Events of a worker, appended to the store and read by id. Times are ISO 8601 in UTC, set by the store."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from studio.schema.base import FrozenModel


class StepEvent(FrozenModel):
    """One optimizer step."""

    kind: Literal["step"] = "step"
    step: int
    loss: float
    learning_rate: float
    grad_norm: float | None = None
    rows_per_second: float
    memory_bytes: int
    """Peak memory so far in bytes: of the GPU that trains, else of the worker and its children."""
    epoch: float = 0.0
    tokens_per_second: float | None = None
    processor: float | None = None
    """Share of the CPU cores that this process used since the previous step, 0 to 1."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Other metrics of the task in a step, for example rewards."""
    delayed: float = 0.0
    """Seconds before this step in which the base model was measured."""


class EvaluationEvent(FrozenModel):
    """Loss and metrics on the validation set."""

    kind: Literal["evaluation"] = "evaluation"
    step: int
    eval_loss: float
    metrics: dict[str, float] = Field(default_factory=dict)
    best: bool = False
    """The best so far: by the task's metric where validations have it, else by validation loss."""
    missed: dict[str, int] = Field(default_factory=dict)
    """Labels that were predicted for no row, with the number of rows that have them."""


class PhaseEvent(FrozenModel):
    """A new phase of the run, or progress of a long one (`done` of `total`, in `unit`)."""

    kind: Literal["phase"] = "phase"
    phase: str
    message: str = ""
    steps: int = 0
    """Steps of the whole run. Known from the training phase on."""
    done: int | None = None
    total: int | None = None
    unit: str = ""


class ReadEvent(FrozenModel):
    """Facts about the data that was read before the first step, and about truncation."""

    kind: Literal["read"] = "read"
    trainer: str
    """The kind of loss: the registered name of the trainer."""
    learned: int
    """Training rows."""
    held: int
    """Validation rows that each validation uses."""
    labels: int = 0
    """Labels when each row has one; 0 for other tasks."""
    cut: int = 0
    """Rows that were truncated to the maximum length."""
    lost: int = 0
    """Rows that had nothing to learn after truncation."""
    tokens: int = 0
    """Share of tokens of all rows before truncation."""
    cut_tokens: int = 0
    longest: int = 0
    """Tokens of the longest row."""
    room: int | None = None
    """The context length of the model, if known."""
    padded: bool | None = None
    """Whether batches are padded to their longest row. None: not recorded."""


class ReplyEvent(FrozenModel):
    """A reply to a test prompt: of the base model at step 0, of the fine-tuned model at validations and at the end."""

    kind: Literal["reply"] = "reply"
    step: int
    prompt: str
    text: str
    who: Literal["base", "tuned"]
    tokens: int = 0
    seconds: float = 0.0


class HeldRow(FrozenModel):
    """One validation row in a validation."""

    row: int
    """Its number among the validation rows, from 1."""
    loss: float
    said: str
    """The prediction: the likeliest label, all likely ones, or the score."""
    share: float | None = None
    """Probability of the prediction."""
    right: str = ""
    """The correct value. Only in the validation before the first step."""
    right_share: float | None = None
    """Probability of the correct value."""
    text: str = ""
    """The text of the row. Only in the validation before the first step."""


class HeldEvent(FrozenModel):
    """Predictions of a classifier for the validation rows."""

    kind: Literal["held"] = "held"
    step: int
    rows: tuple[HeldRow, ...]


class CheckpointEvent(FrozenModel):
    """A complete checkpoint was saved."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    name: str
    bytes: int = 0
    best: bool = False


class Action(FrozenModel):
    """An action that a button, or `studio coach --do`, applies for an advice."""

    kind: Literal["stop", "repeat", "open"]
    """Stop and keep the best; a new run with changes; a tab of the page."""
    label: str
    changes: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Settings of the new run that differ from this one's."""
    tab: str = ""


class AdviceEvent(FrozenModel):
    """Advice of the coach, or of the worker itself."""

    kind: Literal["advice"] = "advice"
    step: int
    title: str
    message: str
    """What was observed, with numbers."""
    action: str = ""
    """What to do, in a sentence."""
    rule: str = ""
    """The rule that gives the advice. Empty for the worker's own advice."""
    severity: Literal["ok", "info", "warn", "error"] = "warn"
    """`ok` retracts the earlier advice of the rule."""
    why: str = ""
    """Why it matters."""
    actions: tuple[Action, ...] = ()


class StateEvent(FrozenModel):
    """The run changed its status. Saved in the same transaction."""

    kind: Literal["state"] = "state"
    status: str
    message: str = ""


class ErrorEvent(FrozenModel):
    """An error, in plain words."""

    kind: Literal["error"] = "error"
    code: str
    message: str
    hint: str = ""
    field: str = ""
    """The setting that caused it."""


AnyEvent = Annotated[
    StepEvent
    | EvaluationEvent
    | PhaseEvent
    | ReadEvent
    | ReplyEvent
    | HeldEvent
    | CheckpointEvent
    | AdviceEvent
    | StateEvent
    | ErrorEvent,
    Field(discriminator="kind"),
]
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


class StoredEvent(FrozenModel):
    """An event with its id (the cursor) and time."""

    id: int
    time: str
    event: AnyEvent

    def flat(self) -> dict[str, Any]:
        """The event as `studio show --json` prints it: id, time, kind and its own fields, in one object."""
        return {"id": self.id, "time": self.time, **self.event.model_dump()}
