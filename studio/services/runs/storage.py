"""Disk usage of models, datasets, runs and tokens; removal of what is not needed."""

import shutil
from pathlib import Path

from studio.machine.facts import disk_free
from studio.models import cached_folder, cached_models
from studio.models.starters import STARTERS, starter_folder
from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE
from studio.schema.views import StorageView, Stored
from studio.services.context import Context
from studio.services.runs.lifecycle import RunLifecycle
from studio.store.bucket import bucket_state
from studio.store.files import folder_size


def _undeletable_reason(status: str) -> str:
    """Why a run can't be deleted now."""
    if status not in ACTIVE:
        return ""
    return "it is queued" if status == "queued" else "it is running"


class Storage:
    """The disk of a workspace. Only the owner sees models."""

    def __init__(self, context: Context, runs: RunLifecycle) -> None:
        self.context, self.runs = context, runs

    def view(self) -> StorageView:
        """All that uses disk space, the largest first."""
        things = [*self._runs(), *self._datasets(), *self._tokens(), *([] if self.context.demo else self._models())]
        state = None if self.context.demo else bucket_state(self.context.home.root)
        return StorageView(
            things=tuple(sorted(things, key=lambda each: -each.bytes)),
            free_bytes=disk_free(self.context.home.root),
            bucket=state.sentence if state else "",
        )

    def recovery_notices(self) -> list[str]:
        """Messages about what was recovered from a damaged database, and about run folders that can't be read."""
        return self.context.workspace.recovery_notices()

    def dismiss_recovery_notices(self) -> None:
        """Do not show these notices again."""
        self.context.workspace.dismiss_recovery_notices()

    def delete_model(self, name: str) -> int:
        """Remove a Hub model from this machine. Returns the bytes that were freed."""
        self.context.owner_only("Deleting a model")
        folder = cached_folder(name)
        if name in STARTERS or folder is None:
            raise StudioError(
                "no-such-model",
                f"{name} is not a model that can be deleted here.",
                given=name,
                valid=", ".join(info.name for info in cached_models())
                or "no model, because none was downloaded from the Hub",
                hint="Starters are shared by all data folders. The studio never deletes your own folders.",
            )
        if at_work := self._run_with(name):
            raise StudioError(
                "wrong-state",
                f"{name} is in use.",
                given=f"the run {at_work}",
                hint="Wait until it ends, or stop it.",
            )
        size = folder_size(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return size

    def _run_with(self, model: str) -> str:
        """The name of a run that uses a model now, also of another project. Empty when there is none."""
        for run in self.runs.all():
            if run.status in ACTIVE and run.model == model:
                return run.name
        for entry in self.context.home.queue.listing():
            workspace = self.context.home.workspace(entry.workspace)
            try:
                run = workspace.runs.get(entry.run)
                if run.model == model:
                    return run.name
            except StudioError:  # deleted in this moment
                continue
            finally:
                workspace.close()
        return ""

    def delete_tokens(self) -> int:
        """Remove the cached tokens. Returns the bytes that were freed."""
        folder = self.context.workspace.encoded
        size = folder_size(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return size

    def _runs(self) -> list[Stored]:
        return [
            Stored(
                kind="run",
                id=record.id,
                name=record.name,
                bytes=self.runs.size(record.id),
                lost="its fine-tuned model, curve, log and checkpoints"
                if record.has_result
                else "its curve, log and checkpoints",
                kept_by=_undeletable_reason(record.status),
            )
            for record in self.runs.all()
        ]

    def _datasets(self) -> list[Stored]:
        store, used = self.context.workspace.datasets, {record.dataset for record in self.runs.all()}
        in_use = self.context.workspace.runs.datasets_in_use()
        return [
            Stored(
                kind="dataset",
                id=record.id,
                name=record.name,
                bytes=folder_size(store.root / record.id),
                lost="all versions of its rows, and their labels. Runs that were trained on it can't be resumed or "
                "evaluated"
                if record.id in used
                else "all versions of its rows, and their labels",
                kept_by=f"the run “{in_use[record.id]}” uses it" if record.id in in_use else "",
            )
            for record in store.all()
        ]

    def _tokens(self) -> list[Stored]:
        taken = folder_size(self.context.workspace.encoded)
        kept = Stored(
            kind="tokens",
            id="tokens",
            name="Cached tokens of rows",
            bytes=taken,
            lost="nothing, but the next run has to tokenize the rows again",
        )
        return [kept] if taken else []

    def _models(self) -> list[Stored]:
        """Starters, and models from the Hub. Other programs use the Hub's cache too."""
        used = {record.model for record in self.runs.all()}
        starters = [
            Stored(
                kind="model",
                id=name,
                name=starter.title,
                bytes=folder_size(starter_folder(name)),
                kept_by="it is a starter, shared by all data folders",
            )
            for name, starter in STARTERS.items()
            if starter_folder(name).exists()
        ]
        brought = [
            Stored(
                kind="model",
                id=info.name,
                name=info.name,
                bytes=folder_size(cached_folder(info.name) or Path("-")),
                lost="its weights, also for other programs that use the Hub's cache. Runs with this base model need it "
                "to chat"
                if info.name in used
                else "its weights, also for other programs that use the Hub's cache",
            )
            for info in cached_models()
        ]
        return [*starters, *brought]
