"""Curves of runs: one run as a table of all steps, several runs side by side with the settings that differ."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent, EvaluationEvent, StepEvent, StoredEvent
from studio.schema.fields import about
from studio.schema.numbers import plain_value, timestamp
from studio.schema.views import ComparedRun, CurvesView, Difference
from studio.services.runs.lifecycle import RunLifecycle

COLUMNS = (
    "step",
    "passes",
    "seconds",
    "train_loss",
    "learning_rate",
    "gradient_norm",
    "rows_per_second",
    "tokens_per_second",
    "memory_bytes",
    "processor",
    "validation_loss",
    "best",
    "coach",
)
MOST = 8
"""Maximum number of runs on one chart."""
ALWAYS = ("model", "method")
EVENT_KINDS = ("step", "evaluation", "advice")
ALL_EVENTS = 10_000_000


class Curves:
    """Curves of a workspace's runs."""

    def __init__(self, runs: RunLifecycle) -> None:
        self.runs = runs

    def csv(self, run: str) -> str:
        """Every step of a run, with validations and advice, as CSV."""
        record = self.runs.get(run)
        events = self.runs.events(record.id, limit=ALL_EVENTS, kinds=EVENT_KINDS)
        return as_csv(curve_rows(events, record.created))

    def compare(self, runs: Sequence[str]) -> CurvesView:
        """Several runs: their validations, results, and the settings in which they differ."""
        different = len(set(runs))
        if not 2 <= different <= MOST:
            raise StudioError(
                "bad-setting",
                "This number of runs can't be compared.",
                given=f"{different} runs",
                valid=f"2 to {MOST} runs",
                field="runs",
            )
        records = [self.runs.get(run) for run in dict.fromkeys(runs)]
        configs = [self.runs.spec(record.id).config for record in records]
        same = len({(record.dataset, record.dataset_version) for record in records}) == 1
        return CurvesView(
            runs=tuple(self._compared(record.id) for record in records), differs=differences(configs), same_rows=same
        )

    def _compared(self, run: str) -> ComparedRun:
        record = self.runs.get(run)
        losses = {
            each.event.step: each.event.eval_loss
            for each in self.runs.events(record.id, kinds=("evaluation",))
            if isinstance(each.event, EvaluationEvent)
        }
        best = min((loss for step, loss in losses.items() if step and math.isfinite(loss)), default=None)
        return ComparedRun(
            id=record.id,
            name=record.name,
            status=record.status,
            seconds=record.seconds,
            metrics=record.metrics,
            best_loss=best,
            checks=tuple(sorted(losses.items())),
        )


def curve_rows(events: Sequence[StoredEvent], created: str) -> list[dict[str, Any]]:
    """One row for each step, in its latest state. Validations are in the row of their step."""
    began = timestamp(created)
    rows: dict[int, dict[str, Any]] = {}
    for stored in events:
        event = stored.event
        if isinstance(event, StepEvent):
            rows[event.step] = {
                "step": event.step,
                "passes": event.epoch,
                "seconds": round(timestamp(stored.time) - began, 1),
                "train_loss": event.loss,
                "learning_rate": event.learning_rate,
                "gradient_norm": event.grad_norm,
                "rows_per_second": event.rows_per_second,
                "tokens_per_second": event.tokens_per_second,
                "memory_bytes": event.memory_bytes,
                "processor": event.processor,
                **event.metrics,
            }
        elif isinstance(event, EvaluationEvent):
            metrics = {f"validation_{name}": value for name, value in event.metrics.items()}
            row = rows.setdefault(event.step, {"step": event.step})
            row |= {"validation_loss": event.eval_loss, "best": int(event.best), **metrics}
        elif isinstance(event, AdviceEvent):
            rows.setdefault(event.step, {"step": event.step})["coach"] = event.title
    return [rows[step] for step in sorted(rows)]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV, with a column for each key."""
    more = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, *more], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def differences(configs: Sequence[TrainingConfig]) -> tuple[Difference, ...]:
    """The settings in which these runs differ, with the value of each run in words."""
    differing = []
    for name in (*ALWAYS, *settings_of()):
        values = [getattr(config, name) for config in configs]
        if any(value != values[0] for value in values):
            info = about(TrainingConfig, name)
            label = info.label if info else name.capitalize()
            differing.append(
                Difference(name=name, label=label, values=tuple(plain_value(value) or "automatic" for value in values))
            )
    return tuple(differing)
