"""The error of a report whose rows can't be used for training."""

from studio.data.checks.bad_line import BadLines
from studio.data.phrases import listed
from studio.schema.dataset import CheckReport
from studio.schema.errors import StudioError, as_one
from studio.schema.numbers import rows

LEAST_ROWS = 8
LEAST_LABELS = 2
LEAST_ROWS_OF_A_LABEL = 2


def refusal(report: CheckReport) -> StudioError | None:
    """Return an error with all reasons why the rows can't be used for training, or None if they can."""
    bad = [
        StudioError(
            "bad-line",
            each.message,
            hint="Fix these lines in the file, or leave them out (--leave-out bad-line).",
            rows=each.rows,
        )
        for each in report.problems
        if each.kind == BadLines.kind and each.severity == "error"
    ]
    few = _too_few(report)
    return as_one([*bad, few] if few else bad)


def _too_few(report: CheckReport) -> StudioError | None:
    """Return an error if there are too few usable rows, or too few labels with enough rows."""
    if report.usable < LEAST_ROWS:
        lost = [each.message for each in report.problems if each.severity == "error" and each.kind != BadLines.kind]
        return StudioError(
            "too-few-rows",
            " ".join([f"{report.usable:,} of {rows(report.rows)} can be used.", *lost]),
            valid=f"at least {LEAST_ROWS} rows",
            hint="Fix these rows, or add more rows." if lost else "Add more rows.",
        )
    able = [label for label, count in report.labels.items() if count >= LEAST_ROWS_OF_A_LABEL]
    if report.labels and len(able) < LEAST_LABELS:
        labels = listed(able) or "none"
        return StudioError(
            "too-few-rows",
            "There are too few labels with enough rows.",
            given=f"labels with {LEAST_ROWS_OF_A_LABEL} rows or more: {labels}",
            valid=f"at least {LEAST_LABELS} such labels",
            hint="Add rows with other labels, or choose another column as the label.",
        )
    return None
