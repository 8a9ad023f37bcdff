"""Which rows are learned from, which pick the best step, and which are kept for the test: by what a row asks, by a
group that stays together, by time, or as the file itself says."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from studio.data.checks import usable_values
from studio.data.phrases import listed as in_words
from studio.data.phrases import many
from studio.data.split_assignment import (
    LEAST_VALIDATION,
    SMALL,
    Division,
    Keyed,
    Known,
    Shares,
    carve_keyed,
    default_shares,
    division_of,
    key_for,
    split,
)
from studio.data.split_names import NO_COLUMN, split_name
from studio.data.synthetic import MADE_FROM, is_made, parts_of_made, source_text
from studio.data.table import Row, Table
from studio.data.timestamps import moments_of
from studio.data.values import is_blank
from studio.schema.dataset import SplitName, SplitSpec
from studio.schema.errors import StudioError, nearest, raise_all
from studio.schema.spans import Spans, numbers_in


def require_columns(columns: Sequence[str], spec: SplitSpec) -> None:
    """Refuse a column that does not exist, and ways of dividing that exclude each other."""
    chosen = {name: getattr(spec, name) for name in ("group_column", "time_column", "split_column")}
    problems = [
        StudioError(
            "bad-setting",
            f"There is no column {column} to divide the rows by.",
            valid=list(columns),
            hint=nearest(column, columns),
            field=name,
        )
        for name, column in chosen.items()
        if column and column not in columns and not (name == "split_column" and column == NO_COLUMN)
    ]
    said = [name for name, column in chosen.items() if column and column != NO_COLUMN]
    if len(said) > 1:
        problems.append(
            StudioError(
                "bad-setting",
                "Rows can be divided by a group, by time, or by a column of parts, and not by several of these.",
                given=in_words(chosen[name] for name in said),
                hint="Leave all but one of them out.",
                field=said[1],
            )
        )
    raise_all(problems)


def require_parts(own: Mapping[int, str], column: str) -> None:
    """Refuse a column of parts that holds anything else."""
    odd = {number: value for number, value in own.items() if value.strip() and split_name(value) is None}
    if odd or not any(value.strip() for value in own.values()):
        raise StudioError(
            "bad-setting",
            f"The column {column} does not say which part each row is in.",
            given=in_words(dict.fromkeys(odd.values())) or "an empty column",
            valid="train, validation or test in each cell",
            rows=list(odd)[:100],
            field="split_column",
        )


def by_time(
    moments: Mapping[int, float], rows: Mapping[int, Any], spec: SplitSpec, validation_file: bool = False
) -> Division:
    """The latest rows for the test, those before them for validation; rows of one moment stay together."""
    shares = default_shares(len(rows), spec, validation_file=validation_file)
    order = sorted(moments, key=lambda number: (moments[number], number))
    tested = round(shares.test * len(order))
    held = tested + round(shares.validation * len(order))
    least = LEAST_VALIDATION if len(rows) < SMALL and shares.validation else 0
    cuts = []
    for wanted in (len(order) - max(held, tested + least), len(order) - tested):
        while 0 < wanted < len(order) and moments[order[wanted]] == moments[order[wanted - 1]]:
            wanted -= 1
        cuts.append(wanted)
    first, second = cuts
    if (held and not first) or (shares.validation and first == second):
        raise StudioError(
            "bad-setting",
            f"The column {spec.time_column} holds too few different moments to divide the rows by.",
            given=many(len(set(moments.values())), "moment"),
            hint="Choose a finer column, or divide by chance.",
            field="time_column",
        )
    late: dict[int, SplitName] = {number: "validation" for number in order[first:second]}
    late |= {number: "test" for number in order[second:]}
    words = f"By time in {spec.time_column}: the latest rows are held back. {shares.because}"
    if len(order) < len(rows):
        words += f" Learned from are also {many(len(rows) - len(order), 'row')} without a time."
    return division_of({number: late.get(number, "train") for number in rows}, words)


class Dividing:
    """Takes the usable rows of a table one after the other, and divides them at the end: by the text that a row asks
    with, and by label where there are labels; or by a column that was chosen.

    `split_column` is the file's own column of parts; texts or groups that are `known` to be in a part stay there.
    """

    def __init__(
        self,
        table: Table,
        task: Any,
        roles: Mapping[str, str],
        spec: SplitSpec | None = None,
        *,
        validation_file: bool = False,
        split_column: str | None = None,
        known: Known = MappingProxyType({}),
    ) -> None:
        self.table, self.task, self.roles = table, task, roles
        self.spec, self.validation_file, self.known = spec or SplitSpec(), validation_file, known
        require_columns(table.columns, self.spec)
        split_column = self.spec.split_column or (
            None if self.spec.group_column or self.spec.time_column else split_column
        )
        self.split_column = None if split_column == NO_COLUMN else split_column
        self.labelled = task.has_labels and "label" in roles.values()
        self.has_made = MADE_FROM in table.columns
        self.own: dict[int, str] = {}
        self.listed: list[Keyed] = []
        self.groups: list[Keyed] = []
        self.times: dict[int, Any] = {}
        self.made: list[tuple[int, str, str]] = []
        self.brought: dict[int, tuple[str, str]] = {}

    def see(self, number: int, row: Row, values: Mapping[str, Any]) -> None:
        """Take a usable row in, with its values by role."""
        spec, text = self.spec, self.task.text_in(values)
        expected = self.task.expected_in(values) if self.labelled or self.has_made else ""
        if self.has_made:
            if is_made(row):
                self.made.append((number, source_text(row), expected))
                return
            self.brought[number] = text, expected
        key = key_for(spec.seed, text)
        self.listed.append((number, key, expected if self.labelled else ""))
        if self.split_column:
            self.own[number] = str(row.get(self.split_column) or "")
        if spec.group_column:
            group = row.get(spec.group_column)
            self.groups.append((number, key if is_blank(group) else key_for(spec.seed, f"group {group}"), ""))
        if spec.time_column:
            self.times[number] = row.get(spec.time_column)

    def division(self, left_out: Collection[str] = (), rows_left_out: Spans = ()) -> Division:
        """The rows by part. Those that are left out, by kinds of problems, are in no part, and move no other."""
        division = _with_made(self._brought_divided(), self.made, self.brought)
        if not rows_left_out:
            return division
        of = dict(division.of)
        for number in numbers_in(rows_left_out):
            of.pop(number, None)
        left = division_of(of, division.counts.because)
        for name in ("train", "validation"):
            if getattr(division.counts, name) and not getattr(left.counts, name):
                raise StudioError(
                    "too-few-rows",
                    f"All rows for {name} are left out.",
                    given=in_words(left_out),
                    hint="Leave out less, or bring more rows.",
                    field="leave_out",
                )
        return left

    def _brought_divided(self) -> Division:
        """The rows that nobody made, divided."""
        spec, listed = self.spec, self.listed
        if spec.time_column:
            return by_time(moments_of(self.times, spec.time_column), self.times, spec, self.validation_file)
        if spec.group_column:
            return _by_group(self.groups, spec, self.validation_file, self.known)
        if spec.split_column and self.split_column:
            require_parts(self.own, spec.split_column)
        if len({key for _, key, _ in listed}) < len(listed) / 2:
            # one prompt for all rows, say: then a row is told by its prompt and its reply
            labels = {number: label for number, _, label in listed}
            listed = [(number, key_for(spec.seed, text), labels[number]) for number, text in self._whole(labels)]
        return carve_keyed(listed, spec, self.validation_file, self.own, self.known)

    def _whole(self, wanted: Collection[int]) -> Iterator[tuple[int, str]]:
        """Rows with all that they ask and expect."""
        for number, row in self.table.numbered():
            if number in wanted:
                values = self.task.values(row, self.roles)
                yield number, f"{self.task.text_in(values)}\n{self.task.expected_in(values)}"


def divide(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    spec: SplitSpec | None = None,
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
    **about: Any,
) -> Division:
    """The usable rows of a table, divided; `about` as `Dividing` has it."""
    dividing = Dividing(table, task, roles, spec, **about)
    for number, row, values in usable_values(table, task, roles, left_out=left_out):
        dividing.see(number, row, values)
    return dividing.division(left_out, rows_left_out)


def _with_made(
    division: Division, made: Sequence[tuple[int, str, str]], brought: Mapping[int, tuple[str, str]]
) -> Division:
    """Rows that were made from others follow them into train, or are left out: they are never judged by."""
    if not made:
        return division
    told = ((*brought[number], part) for number, part in division.of.items())
    learned = parts_of_made(made, told)
    of = division.of | {number: "train" for number, may in learned.items() if may}
    gone = len(learned) - sum(learned.values())
    words = f" {many(gone, 'made row is', 'made rows are')} left out: their source is not learned from." if gone else ""
    whole = division_of(dict(sorted(of.items())), f"{division.counts.because}{words}")
    whole.keyed = division.keyed
    return whole


def _by_group(groups: Sequence[Keyed], spec: SplitSpec, validation_file: bool, known: Known) -> Division:
    """The groups divided as rows are."""
    different = len({key for _, key, _ in groups})
    if different < 2:
        raise StudioError(
            "bad-setting",
            f"The column {spec.group_column} holds one group only: nothing could be held back.",
            given=many(different, "group"),
            hint="Choose another column, or divide by chance.",
            field="group_column",
        )
    division = carve_keyed(groups, spec, validation_file, {}, known)
    words = f"Rows with the same {spec.group_column} stay together: {different:,} groups. {division.counts.because}"
    return Division(division.of, division.counts.model_copy(update={"because": words}), division.keyed)


__all__ = ["Dividing", "Division", "Shares", "by_time", "default_shares", "divide", "require_columns", "split"]
