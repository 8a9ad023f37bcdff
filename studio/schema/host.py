"""What is said to the model host and what it says: one JSON document a line, each of these nouns one kind of line."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from studio.schema.base import FrozenModel
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitCounts
from studio.schema.models import ModelInfo
from studio.schema.report import Answer, ChatSettings, Report
from studio.schema.runs import RunSpec


class RowsRef(FrozenModel):
    """Rows of a dataset: the Parquet file, and which of them (from 1; None: all)."""

    path: str
    numbers: tuple[int, ...] | None = None


class RunRef(FrozenModel):
    """A run with everything resolved, so that nothing has to be looked up."""

    info: ModelInfo
    spec: RunSpec
    folder: str
    """The run's folder, with adapter/ or model/ in it."""
    trusted: bool = False
    """The owner of the machine allowed code or pickled weights for this model."""
    quantized: bool = False
    """The run learned on a quantized copy of the base model."""
    learned_from: RowsRef | None = None
    """Rows that the run was trained on; among some of them a classifier's base guess looks for neighbours."""


class CardFacts(FrozenModel):
    """What a model card states that is not in the run's spec."""

    run: str
    name: str
    created: str = ""
    seconds: float | None = None
    dataset: str = ""
    """The data's name for people."""
    rows: int = 0
    splits: SplitCounts | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    report: Report | None = None
    best_step: int | None = None
    steps: int = 0
    settings: tuple[str, ...] = ()
    """Settings that the run's method and task use."""


class Message(FrozenModel):
    """One turn of a conversation."""

    role: str
    content: str
    base: str | None = None
    """In an assistant's turn: what the base said there, when `content` is what the tuned model said."""

    def as_said_by(self, who: str) -> dict[str, str]:
        """The turn as it stands in that model's own conversation."""
        return {"role": self.role, "content": self.base if who == "base" and self.base is not None else self.content}


class Request(FrozenModel):
    """Fields of every request: its id, and the workspace that asks."""

    id: str
    workspace: str = ""
    """Requests of different workspaces take turns."""
    visitor: bool = False
    """A visitor of a demo asks: the tuned model shares the weights of its base model with those of other visitors."""
    seconds: float = 0
    """Time after which long work is ended; 0: no limit."""


class Load(Request):
    """Load base and tuned, so that the next answer comes soon."""

    op: Literal["load"] = "load"
    run: RunRef


class Chat(Request):
    """Answer a conversation with both models, side by side."""

    op: Literal["chat"] = "chat"
    run: RunRef
    messages: tuple[Message, ...]
    settings: ChatSettings = ChatSettings()
    prompt_tokens: int = 0
    """Most tokens of the conversation; 0: as many as the model can read."""


class Classify(Request):
    """Labels and probabilities of a text, by both models."""

    op: Literal["classify"] = "classify"
    run: RunRef
    text: str


class Predict(Request):
    """A prediction for each row, into a file."""

    op: Literal["predict"] = "predict"
    run: RunRef
    rows: RowsRef
    out: str
    base: bool = False
    roles: dict[str, str] | None = None
    """Column → role; None: as the run read its rows."""
    settings: ChatSettings = ChatSettings()


class Evaluate(Request):
    """Judge base and tuned on the same rows."""

    op: Literal["evaluate"] = "evaluate"
    run: RunRef
    rows: RowsRef
    split: str = "test"
    roles: dict[str, str] | None = None


class Export(Request):
    """Write the tuned model for use elsewhere, load it again and compare."""

    op: Literal["export"] = "export"
    run: RunRef
    format: str
    to: str
    facts: CardFacts
    zip: bool = True


