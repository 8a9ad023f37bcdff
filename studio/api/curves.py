"""Curves: one run's as a table, several runs' beside each other."""

from collections.abc import Sequence

from studio.api.coaching import CoachDoor
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent, StoredEvent
from studio.schema.views import ComparedRun, CurvesView
from studio.services.runs.curves import MOST, as_csv, curve_rows, differences

WANTED = ("step", "evaluation", "advice")
LIMIT = 10_000_000


class CurvesDoor(CoachDoor):
    """Curves: one run's as a table, several runs' beside each other."""

    def curve_csv(self, run: str) -> str:
        """Every step of a run, its checks and the coach's words, as CSV."""
        record = self.run(run)
        return as_csv(curve_rows(self.events(record.id, limit=LIMIT, kinds=WANTED), record.created))

    def news(self, run: str, after: int, most: int) -> list[StoredEvent]:
        """Events newer than the cursor, for a curve: of more than `most` steps those that stand out."""
        return self._runs.thinned(run, after, most)

    def compare_runs(self, runs: Sequence[str]) -> CurvesView:
        """Several runs: their checks, what they reached, and the settings in which they differ."""
        if not 2 <= len(set(runs)) <= MOST:
            raise StudioError(
                "bad-setting",
                "So many runs can't be compared.",
                given=f"{len(set(runs))} runs",
                valid=f"2 to {MOST} runs",
                field="runs",
            )
        records = [self.run(run) for run in dict.fromkeys(runs)]
        configs = [self.spec(record.id).config for record in records]
        same = len({(record.dataset, record.dataset_version) for record in records}) == 1
        return CurvesView(
            runs=tuple(self._compared(record.id) for record in records), differs=differences(configs), same_rows=same
        )

    def _compared(self, run: str) -> ComparedRun:
        record = self.run(run)
        checks = {
            each.event.step: each.event.eval_loss
            for each in self.events(record.id, kinds=("evaluation",))
            if isinstance(each.event, EvaluationEvent)
        }
        best = min((loss for step, loss in checks.items() if step), default=None)
        return ComparedRun(
            id=record.id,
            name=record.name,
            status=record.status,
            seconds=record.seconds,
            metrics=record.metrics,
            best_loss=best,
            checks=tuple(sorted(checks.items())),
        )
