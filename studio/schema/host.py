"""Requests to the model host: one JSON document a line. host_responses.py has what it answers."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from studio.schema.base import FrozenModel
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitCounts
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings, Report
from studio.schema.runs import RunSpec


class RowsRef(FrozenModel):
    """Rows of a dataset."""

    path: str
    """The Parquet file."""
    numbers: tuple[int, ...] | None = None
    """Row numbers from 1. None: all rows."""


class RunRef(FrozenModel):
    """A run with all that the model host needs."""

    info: ModelInfo
    """The base model."""
    spec: RunSpec
    """The request of the run."""
    folder: str
    """The run's folder, with adapter/ or model/ in it."""
    trusted: bool = False
    """The owner of the machine allowed code or pickled weights for this model."""
    quantized: bool = False
    """The run was trained on a quantized base model."""
    learned_from: RowsRef | None = None
    """Rows that the run was trained on; among some of them a classifier's base guess looks for neighbors."""


class CardFacts(FrozenModel):
    """Facts for the model card that are not in the run's spec."""

    run: str
    """Id of the run."""
    name: str
    """Name of the run."""
    created: str = ""
    """ISO 8601 in UTC."""
    seconds: float | None = None
    """Training time in seconds."""
    dataset: str = ""
    """The data's name for people."""
    rows: int = 0
    """Rows of the dataset."""
    language: str = ""
    """Code of the language of most rows, for example `de`. Empty if unknown."""
    splits: SplitCounts | None = None
    """Rows in each split."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Metrics of the run, by name."""
    report: Report | None = None
    """The saved evaluation."""
    best_step: int | None = None
    """The step whose weights are the result."""
    steps: int = 0
    """Steps of the whole run."""
    settings: tuple[str, ...] = ()
    """Settings that the run's method and task use."""


class TrainingFacts(FrozenModel):
    """How a run was trained, for an export that repeats it."""

    splits: dict[str, RowsRef] = Field(default_factory=dict)
    """Split → its rows."""
    training_losses: dict[int, float] = Field(default_factory=dict)
    """Step → training loss."""
    validation_losses: dict[int, float] = Field(default_factory=dict)
    """Step → validation loss. Step 0 is the base model."""
    padded: bool | None = None
    """Whether batches were padded to their longest row. None: unknown."""
    steps: int = 0
    """Steps of the whole run."""

    def validation_interval(self, setting: int) -> int:
        """Return the steps between two validations: the setting, else the first step with one. At least 1."""
        return setting or min((step for step in self.validation_losses if step), default=1)


class Message(FrozenModel):
    """One turn of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str
    """The text. In an assistant's turn: of the fine-tuned model."""
    base: str | None = None
    """In an assistant's turn: the base model's reply."""

    def as_said_by(self, who: str) -> dict[str, str]:
        """The turn in the conversation of one of the models, `base` or `tuned`."""
        return {"role": self.role, "content": self.base if who == "base" and self.base is not None else self.content}


class Texts(FrozenModel):
    """The texts of a column."""

    rows: RowsRef
    """The rows that have the texts."""
    column: str
    """Name of the column."""
    folder: str
    """The folder that caches their embeddings."""


class Request(FrozenModel):
    """Fields of every request."""

    id: str
    """The id that the responses repeat."""
    workspace: str = ""
    """The workspace that asks. Requests of different workspaces take turns."""
    visitor: bool = False
    """A visitor of a demo asks: the fine-tuned models of visitors share the base model's weights."""
    seconds: float = 0
    """Time after which long work is ended; 0: no limit."""


class ForRun(Request):
    """A request to the base model and the fine-tuned model of a run."""

    run: RunRef
    """The run."""


class ForModel(Request):
    """A request to a base model or its tokenizer."""

    info: ModelInfo
    """The base model."""
    trusted: bool = False
    """The owner of the machine allowed code or pickled weights for this model."""


class ForEncoding(ForModel):
    """A request to encode rows as training does."""

    task: str
    """Name of the task."""
    roles: dict[str, str]
    """Column → role."""
    max_length: int = 512
    """Tokens after which rows are truncated."""
    system_prompt: str = ""
    """The system prompt of the run."""
    label_names: tuple[str, ...] = ()
    """Labels in the order of their class ids."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that change what the model sees, by name."""


class ForLabels(Request):
    """A request to train a small classifier on texts that were embedded before."""

    texts: Texts
    """The texts."""
    labels: dict[int, str]
    """Row → its label."""


class Load(ForRun):
    """Load both models, so that the next reply comes soon."""

    op: Literal["load"] = "load"


class Chat(ForRun):
    """Answer a conversation with both models."""

    op: Literal["chat"] = "chat"
    messages: tuple[Message, ...]
    """The conversation. The last turn is the user's."""
    settings: ChatSettings = ChatSettings()
    """How replies are generated."""
    prompt_tokens: int = 0
    """Maximum tokens of the conversation; 0: the context length of the model."""


