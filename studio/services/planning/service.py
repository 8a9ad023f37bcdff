"""Plans of runs: the settings and costs of a request on this machine, and its problems."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.data.checks.bad_line import BadLines
from studio.data.checks.too_long import TooLong
from studio.machine.facts import machine_facts
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError, named
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.runs import Replay, RunSpec
from studio.schema.settings_check import gathered, raise_once
from studio.schema.views import FitView, PlanView
from studio.services.datasets.check_options import CheckOptions
from studio.services.datasets.split_settings import split_spec
from studio.services.datasets.subprocess_jobs import MANY, check_and_split
from studio.services.models.service import Models
from studio.services.planning.planner import Planner, Resolved
from studio.services.planning.preview import Previews
from studio.services.planning.probe import probe
from studio.services.planning.replay_mixing import StartingPoint, starting_point
from studio.services.planning.row_language import language_note
from studio.services.runners import LOCAL, RUNNERS, default_runner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.tasks import task_named
from studio.training.planning.memory_budget import MAX_MEMORY_SHARE


class Planning:
    """Plans of a workspace's runs."""

    def __init__(self, models: Models, planner: Planner, previews: Previews, processes: WorkerProcesses) -> None:
        self.models, self.planner, self._previews, self._processes = models, planner, previews, processes
        self.datasets, self.context = planner.datasets, planner.datasets.context

    def plan(self, request: RunRequest) -> PlanView:
        """The settings and costs of a run. Without a dataset, for typical rows."""
        return self.planner.plan(self.resolve(request))

    def fit(self, request: RunRequest) -> FitView:
        """The nearest settings with which a run fits this machine's memory, and each change."""
        return self.planner.fit(self.resolve(request))

    def language_note(self, dataset: str, model: str, task: str) -> str:
        """A warning if the model was not trained on the language of a dataset's rows. Empty if it was, or unknown."""
        spec = self.datasets.spec(dataset, task, labels_too=False)
        return language_note(self.datasets, dataset, self.models.get(model).info, spec)

    def probe(self, request: RunRequest) -> PlanView:
        """A plan whose memory and time are measured by a few real steps on the longest rows."""
        resolved = self.resolve(request, ready=True)
        self._processes.close()  # a process that prepares a run would be measured as well
        view = self.planner.plan(resolved)
        measured = probe(self.context, self.run_spec(resolved, view))
        return self.planner.plan(resolved, measured)

    def problems(self, request: RunRequest) -> tuple[StudioError, ...]:
        """All problems of a run that can be known before tokens are counted.

        Dataset and model may be None, because they were refused before. Problems that depend on what is missing are
        left out: of a dataset the limits of batch size and validation, of a model what it and its methods support.
        """
        resolved, problems = self._look_up(request)
        return tuple(self._all_problems(resolved, problems))

    def resolve(self, request: RunRequest, ready: bool = False) -> Resolved:
        """The model, the rows and the starting point of a request.

        `ready`: the model's weights must be on this machine and allowed.

        Raises:
            StudioError: with all problems of the request at once, when the model or the rows are not usable.
        """
        resolved, problems = self._look_up(request, ready)
        if resolved.info is None or resolved.spec is None or problems:
            raise_once(self._all_problems(resolved, problems))
        return resolved

    def spec_to_start(self, request: RunRequest) -> RunSpec:
        """The spec with which a worker runs a request.

        Raises:
            StudioError: when the request has problems or does not fit this machine.
        """
        assert request.dataset is not None
        settings = {**request.settings, "test_prompts": request.prompts}
        resolved = self.resolve(request.model_copy(update={"settings": settings}), ready=True)
        spec = resolved.spec
        assert spec is not None
        name = request.name or Path(self.datasets.store.get(request.dataset).name).stem
        resolved = replace(resolved, request=resolved.request.model_copy(update={"name": name}))
        with suppress(StudioError):  # the plan reports it with all other problems
            self._check_rows(request.dataset, spec)
        return self._fitting_spec(resolved)

    def spec_on_rows(
        self, request: RunRequest, spec: DatasetSpec, version: int, replay: Replay | None = None
    ) -> RunSpec:
        """The spec of a run on the rows of an earlier one, read as they were then. `replay`: its replay data.

        `version` is that of the rows. The dataset may have newer ones.

        Raises:
            StudioError: when the request has problems or does not fit this machine.
        """
        assert request.model is not None
        info = self.models.ready(request.model)
        start = starting_point(self.datasets, request, info, spec)
        if start.replay and replay:
            start = replace(start, replay=replay)
        return self._fitting_spec(Resolved(request, info, spec, start, version))

    def _fitting_spec(self, resolved: Resolved) -> RunSpec:
        view = self.planner.plan(resolved)
        assert resolved.info is not None
        if not named(RUNNERS, resolved.request.runner, "runner", field="runner").is_elsewhere:
            self._require_fit(resolved.info, view)
        return self.run_spec(resolved, view)

    def run_spec(self, resolved: Resolved, view: PlanView) -> RunSpec:
        """The spec of a planned run."""
        request, spec = resolved.request, resolved.spec
        assert request.dataset is not None and spec is not None
        other = self.datasets.store.get(request.validation) if request.validation else None
        return RunSpec(
            config=view.plan.config,
            dataset=request.dataset,
            dataset_version=self.datasets.store.get(request.dataset, resolved.version).version,
            data=spec,
            splits=split_spec(view.plan.config.model_dump()),
            validation_dataset=other.id if other else None,
            validation_version=other.version if other else 1,
            replay=resolved.start.replay,
            runner=default_runner() if request.runner == LOCAL else request.runner,
            because=view.plan.because,
            memory_bytes=view.estimate.memory_bytes,
            disk_bytes=view.estimate.disk_bytes,
            seconds=view.estimate.seconds,
            seconds_range=(view.estimate.low_seconds, view.estimate.high_seconds),
        )

    def fits_later(self, view: PlanView) -> bool:
        """Whether a run fits this machine once other programs free their memory. It waits for that."""
        machine = machine_facts()
        computed = view.estimate.memory_bytes <= MAX_MEMORY_SHARE * machine.training_memory
        return computed and view.estimate.beside_bytes <= MAX_MEMORY_SHARE * machine.memory_total

    def _require_fit(self, info: ModelInfo, view: PlanView) -> None:
        """Refuse a run that never fits this machine.

        Raises:
            StudioError: `does-not-fit`.
        """
        estimate, machine = view.estimate, machine_facts()
        if estimate.fits or self.fits_later(view):
            return
        sizes = [estimate.memory_bytes, machine.training_memory]
        if estimate.beside_bytes > MAX_MEMORY_SHARE * machine.memory_total:  # also too much with a larger GPU
            sizes = [estimate.beside_bytes, machine.memory_total]
        needed, most = (f"{size / 2**30:.1f} GB" for size in sizes)
        raise StudioError(
            "does-not-fit",
            f"Training {info.title} with these settings needs more memory than this machine has.",
            given=f"about {needed}, and this machine has {most}",
            hint=f"{estimate.short} Make it fit (studio estimate --fit) finds settings that fit. Or choose a "
            "smaller model.",
            field="batch_size",
        )

    def _all_problems(self, resolved: Resolved, problems: list[StudioError]) -> list[StudioError]:
        """These problems, and those of the plan."""
        if (resolved.info is None or resolved.spec is None) and (
            run := resolved.request.all_settings.get("start_from")
        ):
            with gathered(problems):
                self.context.workspace.runs.get(str(run))
        return [*problems, *self.planner.problems(resolved)]

    def _look_up(self, request: RunRequest, ready: bool = False) -> tuple[Resolved, list[StudioError]]:
        """The parts of a request that are known, and why the others are not."""
        problems: list[StudioError] = []
        info = self._model(request.model, ready, problems)
        spec = None
        with gathered(problems):
            if request.dataset is not None:
                spec, _ = self.datasets.resolve_spec(request.dataset, request.task, request.roles)
            elif request.task or info:
                task = task_named(request.task or next(iter(info.tasks if info else ()), ""))
                spec = DatasetSpec(task=task.name, roles={})
        if request.dataset is not None and info and spec:
            with gathered(problems):
                spec = self._with_rows_left_out(request, info, spec)
        start = StartingPoint.of(request)
        if info and spec:
            start = starting_point(self.datasets, request, info, spec)
        return Resolved(request, info, spec, start), problems

    def _with_rows_left_out(self, request: RunRequest, info: ModelInfo, spec: DatasetSpec) -> DatasetSpec:
        """The spec with the kinds of problems that are left out, and the rows that have them in such a run.

        They are determined once, before the run is planned.
        """
        kinds, settings = tuple(sorted({*spec.left_out, *request.leave_out})), request.all_settings
        if not kinds:
            return spec
        assert request.dataset is not None
        options = CheckOptions(leave_out=kinds, validation=request.validation)
        if TooLong.kind in kinds and task_named(spec.task).cuts:
            readable = spec.model_copy(update={"left_out": (BadLines.kind,)})
            limit = self._previews.limit(request.dataset, info, readable, settings)
            system_prompt = str(settings.get("system_prompt", ""))
            measured = self.planner.lengths.of(request.dataset, info, spec, system_prompt, whole=True)
            options = replace(options, max_length=limit, lengths=measured.by_row)
        rows = self.datasets.rows_left_out(request.dataset, spec, options)
        return spec.model_copy(update={"left_out": kinds, "rows_left_out": rows})

    def _model(self, name: str | None, ready: bool, problems: list[StudioError]) -> ModelInfo | None:
        if name is None:
            return None
        info = None
        with gathered(problems):
            info = self.models.ready(name) if ready else self.models.find(name)
        if info is None and ready:  # it may be known, although it can't be loaded
            with suppress(StudioError):
                info = self.models.find(name)
        return info

    def _check_rows(self, dataset: str, spec: DatasetSpec) -> None:
        """Check the rows, so that the plan knows their problems. Another process checks large datasets."""
        options: dict[str, Any] = {
            "roles": spec.roles,
            "leave_out": spec.left_out,
            "rows_left_out": spec.rows_left_out,
        }
        arguments = {"dataset": dataset, "task": spec.task, **options}
        large = self.datasets.store.get(dataset).rows > MANY
        elsewhere = (lambda: check_and_split(self.context, arguments)[0]) if large else None
        self.datasets.check(dataset, spec.task, CheckOptions(**options), elsewhere=elsewhere)
