"""The public Python API: `Studio(home)` is composed of services. The page and the command line use nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from studio.schema.hub import PushRequest
from studio.schema.requests import RunRequest, SearchRequest
from studio.services.api_server.keys import ApiKeys
from studio.services.api_server.served_models import ServedModels
from studio.services.api_server.service import ApiProcess, ApiServer
from studio.services.catalog import Catalog
from studio.services.chat import Chat
from studio.services.checks import DataChecks
from studio.services.context import Context, Role
from studio.services.datasets.augmentation import Augmentation
from studio.services.datasets.editing import Editing
from studio.services.datasets.label_quality import LabelQuality
from studio.services.datasets.library import Library
from studio.services.datasets.service import Datasets
from studio.services.datasets.subprocess_jobs import DatasetJobs
from studio.services.datasets.versions import Versions
from studio.services.drafts import Drafts
from studio.services.evaluation.cross_validation import CrossValidations
from studio.services.evaluation.service import Evaluation
from studio.services.exports.hub_push import HubPush
from studio.services.exports.service import Exports
from studio.services.labeling.active_learning import Suggester
from studio.services.labeling.labels import Labels
from studio.services.machine import Machine
from studio.services.model_host.client import HostClient
from studio.services.models.adapter_import import AdapterImport
from studio.services.models.service import Downloads, Models
from studio.services.planning.lengths import LengthCache, Lengths
from studio.services.planning.planner import Planner
from studio.services.planning.preview import Previews
from studio.services.planning.service import Planning
from studio.services.predictions.service import Predictions
from studio.services.projects import Projects
from studio.services.runners import Runner, Runners
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.coach import Coach
from studio.services.runs.curves import Curves
from studio.services.runs.finished_runs import FinishedRuns
from studio.services.runs.reconcile import reconcile
from studio.services.runs.run_management import RunManagement
from studio.services.runs.search import Searches
from studio.services.runs.service import Runs
from studio.services.runs.storage import Storage
from studio.store import Home
from studio.store.home import ALONE
from studio.store.projects import ProjectStore
from studio.store.searches import SearchStore


@dataclass(frozen=True)
class Shared:
    """What all workspaces of a server share: the prepared worker, the model host, downloads and caches."""

    processes: WorkerProcesses
    runners: Mapping[str, Runner]
    host: HostClient
    downloads: Downloads
    lengths: LengthCache
    suggesters: dict[str, Suggester]
    """Dataset → its label suggestions."""
    api: ApiProcess
    """The API server that is started from the page."""

    @classmethod
    def of(cls, home: Home) -> "Shared":
        """New ones for a data folder; no process is started before it is needed."""
        host, processes = HostClient(home), WorkerProcesses(home.root)
        return cls(processes, Runners(home, processes), host, Downloads(home), LengthCache(host), {}, ApiProcess(home))

    def forget(self, workspace: Path) -> None:
        """Forget a workspace that was removed. `workspace`: its folder."""
        self.processes.forget(workspace.name)
        for dataset, suggester in list(self.suggesters.items()):
            if workspace in suggester.path.parents:
                self.suggesters.pop(dataset, None)


class Studio:
    """One workspace of a data folder. Services are created when first used. All refusals are `StudioError`.

    Args:
        home: the data folder; `$STUDIO_HOME` or a folder of the user by default.
        workspace: name of the workspace; a person alone has one.
        demo: apply the rules of a public demo.
        project: name or id of a project, in place of `workspace`. By default the default project.
    """

    def __init__(
        self,
        home: Home | Path | str | None = None,
        workspace: str = ALONE,
        demo: bool = False,
        shared: Shared | None = None,
        project: str | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        opened = self.home.workspace(ProjectStore(self.home).find(project).id if project else workspace)
        self.context = Context(self.home, opened, demo or opened.is_visitors)
        self.shared = shared or Shared.of(self.home)

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that this one started, except for runs in progress."""
        self.shared.api.stop()
        self.shared.host.close()
        self.shared.processes.close()

    def visitor(self, workspace: str, role: Role = "owner", demo: bool | None = None) -> "Studio":
        """The same data folder and shared processes for another workspace, or for a member of a team.

        `demo`: whether the rules of a public demo apply. By default as here; they always apply to a visitor.
        """
        visitors = Studio(self.home, workspace, self.context.demo if demo is None else demo, self.shared)
        visitors.context = replace(visitors.context, role=role)
        return visitors

    def reconcile(self) -> None:
        """Bring the states of runs in line with the processes that exist: lost workers, hanging stops, the queue.

        Reads never do this. The server calls it in a loop, the command line once for each command.
        """
        reconcile(self.runs)

    @cached_property
    def projects(self) -> Projects:
        """Projects: each groups datasets, runs, labels and drafts."""
        return Projects(self.context, self.shared.processes)

    # --- machine, models, choices ---

    @cached_property
    def machine(self) -> Machine:
        """This machine."""
        return Machine(self.context)

    @cached_property
    def models(self) -> Models:
        """Base models."""
        return Models(self.context, self.shared.downloads)

    @cached_property
    def catalog(self) -> Catalog:
        """Tasks, methods, presets, setting values and runners."""
        return Catalog(self.datasets, self.models, self.shared.runners)

    @cached_property
    def drafts(self) -> Drafts:
        """What was typed on the page and not used yet."""
        return Drafts(self.context)

    # --- datasets ---

    @cached_property
    def datasets(self) -> Datasets:
        """Datasets: import, rows, roles, splits."""
        return Datasets(self.context, lambda dataset: self.shared.suggesters.pop(dataset, None))

    @cached_property
    def versions(self) -> Versions:
        """Versions of datasets."""
        return Versions(self.datasets)

    @cached_property
    def editing(self) -> Editing:
        """Editing of single rows."""
        return Editing(self.datasets)

    @cached_property
    def checks(self) -> DataChecks:
        """Data checks and fixes."""
        return DataChecks(self.datasets, self.models, self._lengths, self.preview)

    @cached_property
    def jobs(self) -> DatasetJobs:
        """Long work on datasets in a subprocess, with progress and cancel."""
        return DatasetJobs(self.datasets, self.versions)

    @cached_property
    def augmentation(self) -> Augmentation:
        """Synthetic rows, made from existing ones."""
        return Augmentation(self.datasets, self.models, self.shared.host)

    @cached_property
    def label_quality(self) -> LabelQuality:
        """Likely label errors, and learning curves."""
        return LabelQuality(self.datasets, self.models, self.shared.host)

    @cached_property
    def labels(self) -> Labels:
        """Labeling."""
        return Labels(self.datasets, self.models, self.shared.host, self.shared.suggesters)

    @cached_property
    def library(self) -> Library:
        """The data library: every dataset with what was made of it."""
        return Library(self.datasets, self.labels)

    # --- runs ---

    @cached_property
    def preview(self) -> Previews:
        """What the model gets: tokens, lengths, the first batch."""
        return Previews(self.datasets, self.models, self._planner, self.shared.host)

    @cached_property
    def planning(self) -> Planning:
        """Plans and estimates of runs."""
        return Planning(self.models, self._planner, self.preview, self.shared.processes)

    @cached_property
    def runs(self) -> Runs:
        """Runs: start, watch, stop, resume, rerun."""
        return Runs(self.context, self.shared.runners, self.shared.processes, self.planning, self.shared.host)

    @cached_property
    def curves(self) -> Curves:
        """Curves of runs."""
        return Curves(self.runs)

    @cached_property
    def coach(self) -> Coach:
        """Advice on runs."""
        return Coach(self.runs)

    @cached_property
    def search(self) -> Searches:
        """Hyperparameter searches."""
        return Searches(SearchStore(self.context.workspace), self.runs, self.planning)

    @cached_property
    def saved(self) -> RunManagement:
        """Saved runs: name, note, tags, archive, export and import as one file."""
        return RunManagement(self.runs)

    @cached_property
    def adapters(self) -> AdapterImport:
        """Adapters of other tools, opened as runs."""
        return AdapterImport(self.context, self.models)

    @cached_property
    def storage(self) -> Storage:
        """Disk space."""
        return Storage(self.context, self.runs)

    # --- results ---

    @cached_property
    def chat(self) -> Chat:
        """Chat with a fine-tuned model beside its base model."""
        return Chat(self._finished, self.shared.host)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Evaluation and predictions."""
        return Evaluation(self._finished, self.shared.host, self.labels)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions for many rows, which are saved with the run; labels for the rows without one."""
        return Predictions(self.evaluation, self.labels)

    @cached_property
    def cross_validation(self) -> CrossValidations:
        """Cross-validations of runs."""
        return CrossValidations(self.runs, self.evaluation)

    @cached_property
    def exports(self) -> Exports:
        """Exports."""
        return Exports(self._finished, self.shared.host, self.evaluation.report)

    @cached_property
    def hub(self) -> HubPush:
        """Uploads of exports to the Hub."""
        return HubPush(self.exports)

    @cached_property
    def served_models(self) -> ServedModels:
        """Models that `studio serve-api` serves."""
        return ServedModels(self.exports)

    @cached_property
    def api_server(self) -> ApiServer:
        """The API server that is started from the page."""
        return ApiServer(self.context, self.shared.api)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """Keys of the API."""
        return ApiKeys(self.context)

    @cached_property
    def _lengths(self) -> Lengths:
        return Lengths(self.datasets, self.shared.lengths)

    @cached_property
    def _planner(self) -> Planner:
        return Planner(self.datasets, self._lengths)

    @cached_property
    def _finished(self) -> FinishedRuns:
        return FinishedRuns(self.context, self.datasets, self.models)


__all__ = ["PushRequest", "RunRequest", "SearchRequest", "Shared", "Studio"]
