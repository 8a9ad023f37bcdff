"""The doctor: the registry of checks, and one pass over the rows that asks all of them."""

import gc
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from studio.data.checks.at_odds import AnswerNotFound, EqualPair
from studio.data.checks.bad_line import BadLines
from studio.data.checks.base import Check, Context, Seen
from studio.data.checks.duplicate import Duplicate
from studio.data.checks.empty import Empty
from studio.data.checks.encoding import Encoding
from studio.data.checks.fixing import Fix
from studio.data.checks.imbalance import Imbalance
from studio.data.checks.label_conflict import LabelConflict
from studio.data.checks.label_error import LabelError, problem_of
from studio.data.checks.leakage import Leakage
from studio.data.checks.near_duplicate import NearDuplicate, looker_of
from studio.data.checks.parallel import KINDS, Beside, Told, is_worth_it
from studio.data.checks.personal_data import PersonalData
from studio.data.checks.placeholder import Placeholder
from studio.data.checks.rare_label import RareLabel
from studio.data.checks.roles_out_of_order import RolesOutOfOrder
from studio.data.checks.too_long import TooLong
from studio.data.checks.too_short import TooShort
from studio.data.checks.wrong_language import WrongLanguage
from studio.data.checks.wrong_type import WrongType
from studio.data.phrases import listed, many
from studio.data.table import Row, Table
from studio.data.values import label_order
from studio.schema.dataset import CheckReport, Problem
from studio.schema.errors import StudioError, as_one, nearest
from studio.schema.label_quality import Suspect
from studio.schema.spans import Spans, numbers_in, spans_of

CHECKS: dict[str, type[Check]] = {
    each.kind: each
    for each in (
        BadLines,
        Empty,
        WrongType,
        EqualPair,
        AnswerNotFound,
        Duplicate,
        NearDuplicate,
        Leakage,
        LabelConflict,
        RolesOutOfOrder,
        Encoding,
        PersonalData,
        Placeholder,
        TooLong,
        TooShort,
        WrongLanguage,
        Imbalance,
        RareLabel,
        LabelError,
    )
}
LEAST_ROWS = 8
LEAST_LABELS = 2
LEAST_ROWS_OF_A_LABEL = 2
MOST_LABELS = 1_000
MANY_ROWS = 40
"""From here on, labels in more than half as many kinds as rows are no labels."""
_TELL_EVERY = 20_000
Progress = Callable[[int], None]


class _Pass:
    """One pass over the rows: who can be used, and what the checks see."""

    def __init__(
        self, context: Context, kinds: Collection[str], skip: Iterable[int] = (), beside: Beside | None = None
    ) -> None:
        self.context, self.skip, self.beside = replace(context, shared={}), frozenset(skip), beside
        if beside:
            self.context.shared.update(near=beside, beside=True)
            kinds = set(kinds) - set(KINDS)
        wanted = [each for kind, each in CHECKS.items() if kind in kinds and each.applies(self.context)]
        self.checks = [each(self.context) for each in wanted]
        self.types = WrongType(context)
        self.of_unusable = [check for check in self.checks if check.unusable]
        self.of_usable = [check for check in self.checks if check.usable_too or not check.unusable]
        self.at_odds = odd(context.task)
        self.usable = 0
        self.labels: dict[str, int] = {}

    def run(self, progress: Progress | None = None) -> "_Pass":
        context, task, roles, bad = self.context, self.context.task, self.context.roles, self.context.table.bad_rows
        show = context.show() if self.beside and context.show else None
        for number, row in context.table.numbered():
            if progress and number % _TELL_EVERY == 0:
                progress(number)
            skipped = number in self.skip
            if number in bad or (skipped and not show):
                continue
            values = task.values(row, roles)
            seen = Seen(number, row, values, task.lacks(values, roles))
            usable = not (seen.lacks or self.types.rejects(seen) or self.at_odds(values))
            if usable and show:
                show(number, row, values)
            if skipped:
                continue
            if usable:
                self._count(values)
            for check in self.of_usable if usable else self.of_unusable:
                check.see(seen)
        for check in self.checks:
            check.finish()
        return self

    def problems(self) -> list[Problem]:
        """All that was found, in the order of the registry."""
        told = dict(self.beside.told.problems) if self.beside else {}
        told |= {check.kind: check.problems() for check in self.checks}
        return [problem for kind in CHECKS for problem in told.get(kind, ())]

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
    task_reason: str = "",
    left_out: Collection[str] = (),
    rows_left_out: Spans | None = None,
    progress: Progress | None = None,
    **about: Any,
) -> CheckReport:
    """All that the doctor finds. Rows of kinds that are left out on purpose are not counted as usable; `rows_left_out`
    are these rows, where they are settled.

    `about` is what `Context` may know besides: lengths and their limit, say.
    """
    require_kinds(left_out)
    context = Context(table, task, roles, **about)
    notes: list[Problem] = []
    if rows_left_out is None:
        rows_left_out, notes = _left_out_with(context, left_out)
    kinds, skip = CHECKS.keys() - _dropping(left_out), frozenset(numbers_in(rows_left_out))
    with _beside(context, kinds, skip) as beside:
        done = _Pass(context, kinds, skip, beside).run(progress)
        if len(done.labels) > done.usable / 2 and done.usable >= MANY_ROWS:
            raise _too_many(context, f"{len(done.labels):,} different values in {done.usable:,} rows")
        problems = done.problems()
    problems = [_left_out(each) if each.kind in left_out else each for each in problems] + notes
    report = CheckReport(
        task=task.name,
        task_reason=task_reason,
        rows=len(table),
        usable=done.usable,
        columns={column: roles.get(column) for column in table.columns},
        problems=by_severity(problems),
        labels={label: done.labels[label] for label in label_order(done.labels)},
    )
    refused = refusal(report)
    return report.model_copy(update={"blocked": refused.message}) if refused else report


