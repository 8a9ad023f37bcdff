"""Splits of a dataset: by the text of the prompt, by a group that stays together, by time, or by the file's own
column."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.checks import usable_values
from studio.data.folds import assign_fold
from studio.data.phrases import listed as in_words
from studio.data.split_assignment import (
    LEAST_VALIDATION,
    SMALL,
    Keyed,
    Known,
    SplitAssignment,
    assign_keyed,
    default_fractions,
    key_for,
    make_assignment,
)
from studio.data.split_names import NO_COLUMN, split_name
from studio.data.synthetic import MADE_FROM, is_synthetic, source_text, synthetic_rows_to_learn
from studio.data.table import Row, Table
from studio.data.timestamps import moments_of
from studio.data.values import is_blank
from studio.schema.dataset import Fold, SplitName, SplitSpec
from studio.schema.errors import StudioError, bad_setting, nearest, raise_all
from studio.schema.numbers import plural
from studio.schema.spans import Spans, numbers_in


def require_columns(columns: Sequence[str], spec: SplitSpec) -> None:
    """Raise `StudioError` for a column that does not exist, and for split options that exclude each other."""
    chosen = {name: getattr(spec, name) for name in ("group_column", "time_column", "split_column")}
    problems = [
        bad_setting(
            name,
            f"There is no column {column} to split the rows by.",
            valid=list(columns),
            hint=nearest(column, columns),
        )
        for name, column in chosen.items()
        if column and column not in columns and not (name == "split_column" and column == NO_COLUMN)
    ]
    chosen_names = [name for name, column in chosen.items() if column and column != NO_COLUMN]
    if len(chosen_names) > 1:
        what = "Rows can be split by group, by time or by a split column, but only by one of them."
        given = in_words(chosen[name] for name in chosen_names)
        problems.append(bad_setting(chosen_names[1], what, given, hint="Choose one of them."))
    raise_all(problems)


def require_split_names(file_splits: Mapping[int, str], column: str) -> None:
    """Raise `StudioError` for a split column with other values than split names."""
    invalid = {number: value for number, value in file_splits.items() if value.strip() and split_name(value) is None}
    if invalid or not any(value.strip() for value in file_splits.values()):
        raise StudioError(
            "bad-setting",
            f"The column {column} does not name the split of each row.",
            given=in_words(dict.fromkeys(invalid.values())) or "an empty column",
            valid="train, validation or test in each cell",
            rows=list(invalid)[:100],
            field="split_column",
        )


def by_time(
    moments: Mapping[int, float], rows: Mapping[int, Any], spec: SplitSpec, validation_file: bool = False
) -> SplitAssignment:
    """Assign the latest rows to test and those before them to validation. Rows with equal times stay together."""
    fractions = default_fractions(len(rows), spec, validation_file=validation_file)
    order = sorted(moments, key=lambda number: (moments[number], number))
    tested = round(fractions.test * len(order))
    held_out = tested + round(fractions.validation * len(order))
    least = LEAST_VALIDATION if len(rows) < SMALL and fractions.validation else 0
    cuts = []
    for cut in (len(order) - max(held_out, tested + least), len(order) - tested):
        while 0 < cut < len(order) and moments[order[cut]] == moments[order[cut - 1]]:
            cut -= 1
        cuts.append(cut)
    first, second = cuts
    if (held_out and not first) or (fractions.validation and first == second):
        what = f"The column {spec.time_column} has too few different times to split the rows by."
        given = plural(len(set(moments.values())), "{n} time", "{n} times")
        raise bad_setting(
            "time_column", what, given, hint="Choose a column with more different times, or split at random."
        )
    held_out_splits: dict[int, SplitName] = {number: "validation" for number in order[first:second]}
    held_out_splits |= {number: "test" for number in order[second:]}
    words = [f"By time in {spec.time_column}: the latest rows are held out.", fractions.because]
    if without := len(rows) - len(order):
        words.append(plural(without, "{n} row without a time go to train.", "{n} rows without a time go to train."))
    return make_assignment({number: held_out_splits.get(number, "train") for number in rows}, " ".join(words))


@dataclass
class Splitter:
    """Collects the usable rows of a table, then assigns them to splits.

    The prompt text and the label decide, or a column in `spec`.
    """

    table: Table
    task: Any
    roles: Mapping[str, str]
    """Column → role."""
    spec: SplitSpec = field(default_factory=SplitSpec)
    validation_file: bool = False
    """Validation rows come from another file."""
    split_column: str | None = None
    """The file's own split column."""
    known: Known = field(default_factory=dict)
    """Texts or groups that keep their split."""
    fold: Fold | None = None
    """The fold of a cross-validation that is the test split."""

    def __post_init__(self) -> None:
        spec = self.spec
        require_columns(self.table.columns, spec)
        if spec.split_column or spec.group_column or spec.time_column:
            self.split_column = spec.split_column
        if self.split_column == NO_COLUMN:
            self.split_column = None
        self.labeled = self.task.has_labels and "label" in self.roles.values()
        self.has_synthetic = MADE_FROM in self.table.columns
        self.file_splits: dict[int, str] = {}
        self.keyed_rows: list[Keyed] = []
        self.groups: list[Keyed] = []
        self.times: dict[int, Any] = {}
        self.synthetic: list[tuple[int, str, str]] = []
        self.originals: dict[int, tuple[str, str]] = {}

    def add(self, number: int, row: Row, values: Mapping[str, Any]) -> None:
        """Add a usable row with its values by role."""
        spec, text = self.spec, self.task.text_in(values)
        expected = self.task.expected_in(values) if self.labeled or self.has_synthetic else ""
        if self.has_synthetic:
            if is_synthetic(row):
                self.synthetic.append((number, source_text(row), expected))
                return
            self.originals[number] = text, expected
        key = key_for(spec.seed, text)
        self.keyed_rows.append((number, key, expected if self.labeled else ""))
        if self.split_column:
            self.file_splits[number] = str(row.get(self.split_column) or "")
        if spec.group_column:
            group = row.get(spec.group_column)
            self.groups.append((number, key if is_blank(group) else key_for(spec.seed, f"group {group}"), ""))
        if spec.time_column:
            self.times[number] = row.get(spec.time_column)

    def assign(self, left_out: Collection[str] = (), rows_left_out: Spans = ()) -> SplitAssignment:
        """Assign the usable rows of the table."""
        for row in usable_values(self.table, self.task, self.roles, left_out=left_out):
            self.add(*row)
        return self.assignment(left_out, rows_left_out)

    def assignment(self, left_out: Collection[str] = (), rows_left_out: Spans = ()) -> SplitAssignment:
        """Return the splits of the rows without those left out. Leaving rows out moves no other row."""
        assignment = _with_synthetic_rows(self._assign_original(), self.synthetic, self.originals)
        if not rows_left_out:
            return assignment
        splits = dict(assignment.splits)
        for number in numbers_in(rows_left_out):
            splits.pop(number, None)
        remaining = make_assignment(splits, assignment.counts.because)
        for name in ("train", "validation"):
            if getattr(assignment.counts, name) and not getattr(remaining.counts, name):
                raise StudioError(
                    "too-few-rows",
                    f"All rows of the {name} split are left out.",
                    given=in_words(left_out),
                    hint="Leave out fewer kinds of rows, or add more rows.",
                    field="leave_out",
                )
        return remaining

    def _assign_original(self) -> SplitAssignment:
        """Assign the rows that are not synthetic."""
        spec, rows_ = self.spec, self.keyed_rows
        if self.fold:
            rows_ = self.groups if spec.group_column else self._rows_with_own_keys()
            return assign_fold(rows_, spec, self.fold, self.validation_file)
        if spec.time_column:
            return by_time(moments_of(self.times, spec.time_column), self.times, spec, self.validation_file)
        if spec.group_column:
            return _by_group(self.groups, spec, self.validation_file, self.known)
        if spec.split_column and self.split_column:
            require_split_names(self.file_splits, spec.split_column)
        return assign_keyed(self._rows_with_own_keys(), spec, self.validation_file, self.file_splits, self.known)

    def _rows_with_own_keys(self) -> list[Keyed]:
        """Return the rows with the hash of the prompt. If many share one, prompt and reply identify a row."""
        if len({key for _, key, _ in self.keyed_rows}) >= len(self.keyed_rows) / 2:
            return self.keyed_rows
        labels = {number: label for number, _, label in self.keyed_rows}
        return [(number, key_for(self.spec.seed, text), labels[number]) for number, text in self._full_texts(labels)]

    def _full_texts(self, numbers: Collection[int]) -> Iterator[tuple[int, str]]:
        """Yield rows with their full input and output."""
        for number, row in self.table.numbered():
            if number in numbers:
                values = self.task.values(row, self.roles)
                yield number, f"{self.task.text_in(values)}\n{self.task.expected_in(values)}"


