"""What labelling is made of: the facts as they are kept, and where it stands for the person who labels."""

from typing import Literal

from pydantic import Field

from studio.schema.base import FrozenModel

Work = Literal["label", "reply", "choice"]
"""What is given to a row: a label, a reply, or which of its two replies is better."""
What = Literal["given", "skip", "unsure", "names", "add", "remove", "rename", "undo"]
CHOICES = ("first", "second", "both")
"""What can be said of two replies; `both`: neither is better."""


class Fact(FrozenModel):
    """One thing that a person did while labelling. Facts are only added; an `undo` names the one that it takes back."""

    id: int = 0
    version: int
    row: int = 0
    """0 for what concerns no row."""
    work: Work = "label"
    what: What = "given"
    value: str | None = None
    """The label, the reply or the choice; None takes it back (as the first releases wrote it)."""
    labeller: str = ""
    """Who did it; empty for a person who gave no name."""
    time: str = ""
    suggested: str | None = None
    """The label that was suggested on the screen at that moment."""
    sure: float | None = None
    """How sure the suggestion was, 0 to 1."""
    undoes: int | None = None


class Suggestion(FrozenModel):
    """What the small classifier thinks of a row: its likeliest labels, each with a share of 1."""

    labels: tuple[tuple[str, float], ...]

    @property
    def best(self) -> str:
        """The likeliest label."""
        return self.labels[0][0]

    @property
    def sure(self) -> float:
        """How sure it is of that."""
        return self.labels[0][1]


class Learned(FrozenModel):
    """One training of the small classifier, with what it says of the rows that had no label then."""

    version: int
    names: tuple[str, ...]
    labelled: int
    """Rows that it learned from."""
    asked: int
    """Rows that it was asked about."""
    last_fact: int
    """The newest fact that it knew of."""
    time: str
    seconds: float
    rows: dict[int, Suggestion] = Field(default_factory=dict)


class SuggestState(FrozenModel):
    """How far suggestions are."""

    learned_from: int = 0
    """Labels that the last training had; 0 before the first."""
    seconds: float = 0.0
    """What the last training took."""
    rows: int = 0
    """Rows without a label that have a suggestion."""
    busy: bool = False
    done: int = 0
    total: int = 0
    """Rows read so far, and in all, while texts are being read."""
    due: bool = False
    """Whether there is anything to do: texts to read, or enough new labels to learn from."""
    unavailable_reason: str = ""
    """Why there are none yet: so many labels are missing, the starter is not here, or it failed."""


class Point(FrozenModel):
    """How often suggestions were right, up to a key press."""

    labelled: int
    """Suggestions that were on the screen so far when a person decided."""
    share: float
    """Those of the last ones that the person agreed with."""


class Trust(FrozenModel):
    """How often suggestions were right."""

    shown: int = 0
    right: int = 0
    last: int = 0
    """How many are counted in the last share."""
    last_right: int = 0
    points: tuple[Point, ...] = ()
    sentence: str = ""
    """What follows from it: go on, or stop."""


class Agreement(FrozenModel):
    """How far two people agree on the rows that both have seen."""

    first: str
    second: str
    rows: int
    same: int
    kappa: float | None = None
    """Cohen's kappa; None where it can't be computed."""
    sentence: str = ""
    differ: tuple[int, ...] = ()
    """The first rows on which they differ."""


class Labeler(FrozenModel):
    """One who labels."""

    name: str
    rows: int
    """Rows that they gave something to."""


class Recent(FrozenModel):
    """A row that was done lately."""

    row: int
    text: str
    value: str
    was: str = ""
    """What was suggested, when the person said something else."""


class Replies(FrozenModel):
    """Two replies to one prompt, to be compared: left and right are shuffled from row to row."""

    left: str
    right: str
    swapped: bool
    """Whether the left one is the second column's."""


class Labeling(FrozenModel):
    """Where labelling stands for one who labels, and the row that is next."""

    dataset: str
    work: Work = "label"
    works: tuple[tuple[str, str, str], ...] = ()
    """(work, its name for people, why it can't be done with these columns)."""
    task: str = ""
    """The task that can learn from the rows; empty when the studio has none for this work."""
    text_column: str = ""
    choosable: tuple[tuple[str, str, str], ...] = ()
    """(what, its name for people, column) of the columns that a person can choose."""
    columns: dict[str, str] = Field(default_factory=dict)
    """What the work reads and writes → column."""
    labels: tuple[str, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    done: int = 0
    total: int = 0
    unsure: int = 0
    row: int | None = None
    text: str = ""
    reply: str = ""
    """For replies: what the row has now, or what was typed and not kept yet."""
    replies: Replies | None = None
    suggestion: Suggestion | None = None
    recent: tuple[Recent, ...] = ()
    order: str = "file"
    orders: tuple[tuple[str, str], ...] = ()
    """(name, words) of the orders that can be chosen just now."""
    enough: str = ""
    """Why what is labelled can't be trained on yet; empty when it can."""
    suggesting: SuggestState = SuggestState()
    trust: Trust = Trust()
    labeller: str = ""
    labellers: tuple[Labeler, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    new: int = 0
    """Rows whose value differs from the dataset's own: what a new version would bring."""


class LabelRow(FrozenModel):
    """A row in the list of many."""

    row: int
    text: str
    value: str = ""
    mine: str = ""
    """What the asking person gave it; empty for nothing."""
    mark: str = ""
    """`unsure` or `skip` when the person marked it so."""
    by: tuple[tuple[str, str], ...] = ()
    """(labeller, value) of everybody who gave it something."""
    suggestion: Suggestion | None = None


class LabelList(FrozenModel):
    """A page of the list of many rows."""

    rows: tuple[LabelRow, ...]
    start: int
    total: int
    show: str = "all"
    search: str = ""


class Carried(FrozenModel):
    """What became of labels that were taken in from a file."""

    taken: int
    same: int
    """Lines that say what was there already."""
    lost: int
    """Lines without a label, or about no row."""
    by: str
    """How rows were found: `row` or `text`."""
