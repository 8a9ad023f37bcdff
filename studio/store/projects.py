"""The projects of the owner. Each is a workspace with a name that the owner chose; `default` is the first one.

Projects share the queue, the models and the model host. A deleted project keeps its folder, so that it can be restored.
"""

import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.schema.projects import ProjectRecord, ProjectView
from studio.store.db import now
from studio.store.files import write_whole
from studio.store.home import ALONE, Home
from studio.store.quota import size_once
from studio.store.run_folder_import import ID
from studio.store.searches import at_work

RECORD = "project.json"
DEFAULT_TITLE = "Default"
LONGEST_TITLE = 60
"""Maximum characters of a project's name."""
_NAME = re.compile(r"default|project-[0-9a-f]{8}")


class ProjectStore:
    """The projects of a data folder, for its owner. Workspaces of a demo's visitors are no projects."""

    def __init__(self, home: Home) -> None:
        self.home, self.root = home, home.root / "workspaces"

    def all(self, deleted: bool = False) -> list[ProjectRecord]:
        """The projects in use, or the deleted ones: first the default project, then the oldest first."""
        names = {ALONE, *(name for name in self.home.workspaces() if _NAME.fullmatch(name))}
        records = [record for name in names if bool((record := self._record(name)).deleted) is deleted]
        return sorted(records, key=lambda each: (each.id != ALONE, each.created, each.id))

    def is_usable(self, project: str) -> bool:
        """Whether there is a project with this id that was not deleted."""
        if project == ALONE:
            return True
        exists = _NAME.fullmatch(project) and (self.root / project).is_dir()
        return bool(exists) and not self._record(project).deleted

    def find(self, name: str, deleted: bool = False) -> ProjectRecord:
        """The project with this name or id. Raises `unknown-name`."""
        known = self.all(deleted)
        with_id = (each for each in known if each.id == name)  # comes first: a name can look like another project's id
        with_title = (each for each in known if _key(each.title) == _key(name))
        if project := next(with_id, None) or next(with_title, None):
            return project
        raise StudioError(
            "unknown-name",
            "There is no deleted project with this name." if deleted else "There is no project with this name.",
            given=name,
            valid=[each.title for each in known] or "no name, because no project was deleted",
            field="project",
        )

    def create(self, title: str) -> ProjectRecord:
        """A new, empty project. Raises `bad-setting` when the name exists."""
        return self.add(title, self.new_id())

    def add(self, title: str, project: str, filled: Path | None = None) -> ProjectRecord:
        """List a new project. `filled`: the folder with its content, which is moved into place."""
        with alone(self.root):
            record = ProjectRecord(id=project, title=self.free_title(title), created=now())
            folder = self.root / project
            if filled is None:
                folder.mkdir(mode=0o700)
            self._save(record, filled or folder)
            if filled is not None:
                filled.rename(folder)
            return record

    def rename(self, project: str, title: str) -> ProjectRecord:
        """Change the name of a project. Raises `bad-setting` when another project has it."""
        with alone(self.root):
            record = self._record(project)
            changed = record.model_copy(update={"title": self.free_title(title, project)})
            (self.root / project).mkdir(mode=0o700, exist_ok=True)  # the default project, before its first write
            self._save(changed, self.root / project)
            return changed

    def mark_deleted(self, project: str, deleted: bool) -> ProjectRecord:
        """Delete a project, or restore it. A name that another project has by now gets a number."""
        with alone(self.root):
            record = self._record(project)
            title = record.title if deleted else self.numbered_title(record.title, project)
            changed = record.model_copy(update={"deleted": now() if deleted else "", "title": title})
            self._save(changed, self.root / project)
            return changed

    def view(self, record: ProjectRecord) -> ProjectView:
        """A project with the number of its datasets and runs, and its size on the disk."""
        workspace = self.home.workspace(record.id)
        try:
            counts = workspace.db.rows("SELECT (SELECT count(*) FROM datasets), (SELECT count(*) FROM runs)")[0]
            active = next((run.name for run in workspace.runs.active()), "")
        finally:
            workspace.close()
        size = size_once(self.root / record.id)
        return ProjectView(**dict(record), datasets=counts[0], runs=counts[1], bytes=size, active=active)

    def has_search(self, project: str) -> bool:
        """Whether a search of this project is running."""
        return any(workspace == project for workspace, _ in at_work(self.home))

    def with_run(self, run: str, first: str = ALONE) -> str:
        """The id of the project that has a run; empty when none has it. Looks at `first` before the others."""
        if not ID.fullmatch(run):
            return ""
        names = [first, *(each.id for each in self.all())]
        return next((name for name in names if (self.root / name / "runs" / run).is_dir()), "")

    def new_id(self) -> str:
        """An id that no project has."""
        return f"project-{secrets.token_hex(4)}"

    def free_title(self, title: str, project: str = "") -> str:
        """The name as it is saved. `project`: the one that may have it already.

        Raises:
            StudioError `bad-setting`: it is empty or too long, or another project has it. The error proposes another.
        """
        kept = clean_title(title)
        if not 0 < len(kept) <= LONGEST_TITLE:
            raise StudioError(
                "bad-setting",
                "The name of a project can't have this length.",
                given=f"{len(kept):,} characters",
                valid=f"1 to {LONGEST_TITLE} characters",
                field="name",
            )
        if _key(kept) in self._taken(project):
            raise StudioError(
                "bad-setting",
                "There is a project with this name already.",
                given=kept,
                hint=f"Choose another name, for example “{self.numbered_title(kept, project)}”.",
                field="name",
            )
        return kept

    def numbered_title(self, title: str, project: str = "") -> str:
        """The name, with a number when another project has it."""
        kept, taken = clean_title(title)[:LONGEST_TITLE].strip() or DEFAULT_TITLE, self._taken(project)
        if _key(kept) not in taken:
            return kept
        stem = re.sub(r" \d+$", "", kept)[: LONGEST_TITLE - 7]
        return next(name for n in range(2, len(taken) + 3) if _key(name := f"{stem} {n}") not in taken)

    def _taken(self, project: str) -> set[str]:
        return {_key(each.title) for each in self.all() if each.id != project}

    def _record(self, project: str) -> ProjectRecord:
        usual = ProjectRecord(id=project, title=DEFAULT_TITLE if project == ALONE else project)
        try:
            text = (self.root / project / RECORD).read_text(encoding="utf-8")
            return ProjectRecord.model_validate_json(text).model_copy(update={"id": project})
        except (OSError, ValidationError):
            return usual

    def _save(self, record: ProjectRecord, folder: Path) -> None:
        write_whole(folder / RECORD, record.model_dump_json(indent=2), mode=0o600)


def clean_title(title: str) -> str:
    """The name without invisible characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in title).split())


def taken_ids(home: Home, kind: str, ids: Iterable[str]) -> set[str]:
    """Those of the ids that a workspace of this data folder has, in its folder `kind`: `runs` or `datasets`."""
    workspaces = [home.root / "workspaces" / name for name in home.workspaces()]
    return {each for each in ids if any((workspace / kind / each).exists() for workspace in workspaces)}


def _key(title: str) -> str:
    """What two names must not share."""
    return title.strip().casefold()
