"""Augmentation: new rows made from the rows of a dataset. A person reviews them before they become a version."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from studio.data.augment import AUGMENTERS, Augmenter, augmenter_named
from studio.data.columns import is_turns
from studio.data.literals import parsed
from studio.data.synthetic import MADE_BY, MADE_FROM, is_synthetic, with_synthetic
from studio.data.table import Row
from studio.schema.augmentation import AugmentationRequest, MadeRow, Proposals, Verdict, WayView
from studio.schema.base import fields_of
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.numbers import plural
from studio.schema.report import ChatSettings
from studio.services.datasets.service import Datasets
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.services.model_host.client import HostClient
from studio.services.models.service import Models
from studio.store.split_store import VersionSplit
from studio.tasks import task_named

MOST, MOST_BY_MODEL, MOST_IN_DEMO = 2_000, 200, 20
"""Rows that one request may make."""
Progress = Callable[[int, int, str], None]


class Augmentation:
    """Augmentation of a workspace's datasets. Made rows are saved in a draft until a person accepts or refuses them."""

    def __init__(self, datasets: Datasets, models: Models, host: HostClient) -> None:
        self.datasets, self.models, self.host = datasets, models, host.of(datasets.context.workspace)
        self.drafts = datasets.context.workspace.drafts

    def ways(self, dataset: str, model: str | None) -> list[WayView]:
        """All ways to make rows, each with the reason why it can't be used, if any."""
        self.datasets.store.get(dataset)
        return [
            WayView(**fields_of(WayView, way), unavailable_reason=self._unavailable_reason(way, model))
            for way in AUGMENTERS.values()
        ]

    def proposals(self, dataset: str) -> Proposals:
        """The made rows of the current version."""
        kept = self.drafts.get(_key(self.datasets.store.get(dataset)))
        return Proposals.model_validate(kept) if kept else Proposals()

    def propose(
        self, dataset: str, augmentation: AugmentationRequest, progress: Progress = lambda done, total, words: None
    ) -> Proposals:
        """Make rows from training rows, each from another one. They wait for a review."""
        way, count, model, seed = augmentation.way, augmentation.count, augmentation.model, augmentation.seed
        chosen, record = augmenter_named(way), self.datasets.store.get(dataset)
        if why := self._unavailable_reason(chosen, model):
            raise StudioError(
                "method-unavailable", why, given=way, hint="Choose another way to make rows.", field="way"
            )
        most = MOST_IN_DEMO if self.datasets.context.demo else MOST_BY_MODEL if chosen.needs_model else MOST
        if not 1 <= count <= most:
            what = "This number of synthetic rows is not possible."
            raise StudioError("bad-setting", what, given=count, valid=f"1 to {most:,}", field="count")
        spec, _ = self.datasets.resolve_spec(dataset)
        sources = self._sources(record, spec)
        picked = random.Random(seed).sample(sources, min(len(sources), count))
        made = (
            self._with_model(chosen, picked, model, progress)
            if chosen.needs_model
            else [(row, text, chosen.augment(text, random.Random(f"{seed} {row}"))) for row, text in picked]
        )
        known = {" ".join(text.split()).casefold() for _, text in sources}
        fresh = [each for each in made if each[2] and " ".join(each[2].split()).casefold() not in known]
        rows = tuple(
            MadeRow(number=number, source=row, way=chosen.name, before=before, after=after)
            for number, (row, before, after) in enumerate(fresh, 1)
        )
        by = f"{chosen.title.lower()}, {model}" if chosen.needs_model else chosen.title.lower()
        proposals = Proposals(rows=rows, made_by=by, skipped=len(picked) - len(rows))
        return self._keep(record, proposals)

    def decide(self, dataset: str, verdict: Verdict, numbers: Iterable[int] | None = None) -> Proposals:
        """Accept or refuse made rows by number. None: all that have no verdict yet."""
        record, proposals = self.datasets.store.get(dataset), self.proposals(dataset)
        chosen = None if numbers is None else set(numbers)
        known = {row.number for row in proposals.rows}
        if chosen is not None and not chosen <= known:
            raise StudioError(
                "no-such-row",
                "There is no synthetic row with this number.",
                given=sorted(chosen - known),
                valid=f"1 to {len(known)}",
            )
        rows = tuple(
            row.model_copy(update={"verdict": verdict})
            if (row.verdict == "waiting" if chosen is None else row.number in chosen)
            else row
            for row in proposals.rows
        )
        return self._keep(record, proposals.model_copy(update={"rows": rows}))

    def forget(self, dataset: str) -> None:
        """Delete all made rows."""
        self.drafts.put(_key(self.datasets.store.get(dataset)), None)

    def use(self, dataset: str) -> DatasetRecord:
        """A new version of the dataset with the accepted rows, each marked as synthetic."""
        record, proposals = self.datasets.store.get(dataset), self.proposals(dataset)
        kept = [row for row in proposals.rows if row.verdict == "kept"]
        if not kept:
            raise StudioError(
                "no-such-row", "No synthetic row is kept yet.", hint="Review the rows and keep the good ones."
            )
        spec, _ = self.datasets.resolve_spec(dataset)
        table, task = self.datasets.table(dataset), task_named(spec.task)
        rows = [_augmented_row(table.row(each.source), spec, each.after, proposals.made_by) for each in kept]
        for row in rows:
            if task.missing(row, spec.roles):
                raise StudioError(
                    "no-such-row",
                    "A synthetic row has no value in a column that the task needs.",
                    given=str(row)[:200],
                    hint="Refuse this row, or make new rows.",
                )
        one, more = "{n} row added by augmentation: {made_by}.", "{n} rows added by augmentation: {made_by}."
        note = plural(len(rows), one, more, made_by=proposals.made_by)
        new = self.datasets.write(with_synthetic(table, rows), record, note, spec)
        self.drafts.put(_key(record), None)
        return new

    def _keep(self, record: DatasetRecord, proposals: Proposals) -> Proposals:
        self.drafts.put(_key(record), proposals.model_dump())
        return proposals

    def _unavailable_reason(self, way: Augmenter, model: str | None) -> str:
        if not way.needs_model:
            return ""
        if not model:
            return "This needs a generative model. Choose one first (--model)."
        try:
            info = self.models.ready(model)
        except StudioError as error:
            return error.what
        return (
            ""
            if info.kind == "causal"
            else "This needs a generative model (decoder). The chosen model is of another kind."
        )

    def _sources(self, record: DatasetRecord, spec: DatasetSpec) -> list[tuple[int, str]]:
        """Training rows with a text that can be changed, without synthetic rows: row number and text."""
        column, table = _column_to_change(spec), self.datasets.table(record.id)
        division = VersionSplit(self.datasets.store, record, spec, split_spec(saved_splits(spec))).assign()
        learned = set(division.rows("train"))
        return [
            (number, text)
            for number, row in table.numbered()
            if number in learned and not is_synthetic(row) and (text := _text(row, column))
        ]

    def _with_model(
        self, way: Augmenter, picked: list[tuple[int, str]], model: str | None, progress: Progress
    ) -> list[tuple[int, str, str]]:
        prompted = [(row, text, prompt) for row, text in picked if (prompt := way.prompt(text))]
        settings = ChatSettings(temperature=0.7, top_p=0.9, max_new_tokens=160, seed=1)
        assert model is not None
        info = self.models.ready(model)
        result = self.host.result(
            "write",
            progress,
            info=info,
            prompts=[prompt for _, _, prompt in prompted],
            settings=settings,
            trusted=self.models.trusted(info),
        )
        replies = zip(prompted, result["texts"], strict=True)
        return [(row, text, way.parse_reply(reply, text)) for (row, text, _), reply in replies]


