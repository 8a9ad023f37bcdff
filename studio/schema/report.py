"""Results of evaluation, and replies of models."""

from pydantic import Field

from studio.schema.base import FrozenModel


class Metric(FrozenModel):
    """One metric of base and tuned on the same rows; `low` and `high` are of the tuned value, 95 % intervals all."""

    base: float | None
    """Value of the base model. None: it has none."""
    tuned: float
    """Value of the fine-tuned model."""
    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    """Upper end."""
    base_low: float | None = None
    """Lower end for the base model."""
    base_high: float | None = None
    """Upper end for the base model."""
    gain_low: float | None = None
    """Lower end of the interval of the gain."""
    gain_high: float | None = None
    """Ends of the interval of tuned less base, the same rows drawn for both."""
    higher_is_better: bool = True
    """Higher values are better."""
    title: str = ""
    """Name for people."""
    as_share: bool | None = None
    """Shown as a percentage; None in reports from before this was kept."""


class JudgedRow(FrozenModel):
    """A row with what was expected and what both said.

    `score` is what the rows were ranked by: for texts the tuned model's loss, for labels its probability of the right
    one, and for changed rows by how much the tuned is ahead of the base.
    """

    row: int
    """Row number, from 1."""
    text: str
    """The input."""
    expected: str
    """The correct output."""
    base: str
    """The base model's output."""
    tuned: str
    """The fine-tuned model's output."""
    score: float
    """The rank, as above."""


class Report(FrozenModel):
    """Base and tuned on rows that training never learned from."""

    rows: int
    """Number of evaluated rows."""
    split: str
    """`test`, `validation` or `file`."""
    metrics: dict[str, Metric]
    """Name → metric."""
    verdict: str
    """The result in a sentence."""
    per_label: dict[str, dict[str, float]] | None = None
    """Label → precision, recall, f1, rows."""
    confusion: dict[str, dict[str, int]] | None = None
    """Expected label → predicted label → rows."""
    best_rows: tuple[JudgedRow, ...] = ()
    """Rows with the best scores."""
    worst_rows: tuple[JudgedRow, ...] = ()
    """Rows with the worst scores."""
    changed_rows: tuple[JudgedRow, ...] = ()
    """Rows on which base and tuned differ most."""
    forgetting: dict[str, float] | None = None
    """Name → value of what was measured on general text."""
    robustness: dict[str, float] | None = None
    """Name → value of what was measured on changed inputs."""
    note: str = ""
    """What to know about the numbers."""


class LabelScore(FrozenModel):
    """A label with its probability, 0 to 1."""

    label: str
    """The label."""
    probability: float
    """Its probability, 0 to 1."""


class Answer(FrozenModel):
    """What one of the two models says: a text, or labels."""

    text: str = ""
    """The reply, or the likeliest label."""
    tokens: int = 0
    """Tokens of the reply."""
    seconds: float = 0.0
    """Time in seconds."""
    labels: tuple[LabelScore, ...] = ()
    """Labels, likeliest first. Empty for replies."""
    how: str = ""
    """How the answer came about, when it needs a word."""


class ChatSettings(FrozenModel):
    """The same for both panes."""

    system: str = ""
    """The system prompt."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Variety: 0 takes the likeliest word each time."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Word pool: only the likeliest words that together reach this share."""
    max_new_tokens: int = Field(default=160, ge=1, le=4096)
    """Length: the most tokens in a reply."""
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    """The same seed gives the same words again."""


class TokenView(FrozenModel):
    """One token as training gets it."""

    text: str
    """Its text."""
    id: int
    """Its id in the vocabulary."""
    learned: bool
    """It counts for the loss."""


class Preview(FrozenModel):
    """What the model sees of one row."""

    text: str
    """The input as one text."""
    tokens: tuple[TokenView, ...]
    """Its tokens."""
    truncated: bool
    """Tokens were cut off."""
    template: str
    """What stands around a row's texts, with the roles' names in place of their values."""
    templated: bool = False
    """It is a chat template."""
    full_length: int = 0
    """Tokens before anything was cut."""
    row: int = 1
    """Row number, from 1."""
    label: str = ""
    """What is to be learned, when it is a label and not tokens."""
    worse: tuple[TokenView, ...] = ()
    """Of a pair: the tokens of the worse reply, after the same prompt."""
    limit: int = 0
    """Longest row in tokens: as set, else as planned."""
    beyond: tuple[TokenView, ...] = ()
    """Tokens that are cut off, the first of them."""


class ExportResult(FrozenModel):
    """An export on disk, loaded again and compared."""

    format: str
    """Name of the export format."""
    path: str
    """The folder."""
    bytes: int
    """Size in bytes."""
    tested: str
    """What was checked after loading it again, in a sentence."""
    how_to_use: str = ""
    """How to load it, as text."""
    zip_path: str | None = None
    """The zip file, if there is one."""


class MachineCheck(FrozenModel):
    """One line of the doctor of this machine."""

    name: str
    """What is checked."""
    ok: bool
    """It is as needed."""
    detail: str
    """What was found."""
    fix: str = ""
    """What to do. Empty when it is as needed."""
    needed: bool = True
    """Optional parts do not make the machine unfit."""
