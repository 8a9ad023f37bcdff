"""Searches: a folder each, with what was asked and the file in which Optuna keeps its trials.

Which are at work is told by the home's folder `searching/`, an empty file `WORKSPACE.SEARCH` each, so that the server
need not go through all workspaces to know.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.schema.search import SearchSpec
from studio.store.files import write_whole
from studio.store.home import Home, Workspace

ASKED = "search.json"


class SearchStore:
    """The folder `searches/` of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.root = workspace.root / "searches"
        self._workspace = workspace

    @property
    def limits(self) -> Limits:
        """The limits of this workspace."""
        return self._workspace.limits

    def new_id(self) -> str:
        return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"

    def add(self, spec: SearchSpec) -> None:
        """Keep what was asked; from here on the search is known."""
        write_whole(self._folder(spec.id) / ASKED, spec.model_dump_json())

    def get(self, search: str) -> SearchSpec:
        """One search; `last` is the newest."""
        known = self.all()
        if search == "last" and known:
            return known[0]
        found = next((spec for spec in known if spec.id == search), None)
        if found is None:
            raise StudioError("unknown-name", f"There is no search {search}.", hint="The newest is called last.")
        return found

    def all(self) -> list[SearchSpec]:
        """All searches, newest first."""
        files = sorted(self.root.glob(f"*/{ASKED}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [SearchSpec.model_validate(json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def trials_file(self, search: str) -> Path:
        """Where Optuna keeps its trials, in a folder that is made when missing."""
        self._folder(search).mkdir(parents=True, exist_ok=True)
        return self._folder(search) / "trials.log"

    def tried(self, search: str, run: str) -> bool:
        """Whether a run is a trial of a search."""
        file = self.trials_file(search)
        return file.exists() and f'"{run}"' in file.read_text(encoding="utf-8")

    def stop(self, search: str) -> None:
        """No new trial is begun."""
        (self._folder(search) / "stopped").touch()

    def stopped(self, search: str) -> bool:
        return (self._folder(search) / "stopped").exists()

    def mark(self, search: str, at_work: bool) -> None:
        """Have the whole home know whether a search is at work."""
        mark = _marks(self._workspace.home) / f"{self._workspace.name}.{search}"
        if not at_work:
            mark.unlink(missing_ok=True)
        elif not mark.exists():
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    @contextmanager
    def alone(self, search: str) -> Iterator[bool]:
        """Whether nobody else is moving this search on just now."""
        import fcntl

        with (self._folder(search) / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def _folder(self, search: str) -> Path:
        return self.root / search


def at_work(home: Home) -> list[tuple[str, str]]:
    """Workspace and id of each search of a home that is at work."""
    marks = [mark.name.partition(".") for mark in sorted(_marks(home).glob("*.*"))]
    return [(workspace, search) for workspace, _, search in marks if home.workspace_exists(workspace)]


def forget_marks(home: Home, workspace: str) -> None:
    """Stop the searches of a workspace that is removed."""
    for mark in _marks(home).glob(f"{workspace}.*"):
        mark.unlink(missing_ok=True)


def _marks(home: Home) -> Path:
    return home.root / "searching"
