"""The interface of a task: its roles, which models can do it, and how a row becomes tokens.

A task imports neither a trainer nor a metric; it refers to them by name. Preview, training, evaluation and chat all use
`encode`, so that the preview shows exactly what the model gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from studio.data.roles import Role
from studio.schema.models import ModelInfo

Row = Mapping[str, Any]
"""Column → value, as in the file."""
Turn = Mapping[str, Any]
"""One message of a conversation: role and content."""
IGNORE_INDEX = -100
"""The label of a token that does not count in the loss."""


@dataclass(frozen=True)
class Example:
    """One row as token ids, and which of them are learned.

    `labels` is as long as `input_ids`, with -100 for tokens that are not learned. For classification it is one class
    number.
    """

    input_ids: list[int]
    labels: Any
    full_length: int
    """Number of tokens before truncation."""
    learned: list[bool] = field(default_factory=list)
    label: str = ""
    goes_on: bool = False
    """The rest of the row is learned too, in further pieces."""
    other: "Example | None" = None
    """For a preference pair: the same conversation with the rejected reply."""
    liked: bool = True
    """For feedback: whether the reply got a thumb up."""
    target: list[int] = field(default_factory=list)
    """For an encoder–decoder model: the token ids of the output sequence."""
    types: list[int] = field(default_factory=list)
    """Token type ids, for models that distinguish two texts."""
    offsets: list[Any] = field(default_factory=list)
    """For each token, its characters in the passage as (start, end). None for tokens outside the passage."""
    text: str = ""
    """The whole passage."""
    accepted: tuple[str, ...] = ()
    """All correct answers."""
    row: int = 0
    """Number of the row of which this is a piece."""
    parts: tuple[int, ...] = ()
    """Lengths of the documents packed into this example, which do not attend to each other. Empty: one document."""

    @property
    def truncated(self) -> bool:
        return self.full_length > len(self.input_ids) and not self.goes_on

    @property
    def has_targets(self) -> bool:
        """Whether any token is learned."""
        if self.other is not None and not self.other.has_targets:
            return False
        return not isinstance(self.labels, list) or any(label != IGNORE_INDEX for label in self.labels[1:])


@dataclass(frozen=True)
class Encoding:
    """What a task needs to encode a row: the tokenizer and all settings that change the result."""

    tokenizer: Any
    roles: Mapping[str, str]
    """Column → role."""
    max_length: int
    label_names: Sequence[str] = ()
    system_prompt: str = ""
    training_template: str | None = None
    """A chat template that marks the replies, if there is one for this model. Otherwise the task finds the replies."""
    kind: str = "causal"
    """The kind of the model (schema/models.py)."""
    architecture: str = ""
    instruction: str = ""
    """The instruction before a text. Empty: the task's default."""
    answer_length: int = 128
    """Maximum number of tokens of an answer."""
    stride: int = 128
    """Number of tokens that two pieces of a long passage share."""
    learn_replies: str = "all"
    """Which replies of a conversation are learned: `all`, or only the `last`."""
    thinking: str = "keep"
    """Whether text between <think> and </think> is learned (`keep`) or removed (`drop`)."""


@dataclass(frozen=True)
class TaskVariant:
    """How a task works with one kind of model and certain columns, by registered names."""

    head: str
    """The head of the model (inference/heads.py)."""
    trainer: str
    """A module of studio/training/trainers, or the full name of a plugin's module with a function `build`."""
    metrics: tuple[str, ...]
    best_metric: str
    templated: bool = False
    """Prompts are put into the model's chat template."""
    judge: str = ""
    """The evaluator (evaluation/evaluate.py), or `package.module:function`. Empty: the one with the trainer's name."""
    loss: Literal["tokens", "labels", "spans", "preference"] = "tokens"
    """What the loss is about, for the coach."""


