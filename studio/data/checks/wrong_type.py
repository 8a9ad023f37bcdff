"""Cells with a value of the wrong type, for example a list where a text is needed."""

import json
from dataclasses import dataclass
from typing import Any

from studio.data.checks.base import Check, Context, RowView
from studio.data.formats.json_lines import kind_of
from studio.data.phrases import short
from studio.data.values import is_blank
from studio.schema.dataset import Problem
from studio.schema.numbers import plural

_EXPECTED = {
    "turns": '[{"role": "user", "content": "…"}, …]',
    "pairs": '[["question", "answer"], …]',
    "label": 'one name, such as "refund"',
    "labels": '["refund", "urgent"]',
    "score": "a number, such as 3.5",
    "thumb": "true or false",
}
"""`holds` of a role → what its cells should have."""
_A_TEXT = 'a text, such as "Where is my refund?"'


@dataclass
class _Unreadable:
    """The unreadable cells of one column."""

    role: str
    example: str
    kinds: set[str]
    """What the cells have: `a list`, `a text` …"""
    count: int = 0


class WrongType(Check):
    kind = "wrong-type"
    unusable = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.workbook = context.table.format == "xlsx"
        self.formulas = 0
        self.by_column: dict[str, _Unreadable] = {}

    def visit(self, view: RowView) -> None:
        if self._formula(view):
            self.row_numbers.append(view.number)
            self.formulas += 1
            return
        if not view.lacks:
            return
        column = self.context.column_of(view.lacks)
        cell = view.row.get(column)
        if view.lacks in view.values and view.values[view.lacks] is None and not is_blank(cell):
            self.row_numbers.append(view.number)
            self._count(view, column, cell)

    def rejects(self, view: RowView) -> bool:
        """Return whether a complete row is unusable because of a formula."""
        return self.workbook and self._formula(view)

    def _formula(self, view: RowView) -> bool:
        """Return whether a value is the text of a formula, because the workbook holds no result for it."""
        return self.workbook and any(isinstance(value, str) and value[:1] == "=" for value in view.values.values())

    def _count(self, view: RowView, column: str, cell: Any) -> None:
        part = getattr(self.context.task, "unreadable_part", lambda _: "")(cell)
        if column not in self.by_column:
            example = part or short(json.dumps(cell, ensure_ascii=False), 60)
            self.by_column[column] = _Unreadable(view.lacks, f"Row {view.number:,} has {example}.", set())
        unreadable = self.by_column[column]
        unreadable.count += 1
        unreadable.kinds.add("a list" if part else kind_of(cell))

    def _sentences(self, column: str, unreadable: _Unreadable) -> str:
        what = next(iter(unreadable.kinds)) if len(unreadable.kinds) == 1 else "a value"
        holds = next((role.holds for role in self.context.task.roles if role.name == unreadable.role), "text")
        expected = _EXPECTED.get(holds, _A_TEXT)
        message = plural(
            unreadable.count,
            '{n} row has {what} in the column "{column}" that we can\'t read.',
            '{n} rows have {what} in the column "{column}" that we can\'t read.',
            what=what,
            column=column,
        )
        return " ".join((message, f"Expected: {expected}.", unreadable.example))

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        sentences = [self._sentences(*item) for item in self.by_column.items()]
        if self.formulas:
            formulas = plural(
                self.formulas,
                "{n} row has a formula without a stored result.",
                "{n} rows have a formula without a stored result.",
            )
            sentences.insert(0, formulas)
        why = "These rows are not used for training. Correct them, or leave them out."
        return [self.problem("error", " ".join(sentences), why, "Leave them out")]
