"""Results of evaluation, and replies of models."""

from collections.abc import Mapping

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.numbers import plural, rows

SPLITS = {
    "test": "test",
    "validation": "validation",
    "test+validation": "test and validation",
    "file": "file",
    "folds": "cross-validation",
}
"""Split of a report → its name for people."""

FEW_TEST_ROWS = 100
"""With fewer test rows, the intervals are wide."""


def rows_of_split(split: str, number: int) -> str:
    """Return the rows of a split in words: `23 test rows`, `51 validation rows`, `12 rows of the file`."""
    if split == "test":
        return plural(number, "{n} test row", "{n} test rows")
    if split == "validation":
        return plural(number, "{n} validation row", "{n} validation rows")
    if split == "test+validation":
        return plural(number, "{n} test and validation row", "{n} test and validation rows")
    if split == "folds":
        return plural(number, "{n} row of all folds", "{n} rows of all folds")
    return plural(number, "{n} row of the file", "{n} rows of the file")


def confused_pairs(confusion: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, int]]:
    """Return (true label, predicted label, rows) of all mistakes, the most frequent first."""
    pairs = [
        (label, other, number)
        for label, row in confusion.items()
        for other, number in row.items()
        if label != other and number
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def confusion_sentence(label: str, other: str, times: int) -> str:
    """Return how often a label was predicted as another one, as a sentence."""
    return plural(
        times,
        "“{label}” is taken for “{other}” {n} time.",
        "“{label}” is taken for “{other}” {n} times.",
        label=label,
        other=other,
    )


class Metric(FrozenModel):
    """One metric of both models on the same rows, with 95% intervals. `low` and `high` belong to the fine-tuned
    model."""

    base: float | None
    """Value of the base model. None: it can't do the task, as a model without a head for labels."""
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
    """Upper end. The gain is the fine-tuned value minus the base value, on the same rows."""
    higher_is_better: bool = True
    """Higher values are better."""
    title: str = ""
    """Name for people."""
    as_share: bool | None = None
    """Shown as a percentage. None in reports of older versions."""


class BaselineMetric(FrozenModel):
    """One metric of a baseline, with 95% intervals. The gain is the fine-tuned value minus this one."""

    value: float
    """Value of the baseline."""
    low: float | None = None
    """Lower end of the interval. For chance: the lowest of 99% of the random results."""
    high: float | None = None
    """Upper end. For chance: the highest of 99% of the random results."""
    gain_low: float | None = None
    """Lower end of the interval of the gain."""
    gain_high: float | None = None
    """Upper end."""


class Baseline(FrozenModel):
    """A way to answer without the fine-tuned model, on the same rows. A useful model is better than each."""

    name: str
    """`majority`, `mean`, `neighbors`, `sentence` or `chance`."""
    title: str
    """Name for people."""
    detail: str
    """How it answers."""
    answer: str = ""
    """What it always answers, for `majority` and `mean`."""
    metrics: dict[str, BaselineMetric]
    """Name → metric."""


class JudgedRow(FrozenModel):
    """A row with the correct output and the output of both models.

    `score` ranks the rows. For texts it is the fine-tuned model's loss, for labels its probability of the correct
    label. For changed rows it is the lead of the fine-tuned model over the base model, or over the guess.
    """

    row: int
    """Row number, from 1."""
    text: str
    """The input."""
    expected: str
    """The correct output."""
    base: str
    """The base model's output. Empty: it can't do the task."""
    tuned: str
    """The fine-tuned model's output."""
    score: float
    """The rank, as above."""
    guess: str = ""
    """What the nearest neighbors, or the most similar sentence, say where the base model can't do the task."""


class FoldScore(FrozenModel):
    """The scores of one fold of a cross-validation."""

    run: str
    """Id of the run that trained on the other folds."""
    rows: int
    """Number of evaluated rows."""
    metrics: dict[str, float]
    """Name → value of the fine-tuned model."""


class Report(FrozenModel):
    """Results of the base model, of baselines and of the fine-tuned model on the same rows."""

    rows: int
    """Number of evaluated rows."""
    split: str
    """`test`, `validation`, `test+validation`, `file` or `folds`."""
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
    """Rows on which the models differ most, or the fine-tuned model and the guess."""
    confused_rows: tuple[JudgedRow, ...] = ()
    """Rows with a wrong label, a few of each pair of labels."""
    forgetting: dict[str, float] | None = None
    """Name → value, measured on general text."""
    robustness: dict[str, float] | None = None
    """Name → value, measured on changed inputs."""
    note: str = ""
    """What to know about the numbers."""
    baselines: tuple[Baseline, ...] = ()
    """What the fine-tuned model is compared with where the base model can't do the task."""
    outcome: str = ""
    """`better`, `worse`, `useful` (better than always the same answer, but not than all baselines), `same` (no clear
    difference), `useless` (not better than always the same answer), `unclear` (too few rows to tell) or `alone`."""
    rows_needed: int | None = None
    """About so many more rows would settle an open comparison. None: it is settled, or unknown."""
    chose_checkpoint: bool = False
    """Some of these rows also chose the checkpoint, so the scores are slightly too good."""
    also_in_training: int = 0
    """Evaluated rows that are also training rows, exactly or with a few different words."""
    accepted_labels: int = 0
    """Rows of the split with a label from a person that a model had suggested, whether accepted or chosen."""
    fold_scores: tuple[FoldScore, ...] = ()
    """The scores of the single folds, in a report of a cross-validation."""
    cross_validation: "Report | None" = None
    """The report of a cross-validation with the settings of this run, if there was one."""

    @property
    def measured_on(self) -> str:
        """The rows behind each score: `test, 23 rows`."""
        return f"{SPLITS.get(self.split, self.split)}, {rows(self.rows)}"

    @property
    def leakage(self) -> str:
        """That some of the rows are also training rows, in sentences. Empty: none is."""
        if not self.also_in_training:
            return ""
        sentence = plural(
            self.also_in_training,
            "{n} of these rows is also a training row, exactly or with a few different words (data leakage).",
            "{n} of these rows are also training rows, exactly or with a few different words (data leakage).",
        )
        return " ".join((sentence, "The model may remember them, so the scores are too good."))

    @property
    def suggestions(self) -> str:
        """That some of the labels were suggested by a model, in sentences. Empty: none was."""
        if not self.accepted_labels:
            return ""
        sentence = plural(
            self.accepted_labels,
            "{n} of these labels is the one that a model had suggested to the person.",
            "{n} of these labels are those that a model had suggested to the person.",
        )
        return " ".join((sentence, "A wrong suggestion is easily accepted, so the scores may be too good."))


class LabelScore(FrozenModel):
    """A label with its probability, 0 to 1."""

    label: str
    """The label."""
    probability: float
    """Its probability, 0 to 1."""


class Answer(FrozenModel):
    """The output of one of the two models: a text, or labels."""

    text: str = ""
    """The reply, or the likeliest label."""
    tokens: int = 0
    """Tokens of the reply."""
    seconds: float = 0.0
    """Time in seconds."""
    labels: tuple[LabelScore, ...] = ()
    """Labels, likeliest first. Empty for replies."""
    how: str = ""
    """A note on how the answer was made, if needed."""
    title: str = ""
    """What answered, where it is not the model itself: the nearest neighbors, for example."""


class ChatSettings(FrozenModel):
    """Settings of a chat, the same for both models."""

    system: str = ""
    """The system prompt."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Temperature. 0 always takes the most likely token. Raise it for more varied replies."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Top-p. Only the most likely tokens that together reach this probability are used. Lower it for safer replies."""
    max_new_tokens: int = Field(default=160, ge=1, le=4096)
    """Maximum number of tokens in a reply."""
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    """The same seed gives the same reply again."""


class TokenView(FrozenModel):
    """One token as training gets it."""

    text: str
    """Its text."""
    id: int
    """Its id in the vocabulary."""
    learned: bool
    """It counts in the loss."""


class Preview(FrozenModel):
    """One row as the model gets it."""

    text: str
    """The input as one text."""
    tokens: tuple[TokenView, ...]
    """Its tokens."""
    truncated: bool
    """Tokens were truncated."""
    template: str
    """The template of a row, with the names of roles in place of their values."""
    templated: bool = False
    """It is a chat template."""
    full_length: int = 0
    """Tokens before truncation."""
    row: int = 1
    """Row number, from 1."""
    label: str = ""
    """The label to learn, for tasks with labels."""
    worse: tuple[TokenView, ...] = ()
    """For preference pairs: the tokens of the rejected reply, after the same prompt."""
    limit: int = 0
    """Maximum length in tokens."""
    beyond: tuple[TokenView, ...] = ()
    """The first truncated tokens."""


class Usage(FrozenModel):
    """How one program uses an export."""

    title: str
    """Name of the program."""
    language: str
    """Language of the code: `python`, `sh` or `text`."""
    code: str
    """Code or commands to copy."""


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
    options: dict[str, str] = Field(default_factory=dict)
    """The chosen options: name → value."""
    usages: tuple[Usage, ...] = ()
    """How to use it with each program. `how_to_use` is the code of the first one."""
    comparison: tuple[tuple[str, ...], ...] = ()
    """A table of what was measured, the head first. Empty if there is nothing to compare."""


class MachineCheck(FrozenModel):
    """One check of `studio doctor`."""

    name: str
    """What is checked."""
    ok: bool
    """The check passed."""
    detail: str
    """What was found."""
    fix: str = ""
    """What to do. Empty when the check passed."""
    needed: bool = True
    """Whether the studio needs this. False for optional parts."""
