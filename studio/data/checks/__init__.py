"""The data checks: the registry of checks, and one pass over the rows that runs all of them."""

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from studio.data.checks.bad_line import BadLines, unreadable_lines
from studio.data.checks.base import Check, Context, RowView
from studio.data.checks.duplicate import Duplicate
from studio.data.checks.empty import Empty
from studio.data.checks.encoding import Encoding
from studio.data.checks.fixing import Fix
from studio.data.checks.fractional_weight import FractionalWeight
from studio.data.checks.imbalance import Imbalance
from studio.data.checks.inconsistent import AnswerNotFound, DifferentPrompts, EqualPair
from studio.data.checks.label_conflict import LabelConflict
from studio.data.checks.label_error import LabelError, problem_of
from studio.data.checks.leakage import Leakage
from studio.data.checks.near_duplicate import NearDuplicate, near_duplicate_finder
from studio.data.checks.parallel import KINDS, ParallelChecks, ParallelResult, is_worth_it
from studio.data.checks.personal_data import PersonalData
from studio.data.checks.placeholder import Placeholder
from studio.data.checks.rare_label import RareLabel
from studio.data.checks.report_errors import refusal
from studio.data.checks.roles_out_of_order import RolesOutOfOrder
from studio.data.checks.too_long import TooLong
from studio.data.checks.too_short import TooShort
from studio.data.checks.wrong_language import WrongLanguage
from studio.data.checks.wrong_type import WrongType
from studio.data.table import Row, Table
from studio.data.values import label_order
from studio.machine.plugins import Registry
from studio.schema.dataset import CheckReport, Problem
from studio.schema.errors import StudioError, nearest
from studio.schema.label_quality import Suspect
from studio.schema.spans import Spans, numbers_in, spans_of

CHECKS: Registry[type[Check]] = Registry(
    "checks",
    (
        BadLines,
        Empty,
        WrongType,
        EqualPair,
        DifferentPrompts,
        AnswerNotFound,
        Duplicate,
        NearDuplicate,
        Leakage,
        LabelConflict,
        RolesOutOfOrder,
        FractionalWeight,
        Encoding,
        PersonalData,
        Placeholder,
        TooLong,
        TooShort,
        WrongLanguage,
        Imbalance,
        RareLabel,
        LabelError,
    ),
    name_of=lambda check: check.kind,
    subclass_of=Check,
)
MOST_LABELS = 1_000
MANY_ROWS = 40
"""From this number of usable rows on, the check refuses labels if more than half of the rows differ."""
_PROGRESS_EVERY = 20_000


class _Pass:
    """One pass over the rows. It finds usable rows, counts labels and runs the checks."""

    def __init__(
        self, context: Context, kinds: Collection[str], skip: Iterable[int] = (), parallel: ParallelChecks | None = None
    ) -> None:
        self.context, self.skip, self.parallel = replace(context, shared={}), frozenset(skip), parallel
        if parallel:
            self.context.shared.update(near=parallel, parallel=True)
            kinds = set(kinds) - set(KINDS)
        applicable = [each for kind, each in CHECKS.items() if kind in kinds and each.applies(self.context)]
        self.checks = [each(self.context) for each in applicable]
        self.types = WrongType(context)
        self.of_unusable = [check for check in self.checks if check.unusable]
        self.of_usable = [check for check in self.checks if check.usable_too or not check.unusable]
        self.inconsistency = inconsistency_check(context.task)
        self.usable = 0
        self.labels: dict[str, int] = {}

    def run(self, progress: Callable[[int], None] | None = None) -> "_Pass":
        context, task, roles, bad = self.context, self.context.task, self.context.roles, self.context.table.bad_rows
        get_row_callback = context.get_row_callback() if self.parallel and context.get_row_callback else None
        for number, row in context.table.numbered():
            if progress and number % _PROGRESS_EVERY == 0:
                progress(number)
            skipped = number in self.skip
            if number in bad or (skipped and not get_row_callback):
                continue
            values = task.values(row, roles)
            view = RowView(number, row, values, task.lacks(values, roles))
            usable = not (view.lacks or self.types.rejects(view) or self.inconsistency(values))
            if usable and get_row_callback:
                get_row_callback(number, row, values)
            if skipped:
                continue
            if usable:
                self._count(values)
            for check in self.of_usable if usable else self.of_unusable:
                check.visit(view)
        for check in self.checks:
            check.finish()
        return self

    def problems(self) -> list[Problem]:
        """All problems, in the order of the registry."""
        problems = dict(self.parallel.output.problems) if self.parallel else {}
        problems |= {check.kind: check.problems() for check in self.checks}
        return [problem for kind in CHECKS for problem in problems.get(kind, ())]

    def _count(self, values: Mapping[str, Any]) -> None:
        self.usable += 1
        if not self.context.task.has_labels:
            return
        for label in values.get("labels", [values["label"]] if "label" in values else ()):
            self.labels[label] = self.labels.get(label, 0) + 1
        if len(self.labels) > MOST_LABELS:
            raise _too_many(self.context, f"more than {MOST_LABELS:,} different values")


