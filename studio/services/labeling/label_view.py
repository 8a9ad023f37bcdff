"""Where labelling stands, put into nouns for page and command line. It changes nothing but what is on the screen."""

from collections.abc import Iterable, Sequence

from studio.data.column import is_among
from studio.schema.errors import StudioError
from studio.schema.labeling import (
    Labeling,
    Labeller,
    LabelList,
    LabelRow,
    Learned,
    Recent,
    Replies,
    Suggestion,
    SuggestState,
)
from studio.services.labeling.agreement import agreements, trust
from studio.services.labeling.label_tasks import BETTER, LABELS, REPLIES, WORKS, trained_as, unavailable_reason
from studio.services.labeling.order import ORDERS
from studio.services.labeling.session import LabelingSession, LabelingSessions

RECENT = 8
SNIPPET = 120
LIST_TEXT = 400
SHOWS = ("all", "open", "done", "unsure", "differ", "sure")


def where_it_stands(
    desks: LabelingSessions, desk: LabelingSession, labeller: str, learned: Learned | None, state: SuggestState
) -> Labeling:
    """The row to do now, and all that is said around it."""
    board = desk.board
    suggested = learned.rows if learned else {}
    order = desks.order(desk, labeller, suggested)
    row = desks.next(desk, labeller, order, suggested, learned.time if learned else "")
    seen = desks.shown(desk, labeller)
    suggestion = suggested.get(row) if row and board.is_open(row, labeller) else None
    desks.show(desk, labeller, row, suggestion, bool(seen and seen.opened and seen.row == row))
    done = len(board.final)
    return Labeling(
        dataset=desk.record.id,
        work=desk.work.name,
        works=_works(desks, desk),
        columns=desk.columns,
        text_column=next(iter(desk.columns.values()), ""),
        task=trained_as(desk.work) or "",
        choosable=tuple((what, words, desk.columns.get(what, "")) for what, words, _ in desk.work.columns),
        labels=board.labels if desk.work is LABELS else (),
        counts={name: board.counts.get(name, 0) for name in (board.labels if desk.work is LABELS else ())},
        done=done,
        total=desk.record.rows,
        unsure=len(board.marked("unsure", labeller)),
        row=row,
        text=desk.text(row) if row else "",
        reply=_reply(desks, desk, labeller, row) if row and desk.work is REPLIES else "",
        replies=_pair(desk, row) if row and desk.work is BETTER else None,
        suggestion=suggestion,
        recent=tuple(_recent(desk, labeller)),
        order=order.name,
        orders=tuple((each.name, each.title) for each in ORDERS.values() if each.offered(board, labeller, suggested)),
        enough=desk.work.too_few(board.counts, done),
        suggesting=state,
        trust=trust(fact for fact, _ in board.history),
        labeller=labeller,
        labellers=tuple(Labeller(name=name, rows=rows) for name, rows in sorted(board.labellers().items())),
        agreements=agreements(board) if desk.work is not REPLIES else (),
        new=len(desk.new()),
    )


def _works(desks: LabelingSessions, desk: LabelingSession) -> tuple[tuple[str, str, str], ...]:
    draft = desks.draft(desk.record.id)
    return tuple(
        (work.name, work.title, unavailable_reason(work, desks.columns_of(desk.record, work, draft)))
        for work in WORKS.values()
    )


def _pair(desk: LabelingSession, row: int) -> Replies:
    """Both replies. They change places from row to row, the same way each time a row is shown."""
    return BETTER.replies(desk.row(row), desk.columns, bool(row * 2_654_435_761 >> 7 & 1))


def typed_key(desk: LabelingSession, labeller: str, row: int) -> str:
    """Under which a reply is kept that was typed and not given yet."""
    return f"typed:{desk.record.id}:{desk.record.version}:{row}:{labeller}"


def _reply(desks: LabelingSessions, desk: LabelingSession, labeller: str, row: int) -> str:
    typed = desks.drafts.get(typed_key(desk, labeller, row))
    return str(typed) if typed is not None else desk.board.final.get(row, "")


def _recent(desk: LabelingSession, labeller: str) -> Iterable[Recent]:
    """Rows that this person did last, newest first."""
    seen: set[int] = set()
    for fact, row in reversed(desk.board.history):
        if len(seen) == RECENT:
            return
        mark = desk.board.mine(row, labeller)
        if row in seen or fact.labeller != labeller or mark is None or mark.fact != fact.id:
            continue
        seen.add(row)
        value = (mark.value or "") if mark.what == "given" else mark.what
        was = fact.suggested or ""
        yield Recent(
            row=row, text=desk.text(row)[:SNIPPET], value=value[:SNIPPET], was=was if was and was != fact.value else ""
        )


def list_of(
    desk: LabelingSession, labeller: str, learned: Learned | None, start: int, count: int, show: str, search: str
) -> LabelList:
    """A page of many rows; `show` is one of SHOWS, or `label:NAME`."""
    suggested = learned.rows if learned else {}
    numbers = _numbers(desk, labeller, suggested, show)
    if words := search.strip().lower():
        found = desk.holding(words)
        numbers = found if show == "all" else [row for row in numbers if is_among(found, row)]
    start = max(1, min(start, len(numbers)))
    page = numbers[start - 1 : start - 1 + count]
    texts = desk.texts(page)
    return LabelList(
        rows=tuple(_list_row(desk, labeller, row, texts.get(row, ""), suggested) for row in page),
        start=start,
        total=len(numbers),
        show=show,
        search=search.strip(),
    )


def _numbers(desk: LabelingSession, labeller: str, suggested: dict[int, Suggestion], show: str) -> Sequence[int]:
    board, every = desk.board, range(1, desk.record.rows + 1)
    if show == "all":
        return every
    if show == "open":
        return [row for row in every if row not in board.final]
    if show == "done":
        return sorted(board.final)
    if show == "unsure":
        return board.marked("unsure", labeller)
    if show == "differ":
        return sorted({row for each in agreements(board) for row in each.differ})
    if show == "sure":
        return sorted((row for row in suggested if row not in board.final), key=lambda row: -suggested[row].sure)
    if show.startswith("label:"):
        return sorted(row for row, label in board.final.items() if label == show.removeprefix("label:"))
    raise StudioError("unknown-name", "Rows can't be shown in that way.", given=show, valid=[*SHOWS, "label:NAME"])


def _list_row(desk: LabelingSession, labeller: str, row: int, text: str, suggested: dict[int, Suggestion]) -> LabelRow:
    board, mark = desk.board, desk.board.mine(row, labeller)
    return LabelRow(
        row=row,
        text=text[:LIST_TEXT],
        value=board.final.get(row, ""),
        mine=(mark.value or "") if mark and mark.what == "given" else "",
        mark=mark.what if mark and mark.what != "given" else "",
        by=tuple(
            (name, each.value or "")
            for name, each in sorted(board.marks.get(row, {}).items())
            if each.what == "given" and each.value
        ),
        suggestion=None if row in board.final else suggested.get(row),
    )
