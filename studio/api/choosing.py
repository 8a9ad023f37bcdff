"""What there is to choose from: this machine, tasks, methods, presets and models."""

from collections.abc import Callable
from typing import Any

from studio.api.base import Door
from studio.data.task_fit import why_not_rows
from studio.machine.doctor import check_machine
from studio.machine.facts import MachineFacts, machine_facts
from studio.models import check_starters
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.report import MachineCheck
from studio.schema.views import (
    DownloadState,
    MethodView,
    ModelView,
    PresetView,
    RoleView,
    TaskView,
)
from studio.services.labeling.label_tasks import written_by_hand
from studio.tasks import TASKS
from studio.training.loop.trackers import MIRRORS
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.parallelism import fsdp_off, offload_off, zero_off
from studio.training.planning.presets import PRESETS
from studio.training.planning.setting_checks import precision_off

OnProgress = Callable[[int, int, str], None]


class ChoosingDoor(Door):
    """What there is to choose from: this machine, tasks, methods, presets and models."""

    # --- this machine, and what a person was doing ---

    def machine(self) -> MachineFacts:
        """Memory, cores and GPUs of this machine."""
        return machine_facts()

    def doctor(self) -> list[MachineCheck]:
        """What a person must know of this machine before trusting it with a run."""
        return [*check_machine(self.home.root), *check_starters()]

    def draft(self, key: str, default: Any = None) -> Any:
        """What was typed or chosen and not used yet."""
        return self.context.workspace.drafts.get(f"page:{key}", default)

    def keep_draft(self, key: str, value: Any) -> None:
        """Keep it, so that a reload loses none of it."""
        self.context.workspace.drafts.put(f"page:{key}", value)

    # --- tasks, methods, presets ---

    def tasks(self, model: str | None = None, dataset: str | None = None) -> list[TaskView]:
        """All tasks, each with why the model or the data can't do it; of a model that can't be asked for, nothing."""
        info = self._model_or_none(model)
        columns = self._datasets.columns(dataset) if dataset else None
        return [
            TaskView(
                name=task.name,
                title=task.title,
                sentence=task.sentence,
                term=task.term,
                sample_in=task.sample_in,
                sample_out=task.sample_out,
                unavailable_reason=(task.unavailable_reason(info) if info else "")
                or (why_not_rows(columns, (), task, written_by_hand(task.name)) if columns else ""),
                roles=tuple(
                    RoleView(name=role.name, title=role.title, help=role.help, required=role.required)
                    for role in task.roles
                ),
            )
            for task in TASKS.values()
        ]

    def _model_or_none(self, model: str | None) -> ModelInfo | None:
        try:
            return self._models.find(model) if model else None
        except StudioError:
            return None

    def methods(self, model: str, task: str) -> list[MethodView]:
        """All methods, each with why it can't be used and what memory it takes."""
        return self._planning.methods(self._models.find(model), task)

    def presets(self) -> list[PresetView]:
        """The presets in a sentence each."""
        return [PresetView(name=each.name, title=each.title, sentence=each.sentence) for each in PRESETS.values()]

    def choices_off(self) -> dict[str, dict[str, str]]:
        """What can't be chosen on this machine: setting → value → why not."""
        machine = machine_facts()
        why = {name: each.unavailable_reason(machine) for name, each in OPTIMIZERS.items()}
        mirrors = {name: each.unavailable_reason() for name, each in MIRRORS.items()}
        return {
            "optimizer": {name: reason for name, reason in why.items() if reason},
            "mirror": {name: reason for name, reason in mirrors.items() if reason},
            "precision": precision_off(machine),
            "zero": zero_off(machine),
            "offload": offload_off(machine),
            "fsdp": fsdp_off(machine),
        }

    def choices_said(self) -> dict[str, dict[str, str]]:
        """What is to be known of the values of a setting, and when to pick them: setting → value → sentences."""
        return {"optimizer": {name: each.sentence for name, each in OPTIMIZERS.items()}}

    # --- models ---

    def models(self, task: str | None = None) -> list[ModelView]:
        """Starters, what is here, and a few known ones of the Hub."""
        return self._models.all(task)

    def search_models(self, text: str, task: str | None = None) -> list[ModelView]:
        """Models of the Hub by name."""
        return self._models.search(text, task)

    def model(self, name: str, task: str | None = None) -> ModelView:
        """One model, inspected."""
        return self._models.view(self._models.find(name), task)

    def use_folder(self, path: str) -> ModelView:
        """A folder of this machine as a base model."""
        return self._models.view(self._models.use_folder(path))

    def start_download(self, name: str) -> None:
        """Bring a model here in the background; see `downloads`."""
        self._models.start_download(name)

    def download_model(self, name: str, progress: Callable[[int, int], None]) -> ModelInfo:
        """Bring a model here and wait for it; when it is broken off, the next call goes on."""
        return self._models.fetch(name, progress)

    def downloads(self) -> list[DownloadState]:
        """How far the downloads are."""
        return self.shared.downloads.states()

    def cancel_download(self, name: str) -> None:
        """Stop a download; it goes on where it was when started again."""
        self.context.owner_only("Cancelling a download")
        self.shared.downloads.cancel(name)

    def trust_model(self, name: str, allowed: bool = True, seen: str | None = None) -> ModelView:
        """Allow a model its own code or pickled weights as they now are, having been told what it means; or no longer.

        `seen` is the fingerprint of what the person was shown; a model that has changed since is refused.
        """
        self._models.trust(name, allowed, seen)
        return self.model(name)

    def keep_hub_token(self, token: str) -> None:
        """Keep a Hub token in a file that only the owner can read; an empty one removes it."""
        self.context.require_owner("A Hub token")
        self.home.keep_hub_token(token)

    def has_hub_token(self) -> bool:
        """Whether there is one; it is never shown."""
        return not self.context.demo and self.home.hub_token() is not None
