"""Which rows are learned from, which pick the best step, and which are kept for the test: by what a row asks, by a
group that stays together, by time, or as the file itself says."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from studio.data.carving import (
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
from studio.data.checks import usable_rows
from studio.data.made import MADE_FROM, is_made, parts_of_made, source_text
from studio.data.parts import NO_COLUMN, split_name
from studio.data.table import Table
from studio.data.times import moments_of
from studio.data.values import is_blank
from studio.data.words import listed as in_words
from studio.data.words import many
from studio.schema.dataset import SplitName, SplitSpec
from studio.schema.errors import StudioError, nearest, raise_all
from studio.schema.spans import Spans, numbers_in


def require_columns(columns: Sequence[str], spec: SplitSpec) -> None:
    """Refuse a column that does not exist, and ways of dividing that exclude each other."""
    chosen = {name: getattr(spec, name) for name in ("group_column", "time_column", "split_column")}
    problems = [
        StudioError(
            "bad-setting", f"There is no column {column} to divide the rows by.", valid=list(columns),
            hint=nearest(column, columns), field=name,
        )
        for name, column in chosen.items()
        if column and column not in columns and not (name == "split_column" and column == NO_COLUMN)
    ]  # fmt: skip
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


def divide(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    spec: SplitSpec | None = None,
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
    validation_file: bool = False,
    split_column: str | None = None,
    known: Known = MappingProxyType({}),
) -> Division:
    """The usable rows of a table, divided: by the text that a row asks with, and by label where there are labels; or
    by a column that was chosen. `split_column` is the file's own column of parts; texts or groups
    that are `known` to be in a part stay there. Rows that are left out are in no part, and move no other."""
    spec = spec or SplitSpec()
    division = _divided(table, task, roles, spec, left_out, validation_file, split_column, known)
    if not rows_left_out:
        return division
    of = dict(division.of)
    for number in numbers_in(rows_left_out):
        of.pop(number, None)
    left = division_of(of, division.counts.because)
    for name in ("train", "validation"):
        if getattr(division.counts, name) and not getattr(left.counts, name):
            raise StudioError(
                "too-few-rows", f"All rows for {name} are left out.", given=in_words(left_out),
                hint="Leave out less, or bring more rows.", field="leave_out",
            )  # fmt: skip
    return left


def _divided(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    spec: SplitSpec,
    left_out: Collection[str],
    validation_file: bool,
    split_column: str | None,
    known: Known,
) -> Division:
    require_columns(table.columns, spec)
    split_column = spec.split_column or (None if spec.group_column or spec.time_column else split_column)
    split_column = None if split_column == NO_COLUMN else split_column
    own: dict[int, str] = {}
    listed: list[Keyed] = []
    groups: list[Keyed] = []
    times: dict[int, Any] = {}
    made: list[tuple[int, str, str]] = []
    brought: dict[int, tuple[str, str]] = {}
    has_made = MADE_FROM in table.columns
    for number, row in usable_rows(table, task, roles, left_out=left_out):
        text, expected = task.text_of(row, roles), task.expected(row, roles)
        if has_made:
            if is_made(row):
                made.append((number, source_text(row), expected))
                continue
            brought[number] = text, expected
        label = expected if task.has_labels and "label" in roles.values() else ""
        listed.append((number, key_for(spec.seed, text), label))
        if split_column:
            own[number] = str(row.get(split_column) or "")
        if spec.group_column:
            group = row.get(spec.group_column)
            groups.append((number, listed[-1][1] if is_blank(group) else key_for(spec.seed, f"group {group}"), ""))
        if spec.time_column:
            times[number] = row.get(spec.time_column)
    if spec.time_column:
        division = by_time(moments_of(times, spec.time_column), times, spec, validation_file)
        return _with_made(division, made, brought)
    if spec.group_column:
        return _with_made(_by_group(groups, spec, validation_file, known), made, brought)
    if spec.split_column and split_column:
        require_parts(own, spec.split_column)
    if len({key for _, key, _ in listed}) < len(listed) / 2:
        # one prompt for all rows, say: then a row is told by its prompt and its reply
        labels = {number: label for number, _, label in listed}
        again = usable_rows(table, task, roles, left_out=left_out)
        texts = ((number, f"{task.text_of(row, roles)}\n{task.expected(row, roles)}") for number, row in again)
        listed = [(number, key_for(spec.seed, text), labels[number]) for number, text in texts if number in labels]
    return _with_made(carve_keyed(listed, spec, validation_file, own, known), made, brought)


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


__all__ = ["Division", "Shares", "by_time", "default_shares", "divide", "require_columns", "split"]
