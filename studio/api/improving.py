"""More from the rows that there are: labels judged, a learning curve, rows made from others."""

from collections.abc import Iterable

from studio.api.base import Door
from studio.data.dataset_size import what_rows_allow
from studio.schema.augmentation import Proposals, Verdict, WayView
from studio.schema.dataset import DatasetRecord
from studio.schema.label_quality import LearningCurve, Suspect
from studio.services.datasets.label_quality import Progress, ignore_progress


class ImprovingDoor(Door):
    """More from the rows that there are."""

    def ways_to_augment(self, dataset: str, model: str | None = None) -> list[WayView]:
        """How rows can be made from others, and why not."""
        return self._augmenting.ways(dataset, model)

    def made_rows(self, dataset: str) -> Proposals:
        """Rows that were made and wait for a person's word."""
        return self._augmenting.proposals(dataset)

    def make_rows(
        self,
        dataset: str,
        way: str,
        count: int,
        model: str | None = None,
        seed: int = 42,
        progress: Progress = ignore_progress,
    ) -> Proposals:
        """Make rows from those that are learned from; they wait until they are kept or refused."""
        return self._augmenting.propose(dataset, way, count, model, seed, progress)

    def decide_made(self, dataset: str, verdict: Verdict, numbers: Iterable[int] | None = None) -> Proposals:
        """Keep or refuse made rows by their numbers; None: all that wait."""
        return self._augmenting.decide(dataset, verdict, numbers)

    def forget_made(self, dataset: str) -> None:
        """Throw all made rows away that wait."""
        self._augmenting.forget(dataset)

    def use_made(self, dataset: str) -> DatasetRecord:
        """A new version with the made rows that were kept."""
        return self._augmenting.use(dataset)

    def what_rows_allow(self, dataset: str, task: str | None = None) -> str:
        """What can be expected of so many rows, in a sentence."""
        report = self._datasets.check(dataset, task)
        return what_rows_allow(report.usable, report.labels)

    def judge_labels(
        self, dataset: str, task: str | None = None, progress: Progress = ignore_progress
    ) -> dict[int, Suspect]:
        """Which labels are likely wrong; the doctor tells of them from then on."""
        return self._label_quality.judge(dataset, task, progress)

    def labels_judged(self, dataset: str) -> bool:
        """Whether that was asked for already, for the rows as they are."""
        return self._label_quality.was_judged(dataset)

    def learning_curve(
        self, dataset: str, task: str | None = None, progress: Progress = ignore_progress
    ) -> LearningCurve:
        """How well ever more of the rows do, and whether more would help."""
        return self._label_quality.curve(dataset, task, progress)

    def known_curve(self, dataset: str) -> LearningCurve | None:
        """The curve, if it was drawn already for the rows as they are."""
        return self._label_quality.known_curve(dataset)
