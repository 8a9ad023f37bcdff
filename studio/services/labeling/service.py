"""Labelling: from rows without labels to a set that can be trained on, each key press stored at once."""

from collections.abc import Mapping, Sequence
from typing import Literal

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.labeling import Labeling, LabelList
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.label_tasks import LONGEST_REPLY, REPLIES, WORKS, trained_as
from studio.services.labeling.label_view import list_of, typed_key, where_it_stands
from studio.services.labeling.session import clean_name
from studio.services.labeling.suggestions import Suggestions

LIST_ROWS = 25


class LabelingService:
    """Labels, replies and choices of a dataset's current version."""

    def __init__(self, bench: AnnotationState, suggestions: Suggestions) -> None:
        self.bench, self.desks, self.suggestions = bench, bench.desks, suggestions

    # --- looking ---

    def state(self, dataset: str, labeller: str = "", task: str = "") -> Labeling:
        """Where it stands, and the next row for this person."""
        with self.bench.lock:
            self.desks.follow(dataset, task)
            desk, who = self.desks.of(dataset), clean_name(labeller)
            return where_it_stands(self.desks, desk, who, self.suggestions.learned(desk), self.suggestions.state(desk))

    def rows(
        self,
        dataset: str,
        labeller: str = "",
        show: str = "all",
        search: str = "",
        start: int = 1,
        count: int = LIST_ROWS,
    ) -> LabelList:
        """Many rows at once."""
        with self.bench.lock:
            desk = self.desks.of(dataset)
            return list_of(desk, clean_name(labeller), self.suggestions.learned(desk), start, count, show, search)

    # --- what is done, how, and in which order ---

    def choose(self, dataset: str, work: str = "", columns: Mapping[str, str] | None = None) -> None:
        """Do another kind of work, or read and write other columns."""
        with self.bench.lock:
            kind = named(WORKS, work, "kind of labelling", field="work") if work else self.desks.of(dataset).work
            for what, column in (columns or {}).items():
                self.desks.choose_column(dataset, kind, what, column)
            self.desks.choose_work(dataset, kind)

    def choose_order(self, dataset: str, order: str, labeller: str = "") -> None:
        """Have the rows come in another order for one person."""
        with self.bench.lock:
            who = clean_name(labeller)
            self.desks.choose_order(dataset, order, who)
            self.desks.show(self.desks.of(dataset), who, None, None, False)

    def open(self, dataset: str, row: int, labeller: str = "") -> None:
        """Put one row on this person's screen, done or not."""
        with self.bench.lock:
            desk = self.bench.desk_with(dataset, row)
            self.desks.show(desk, clean_name(labeller), row, None, True)

    # --- giving ---

    def give(self, dataset: str, row: int, value: str, labeller: str = "") -> None:
        """Put a label, a reply or a choice on a row; stored before this returns."""
        with self.bench.lock:
            desk, who = self.bench.desk_with(dataset, row), clean_name(labeller)
            value = self.bench.checked(desk, value)
            seen = self.desks.shown(desk, who)
            beside = seen.suggestion if seen and seen.row == row else None
            fact = self.bench.fact(desk, "given", who, row, value)
            if beside:
                fact = fact.model_copy(update={"suggested": beside.best, "sure": beside.sure})
            self.bench.add(desk, [fact])
            self.desks.show(desk, who, None, None, False)
            if desk.work is REPLIES:
                self.desks.drafts.put(typed_key(desk, who, row), None)

    def give_many(self, dataset: str, rows: Sequence[int], value: str = "", labeller: str = "") -> int:
        """Put a label on many rows at once, or on each the one that is suggested (without a value); how many."""
        with self.bench.lock:
            desk, who = self.bench.desk_with(dataset, *rows), clean_name(labeller)
            if value:
                values = dict.fromkeys(rows, self.bench.checked(desk, value))
            else:
                learned = self.suggestions.learned(desk)
                known = learned.rows if learned else {}
                values = {row: known[row].best for row in rows if row in known and row not in desk.board.final}
            self.bench.add(desk, [self.bench.fact(desk, "given", who, row, each) for row, each in values.items()])
            return len(values)

    def put_aside(self, dataset: str, row: int, what: Literal["skip", "unsure"], labeller: str = "") -> None:
        """Leave a row for later (`skip`), or say that one is `unsure` of it."""
        with self.bench.lock:
            desk, who = self.bench.desk_with(dataset, row), clean_name(labeller)
            self.bench.add(desk, [self.bench.fact(desk, what, who, row)])
            self.desks.show(desk, who, None, None, False)

    def undo(self, dataset: str, labeller: str = "") -> None:
        """Take back what this person did last to this version; its row comes again, as it was before."""
        with self.bench.lock:
            desk, who = self.desks.of(dataset), clean_name(labeller)
            version = desk.record.version
            mine = ((f, row) for f, row in reversed(desk.board.history) if (f.labeller, f.version) == (who, version))
            if found := next(mine, None):
                fact, row = found
                undoing = self.bench.fact(desk, "undo", who).model_copy(update={"undoes": fact.id})
                self.bench.add(desk, [undoing])
                self.desks.show(desk, who, row, None, True)

    def type_reply(self, dataset: str, row: int, text: str, labeller: str = "") -> None:
        """Keep what was typed so far, so that a closed tab loses none of it."""
        with self.bench.lock:
            desk, who = self.bench.desk_with(dataset, row), clean_name(labeller)
            self.desks.drafts.put(typed_key(desk, who, row), text[:LONGEST_REPLY])

    # --- what comes of it ---

    def use(self, dataset: str) -> DatasetRecord:
        """A new version of the dataset in which everything that was given stands in its column."""
        with self.bench.lock:
            desk = self.desks.of(dataset)
            work, board = desk.work, desk.board
            if few := work.too_few(board.counts, len(board.final)):
                raise StudioError("too-few-rows", few)
            given = desk.new()
            if not given:
                raise StudioError(
                    "wrong-state", "Nothing is new.", hint="Label some rows, or go on with the version that there is."
                )
            cells = {row: work.cells(desk.row(row), desk.columns, value) for row, value in given.items()}
            new = self.bench.datasets.with_values(dataset, cells, work.note(len(given), desk.columns))
            for what, column in work.written(desk.columns).items():
                self.desks.choose_column(dataset, work, what, column)
            if task := trained_as(work):
                roles = work.roles(desk.columns)
                ignored = {name: "ignore" for name in new.columns if name not in roles}
                self.bench.datasets.set_roles(dataset, task, {**roles, **ignored})
            return self.bench.datasets.store.get(new.id)