class TaskDefaults:
    """Defaults that most tasks share."""

    has_labels = False
    settings: tuple[str, ...] = ()
    example_roles: tuple[str, ...] = ()
    example_rows: tuple[tuple[str, ...], ...] = ()
    example_note = ""
    reads_as = ""
    prompt_noun = "texts"
    chat_hint = ""
    pipeline_tag = ""
    labeling = ""
    rate_factor = 1.0
    rate_reason = ""
    cuts = True
    """Rows longer than the maximum length are truncated."""
    packs = False
    """Short rows can be packed together."""
    sequences = 1
    """Number of sequences per row: two for preference pairs."""

    def missing(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """Return the required role that a row lacks, or ""."""
        return str(self.lacks(self.values(row, roles), roles))

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Return the kind of data check for a complete row that a model can't learn from, or ""."""
        return ""

    def unreadable_part(self, cell: Any) -> str:
        """Return what can't be read in a cell with several parts, for an error message. Empty: the cell as a whole."""
        return ""

    def examples(self: Any, row: Row, encoding: Encoding) -> list[Example]:
        """Return the examples of a row: here always one."""
        return [self.encode(row, encoding)]

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Return token type ids. Empty: the model does not use them."""
        return []

    def text_of(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """Return the input of a row as text."""
        return str(self.text_in(self.values(row, roles)))

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> Any:
        """Return the prompt of a row: here its input as text."""
        return self.text_of(row, roles)

    def expected(self: Any, row: Row, roles: Mapping[str, str]) -> str:
        """Return the expected output for a row."""
        return str(self.expected_in(self.values(row, roles)))

    def accepted(self: Any, row: Row, roles: Mapping[str, str]) -> list[str]:
        """Return all correct answers for a row."""
        return [self.expected(row, roles)]

    def comparison_prompt(self: Any, row: Row, roles: Mapping[str, str]) -> Any:
        """Return the prompt for comparing the model's answer with the row's: here the row's prompt."""
        return self.prompt_of(row, roles)


class Task(Protocol):
    """One task. Page, command line, services and trainers read these attributes."""

    name: str
    title: str
    sentence: str
    term: str
    """The standard term, shown in small print."""
    sample_in: str
    sample_out: str
    roles: tuple[Role, ...]
    alternatives: tuple[tuple[str, ...], ...]
    """Sets of roles, each of which suffices."""
    has_labels: bool
    settings: tuple[str, ...]
    """Settings that this task uses, of those that not all tasks use (`by_task` in schema/config.py)."""
    example_roles: tuple[str, ...]
    """The roles of the columns of the example on the Data tab."""
    example_rows: tuple[tuple[str, ...], ...]
    """Two example rows, a cell for each of `example_roles`."""
    example_note: str
    """A sentence below the example rows. Empty: none."""
    reads_as: str
    """What each row becomes, as a sentence: `each row becomes one prompt and one reply.`"""
    prompt_noun: str
    """What the test prompts are called: `prompts` or `texts`."""
    chat_hint: str
    """What a person should know before they ask both models something. Empty: nothing."""
    pipeline_tag: str
    """The pipeline tag of such models on the Hub. Empty: none."""
    labeling: str
    """How a person labels rows for this task (services/labeling/label_tasks.py). Empty: with labels."""
    rate_factor: float
    """Factor of the method's usual learning rate."""
    rate_reason: str
    """Why the learning rate differs from the method's, if it does."""
    cuts: bool
    """Rows longer than the maximum length are truncated."""
    packs: bool
    """Short rows can be packed together."""
    sequences: int
    """Number of sequences per row: two for preference pairs."""
    trainer: str
    """Registered name of the default trainer."""
    metrics: tuple[str, ...]
    """Registered names of the default metrics."""
    best_metric: str

    def unavailable_reason(self, model: ModelInfo) -> str:
        """Return why the model can't do this task, or "" if it can."""

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Return how this task works with this kind of model and these roles."""

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return the row's cleaned values by role. None for a missing value."""

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the required role that cleaned values lack, or ""."""

    def missing(self, row: Row, roles: Mapping[str, str]) -> str:
        """Return the required role that the row lacks, or ""."""

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the row as training uses it. For a row in several pieces, return the first."""

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Return the kind of data check for a complete row that a model can't learn from, or ""."""

    def examples(self, row: Row, encoding: Encoding) -> list[Example]:
        """Return all pieces of a row as training uses them."""

    def model_input(self, prompt: str | Sequence[Turn], encoding: Encoding) -> Any:
        """Return a new prompt for the tokenizer: messages for a chat template, or a text or pair of texts."""

    def prompt_of(self, row: Row, roles: Mapping[str, str]) -> str | list[dict[str, Any]]:
        """Return the prompt of a row, for `prompt_ids`: a text, or the messages before the last reply."""

    def comparison_prompt(self, row: Row, roles: Mapping[str, str]) -> Any:
        """Return the prompt for comparing the model's answer with the row's expected output."""

    def prompt_ids(self, prompt: str | Sequence[Turn], encoding: Encoding) -> list[int]:
        """Return the token ids of a new prompt or conversation, as in chat and prediction."""

    def types_of(self, ids: Sequence[int], encoding: Encoding) -> list[int]:
        """Return the token type ids of a prompt. Empty: the model does not use them."""

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the input in a row's values as text."""

    def text_of(self, row: Row, roles: Mapping[str, str]) -> str:
        """Return the input of a row as text."""

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the expected output in a row's values as text."""

    def expected(self, row: Row, roles: Mapping[str, str]) -> str:
        """Return the expected output for a row."""

    def accepted(self, row: Row, roles: Mapping[str, str]) -> list[str]:
        """Return all correct answers for a row. Empty if there is no answer."""

    def template(self, encoding: Encoding) -> str:
        """Return how a row is formatted, for the preview."""


__all__ = ["IGNORE_INDEX", "Encoding", "Example", "Role", "Row", "Task", "TaskDefaults", "TaskVariant", "Turn"]
