"""Searches: a folder each, with what was asked and the file in which Optuna keeps its trials."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.search import SearchSpec
from studio.store.files import write_whole


class SearchStore:
    """The folder `searches/` of a workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def new_id(self) -> str:
        return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"

    def add(self, spec: SearchSpec) -> None:
        """Keep what was asked."""
        self._folder(spec.id).mkdir(parents=True)
        write_whole(self._folder(spec.id) / "search.json", spec.model_dump_json())

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
        files = sorted(self.root.glob("*/search.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [SearchSpec.model_validate(json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def trials_file(self, search: str) -> Path:
        """Where Optuna keeps its trials."""
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
