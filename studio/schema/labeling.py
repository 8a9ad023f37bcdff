"""Labeling: the facts as they are stored, and the views of the page and the command line."""

from typing import Literal

from pydantic import Field

from studio.schema.base import FrozenModel

Work = Literal["label", "reply", "choice"]
"""What a row gets: a label, a reply, or a preference between two replies."""
What = Literal["given", "skip", "unsure", "names", "add", "remove", "rename", "undo"]
CHOICES = ("first", "second", "both")
"""Preferences. `both`: neither reply is better."""


class Fact(FrozenModel):
    """One action of a person. Facts are append-only; an `undo` has the id of the fact that it undoes."""

    id: int = 0
    version: int
    row: int = 0
    """0 for a fact about no row."""
    work: Work = "label"
    what: What = "given"
    value: str | None = None
    """The label, the reply or the choice. None removes it, as written by the first releases."""
    labeller: str = ""
    """The name of the person. Empty: no name."""
    time: str = ""
    suggested: str | None = None
    """The label that was suggested."""
    sure: float | None = None
    """Probability of the suggestion, 0 to 1. None when many suggestions were accepted at once, without a look."""
    undoes: int | None = None


class Suggestion(FrozenModel):
    """The most likely labels of a row and their probabilities, most likely first."""

    labels: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        """The most likely label."""
        return self.labels[0][0]

    @property
    def sure(self) -> float:
        """The probability of the most likely label."""
        return self.labels[0][1]


class Learned(FrozenModel):
    """One training of the small classifier, with its suggestions for the rows without a label."""

    version: int
    names: tuple[str, ...]
    labelled: int
    """Rows it was trained on."""
    asked: int
    """Rows it predicted labels for."""
    last_fact: int
    """Id of the newest fact at the time."""
    time: str
    seconds: float
    rows: dict[int, Suggestion] = Field(default_factory=dict)


class SuggestState(FrozenModel):
    """Progress of suggestions."""

    learned_from: int = 0
    """Labeled rows of the last training. 0 before the first."""
    seconds: float = 0.0
    """Duration of the last training."""
    rows: int = 0
    """Rows without a label that have a suggestion."""
    busy: bool = False
    done: int = 0
    total: int = 0
    """Rows embedded so far, and in all."""
    due: bool = False
    """Whether there is something to do: rows to embed, or enough new labels to train on."""
    unavailable_reason: str = ""
    """Why there are no suggestions: labels or the starter model are missing, or an error."""
    run: str = ""
    """Id of the run whose model makes the suggestions. Empty: the small classifier makes them."""
    run_name: str = ""
    """Its name."""
    predictions: str = ""
    """Id of its saved predictions."""
    predicted: int = 0
    """Rows that its model predicted."""


class Point(FrozenModel):
    """A point of the curve: how often the last suggestions were right."""

    labelled: int
    """Suggestions so far that a person saw and decided on."""
    share: float
    """Share of the last ones that the person accepted."""


class Trust(FrozenModel):
    """How often suggestions were right."""

    shown: int = 0
    right: int = 0
    last: int = 0
    """Number of suggestions in the last share."""
    last_right: int = 0
    points: tuple[Point, ...] = ()
    sentence: str = ""
    """Advice: continue, or stop."""


class Agreement(FrozenModel):
    """Agreement of two people on the rows that both labeled."""

    first: str
    second: str
    rows: int
    same: int
    kappa: float | None = None
    """Cohen's kappa. None: undefined."""
    sentence: str = ""
    differ: tuple[int, ...] = ()
    """The first rows with different values."""


class Labeler(FrozenModel):
    """A person who labels."""

    name: str
    rows: int
    """Rows that they gave a value."""


class Recent(FrozenModel):
    """A row that was done recently."""

    row: int
    text: str
    value: str
    was: str = ""
    """The suggestion, if the person gave another value."""


class Replies(FrozenModel):
    """Two replies to one prompt. Left and right are shuffled from row to row."""

    left: str
    right: str
    swapped: bool
    """Whether the left reply is from the second column."""


class Labeling(FrozenModel):
    """Progress of labeling for one person, and the row on their screen."""

    dataset: str
    work: Work = "label"
    works: tuple[tuple[str, str, str], ...] = ()
    """(work, title, why the columns do not suffice)."""
    task: str = ""
    """The training task that learns from the rows."""
    text_column: str = ""
    choosable: tuple[tuple[str, str, str], ...] = ()
    """(purpose, title, column) of the columns that a person can choose."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Purpose → column."""
    labels: tuple[str, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    done: int = 0
    total: int = 0
    unsure: int = 0
    row: int | None = None
    text: str = ""
    reply: str = ""
    """The reply of the row, or the unsaved text that was typed."""
    replies: Replies | None = None
    suggestion: Suggestion | None = None
    recent: tuple[Recent, ...] = ()
    order: str = "file"
    orders: tuple[tuple[str, str], ...] = ()
    """(name, title) of the orders that a person can choose now."""
    enough: str = ""
    """Why the labels are too few to train on. Empty if they are enough."""
    suggesting: SuggestState = SuggestState()
    trust: Trust = Trust()
    labeller: str = ""
    labellers: tuple[Labeler, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    new: int = 0
    """Rows with another value than in the dataset: the changes of a new version."""


class LabelRow(FrozenModel):
    """A row of the list."""

    row: int
    text: str
    value: str = ""
    mine: str = ""
    """The value that this person gave it."""
    mark: str = ""
    """`unsure` or `skip` if this person marked it so."""
    by: tuple[tuple[str, str], ...] = ()
    """(labeler, value) of each person who gave it a value."""
    suggestion: Suggestion | None = None


class LabelList(FrozenModel):
    """A page of the list of rows."""

    rows: tuple[LabelRow, ...]
    start: int
    total: int
    show: str = "all"
    search: str = ""


class Carried(FrozenModel):
    """Result of an import of labels."""

    taken: int
    same: int
    """Lines with the value that the row had already."""
    lost: int
    """Lines without a valid label or without a matching row."""
    by: str
    """How rows were matched: `row` or `text`."""


class Unlabeled(FrozenModel):
    """A dataset that has texts but no labels."""

    column: str
    """The column with the texts."""
    rows: int
    first: int
    """Rows to label before the first training."""
    minutes: int
    """How long that takes, roughly."""


class HeldOutSize(FrozenModel):
    """What a test of a model can show that was trained on few labels."""

    labeled: int
    held_out: int
    """Labeled rows that are not trained on."""
    low: float
    high: float
    """The 95% interval of the accuracy, if the model gets 80% of the held-out rows right."""
    estimated: bool = False
    """The rows are not split yet, so the number of held-out rows is that of the usual fractions."""
    useful: int
    """Labeled rows with which that interval is plus or minus 10 points."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        first = f"{self.held_out:,} of {self.labeled:,} labeled rows are held out to measure the model."
        if self.estimated:
            first = f"About {self.held_out:,} of {self.labeled:,} labeled rows are held out to measure the model."
        if not self.held_out:
            return ("No labeled row is held out, so nothing measures the model.",)
        low, high = f"{100 * self.low:.0f}%", f"{100 * self.high:.0f}%"
        second = f"If it gets 80% of them right, its accuracy on other rows is likely between {low} and {high}."
        if self.labeled >= self.useful:
            return first, second
        return first, second, f"For plus or minus 10 points, label about {self.useful:,} rows."
