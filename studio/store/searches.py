"""Hyperparameter searches: each has a folder with the request and Optuna's trial log.

A search that runs has an empty file `WORKSPACE.SEARCH` in the home's folder `searching/`, so that the server does not
have to read all workspaces.
"""

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from studio.machine.locks import alone, try_lock
from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.schema.search import SearchSpec
from studio.store.files import write_whole
from studio.store.home import Home, Workspace

ASKED = "search.json"
KEPT = 50
"""Searches of a visitor that are kept. Older ones are deleted."""


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

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Hold a lock while a search starts. A visitor has as many running searches as running runs.

        Raises:
            StudioError `limit-reached`: when a visitor has too many.
        """
        if not self.limits.running_runs:
            yield
            return
        self.root.mkdir(parents=True, exist_ok=True)
        with alone(self.root):
            running = sum(workspace == self._workspace.name for workspace, _ in at_work(self._workspace.home))
            limit = self.limits.running_runs
            if running >= limit:
                raise StudioError(
                    "limit-reached",
                    "Your last search is still running.",
                    valid=f"{limit} at a time in this demo",
                    hint="Wait until it ends, or stop it.",
                )
            yield
            for old in self.all()[KEPT:]:
                shutil.rmtree(self._folder(old.id), ignore_errors=True)

    def add(self, spec: SearchSpec) -> None:
        """Save the request of a search. From now on it is listed."""
        write_whole(self._folder(spec.id) / ASKED, spec.model_dump_json())

    def get(self, search: str) -> SearchSpec:
        """The request of a search. `last` is the newest."""
        known = self.all()
        if search == "last" and known:
            return known[0]
        spec = next((each for each in known if each.id == search), None)
        if spec is None:
            raise StudioError("unknown-name", f"There is no search {search}.", hint="Use last for the newest search.")
        return spec

    def all(self) -> list[SearchSpec]:
        """All searches, newest first."""
        files = sorted(self.root.glob(f"*/{ASKED}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [SearchSpec.model_validate(json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def trials_file(self, search: str) -> Path:
        """The file of Optuna's trials. Its folder is created when missing."""
        self._folder(search).mkdir(parents=True, exist_ok=True)
        return self._folder(search) / "trials.log"

    def tried(self, search: str, run: str) -> bool:
        """Whether a run is a trial of a search."""
        file = self.trials_file(search)
        return file.exists() and f'"{run}"' in file.read_text(encoding="utf-8")

    def stop(self, search: str) -> None:
        """Start no new trials."""
        (self._folder(search) / "stopped").touch()

    def stopped(self, search: str) -> bool:
        return (self._folder(search) / "stopped").exists()

    def mark(self, search: str, at_work: bool) -> None:
        """Record for the whole home whether a search is running."""
        mark = _marks(self._workspace.home) / f"{self._workspace.name}.{search}"
        if not at_work:
            mark.unlink(missing_ok=True)
        elif not mark.exists():
            mark.parent.mkdir(exist_ok=True)
            mark.touch()

    @contextmanager
    def alone(self, search: str) -> Iterator[bool]:
        """Hold the lock of a search without waiting. Yields whether it was free."""
        with (self._folder(search) / "lock").open("w") as file:
            yield try_lock(file)

    def _folder(self, search: str) -> Path:
        return self.root / search


def at_work(home: Home) -> list[tuple[str, str]]:
    """(workspace, search id) of each running search of a home."""
    marks = [mark.name.partition(".") for mark in sorted(_marks(home).glob("*.*"))]
    return [(workspace, search) for workspace, _, search in marks if home.workspace_exists(workspace)]


def forget_marks(home: Home, workspace: str) -> None:
    """Stop the searches of a workspace that is removed."""
    for mark in _marks(home).glob(f"{workspace}.*"):
        mark.unlink(missing_ok=True)


def _marks(home: Home) -> Path:
    return home.root / "searching"