def _column_to_change(spec: DatasetSpec) -> str:
    """The column whose text is changed: a text, a prompt, or the conversation."""
    by_role = {role: column for column, role in spec.roles.items()}
    for role in ("text", "prompt", "messages", "question"):
        if role in by_role and (role != "text" or len(by_role) > 1):  # a text without a label is itself the target
            return by_role[role]
    raise StudioError(
        "method-unavailable",
        "Augmentation does not work for this task.",
        given=spec.task,
        valid="a task with a text, a prompt or a conversation in each row",
    )


def _first_user_turn(cell: list[Any]) -> dict[str, Any] | None:
    """The first turn of the user in a conversation."""
    turns = (turn for turn in cell if isinstance(turn, dict))
    return next((turn for turn in turns if (turn.get("role") or turn.get("from")) in ("user", "human")), None)


def _turns(cell: Any) -> Any:
    """The messages that a text holds, as in CSV files. Other cells as they are."""
    value = parsed(cell) if isinstance(cell, str) else None
    return value if is_turns(value) else cell


def _text(row: Row, column: str) -> str:
    cell = _turns(row.get(column))
    if isinstance(cell, list):
        turn = _first_user_turn(cell) or {}
        cell = turn.get("content", turn.get("value"))
    return cell.strip() if isinstance(cell, str) else ""


def _augmented_row(row: Row, spec: DatasetSpec, after: str, by: str) -> Row:
    """The source row with the new text, and the marks of a synthetic row."""
    column, task = _column_to_change(spec), task_named(spec.task)
    cell, turns = after, _turns(row[column])
    if isinstance(turns, list):
        first_turn = _first_user_turn(turns) or {}
        name = "content" if "content" in first_turn else "value"
        changed: Any = [{**turn, name: after} if turn is first_turn else turn for turn in turns]
        cell = json.dumps(changed, ensure_ascii=False) if isinstance(row[column], str) else changed
    return {**row, column: cell, MADE_BY: by, MADE_FROM: task.text_of(row, spec.roles)}


def _key(record: DatasetRecord) -> str:
    return f"augmenting:{record.id}:{record.version}"