def check(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans | None = None,
    **about: Any,
) -> CheckReport:
    """Check the rows of a table for a task.

    Rows with the kinds of problems in `left_out` do not count as usable. `rows_left_out` names these rows when they
    are already known; otherwise the checks find them. `about` holds further fields of `Context`, such as `lengths`
    and `max_length`. Raise `StudioError` if the label column has too many different values.
    """
    require_kinds(left_out)
    context = Context(table, task, roles, **about)
    notes: list[Problem] = []
    if rows_left_out is None:
        rows_left_out, notes = _find_left_out(context, left_out)
    kinds, skip = CHECKS.keys() - _kinds_to_drop(left_out), frozenset(numbers_in(rows_left_out))
    with _parallel_checks(context, kinds, skip) as parallel:
        checked = _Pass(context, kinds, skip, parallel).run(context.progress)
        if len(checked.labels) > checked.usable / 2 and checked.usable >= MANY_ROWS:
            raise _too_many(context, f"{len(checked.labels):,} different values in {checked.usable:,} rows")
        problems = checked.problems()
    problems = [_as_left_out(each) if each.kind in left_out else each for each in problems] + notes
    report = CheckReport(
        task=task.name,
        rows=len(table),
        usable=checked.usable,
        columns={column: roles.get(column) for column in table.columns},
        problems=by_severity(problems),
        labels={label: checked.labels[label] for label in label_order(checked.labels)},
    )
    refused = refusal(report)
    return report.model_copy(update={"blocked": refused.message}) if refused else report


@contextmanager
def _parallel_checks(
    context: Context, kinds: Collection[str], skip: Collection[int]
) -> Iterator[ParallelChecks | None]:
    """Start a process that runs some of the checks, if the table is large enough. It ends with the pass."""
    if not is_worth_it(context, kinds):
        yield None
        return
    parallel, collects = ParallelChecks(context, skip, run_checks), gc.isenabled()
    gc.disable()  # a pass makes millions of tuples and no cycles; collecting them would take a tenth of the time
    try:
        yield parallel
    finally:
        parallel.end()
        if collects:
            gc.enable()


def run_checks(context: Context, kinds: Collection[str], skip: Iterable[int]) -> ParallelResult:
    """Run some checks alone. The result contains near-duplicate rows."""
    done = _Pass(context, kinds, skip).run()
    return ParallelResult(
        {check.kind: check.problems() for check in done.checks}, near_duplicate_finder(done.context).result
    )


def rows_of(
    table: Table, task: Any, roles: Mapping[str, str], kinds: Collection[str], **about: Any
) -> dict[str, list[int]]:
    """Return the row numbers that the fix of each kind would change or remove."""
    require_kinds(kinds)
    done = _Pass(Context(table, task, roles, **about), kinds).run()
    rows_by_kind = {each.kind: list(each.row_numbers) for each in done.checks}
    return {kind: rows_by_kind.get(kind, []) for kind in kinds}


def fix_of(table: Table, task: Any, roles: Mapping[str, str], kind: str, **about: Any) -> Fix:
    """Return what the fix of one kind of problem removes and changes."""
    require_kinds([kind])
    context = Context(table, task, roles, **about)
    _require_known(context, [kind])
    done = _Pass(context, [kind]).run()
    return Fix.by(done.checks[0], table) if done.checks else Fix()


def find_rows_left_out(
    table: Table, task: Any, roles: Mapping[str, str], kinds: Collection[str], **about: Any
) -> Spans:
    """Return the usable rows that have one of these kinds of problems, as spans. The caller stores the result."""
    require_kinds(kinds)
    return _find_left_out(Context(table, task, roles, **about), kinds)[0]