class Classify(ForRun):
    """Labels and probabilities of a text, by both models."""

    op: Literal["classify"] = "classify"
    text: str
    """The text."""


class Predict(ForRun):
    """Predict rows. Batches are made of all of them, so the same rows always give the same predictions."""

    op: Literal["predict"] = "predict"
    rows: RowsRef
    """The rows."""
    known: tuple[int, ...] = ()
    """Numbers of rows that have a prediction already."""
    within: float | None = None
    """Seconds after which no further batch begins: the result has the predictions so far. None: no limit."""
    labels: bool = True
    """Also return the likeliest labels of each row."""
    base: bool = False
    """Predict with the base model."""
    roles: dict[str, str] | None = None
    """Column → role; None: as the run read its rows."""
    settings: ChatSettings = ChatSettings()
    """How replies are generated."""


class Evaluate(ForRun):
    """Evaluate both models on the same rows."""

    op: Literal["evaluate"] = "evaluate"
    rows: RowsRef
    """The rows."""
    split: str = "test"
    """`test`, `validation`, `test+validation` or `file`."""
    roles: dict[str, str] | None = None
    """Column → role; None: as the run read its rows."""


class FoldRef(FrozenModel):
    """The run of one fold of a cross-validation."""

    run: RunRef
    """The run that trained on the other folds."""
    name: str
    """Id of that run."""
    rows: RowsRef
    """The rows of the fold."""


class EvaluateFolds(Request):
    """Evaluate the model of each fold on the rows that it did not see, as one report."""

    op: Literal["evaluate_folds"] = "evaluate_folds"
    folds: tuple[FoldRef, ...]
    """The folds."""


class Export(ForRun):
    """Write the fine-tuned model for use elsewhere, load it again and compare."""

    op: Literal["export"] = "export"
    format: str
    """Name of the export format."""
    to: str
    """The folder to write."""
    facts: CardFacts
    """Facts for the model card."""
    zip: bool = True
    """Write a zip file beside the folder."""
    options: dict[str, str] = Field(default_factory=dict)
    """Chosen options: name → value."""
    training: TrainingFacts | None = None
    """How the run was trained, for formats that repeat it."""


class PreviewRow(ForEncoding):
    """The tokens of one row, as training gets them."""

    op: Literal["preview"] = "preview"
    row: dict[str, Any]
    """Column → cell."""
    number: int = 1
    """The row's number, from 1."""


class Lengths(ForEncoding):
    """The number of tokens of each row before truncation."""

    op: Literal["lengths"] = "lengths"
    rows: RowsRef
    """The rows."""


class FirstBatch(ForModel):
    """The first batch of a run that is not started, as its trainer makes it."""

    op: Literal["first_batch"] = "first_batch"
    config: TrainingConfig
    """The planned settings."""
    data: DatasetSpec
    """How the rows are read."""
    rows: RowsRef
    """Training rows."""


class CountTokens(ForModel):
    """The number of tokens of some texts."""

    op: Literal["count_tokens"] = "count_tokens"
    texts: tuple[str, ...]
    """The texts."""


class Embed(ForModel):
    """Compute the embeddings of texts and cache them."""

    op: Literal["embed"] = "embed"
    texts: Texts
    """The texts."""


class Suggest(ForLabels):
    """Suggest labels for the texts that have none."""

    op: Literal["suggest"] = "suggest"


class Write(ForModel):
    """A base model's replies to prompts, each a conversation of its own."""

    op: Literal["write"] = "write"
    prompts: tuple[str, ...]
    """The prompts."""
    settings: ChatSettings = ChatSettings()
    """How replies are generated."""


class JudgeLabels(ForLabels):
    """Find labels that are likely wrong."""

    op: Literal["judge_labels"] = "judge_labels"


class DrawCurve(ForLabels):
    """The score of the classifier by number of training rows."""

    op: Literal["draw_curve"] = "draw_curve"


class Stop(Request):
    """Cancel another request."""

    op: Literal["stop"] = "stop"
    target: str
    """Id of that request."""


class Unload(Request):
    """Unload the models of a run, or all."""

    op: Literal["unload"] = "unload"
    folder: str = ""
    """The run's folder. Empty: all models."""


class Ping(Request):
    """Whether the host responds, and which models it has loaded."""

    op: Literal["ping"] = "ping"


AnyRequest = Annotated[
    Load
    | Chat
    | Classify
    | Predict
    | Evaluate
    | EvaluateFolds
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


def request_line(request: AnyRequest) -> bytes:
    """A request as the host reads it. Half a character (a lone surrogate, which UTF-8 can't hold) becomes U+FFFD."""
    try:
        return request.model_dump_json().encode() + b"\n"
    except ValueError:
        text = json.dumps(request.model_dump(mode="json"), ensure_ascii=False)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
