"""Hyperparameter searches: start and list. search_engine.py runs the trials."""

from pathlib import Path
from typing import Any

from studio.schema.requests import RunRequest, SearchRequest
from studio.schema.runs import RunRecord
from studio.schema.search import SearchSpec, SearchView
from studio.schema.settings_check import gathered, raise_once
from studio.services.planning.service import Planning
from studio.services.runs.search_engine import SearchEngine, budget_problems, search_problems
from studio.services.runs.service import Runs
from studio.store.searches import SearchStore, at_work

DEFAULT_TRIALS = 10
"""Trials of a search without a number of trials or minutes."""


SHARED = {"dataset", "model", "task", "method", "preset", "roles", "leave_out", "validation", "runner"}
"""Fields of a search that are those of the request of each trial."""


class Searches(SearchEngine):
    """The hyperparameter searches of a workspace."""

    def __init__(self, store: SearchStore, runs: Runs, planning: Planning) -> None:
        super().__init__(store, runs, self._trial)
        self._runs, self._planning = runs, planning
        runs.processes.on_run_end(runs.context.workspace.name, self.run_ended)

    def start(self, request: SearchRequest) -> SearchView:
        """Start a search for learning rate, epochs, batch size and LoRA rank. The preset's values are tried first.

        When the minutes are used up, the running trial is stopped and its best checkpoint kept.

        Raises:
            StudioError: with all problems of the request at once.
        """
        run, problems = request.run, budget_problems(request.trials, request.minutes)
        assert run.dataset is not None and run.model is not None
        with gathered(problems):
            self._planning.models.ready(run.model)
            resolved = self._planning.resolve(run)
            view = self._planning.planner.plan(resolved)
            problems += search_problems(view.plan.config, run.all_settings, view.splits.train, view.splits.validation)
        raise_once(problems)
        config, record = view.plan.config, self._planning.datasets.get(run.dataset)
        spec = SearchSpec(
            id="",
            name=run.name or f"search in {Path(record.name).stem}",
            dataset=record.id,
            model=run.model,
            task=config.task,
            method=config.method,
            preset=run.preset,
            settings=run.all_settings,
            roles=run.roles,
            leave_out=run.leave_out,
            validation=run.validation,
            runner=run.runner,
            trials=request.trials or (0 if request.minutes else DEFAULT_TRIALS),
            minutes=request.minutes,
            seed=config.seed,
            data=resolved.spec,
            dataset_version=record.version,
        )
        return self.begin(spec, config, view.splits.train)

    def all(self) -> list[SearchSpec]:
        """All searches, newest first."""
        return self.store.all()

    def running(self) -> list[tuple[str, str]]:
        """Workspace and id of each running search in the data folder, of all workspaces."""
        return at_work(self.runs.context.home)

    def _trial(self, spec: SearchSpec, settings: dict[str, Any], name: str) -> RunRecord:
        """Every trial trains on the rows that the search started with, also when the dataset has changed since."""
        same = spec.model_dump(include=SHARED)
        request = RunRequest(**same, settings=settings, name=name)
        if spec.data is None:  # a search of an older version
            return self._runs.start(request)
        run = self._planning.spec_on_rows(request, spec.data, spec.dataset_version)
        self._runs.require_rows(run)
        return self._runs.submit(run)
