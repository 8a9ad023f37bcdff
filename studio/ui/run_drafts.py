"""Drafts of runs: the choices of a page before Start. They are saved when the page changes to another run."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.ui.components.settings import shown_settings
from studio.ui.visitors.session import Choices, Visit

KEY = "drafts"
MAX_DRAFTS = 20
"""Of more drafts, the oldest are deleted."""
RUNS_TAB_VALUES = ("finding", "storage", "compared", "opened")
"""Values of the page about the table of runs, which a new run does not change."""


@dataclass(frozen=True)
class Draft:
    """Saved choices of a run that was not started."""

    id: str
    time: str
    """ISO 8601 in UTC."""
    choices: Choices

    @property
    def name(self) -> str:
        """The name of the run that it becomes. Empty: it has none yet."""
        return self.choices.name


def drafts(visit: Visit) -> list[Draft]:
    """The saved drafts, newest first."""
    return [Draft(each["id"], each["time"], Choices.from_draft(each["choices"])) for each in _saved(visit)]


def _saved(visit: Visit) -> list[dict[str, Any]]:
    saved = visit.studio.drafts.get(KEY)
    return saved if isinstance(saved, list) else []


def is_draft(visit: Visit, choices: Choices) -> bool:
    """Whether choices have rows that exist, and no run was started from them as they are."""
    known = {each.id for each in visit.studio.datasets.all()}
    return choices.dataset in known and not any(_is_of(visit, run, choices) for run in _runs(visit, choices))


def _runs(visit: Visit, choices: Choices) -> Iterator[RunRecord]:
    """The runs with these rows, task and model, newest first."""
    chosen = (choices.dataset, choices.task, choices.model)
    return (run for run in visit.studio.runs.all() if (run.dataset, run.task, run.model) == chosen)


def _is_of(visit: Visit, run: RunRecord, choices: Choices) -> bool:
    """Whether a run has all that was set by hand. Splits are saved with the rows."""
    config = visit.studio.runs.spec(run.id).config
    splits = SplitSpec.model_fields.keys() - {"seed"}
    settings = [each for each in choices.settings.items() if each[0] not in splits]
    prompts = None if choices.prompts is None else tuple(filter(None, map(str.strip, choices.prompts)))
    return (
        all(getattr(config, name, value) == value for name, value in settings)
        and choices.method in ("", run.method)
        and choices.preset in (Choices.preset, config.preset)
        and prompts in (None, config.test_prompts)
    )


def save_current(visit: Visit) -> None:
    """Save the choices of the page as a draft, if no run was started from them as they are."""
    choices = visit.choices
    if visit.role != "viewer" and is_draft(visit, choices):  # of too many, the oldest one would be deleted
        draft = {"id": secrets.token_hex(4), "time": datetime.now(UTC).isoformat(), "choices": asdict(choices)}
        visit.studio.drafts.put(KEY, [draft, *_saved(visit)][:MAX_DRAFTS])


def delete(visit: Visit, draft: str) -> None:
    """Delete a draft. Its dataset stays."""
    visit.studio.drafts.put(KEY, [each for each in _saved(visit) if each["id"] != draft])


def resume(visit: Visit, draft: str) -> None:
    """Bring a draft back to the page, and open the tab of its next step. The choices before become a draft.

    Raises:
        StudioError: `wrong-state` if another page has deleted the draft.
    """
    chosen = next((each for each in drafts(visit) if each.id == draft), None)
    if chosen is None:
        raise StudioError("wrong-state", "This draft was deleted.", hint="Start a new run.")
    save_current(visit)
    delete(visit, draft)
    _replace(visit, chosen.choices, chosen.choices.extra)
    visit.goto("method" if chosen.choices.task and chosen.choices.model else "data")


def start_empty(visit: Visit) -> None:
    """A new run: no task, no rows, no settings of an earlier one."""
    save_current(visit)
    _replace(visit, Choices(), {})


def start_like(visit: Visit, run: RunRecord) -> None:
    """A new run with task, model, rows and settings of an earlier one."""
    save_current(visit)
    spec = visit.studio.runs.spec(run.id)
    config = spec.config
    settings = {name: getattr(config, name) for name in shown_settings(config)}
    settings = {name: value for name, value in settings.items() if value is not None}
    chosen = Choices(
        dataset=_existing(visit, run.dataset),
        validation=_existing(visit, spec.validation_dataset or ""),
        task=run.task,
        model=run.model,
        method=run.method,
        preset=config.preset,
        settings=settings | spec.splits.model_dump(exclude_defaults=True),
        prompts=tuple(config.test_prompts),
        name=run.name,
    )
    _replace(visit, chosen, {})


def _existing(visit: Visit, dataset: str) -> str:
    return dataset if dataset in {each.id for each in visit.studio.datasets.all()} else ""


def show_rows_of(visit: Visit, run: RunRecord) -> None:
    """Bring the rows of a run to the tabs Model, Data and Method, with its task and model.

    Nothing changes where they are there already, or where the dataset was deleted.
    """
    chosen = visit.choices
    if (chosen.dataset, chosen.task) == (run.dataset, run.task) or not _existing(visit, run.dataset):
        return
    save_current(visit)
    record = visit.studio.datasets.get(run.dataset)
    splits = record.spec.splits if record.spec else None
    settings = splits.model_dump(exclude_defaults=True) if isinstance(splits, SplitSpec) else {}
    of_run = Choices(dataset=run.dataset, task=run.task, model=run.model, settings=settings)
    _replace(visit, of_run, {}, tab=chosen.tab, run=chosen.run, reached=chosen.reached)


def _replace(visit: Visit, choices: Choices, extra: dict[str, Any], **more: Any) -> None:
    """Take over all choices. What the person chose for the table of runs stays."""
    kept = {name: value for name, value in visit.choices.extra.items() if name in RUNS_TAB_VALUES}
    visit.choose(**{**vars(choices), "tab": visit.choices.tab, **more, "extra": {**extra, **kept}})


def begin(visit: Visit, run: str = "", fresh: bool = False) -> None:
    """The page was loaded: restore the last choices. A run in the address becomes the current one.

    A browser that never had this page open (`fresh`) begins empty, unless there is a draft or a run in progress.
    """
    visit.begin()
    if run and (fresh or run != visit.choices.run):
        with suppress(StudioError):
            record = visit.studio.runs.get(run)
            visit.choose(run=record.id, reached=())
            show_rows_of(visit, record)
    elif fresh and not visit.demo and not _is_worth_restoring(visit):
        visit.begin(Choices())


def _is_worth_restoring(visit: Visit) -> bool:
    choices = visit.choices
    if is_draft(visit, choices):
        tasks = visit.studio.catalog.tasks(None, choices.dataset)
        return not choices.task or any(t.name == choices.task and not t.unavailable_reason for t in tasks)
    started = next(_runs(visit, choices), None)
    return started is not None and started.status in ACTIVE
