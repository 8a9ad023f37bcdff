"""What evaluation finds, and what a model answers."""

from pydantic import Field

from studio.schema.base import FrozenModel


class Metric(FrozenModel):
    """One metric of base and tuned on the same rows; `low` and `high` are of the tuned value, 95 % intervals all."""

    base: float | None
    tuned: float
    low: float | None = None
    high: float | None = None
    base_low: float | None = None
    base_high: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    """Ends of the interval of tuned less base, the same rows drawn for both."""
    higher_is_better: bool = True
    title: str = ""
    as_share: bool | None = None
    """Shown as a percentage; None in reports from before this was kept."""


class JudgedRow(FrozenModel):
    """A row with what was expected and what both said.

    `score` is what the rows were ranked by: for texts the tuned model's loss, for labels its probability of the right
    one, and for changed rows by how much the tuned is ahead of the base.
    """

    row: int
    text: str
    expected: str
    base: str
    tuned: str
    score: float


class Report(FrozenModel):
    """Base and tuned on rows that training never learned from."""

    rows: int
    split: str
    """`test`, `validation` or `file`."""
    metrics: dict[str, Metric]
    verdict: str
    per_label: dict[str, dict[str, float]] | None = None
    """Label → precision, recall, f1, rows."""
    confusion: dict[str, dict[str, int]] | None = None
    """Expected label → predicted label → rows."""
    best_rows: tuple[JudgedRow, ...] = ()
    worst_rows: tuple[JudgedRow, ...] = ()
    changed_rows: tuple[JudgedRow, ...] = ()
    """Rows on which base and tuned differ most."""
    forgetting: dict[str, float] | None = None
    robustness: dict[str, float] | None = None
    note: str = ""


class LabelScore(FrozenModel):
    """A label with its probability, 0 to 1."""

    label: str
    probability: float


class Answer(FrozenModel):
    """What one of the two models says: a text, or labels."""

    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    labels: tuple[LabelScore, ...] = ()
    how: str = ""
    """How the answer came about, when it needs a word."""


class ChatSettings(FrozenModel):
    """The same for both panes."""

    system: str = ""
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
    id: int
    learned: bool


class Preview(FrozenModel):
    """What the model sees of one row."""

    text: str
    tokens: tuple[TokenView, ...]
    truncated: bool
    template: str
    """What stands around a row's texts, with the roles' names in place of their values."""
    templated: bool = False
    """It is a chat template."""
    full_length: int = 0
    """Tokens before anything was cut."""
    row: int = 1
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
    path: str
    bytes: int
    tested: str
    """What was checked after loading it again, in a sentence."""
    how_to_use: str = ""
    zip_path: str | None = None


class MachineCheck(FrozenModel):
    """One line of the doctor of this machine."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True
    """Optional parts do not make the machine unfit."""
