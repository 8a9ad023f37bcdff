"""Projects: list, create, rename, delete, restore; export to one file and import from it."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessCancelled, ProcessLimits, ProcessOutOfMemory, run_in_process
from studio.schema.errors import StudioError
from studio.schema.projects import ProjectRecord, ProjectView
from studio.schema.runs import RunRecord
from studio.services.context import Context
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home
from studio.store.files import require_folder
from studio.store.home import ALONE
from studio.store.project_archive import pack_project
from studio.store.project_import import import_project
from studio.store.projects import LONGEST_TITLE, ProjectStore
from studio.store.removal import remove_workspace

MEMORY = 6 << 30
"""Bytes of address space that an import may take."""
NICENESS = 5
"""Niceness of an export or import, relative to the server."""
_SMALL_POOLS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Without these, memory that is only reserved counts against the limit."""
Progress = Callable[[int, int], None] | None
"""Gets the bytes that are done, and all bytes."""


__all__ = ["LONGEST_TITLE", "Projects"]


class Projects:
    """The projects of a data folder. In a public demo there are none."""

    def __init__(self, context: Context, processes: WorkerProcesses) -> None:
        self.context, self.processes = context, processes
        self._store = ProjectStore(context.home)

    @property
    def current(self) -> ProjectRecord:
        """The project of this Studio."""
        return self._store.find(self.context.workspace.name)

    def all(self, deleted: bool = False) -> list[ProjectRecord]:
        """The projects in use, or the deleted ones. The default project comes first."""
        self._require_allowed()
        return self._store.all(deleted)

    def find(self, name: str, deleted: bool = False) -> ProjectRecord:
        """The project with this name or id."""
        self._require_allowed()
        return self._store.find(name, deleted)

    def view(self, project: ProjectRecord) -> ProjectView:
        """A project with the number of its datasets and runs, and its size on the disk."""
        self._require_allowed()
        return self._store.view(project)

    def create(self, title: str) -> ProjectRecord:
        """A new, empty project. Raises `bad-setting` when the name exists, and proposes another."""
        self._require_allowed()
        return self._store.create(title)

    def rename(self, name: str, title: str) -> ProjectRecord:
        """Change the name of a project."""
        return self._store.rename(self.find(name).id, title)

    def delete(self, name: str) -> ProjectRecord:
        """Delete a project. It keeps its content, and can be restored."""
        record = self.find(name)
        if record.id == ALONE:
            raise StudioError(
                "not-allowed",
                "The default project can't be deleted.",
                given=record.title,
                hint="Delete its datasets and runs, or rename it.",
            )
        self._require_idle(self._store.view(record))
        return self._store.mark_deleted(record.id, True)

    def restore(self, name: str) -> ProjectRecord:
        """Restore a deleted project. It gets a number if another project has its name by now."""
        return self._store.mark_deleted(self.find(name, deleted=True).id, False)

    def remove(self, name: str) -> ProjectView:
        """Remove a deleted project for good. Returns what was in it."""
        self.context.require_owner("Removing a project for good")
        removed = self._store.view(self.find(name, deleted=True))
        self._require_idle(removed)  # a run can have begun in the moment in which the project was deleted
        self.find(removed.id, deleted=True)  # measuring a large project takes a while: it may be restored by now
        remove_workspace(self.context.home, removed.id)
        self.processes.forget(removed.id)
        return removed

    def export(self, name: str, to: Path, progress: Progress = None, cancel: Event | None = None) -> Path:
        """Write a project to one zip file, in a process of its own."""
        record = self.find(name)
        require_folder(to.parent, "to")
        arguments = {"home": str(self.context.home.root), "project": record.id, "to": str(to)}
        self._in_process(export_in_process, arguments, ProcessLimits(threads=None, nice=NICENESS), progress, cancel)
        return to

    def import_file(
        self, file: Path, title: str = "", progress: Progress = None, cancel: Event | None = None
    ) -> ProjectRecord:
        """A new project from a file of `export`. Nothing in it is trusted: a process with limited memory reads it.

        `title`: its name; by default the one in the file, with a number if it exists. The Studio stays in its project.
        """
        self._require_allowed()
        arguments = {"home": str(self.context.home.root), "file": str(file), "title": title}
        limits = ProcessLimits(
            memory=MEMORY,
            environment={**child_environment(visitors=True), **_SMALL_POOLS},
            threads=None,
            nice=NICENESS,
        )
        done = self._in_process(import_in_process, arguments, limits, progress, cancel)
        return ProjectRecord.model_validate(done)

    def is_usable(self, project: str) -> bool:
        """Whether there is a project with this id that was not deleted."""
        return not self.context.demo and self._store.is_usable(project)

    def with_run(self, run: str, first: str = "") -> str:
        """The id of the project that has a run; empty when none has it. `first`: where to look first."""
        self._require_allowed()
        return self._store.with_run(run, first or self.context.workspace.name)

    def run_elsewhere(self) -> tuple[ProjectRecord, RunRecord] | None:
        """The run of another project that trains on this machine now, and its project. None in a demo."""
        if self.context.demo:
            return None
        others = {each.id: each for each in self._store.all() if each.id != self.context.workspace.name}
        if not others:
            return None
        entry = next((each for each in self.context.home.queue.listing() if each.running), None)
        if entry is None or entry.workspace not in others:
            return None
        workspace = self.context.home.workspace(entry.workspace)
        try:
            return others[entry.workspace], workspace.runs.get(entry.run)
        except StudioError:  # deleted in this moment
            return None
        finally:
            workspace.close()

    def _require_idle(self, project: ProjectView) -> None:
        """Raise `wrong-state` while a run or a search of a project is not finished."""
        if project.active or self._store.has_search(project.id):
            raise StudioError(
                "wrong-state",
                "A run or a search of this project is not finished, so the project can't be deleted now.",
                given=project.active or "a search",
                hint="Stop it first, or wait until it ends.",
            )

    def _require_allowed(self) -> None:
        self.context.owner_only("A project")

    def _in_process(
        self,
        function: Callable[..., object],
        arguments: dict[str, str],
        limits: ProcessLimits,
        progress: Progress,
        cancel: Event | None,
    ) -> object:
        try:
            return run_in_process(function, arguments, limits, progress=progress, cancel=cancel)
        except ProcessCancelled as error:
            raise StudioError(
                "wrong-state", "This was canceled. Nothing was changed.", hint="You can start it again."
            ) from error
        except ProcessOutOfMemory as error:
            raise StudioError(
                "out-of-memory",
                "The process that handled the project was stopped, most likely because memory ran out.",
                hint="Close other programs and try again. If you import a file, check where it comes from.",
            ) from error


# --- in the process ---


def export_in_process(home: str, project: str, to: str, progress: Callable[[int, int], None]) -> int:
    """Write a project to a file. Returns its size in bytes."""
    opened = Home(Path(home))
    return pack_project(opened.workspace(project), ProjectStore(opened).find(project), Path(to), progress)


def import_in_process(home: str, file: str, title: str, progress: Callable[[int, int], None]) -> object:
    """Import a project from a file. Returns its record as JSON."""
    return import_project(Home(Path(home)), Path(file), title, progress).model_dump(mode="json")