@contextmanager
def _beside(context: Context, kinds: Collection[str], skip: Collection[int]) -> Iterator[Beside | None]:
    """A process that makes some of the checks, where it is worth it; it ends with the pass in any case."""
    if not is_worth_it(context, kinds):
        yield None
        return
    beside, collects = Beside(context, skip, look), gc.isenabled()
    gc.disable()  # a pass makes tuples by the million and no cycles: looking for these would take a tenth of the time
    try:
        yield beside
    finally:
        beside.end()
        if collects:
            gc.enable()


def look(context: Context, kinds: Collection[str], skip: Iterable[int]) -> Told:
    """Some checks by themselves, near rows among them."""
    done = _Pass(context, kinds, skip).run()
    return Told({check.kind: check.problems() for check in done.checks}, looker_of(done.context).found)


def refusal(report: CheckReport) -> StudioError | None:
    """Why the rows can't be trained on as they are, all of it; None when they can."""
    bad = [
        StudioError(
            "bad-line",
            each.message,
            hint="Mend the file, or leave these lines out on purpose (--leave-out bad-line).",
            rows=each.rows,
        )
        for each in report.problems
        if each.kind == BadLines.kind and each.severity == "error"
    ]
    few = _too_few(report)
    return as_one([*bad, few] if few else bad)


def _too_few(report: CheckReport) -> StudioError | None:
    """Of rows, or of labels that some rows have."""
    if report.usable < LEAST_ROWS:
        lost = [each.message for each in report.problems if each.severity == "error" and each.kind != BadLines.kind]
        return StudioError(
            "too-few-rows",
            f"{many(report.usable, 'row')} can be used, of {many(report.rows, 'row')}.",
            valid=f"at least {LEAST_ROWS} rows",
            hint=" ".join(lost) or "Bring more rows.",
        )
    able = [label for label, count in report.labels.items() if count >= LEAST_ROWS_OF_A_LABEL]
    if report.labels and len(able) < LEAST_LABELS:
        return StudioError(
            "too-few-rows",
            "There are too few labels to tell apart.",
            given=f"labels with {LEAST_ROWS_OF_A_LABEL} rows or more: {listed(able) or 'none'}",
            valid=f"at least {LEAST_LABELS} such labels",
            hint="Bring rows with other labels too, or choose another column as the label.",
        )
    return None


def rows_of(
    table: Table, task: Any, roles: Mapping[str, str], kinds: Collection[str], **about: Any
) -> dict[str, list[int]]:
    """For each kind the rows that its fix changes or removes."""
    require_kinds(kinds)
    done = _Pass(Context(table, task, roles, **about), kinds).run()
    found = {each.kind: list(each.found) for each in done.checks}
    return {kind: found.get(kind, []) for kind in kinds}


def fix_of(table: Table, task: Any, roles: Mapping[str, str], kind: str, **about: Any) -> Fix:
    """What the fix of one kind removes and changes."""
    require_kinds([kind])
    context = Context(table, task, roles, **about)
    _require_known(context, [kind])
    done = _Pass(context, [kind]).run()
    return Fix.by(done.checks[0], table) if done.checks else Fix()


def settle_left_out(table: Table, task: Any, roles: Mapping[str, str], kinds: Collection[str], **about: Any) -> Spans:
    """The usable rows that are left out with kinds of problems: told once, and then kept with what is read so."""
    require_kinds(kinds)
    return _left_out_with(Context(table, task, roles, **about), kinds)[0]