class PreviewRow(Request):
    """The tokens of one row, as training gets them."""

    op: Literal["preview"] = "preview"
    info: ModelInfo
    task: str
    row: dict[str, Any]
    roles: dict[str, str]
    number: int = 1
    max_length: int = 512
    system_prompt: str = ""
    label_names: tuple[str, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that change what the model sees, by name."""
    trusted: bool = False


class Lengths(Request):
    """How many tokens each row has before anything is cut."""

    op: Literal["lengths"] = "lengths"
    info: ModelInfo
    task: str
    rows: RowsRef
    roles: dict[str, str]
    max_length: int = 512
    system_prompt: str = ""
    label_names: tuple[str, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that change what the model sees, by name."""
    trusted: bool = False


class FirstBatch(Request):
    """The first batch of a run that is not started: what its trainer would read first."""

    op: Literal["first_batch"] = "first_batch"
    info: ModelInfo
    config: TrainingConfig
    data: DatasetSpec
    rows: RowsRef
    """Rows to learn from."""
    trusted: bool = False


class CountTokens(Request):
    """How many tokens some texts have."""

    op: Literal["count_tokens"] = "count_tokens"
    info: ModelInfo
    texts: tuple[str, ...]
    trusted: bool = False


class Texts(FrozenModel):
    """The texts of a column, and the folder in which their embeddings are kept."""

    rows: RowsRef
    column: str
    folder: str


class Embed(Request):
    """Read texts, so that labels can be suggested for them."""

    op: Literal["embed"] = "embed"
    info: ModelInfo
    texts: Texts
    trusted: bool = False


class Suggest(Request):
    """Learn from the rows that have a label, and say what the others could be."""

    op: Literal["suggest"] = "suggest"
    texts: Texts
    labels: dict[int, str]
    """Row → its label."""


class Write(Request):
    """A base model's replies to prompts, each a conversation of its own."""

    op: Literal["write"] = "write"
    info: ModelInfo
    prompts: tuple[str, ...]
    settings: ChatSettings = ChatSettings()
    trusted: bool = False


class JudgeLabels(Request):
    """Which labels are likely wrong, judged by a small classifier on texts that were read."""

    op: Literal["judge_labels"] = "judge_labels"
    texts: Texts
    labels: dict[int, str]


class DrawCurve(Request):
    """How well ever more of the labelled rows do."""

    op: Literal["draw_curve"] = "draw_curve"
    texts: Texts
    labels: dict[int, str]


class Stop(Request):
    """Cancel another request."""

    op: Literal["stop"] = "stop"
    target: str


class Unload(Request):
    """Let go of a run's models, or of all."""

    op: Literal["unload"] = "unload"
    folder: str = ""


class Ping(Request):
    """Is it there, and what does it keep?"""

    op: Literal["ping"] = "ping"


AnyRequest = Annotated[
    Load
    | Chat
    | Classify
    | Predict
    | Evaluate
    | Export
    | PreviewRow
    | Lengths
    | FirstBatch
    | CountTokens
    | Embed
    | Suggest
    | JudgeLabels
    | DrawCurve
    | Write
    | Stop
    | Unload
    | Ping,
    Field(discriminator="op"),
]
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)


class Ready(FrozenModel):
    """The first line: the host reads."""

    event: Literal["ready"] = "ready"
    pid: int


class Chunk(FrozenModel):
    """A piece of a reply; `text` is the whole reply so far."""

    event: Literal["chunk"] = "chunk"
    id: str
    who: Literal["base", "tuned"]
    text: str
    done: bool = False
    answer: Answer | None = None


class Moved(FrozenModel):
    """Long work moved on."""

    event: Literal["progress"] = "progress"
    id: str
    done: int
    total: int
    message: str = ""


class Done(FrozenModel):
    """A request is answered."""

    event: Literal["done"] = "done"
    id: str
    stopped: bool = False
    result: dict[str, Any] = Field(default_factory=dict)


class Failed(FrozenModel):
    """A request was refused or failed."""

    event: Literal["error"] = "error"
    id: str | None
    error: dict[str, Any]


AnySaid = Annotated[Ready | Chunk | Moved | Done | Failed, Field(discriminator="event")]
SAID: TypeAdapter[AnySaid] = TypeAdapter(AnySaid)


def request_line(request: AnyRequest) -> bytes:
    """A request as the host reads it. Half a character (a lone surrogate, which UTF-8 can't hold) becomes U+FFFD."""
    try:
        return request.model_dump_json().encode() + b"\n"
    except ValueError:
        text = json.dumps(request.model_dump(mode="json"), ensure_ascii=False)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
