"""Search: better settings, found by trying."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from studio.api.runs import RunsDoor
from studio.schema.dataset import DatasetSpec
from studio.schema.runs import RunRecord, RunSpec
from studio.schema.search import SearchSpec, SearchView
from studio.schema.settings_check import gathered, raise_once
from studio.services.runs.search import Searches, against, against_budget
from studio.store.searches import SearchStore, at_work

TRIALS = 10
"""Unless a number is given, or minutes are."""


class SearchDoor(RunsDoor):
    """Search: better settings, found by trying."""

    @cached_property
    def _searches(self) -> Searches:
        made = Searches(SearchStore(self.context.workspace), self._runs, self._start_trial)
        self.shared.runner.tell(self.context.workspace.name, made.ended)
        return made

    def start_search(
        self,
        dataset: str,
        model: str,
        task: str | None = None,
        method: str | None = None,
        preset: str = "balanced",
        settings: Mapping[str, Any] | None = None,
        trials: int | None = None,
        minutes: float = 0.0,
        name: str = "",
        roles: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
    ) -> SearchView:
        """Begin a search for a learning rate, passes, rows at once and a rank; the preset's values are tried first.

        The budget is a number of trials, minutes of training (0: no limit), or both, whichever is used up first; of
        neither it is 10 trials. When the minutes are over, the trial at work is ended with its best kept.
        """
        found = against_budget(trials, minutes)
        fixed = {key.replace("-", "_"): value for key, value in (settings or {}).items()}
        how: dict[str, Any] = {"preset": preset, "name": "", "validation": None}
        with gathered(found):
            self._models.ready(model)
            info, data = self._meant(dataset, model, task, roles, leave_out, settings, method, **how)
            view = self._planning.plan(dataset, info, data, self._beginning(settings, method, info, data), **how)
            found += against(view.plan.config, fixed, view.splits.train, view.splits.validation)
        raise_once(found)
        config = view.plan.config
        spec = SearchSpec(
            id="",
            name=name or f"search in {Path(self._datasets.store.get(dataset).name).stem}",
            dataset=dataset,
            model=model,
            task=config.task,
            method=config.method,
            preset=preset,
            settings=fixed,
            roles=dict(roles) if roles else None,
            leave_out=tuple(leave_out),
            trials=trials or (0 if minutes else TRIALS),
            minutes=minutes,
            seed=config.seed,
            data=data,
            dataset_version=self._datasets.store.get(dataset).version,
        )
        return self._searches.begin(spec, config, view.splits.train)

    def search(self, search: str) -> SearchView:
        """A search as it stands; looking moves it on."""
        return self._searches.look(search)

    def searches(self) -> list[SearchSpec]:
        """All searches, newest first."""
        return self._searches.store.all()

    def searches_at_work(self) -> list[tuple[str, str]]:
        """Workspace and id of each search of this home that is at work, whosever it is."""
        return at_work(self.home)

    def stop_search(self, search: str) -> SearchView:
        """Begin no further trial."""
        return self._searches.stop(search)

    def best_settings(self, search: str) -> dict[str, Any]:
        """The settings of a search's best trial, to be used by a run."""
        return self._searches.best(search)

    def _start_trial(self, spec: SearchSpec, settings: dict[str, Any], name: str) -> RunRecord:
        asked = (
            self._asked(
                spec.dataset,
                spec.model,
                spec.task,
                spec.method,
                spec.preset,
                settings,
                name,
                (),
                roles=spec.roles,
                leave_out=spec.leave_out,
            )
            if spec.data is None
            else self._trial(spec, spec.data, settings, name)
        )
        return self._runs.start(asked)

    def _trial(self, spec: SearchSpec, data: DatasetSpec, settings: dict[str, Any], name: str) -> RunSpec:
        """A trial learns from the rows that the search began with, whatever has become of the dataset since."""
        info = self._models.ready(spec.model)
        began = self._beginning(settings, spec.method, info, data)
        view = self._planning.plan(spec.dataset, info, data, began, preset=spec.preset, name=name)
        self._require_fit(info, view)
        asked = self._run_spec(spec.dataset, data, view, None, began.replay)
        asked = asked.model_copy(update={"dataset_version": spec.dataset_version})
        self._runs.require_rows(asked)
        return asked