def usable_rows(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
) -> Iterator[tuple[int, Row]]:
    """Row numbers and rows that can be trained on, without those that are left out; refused while there are bad lines
    that nobody decided on."""
    told = usable_values(table, task, roles, left_out=left_out, rows_left_out=rows_left_out)
    return ((number, row) for number, row, _ in told)


def usable_values(
    table: Table,
    task: Any,
    roles: Mapping[str, str],
    *,
    left_out: Collection[str] = (),
    rows_left_out: Spans = (),
) -> Iterator[tuple[int, Row, dict[str, Any]]]:
    """As `usable_rows`, with the values of each row by role."""
    require_kinds(left_out)
    if table.bad_lines and BadLines.kind not in left_out:
        first = table.bad_lines[0]
        raise StudioError(
            "bad-line",
            f"{many(len(table.bad_lines), 'line')} can't be read. Line {first.line}: {first.why}",
            hint="Mend the file, or leave these lines out on purpose (--leave-out bad-line).",
            rows=[bad.row for bad in table.bad_lines[:100]],
        )
    skip, strict, bad = frozenset(numbers_in(rows_left_out)), WrongType(Context(table, task, roles)), table.bad_rows
    at_odds = odd(task)
    for number, row in table.numbered():
        if number in bad or number in skip:
            continue
        values = task.values(row, roles)
        lacks = task.lacks(values, roles)
        if not lacks and not strict.rejects(Seen(number, row, values, lacks)) and not at_odds(values):
            yield number, row, values


def odd(task: Any) -> Callable[[Mapping[str, Any]], str]:
    """Tells the kind of problem of a row that is at odds with itself."""
    told: Callable[[Mapping[str, Any]], str] = getattr(task, "at_odds", lambda _: "")
    return told


def with_suspects(report: CheckReport, suspects: Mapping[int, Suspect] | None) -> CheckReport:
    """The report with the labels that are likely wrong, of which a classifier tells and not a look at the rows."""
    found = problem_of(suspects) if suspects else None
    if found is None:
        return report
    return report.model_copy(update={"problems": by_severity([*report.problems, found])})


def by_severity(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems, the worst first."""
    return tuple(sorted(problems, key=lambda each: ("error", "warning", "note").index(each.severity)))


def labels_of(table: Table, task: Any, roles: Mapping[str, str]) -> dict[str, int]:
    """Label → usable rows, in the order of class numbers; empty for a task without labels."""
    counts = _Pass(Context(table, task, roles), ()).run().labels
    return {label: counts[label] for label in label_order(counts)}


def require_kinds(kinds: Collection[str]) -> None:
    """Refuse a kind of problem that the doctor does not know."""
    for kind in kinds:
        if kind not in CHECKS:
            raise StudioError(
                "unknown-name",
                f"There is no kind of problem {kind}.",
                valid=list(CHECKS),
                hint=nearest(kind, CHECKS),
                field="leave_out",
            )


def _dropping(left_out: Collection[str]) -> set[str]:
    """Kinds some of whose rows are usable, so that leaving them out takes a pass of its own."""
    return {kind for kind in left_out if CHECKS[kind].usable_too or not CHECKS[kind].unusable}


def _left_out_with(context: Context, kinds: Collection[str]) -> tuple[Spans, list[Problem]]:
    """Rows that are left out with kinds of problems, and what is said of them."""
    gone = _dropping(kinds)
    if not gone:
        return (), []
    _require_known(context, gone)
    checks = _Pass(context, gone).run().checks
    found = {number for each in checks for number in each.found}
    return spans_of(found), [_left_out(problem) for each in checks for problem in each.problems()]


def _require_known(context: Context, kinds: Collection[str]) -> None:
    """Refuse a kind whose rows can't be told from what is known."""
    for kind in kinds:
        if lacking := CHECKS[kind].lacking(context):
            raise StudioError(
                "wrong-state",
                f"Which rows are meant by {kind} is not known yet.",
                given=kind,
                hint=lacking,
                field="leave_out",
            )


def _left_out(problem: Problem) -> Problem:
    return problem.model_copy(
        update={"severity": "note", "message": f"{problem.message} Left out on purpose.", "fix": ""}
    )


def _too_many(context: Context, given: str) -> StudioError:
    column = context.column_of("label")
    return StudioError(
        "too-many-labels",
        f"The column {column} can't be the label: it has too many different values.",
        given=given,
        valid=f"at most {MOST_LABELS:,} labels, with several rows each",
        hint="Choose another column as the label, or another task.",
        field="map",
    )


__all__ = [
    "CHECKS",
    "Check",
    "Fix",
    "check",
    "fix_of",
    "labels_of",
    "refusal",
    "require_kinds",
    "rows_of",
    "settle_left_out",
    "usable_rows",
    "usable_values",
    "with_suspects",
]
