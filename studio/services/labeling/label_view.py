"""Views of a labeling session for the page and the command line: progress with the current row, and a list of rows."""

from collections.abc import Callable, Iterator, Sequence

from studio.data.column import is_among
from studio.data.values import full_text
from studio.metrics.agreement import agreements
from studio.metrics.suggestion_accuracy import trust
from studio.schema.errors import StudioError
from studio.schema.labeling import Labeler, Labeling, LabelList, LabelRow, Recent, Replies, SuggestState
from studio.schema.views import Page
from studio.services.labeling.label_queue import available_orders
from studio.services.labeling.label_tasks import LABEL_TASKS, LABELS, PREFERENCES, REPLIES
from studio.services.labeling.session import Session, rows_containing

RECENT, RECENT_TEXT, LIST_TEXT = 8, 120, 400
SHOWS: dict[str, Callable[[Session], Sequence[int]]] = {
    "all": lambda session: range(1, session.record.rows + 1),
    "open": lambda session: [row for row in range(1, session.record.rows + 1) if row not in session.state.values],
    "done": lambda session: sorted(session.state.values),
    "unsure": lambda session: list(session.state.marked("unsure", session.labeler)),
    "differ": lambda session: sorted({row for each in agreements(session.state.marks["given"]) for row in each.differ}),
    "sure": lambda session: sorted(
        session.suggested.keys() - session.state.values.keys(), key=lambda row: (-session.suggested[row].sure, row)
    ),
}
"""Filters of the list of rows. The others are `label:NAME`."""


def labeling_view(session: Session, suggesting: SuggestState, typed: str | None) -> Labeling:
    """Return the progress of labeling and the row on a person's screen. `typed`: their unsaved reply to it."""
    state, label_task, columns, row = session.state, session.label_task, session.columns, session.queue.row
    labels = state.labels if label_task is LABELS else ()
    return Labeling(
        dataset=session.record.id,
        work=label_task.name,
        works=tuple(
            (each.name, each.title, each.unavailable_reason(session.columns_for(each))) for each in LABEL_TASKS.values()
        ),
        task=label_task.task,
        text_column=session.text_column,
        choosable=tuple((purpose, title, columns.get(purpose, "")) for purpose, title in label_task.columns.items()),
        columns=columns,
        labels=labels,
        counts={name: state.counts.get(name, 0) for name in labels},
        done=len(state.values),
        total=session.record.rows,
        unsure=len(state.marked("unsure", session.labeler)),
        row=row,
        text=session.text(row) if row else "",
        reply=(state.values.get(row, "") if typed is None else typed) if row and label_task is REPLIES else "",
        replies=_replies(session, row) if row and label_task is PREFERENCES else None,
        suggestion=session.queue.suggestion,
        recent=tuple(_recent(session)),
        order=session.order,
        orders=tuple(available_orders(session).items()),
        enough=label_task.too_few(state.counts),
        suggesting=suggesting,
        trust=trust(fact for fact, _ in state.history),
        labeller=session.labeler,
        labellers=tuple(Labeler(name=name, rows=rows) for name, rows in sorted(state.labelers().items())),
        agreements=agreements(state.marks["given"]) if label_task is not REPLIES else (),
        new=len(state.changed),
    )


def _replies(session: Session, row: int) -> Replies:
    """Return both replies. The sides change from row to row, but stay the same for one row."""
    first, second = (full_text(session.row(row).get(session.columns[purpose])) for purpose in ("first", "second"))
    swapped = bool(row * 2_654_435_761 >> 7 & 1)  # a hash
    left, right = (second, first) if swapped else (first, second)
    return Replies(left=left, right=right, swapped=swapped)


def _recent(session: Session) -> Iterator[Recent]:
    """Yield the rows that this person did last, newest first, each with their last value or mark."""
    rows: set[int] = set()
    for fact, row in reversed(session.state.history):
        if len(rows) == RECENT:
            return
        mark = session.state.mark(row, session.labeler)
        if fact.labeller != session.labeler or mark is None or mark.id != fact.id:
            continue
        rows.add(row)
        value = (mark.value or "") if mark.what == "given" else mark.what
        was = fact.suggested if fact.suggested and fact.suggested != fact.value else ""
        yield Recent(row=row, text=session.text(row)[:RECENT_TEXT], value=value[:RECENT_TEXT], was=was)


def list_view(session: Session, show: str, search: str, page: Page) -> LabelList:
    """Return a page of rows. `show` is one of SHOWS, or `label:NAME`."""
    numbers, search = _numbers(session, show), search.strip()
    if search:
        matches = rows_containing(search.lower(), session.text_column, *session.source)
        numbers = matches if show == "all" else [row for row in numbers if is_among(matches, row)]
    start = max(1, min(page.start, len(numbers)))
    on_page = numbers[start - 1 : start - 1 + page.count]
    texts = session.texts(on_page)
    rows = tuple(_list_row(session, row, texts.get(row, "")) for row in on_page)
    return LabelList(rows=rows, start=start, total=len(numbers), show=show, search=search)


def _numbers(session: Session, show: str) -> Sequence[int]:
    """Return the numbers of the rows that `show` names."""
    if show.startswith("label:"):
        return sorted(row for row, label in session.state.values.items() if label == show.removeprefix("label:"))
    if show not in SHOWS:
        valid = [*SHOWS, "label:NAME"]
        raise StudioError("unknown-name", "There is no such filter for rows.", given=show, valid=valid)
    return SHOWS[show](session)


def _list_row(session: Session, row: int, text: str) -> LabelRow:
    state, mark = session.state, session.state.mark(row, session.labeler)
    values = sorted((fact.labeller, fact.value or "") for fact in state.given(row))
    return LabelRow(
        row=row,
        text=text[:LIST_TEXT],
        value=state.values.get(row, ""),
        mine=(mark.value or "") if mark and mark.what == "given" else "",
        mark=mark.what if mark and mark.what != "given" else "",
        by=tuple(pair for pair in values if pair[1]),
        suggestion=None if row in state.values else session.suggested.get(row),
    )
