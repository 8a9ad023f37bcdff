"""Runs that lie about: found, named, noted, put aside, taken along; and the disk."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from studio.api.runs import RunsDoor
from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.schema.views import StorageView
from studio.services.runs.history import ORDERS, found, in_order
from studio.services.runs.run_management import RunManagement
from studio.services.runs.storage import Storage


class KeepingDoor(RunsDoor):
    """Runs that lie about: found, named, noted, put aside, taken along; and the disk."""

    @cached_property
    def _keeping(self) -> RunManagement:
        return RunManagement(self._runs)

    @cached_property
    def _storage(self) -> Storage:
        return Storage(self.context, self._runs)

    def find_runs(self, text: str = "", tag: str = "", sort: str = "newest", archived: bool = False) -> list[RunRecord]:
        """Runs in which every word of a text occurs (name, note, tags, model, rows …), in an order."""
        names = {each.id: each.name for each in self._datasets.store.all()}
        records = found(self.runs(), text, tag, archived, names)
        sizes = {record.id: self._runs.bytes(record.id) for record in records} if sort == "size" else None
        return in_order(records, sort, sizes)

    def orders(self) -> dict[str, str]:
        """In which orders runs can be listed."""
        return dict(ORDERS)

    def note_run(
        self,
        run: str,
        name: str | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        archived: bool | None = None,
    ) -> RunRecord:
        """Change what a person says of a run: its name, a note, its tags, whether it is put aside."""
        return self._keeping.note(run, name, note, tags, archived)

    def rename_run(self, run: str, name: str) -> RunRecord:
        """Give a run another name; one that another run has gets a number."""
        return self._keeping.note(run, name=name)

    def pack_run(self, run: str, to: Path | None = None, rows: bool = False) -> Path:
        """Write a run as one file, to be taken to another machine; without a place, to be downloaded. With `rows` that
        which it learned from is in it too."""
        if to is not None:
            self.context.owner_only("Writing to a file")
        return self._keeping.pack(run, to, rows)

    def unpack_run(self, file: Path) -> RunRecord:
        """Take in a run from a file that `pack_run` wrote. Nothing in it is trusted."""
        self.context.owner_only("Taking in a run")
        if not file.is_file():
            raise StudioError("unreadable-file", "There is no such file.", given=file, hint="Check its name and place.")
        return self._keeping.unpack(file)

    def remove_checkpoints(self, run: str) -> RunRecord:
        """Remove what only going on needs."""
        return self._keeping.remove_checkpoints(run)

    def run_parts(self, run: str) -> dict[str, int]:
        """Bytes of what lies in a run's folder, by what it is."""
        return self._keeping.parts(run)

    def mended(self) -> list[str]:
        """What a person should know of a database that was found damaged."""
        return self.context.workspace.mended()

    def mended_seen(self) -> None:
        """The person has seen it."""
        self.context.workspace.mended_seen()

    def storage(self) -> StorageView:
        """What takes room on the disk."""
        return self._storage.view()

    def delete_model(self, name: str) -> int:
        """Remove a Hub model from this machine; the bytes that came free."""
        return self._storage.delete_model(name)

    def delete_tokens(self) -> int:
        """Remove the rows that are kept as tokens to begin at once; the bytes that came free."""
        return self._storage.delete_tokens()