def _with_synthetic_rows(
    assignment: SplitAssignment, synthetic: Sequence[tuple[int, str, str]], originals: Mapping[int, tuple[str, str]]
) -> SplitAssignment:
    """Assign synthetic rows to train if their source is there. Others are left out; they are never used to evaluate."""
    if not synthetic:
        return assignment
    source_splits = ((*originals[number], part) for number, part in assignment.splits.items())
    learned = synthetic_rows_to_learn(synthetic, source_splits)
    splits = assignment.splits | {number: "train" for number, is_learned in learned.items() if is_learned}
    left_out_count = len(learned) - sum(learned.values())
    words = assignment.counts.because
    if left_out_count:
        left_out = plural(
            left_out_count,
            "{n} synthetic row is left out: the source is not in train.",
            "{n} synthetic rows are left out: the source is not in train.",
        )
        words = f"{words} {left_out}"
    combined = make_assignment(dict(sorted(splits.items())), words)
    combined.keyed = assignment.keyed
    return combined


def _by_group(groups: Sequence[Keyed], spec: SplitSpec, validation_file: bool, known: Known) -> SplitAssignment:
    """Assign groups to splits as single rows are."""
    group_count = len({key for _, key, _ in groups})
    if group_count < 2:
        what = f"The column {spec.group_column} has only one group, so no rows can be held out."
        hint = "Choose another column, or split at random."
        raise bad_setting("group_column", what, plural(group_count, "{n} group", "{n} groups"), hint=hint)
    assignment = assign_keyed(groups, spec, validation_file, {}, known)
    together = f"Rows with the same {spec.group_column} stay together: {group_count:,} groups."
    counts = assignment.counts.model_copy(update={"because": f"{together} {assignment.counts.because}"})
    return SplitAssignment(assignment.splits, counts, assignment.keyed)