def usable_rows(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
) -> Iterator[tuple[int, Row]]:
    """Yield number and content of each row that can be used for training, without the rows that are left out.

    Raise `StudioError` if the file has unreadable lines and `left_out` does not contain `bad-line`.
    """
    usable = usable_values(table, task, roles, left_out=left_out, rows_left_out=rows_left_out)
    return ((number, row) for number, row, _ in usable)


def usable_values(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
) -> Iterator[tuple[int, Row, dict[str, Any]]]:
    """Like `usable_rows`, with the values of each row by role."""
    require_kinds(left_out)
    if table.bad_lines and BadLines.kind not in left_out:
        first = table.bad_lines[0]
        raise StudioError(
            "bad-line",
            unreadable_lines(len(table.bad_lines)) + f" Line {first.line}: {first.why}",
            hint="Fix these lines in the file, or leave them out (--leave-out bad-line).",
            rows=[bad.row for bad in table.bad_lines[:100]],
        )
    skip, strict, bad = frozenset(numbers_in(rows_left_out)), WrongType(Context(table, task, roles)), table.bad_rows
    inconsistency = inconsistency_check(task)
    for number, row in table.numbered():
        if number in bad or number in skip:
            continue
        values = task.values(row, roles)
        lacks = task.lacks(values, roles)
        if not lacks and not strict.rejects(RowView(number, row, values, lacks)) and not inconsistency(values):
            yield number, row, values


def inconsistency_check(task: Any) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that gives the kind of problem of an inconsistent row, or "" for a consistent one."""
    check_row: Callable[[Mapping[str, Any]], str] = getattr(task, "inconsistency", lambda _: "")
    return check_row


def with_suspects(report: CheckReport, suspects: Mapping[int, Suspect] | None) -> CheckReport:
    """Return the report with a problem for labels that are likely wrong. A classifier finds these, not this pass."""
    label_errors = problem_of(suspects) if suspects else None
    if label_errors is None:
        return report
    return report.model_copy(update={"problems": by_severity([*report.problems, label_errors])})


def by_severity(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems, the most severe first."""
    return tuple(sorted(problems, key=lambda each: ("error", "warning", "note").index(each.severity)))


def labels_of(table: Table, task: Any, roles: Mapping[str, str]) -> dict[str, int]:
    """Return label → number of usable rows, in the order of class numbers. Empty for a task without labels."""
    counts = _Pass(Context(table, task, roles), ()).run().labels
    return {label: counts[label] for label in label_order(counts)}


def require_kinds(kinds: Collection[str]) -> None:
    """Raise `StudioError` for an unknown kind of problem."""
    for kind in kinds:
        if kind not in CHECKS:
            raise StudioError(
                "unknown-name",
                f"There is no data check {kind}.",
                valid=list(CHECKS),
                hint=nearest(kind, CHECKS),
                field="leave_out",
            )


def _kinds_to_drop(left_out: Collection[str]) -> set[str]:
    """Return the kinds whose rows can be usable. Leaving them out takes a pass of its own."""
    return {kind for kind in left_out if CHECKS[kind].usable_too or not CHECKS[kind].unusable}


def _find_left_out(context: Context, kinds: Collection[str]) -> tuple[Spans, list[Problem]]:
    """Return the rows that have these kinds of problems, and the problems as notes."""
    gone = _kinds_to_drop(kinds)
    if not gone:
        return (), []
    _require_known(context, gone)
    checks = _Pass(context, gone).run().checks
    numbers = {number for each in checks for number in each.row_numbers}
    return spans_of(numbers), [_as_left_out(problem) for each in checks for problem in each.problems()]


def _require_known(context: Context, kinds: Collection[str]) -> None:
    """Raise `StudioError` for a kind whose rows can't be determined from this context."""
    for kind in kinds:
        if lacking := CHECKS[kind].lacking(context):
            raise StudioError(
                "wrong-state",
                f"The check {kind} can't run yet, so its rows are unknown.",
                given=kind,
                hint=lacking,
                field="leave_out",
            )


def _as_left_out(problem: Problem) -> Problem:
    return problem.model_copy(
        update={"severity": "note", "message": problem.message + " These rows are left out.", "fix": ""}
    )


def _too_many(context: Context, count: str) -> StudioError:
    column = context.column_of("label")
    return StudioError(
        "too-many-labels",
        f"The column {column} can't be the label. It has too many different values.",
        given=count,
        valid=f"at most {MOST_LABELS:,} labels, each with several rows",
        hint="Choose another column as the label, or another task.",
        field="map",
    )
