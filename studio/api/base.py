"""What every door shares: the workspace, and the services made when first needed."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from studio.services.context import Context, Role
from studio.services.datasets.augmentation import Augmentation
from studio.services.datasets.label_quality import LabelQuality
from studio.services.datasets.service import Datasets
from studio.services.labeling.active_learning import Suggester
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.import_export import LabelImportExport
from studio.services.labeling.label_schema import LabelNames
from studio.services.labeling.service import LabelingService
from studio.services.labeling.suggestions import Suggestions
from studio.services.model_host.client import HostClient
from studio.services.models import Downloads, Models
from studio.services.planning.exclusions import Exclusions
from studio.services.planning.lengths import LengthCache, Lengths
from studio.services.planning.preview import Previews
from studio.services.planning.service import Planning
from studio.services.run_outputs import Answers
from studio.services.runners.local import LocalRunner
from studio.services.runs.service import Runs
from studio.store import Home
from studio.store.home import ALONE


@dataclass(frozen=True)
class Shared:
    """What all workspaces of a server share: one prepared worker, one model host, the downloads."""

    runner: LocalRunner
    host: HostClient
    downloads: Downloads
    lengths: LengthCache
    suggester: Suggester

    @classmethod
    def of(cls, home: Home) -> "Shared":
        host = HostClient(home)
        return cls(LocalRunner(home.root), host, Downloads(home), LengthCache(host), Suggester(host))


class Door:
    """One workspace of a home."""

    def __init__(
        self,
        home: Home | Path | str | None = None,
        workspace: str = ALONE,
        demo: bool = False,
        shared: Shared | None = None,
        role: Role = "owner",
    ) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        opened = self.home.workspace(workspace)
        self.context = Context(self.home, opened, demo or opened.is_visitors, role)
        self.shared = shared or Shared.of(self.home)

    def close(self) -> None:
        """End what this process started, but never a run at work."""
        self.shared.host.close()
        self.shared.runner.close()

    @cached_property
    def _datasets(self) -> Datasets:
        return Datasets(self.context)

    @cached_property
    def _bench(self) -> AnnotationState:
        return AnnotationState(self.context, self._datasets)

    @cached_property
    def _suggestions(self) -> Suggestions:
        return Suggestions(self._bench, self._models, self.shared.suggester)

    @cached_property
    def _labelling(self) -> LabelingService:
        return LabelingService(self._bench, self._suggestions)

    @cached_property
    def _label_names(self) -> LabelNames:
        return LabelNames(self._bench)

    @cached_property
    def _label_carrying(self) -> LabelImportExport:
        return LabelImportExport(self._bench)

    @cached_property
    def _models(self) -> Models:
        return Models(self.context, self.shared.downloads)

    @cached_property
    def _lengths(self) -> Lengths:
        return Lengths(self._datasets, self.shared.lengths)

    @cached_property
    def _planning(self) -> Planning:
        return Planning(self._datasets, self._lengths)

    @cached_property
    def _seeing(self) -> Previews:
        return Previews(self._datasets, self._models, self._planning, self.shared.host)

    @cached_property
    def _leaving(self) -> Exclusions:
        return Exclusions(self._datasets, self._lengths, self._seeing)

    @cached_property
    def _augmenting(self) -> Augmentation:
        return Augmentation(self._datasets, self._models, self.shared.host)

    @cached_property
    def _label_quality(self) -> LabelQuality:
        return LabelQuality(self._datasets, self._models, self.shared.host)

    @cached_property
    def _runs(self) -> Runs:
        return Runs(self.context, self.shared.runner)

    @cached_property
    def _answers(self) -> Answers:
        return Answers(self.context, self.shared.host, self._datasets, self._models)
