"""What a task must say: its roles, which models can do it, and what a row means to a model.

A task imports neither a trainer nor a metric: it names them. Preview, training, evaluation and chat all go through
`encode`, so that what a person is shown is what the model gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from studio.data.roles import Role
from studio.schema.models import ModelInfo

Row = Mapping[str, Any]
"""Column → value, as the file brought it."""
Turn = Mapping[str, Any]
"""One turn of a conversation: role and content."""
NOT_LEARNED = -100
"""The label of a token that a model reads and does not learn."""


@dataclass(frozen=True)
class Example:
    """A row as a model gets it: token ids, and which of them are learned.

    `labels` is as long as `input_ids`, -100 where nothing is learned; for classification it is one class number.
    """

    input_ids: list[int]
    labels: Any
    full_length: int
    """Tokens before the limit cut any."""
    learned: list[bool] = field(default_factory=list)
    label: str = ""
    goes_on: bool = False
    """What is beyond the limit is learned as well, in a piece of its own."""
    other: "Example | None" = None
    """Of a pair: the same conversation with the worse reply."""
    liked: bool = True
    """What people thought of the reply."""
    target: list[int] = field(default_factory=list)
    """What is written, where a model reads one sequence and writes another."""
    types: list[int] = field(default_factory=list)
    """Which of two texts a token is of, for models that are told."""
    offsets: list[Any] = field(default_factory=list)
    """Which letters of the passage a token stands for; None for a token of something else."""
    text: str = ""
    """The whole passage."""
    accepted: tuple[str, ...] = ()
    """All that is right to answer."""
    row: int = 0
    """Which row it is a piece of, where that matters to those who judge it."""
    parts: tuple[int, ...] = ()
    """Lengths of the documents that share this row, which don't see each other; empty: it is one."""

    @property
    def truncated(self) -> bool:
        return self.full_length > len(self.input_ids) and not self.goes_on

    @property
    def teaches(self) -> bool:
        """Whether anything of it is learned."""
        if self.other is not None and not self.other.teaches:
            return False
        return not isinstance(self.labels, list) or any(label != NOT_LEARNED for label in self.labels[1:])


@dataclass(frozen=True)
class Encoding:
    """What a task needs to encode a row: the model's tokenizer and the settings that change the outcome."""

    tokenizer: Any
    roles: Mapping[str, str]
    """Column → role."""
    max_length: int
    label_names: Sequence[str] = ()
    system_prompt: str = ""
    training_template: str | None = None
    """A chat template that marks the replies, where there is one for this model; else the task finds them itself."""
    kind: str = "causal"
    """The kind of the model (schema/models.py)."""
    architecture: str = ""
    instruction: str = ""
    """What the model is told before a text; empty: as the task has it."""
    answer_length: int = 128
    """The most tokens in what is written."""
    stride: int = 128
    """Tokens that two pieces of a long passage share."""
    learn_replies: str = "all"
    """`all` replies of a conversation are learned, or the `last`."""
    thinking: str = "keep"
    """What stands between <think> and </think> is learned (`keep`) or left out (`drop`)."""


@dataclass(frozen=True)
class Way:
    """How a task is done with a kind of model and with such columns, by registered names."""

    head: str
    """What the model ends in (inference/heads.py)."""
    trainer: str
    metrics: tuple[str, ...]
    best_metric: str
    templated: bool = False
    """What is asked is put into the model's chat template."""
    judge: str = ""
    """Who judges the result (evaluation/evaluate.py); empty: as the trainer is called."""


class Usual:
    """What most tasks have in common."""

    cuts = True
    """Rows longer than the limit lose their end."""
    packs = False
    """Short rows may share one."""
    sequences = 1
    """Sequences that a model reads of a row: two of a pair."""

    def missing(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """The required role that a row lacks."""
        return str(self.lacks(self.values(row, roles), roles))

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """The kind of problem (data/checks) of a row that lacks nothing and can't be learned from all the same."""
        return ""

    def examples(self: Any, row: Row, encoding: Encoding) -> list[Example]:
        """All that is learned from a row: one example."""
        return [self.encode(row, encoding)]

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Which of two texts each token is of; empty: the model is not told."""
        return []

    def text_of(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """The row's input."""
        return str(self.text_in(self.values(row, roles)))

    def expected(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """What the model should say to a row."""
        return str(self.expected_in(self.values(row, roles)))

    def accepted(self: Any, row: Row, roles: Mapping[str, str]) -> list[str]:
        """All that is right to answer."""
        return [self.expected(row, roles)]

    def opening(self: Any, row: Row, roles: Mapping[str, str]) -> Any:
        """What a model is asked when its answer is to be compared with the row's: the row's prompt."""
        return self.prompt_of(row, roles)


class Task(Protocol):
    """One kind of work. The attributes are read by the page, the command line, the services and the trainers."""

    name: str
    title: str
    sentence: str
    term: str
    """The field's own term, in small print."""
    sample_in: str
    sample_out: str
    roles: tuple[Role, ...]
    alternatives: tuple[tuple[str, ...], ...]
    """Sets of roles, each of which is enough."""
    has_labels: bool
    cuts: bool
    """Rows longer than the limit lose their end."""
    packs: bool
    """Short rows may share one."""
    sequences: int
    """Sequences that a model reads of a row: two of a pair."""
    trainer: str
    """Registered name of the trainer, in the usual way."""
    metrics: tuple[str, ...]
    """Registered names of the metrics, in the usual way."""
    best_metric: str

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Why the model can't do it; empty when it can."""
        ...

    def way(self, kind: str, roles: Mapping[str, str]) -> Way:
        """How it is done with this kind of model, and with columns of these roles."""
        ...

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """The row's values by role, cleaned (None where there is none)."""
        ...

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """The required role that cleaned values lack, or an empty string."""
        ...

    def missing(self, row: Row, roles: Mapping[str, str]) -> str:
        """The required role that the row lacks, or an empty string."""
        ...

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """The row as the model gets it in training; of a row in several pieces the first."""
        ...

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """The kind of problem of a row that lacks nothing and can't be learned from all the same; else empty."""
        ...

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """All pieces in which a row is learned."""
        ...

    def asked(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """What a new prompt is to the libraries: turns for a chat template, or a text (or a pair) to tokenize."""
        ...

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str | list[dict[str, Any]]:
        """What a row asks, for `prompt_ids`: a text, or the turns before the last reply."""
        ...

    def opening(self, row: Row, roles: Mapping[str, str]) -> Any:
        """What a model is asked when its answer is to be compared with what the row expects."""
        ...

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """A new prompt (or conversation) as the model gets it in chat and prediction."""
        ...

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Which of two texts each token of what is asked is of; empty: the model is not told."""
        ...

    def text_in(self, values: Mapping[str, Any]) -> str:
        """The input in a row's values, as a person reads it."""
        ...

    def text_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """The row's input."""
        ...

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """What the model should say to it, as a person reads it."""
        ...

    def expected(self, row: Row, roles: Mapping[str, str]) -> str:
        """What the model should say to a row."""
        ...

    def accepted(self, row: Row, roles: Mapping[str, str]) -> list[str]:
        """All that is right to answer; nothing where there is no answer."""
        ...

    def template(self, encoding: Encoding) -> str:
        """How a row is put together, for the preview."""
        ...


__all__ = ["NOT_LEARNED", "Encoding", "Example", "Role", "Row", "Task", "Turn", "Usual", "Way"]
