"""What a worker says, appended to the store and read by id. Times are ISO 8601 in UTC, set by the store."""

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
    """Peak so far in bytes: of the GPU where one learns, else of the worker and its children."""
    epoch: float = 0.0
    tokens_per_second: float | None = None
    processor: float | None = None
    """Share of the processor's cores that this process kept busy since the step before, 0 to 1."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """What else the task tells of a step: rewards, say."""


class EvaluationEvent(FrozenModel):
    """Loss and the task's metrics on the validation rows."""

    kind: Literal["evaluation"] = "evaluation"
    step: int
    eval_loss: float
    metrics: dict[str, float] = Field(default_factory=dict)
    best: bool = False
    """The best so far: by the task's metric where checks tell it, else the lowest validation loss."""
    missed: dict[str, int] = Field(default_factory=dict)
    """Labels that no row was sorted under, with the number of rows that have them."""


class PhaseEvent(FrozenModel):
    """A new phase of the run begins, or a long one moves on (`done` of `total`, in `unit`)."""

    kind: Literal["phase"] = "phase"
    phase: str
    message: str = ""
    steps: int = 0
    """Steps of the whole run, known from the training phase on."""
    done: int | None = None
    total: int | None = None
    unit: str = ""


class ReadEvent(FrozenModel):
    """What was read before the first step, and how much of it was cut off."""

    kind: Literal["read"] = "read"
    trainer: str
    """What kind of loss the run has, by the registered name of its trainer."""
    learned: int
    """Rows that are learned from."""
    held: int
    """Validation rows of a check."""
    labels: int = 0
    """Labels of which one fits a row; 0 for other tasks."""
    cut: int = 0
    """Rows that lost their end to the longest row that is allowed."""
    lost: int = 0
    """Rows of which nothing was left to learn."""
    tokens: int = 0
    """Of all rows before any was cut."""
    cut_tokens: int = 0
    longest: int = 0
    """Tokens of the longest row."""
    room: int | None = None
    """The most tokens that the model can read at once, where it is known."""


class ReplyEvent(FrozenModel):
    """A test prompt answered: by the base at step 0, by the tuned model at checks and at the end."""

    kind: Literal["reply"] = "reply"
    step: int
    prompt: str
    text: str
    who: Literal["base", "tuned"]
    tokens: int = 0
    seconds: float = 0.0


class HeldRow(FrozenModel):
    """One validation row in a check."""

    row: int
    """Its place among the validation rows, from 1."""
    loss: float
    said: str
    """The likeliest label, all likely ones, or the score."""
    share: float | None = None
    """Probability of what is said."""
    right: str = ""
    """What is right, told once, with the check before the first step."""
    right_share: float | None = None
    """Probability of what is right."""
    text: str = ""
    """The row, told once."""


class HeldEvent(FrozenModel):
    """What a classifier says to the validation rows of a check."""

    kind: Literal["held"] = "held"
    step: int
    rows: tuple[HeldRow, ...]


class CheckpointEvent(FrozenModel):
    """A whole checkpoint lies on disk."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    name: str
    bytes: int = 0
    best: bool = False


class Action(FrozenModel):
    """Something that a button, or `studio coach --do`, does about an advice."""

    kind: Literal["stop", "repeat", "open"]
    """Stop and keep the best; a fresh run with a change; a tab of the page."""
    label: str
    changes: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Settings of the fresh run that differ from this one's."""
    tab: str = ""


class AdviceEvent(FrozenModel):
    """A word of the coach, or of the worker itself."""

    kind: Literal["advice"] = "advice"
    step: int
    title: str
    message: str
    """What is seen, with its numbers."""
    action: str = ""
    """What to do, in a sentence."""
    rule: str = ""
    """The rule that speaks; empty for the worker's own words."""
    severity: Literal["ok", "info", "warn", "error"] = "warn"
    """`ok` takes back what the rule said before."""
    why: str = ""
    """Why it matters."""
    actions: tuple[Action, ...] = ()


class StateEvent(FrozenModel):
    """The run changed its state, in the same transaction."""

    kind: Literal["state"] = "state"
    status: str
    message: str = ""


class ErrorEvent(FrozenModel):
    """Something went wrong, in plain words."""

    kind: Literal["error"] = "error"
    code: str
    message: str
    hint: str = ""
    field: str = ""
    """The setting concerned."""


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
        """As `studio show --json` prints it: id, time, kind and the event's own fields, side by side."""
        return {"id": self.id, "time": self.time, **self.event.model_dump()}
