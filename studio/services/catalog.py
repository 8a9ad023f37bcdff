"""What can be chosen for a run: tasks, methods, presets, runners, and the values of settings on this machine."""

from collections.abc import Mapping

from studio.data.task_fit import unfit_reason as rows_unfit
from studio.machine.facts import machine_facts
from studio.schema.base import fields_of
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.numbers import memory
from studio.schema.runs import RunnerView
from studio.schema.views import MethodView, PresetView, RoleView, TaskView
from studio.services.datasets.service import Datasets
from studio.services.labeling.label_tasks import written_by_hand
from studio.services.models.service import Models
from studio.services.runners import LOCAL, Runner, default_runner, offered_runners
from studio.tasks import TASKS, task_named
from studio.training.loop.trackers import TRACKERS
from studio.training.methods import METHODS
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.parallelism import unavailable_fsdp, unavailable_offload, unavailable_zero_stages
from studio.training.planning.presets import PRESETS, default_method
from studio.training.planning.setting_checks import unavailable_precisions


class Catalog:
    """Tasks, methods, presets, setting values and runners."""

    def __init__(self, datasets: Datasets, models: Models, runners: Mapping[str, Runner]) -> None:
        self.datasets, self.models, self._runners = datasets, models, runners

    def tasks(self, model: str | None = None, dataset: str | None = None) -> list[TaskView]:
        """All tasks, each with the reason why the model or the dataset is unfit for it, if any.

        A model that is refused counts as none.
        """
        info = self._model_or_none(model)
        columns = self.datasets.columns(dataset) if dataset else None
        return [
            TaskView(
                **{**fields_of(TaskView, task), "roles": [fields_of(RoleView, role) for role in task.roles]},
                unavailable_reason=(task.unavailable_reason(info) if info else "")
                or (rows_unfit(columns, (), task, written_by_hand(task.name)) if columns else ""),
            )
            for task in TASKS.values()
        ]

    def methods(self, model: str, task: str) -> list[MethodView]:
        """All methods, each with the reason why it can't be used, if any."""
        info, machine = self.models.find(model), machine_facts()
        suggested = default_method(info)
        return [
            MethodView(
                **fields_of(MethodView, method),
                unavailable_reason=method.unavailable_reason(info, task_named(task), machine),
                suggested=method.name == suggested,
            )
            for method in METHODS.values()
        ]

    def presets(self) -> list[PresetView]:
        """The presets, each with a sentence."""
        return [PresetView(**fields_of(PresetView, each)) for each in PRESETS.values()]

    def runners(self) -> list[RunnerView]:
        """Where a run can train: the default runner, then those of plugins."""
        return [
            RunnerView(
                name=LOCAL if runner.name == default_runner() else runner.name,
                title=runner.title,
                sentence=runner.sentence,
                hardware=", ".join(" · ".join([memory(offer.memory_bytes), *offer.gpus]) for offer in runner.offers()),
                unavailable_reason=runner.check(),
                is_elsewhere=runner.is_elsewhere,
            )
            for runner in map(self._runners.__getitem__, offered_runners())
        ]

    def unavailable_values(self) -> dict[str, dict[str, str]]:
        """Setting → value → why it can't be chosen on this machine."""
        machine = machine_facts()
        optimizers = {name: each.unavailable_reason(machine) for name, each in OPTIMIZERS.items()}
        trackers = {name: each.unavailable_reason() for name, each in TRACKERS.items()}
        return {
            "optimizer": {name: reason for name, reason in optimizers.items() if reason},
            "mirror": {name: reason for name, reason in trackers.items() if reason},
            "precision": unavailable_precisions(machine),
            "zero": unavailable_zero_stages(machine),
            "offload": unavailable_offload(machine),
            "fsdp": unavailable_fsdp(machine),
        }

    def value_help(self) -> dict[str, dict[str, str]]:
        """Setting → value → what it does and when to choose it."""
        return {"optimizer": {name: each.sentence for name, each in OPTIMIZERS.items()}}

    def _model_or_none(self, model: str | None) -> ModelInfo | None:
        try:
            return self.models.find(model) if model else None
        except StudioError:
            return None
