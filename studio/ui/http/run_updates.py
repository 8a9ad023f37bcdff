"""Updates of a run in compact form, small enough to send every second: rows instead of objects, thinned when long.

Pure functions on events and records. The routes in poll.py send the results.
"""

import math
from collections.abc import Sequence
from typing import Any

from studio.api import Studio
from studio.schema.config import GROUPS, TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.events import (
    AdviceEvent,
    CheckpointEvent,
    ErrorEvent,
    EvaluationEvent,
    HeldEvent,
    HeldRow,
    PhaseEvent,
    ReadEvent,
    ReplyEvent,
    StepEvent,
    StoredEvent,
)
from studio.schema.fields import about
from studio.schema.numbers import plain_value, timestamp
from studio.schema.views import Progress
from studio.training.planning.setting_scope import applicable_settings

MOST_STEPS = 3000
"""Maximum steps in one response. More are thinned, keeping extremes."""


def compact(events: Sequence[StoredEvent], since: float | None = None) -> dict[str, Any]:
    """Events as short rows, a list for each kind that has any, and `to`: the cursor to ask with next.

    A step is [step, loss, rate, gradient, rows a second, MB, what the task tells besides, seconds after `since`,
    tokens a second, share of the processor], shorter where the last of these are not known.
    """
    steps: dict[int, list[Any]] = {}
    lists: dict[str, list[Any]] = {}
    read: dict[str, Any] = {}
    for stored in events:
        event = stored.event
        if isinstance(event, StepEvent):
            steps[event.step] = _step(event, None if since is None else timestamp(stored.time) - since)
        elif isinstance(event, EvaluationEvent):
            metrics = {name: short(value) for name, value in event.metrics.items()}
            lists.setdefault("checks", []).append([event.step, short(event.eval_loss), int(event.best), metrics])
        elif isinstance(event, CheckpointEvent):
            lists.setdefault("checkpoints", []).append([event.step, event.bytes, int(event.best)])
        elif isinstance(event, HeldEvent):
            lists.setdefault("held", []).append([event.step, [_validation_row(row) for row in event.rows]])
        elif isinstance(event, ReadEvent):
            read = {"read": event.model_dump(exclude={"kind"})}
        elif isinstance(event, ReplyEvent):
            lists.setdefault("replies", []).append(
                event.model_dump(include={"step", "prompt", "text", "who", "tokens"})
            )
        elif isinstance(event, PhaseEvent | AdviceEvent | ErrorEvent):
            row = {"time": stored.time, **event.model_dump(exclude={"kind"}, exclude_defaults=True)}
            lists.setdefault({"phase": "phases", "advice": "advice", "error": "errors"}[event.kind], []).append(row)
    if steps:
        lists["steps"] = thin([steps[step] for step in sorted(steps)])
    return {**lists, **read, "to": events[-1].id if events else None}


def _validation_row(row: HeldRow) -> list[Any]:
    """[row, loss, prediction, its probability, probability of the correct value], at first also that and the text."""
    values = [row.row, short(row.loss, 3), row.said, row.share and short(row.share, 3)]
    values.append(row.right_share and short(row.right_share, 3))
    return [*values, row.right, row.text] if row.text else values


def _step(event: StepEvent, after: float | None) -> list[Any]:
    norm = None if event.grad_norm is None else short(event.grad_norm)
    memory = round(event.memory_bytes / 1e6)
    row = [event.step, short(event.loss), short(event.learning_rate, 3), norm, short(event.rows_per_second, 3), memory]
    more: list[Any] = [{name: short(value) for name, value in event.metrics.items()} or None]
    more.append(None if after is None else round(after, 1))
    more += [value and short(value, 3) for value in (event.tokens_per_second, event.processor)]
    while more and more[-1] is None:
        more.pop()
    return [*row, *more]


def short(value: float, figures: int = 5) -> float | None:
    """A number with few digits. None for NaN and infinity, which JSON does not have."""
    return float(f"{value:.{figures}g}") if math.isfinite(value) else None


def thin(rows: list[list[Any]], most: int = MOST_STEPS) -> list[list[Any]]:
    """At most about `most` rows: of each section the first, the extremes of loss, and the largest gradient norm."""
    if len(rows) <= most:
        return rows
    stretch = math.ceil(len(rows) * 4 / most)
    kept: list[list[Any]] = []
    for start in range(0, len(rows), stretch):
        part = rows[start : start + stretch]
        losses = [row for row in part if row[1] is not None] or part
        telling = [part[0], min(losses, key=_loss), max(losses, key=_loss), max(part, key=_norm)]
        kept += sorted({id(row): row for row in telling}.values(), key=lambda row: row[0])
    return kept if kept[-1] is rows[-1] else [*kept, rows[-1]]


def _loss(row: list[Any]) -> float:
    return math.inf if row[1] is None else row[1]


def _norm(row: list[Any]) -> float:
    return -math.inf if row[3] is None else row[3]


def run_state(progress: Progress) -> dict[str, Any]:
    """The state of a run, for the run bar, the phases and the facts."""
    record = progress.record
    left = None if progress.seconds_left is None else round(progress.seconds_left)
    fields = {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "phase": record.phase,
        "step": record.step,
        "steps": record.steps,
        "best": record.best_step,
        "result": record.has_result or None,
        "share": short(progress.share, 3),
        "left": left,
        "doing": progress.doing or None,
        "waiting": progress.waiting or None,
        "ahead": progress.position,
        "seconds": None if record.seconds is None else round(record.seconds),
        "reason": (progress.sentence if progress.short else record.reason) or None,
        "saved": progress.saved,
        "way": progress.way_on or None,
        "bytes": progress.bytes or None,
        "keeps": progress.keeps,
        "wish": record.stop_wish,
        "started": record.started or record.created,
    }
    return {key: value for key, value in fields.items() if value is not None}


def settings(config: TrainingConfig) -> list[dict[str, Any]]:
    """The settings that apply to a run, for its panel: groups of label, value, unit and the library's name."""
    groups: dict[str, list[list[str]]] = {}
    for name in applicable_settings(config.method, config.task):
        if info := about(TrainingConfig, name):
            value = plain_value(getattr(config, name), separator=",") or "automatic"
            row = [info.label, value, info.unit, info.library or name]
            groups.setdefault(info.group, []).append(row)
    return [{"title": GROUPS[group], "rows": rows} for group, rows in groups.items()]


def method_titles(studio: Studio, model: str, task: str) -> dict[str, str]:
    """Method → title. Empty when the model can't be inspected any more."""
    try:
        return {each.name: each.title for each in studio.catalog.methods(model, task)}
    except StudioError:
        return {}
