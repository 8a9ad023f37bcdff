"""Data: bringing it in, checking and fixing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.api.base import Door
from studio.data.checks.too_long import TooLong
from studio.data.formats import Reading
from studio.data.progress import Watcher
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec, SplitCounts
from studio.schema.errors import StudioError, raise_all
from studio.schema.views import (
    Comparison,
    HubDataset,
    RowPage,
    SampleView,
)
from studio.services.datasets.editing import Editing
from studio.services.datasets.versions import Versions
from studio.services.planning.service import split_spec, splits_kept

OnProgress = Callable[[int, int, str], None]


def reading_of(how: Mapping[str, Any]) -> Reading:
    """What a person said of how files are to be read, checked."""
    problems = [
        StudioError("unknown-setting", f"A file can't be read by {name}.", valid=list(Reading.model_fields), field=name)
        for name in how
        if name not in Reading.model_fields
    ]
    raise_all(problems)
    try:
        return Reading(**how)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise StudioError(
            "bad-setting",
            f"A file can't be read with this {name.replace('_', ' ')}.",
            given=first["input"],
            valid=first["msg"],
            field=name,
        ) from error


class DataDoor(Door):
    """Data: bringing it in, checking and fixing."""

    # --- data ---

    def samples(self) -> list[SampleView]:
        """Sample data that the studio ships."""
        return self._datasets.samples()

    def add_file(self, path: Path | str, name: str = "", **how: Any) -> DatasetRecord:
        """Bring a file in; `how` are fields of `Reading`, for what should not be left to the studio."""
        return self._datasets.add_file(Path(path), name, reading_of(how))

    def add_files(self, paths: Mapping[str, Path], **how: Any) -> DatasetRecord:
        """Bring several files in as one dataset: name → path."""
        return self._datasets.add_files(paths, reading_of(how))

    def add_text(self, text: str, name: str = "pasted rows", **how: Any) -> DatasetRecord:
        """Bring pasted rows in."""
        return self._datasets.add_text(text, name, reading_of(how))

    def reread(self, dataset: str, **how: Any) -> DatasetRecord:
        """Read a dataset's files another way: a new version. `how` are the fields of `Reading` to change."""
        return self._datasets.reread(dataset, reading_of(how))

    def add_hub(self, name: str, **how: Any) -> DatasetRecord:
        """Bring rows of a dataset on the Hub in: OWNER/NAME, or OWNER/NAME:CONFIG:SPLIT."""
        return self._datasets.add_hub(name, reading_of(how))

    def look_at_hub(self, name: str) -> HubDataset:
        """What a dataset on the Hub holds, before any row is fetched."""
        return self._datasets.look_at_hub(name)

    def add_sample(self, name: str) -> DatasetRecord:
        """Use sample data."""
        return self._datasets.add_sample(name)

    def open_data(self, data: str, progress: Watcher | None = None, **how: Any) -> DatasetRecord:
        """What DATA means on the command line: a file or a folder, a dataset's id, or `sample:NAME`."""
        return self._datasets.open(data, reading_of(how), progress)

    def datasets(self) -> list[DatasetRecord]:
        """All datasets, newest first."""
        return self._datasets.store.all()

    def dataset(self, dataset: str, version: int | None = None) -> DatasetRecord:
        """One dataset."""
        return self._datasets.store.get(dataset, version)

    def versions(self, dataset: str) -> list[DatasetRecord]:
        """All versions of a dataset, oldest first."""
        return self._datasets.store.versions(dataset)

    def go_to_version(self, dataset: str, version: int) -> DatasetRecord:
        """Make an earlier version the current one."""
        return self._datasets.store.go_to(dataset, version)

    def find_dataset(self, name: str) -> DatasetRecord:
        """A dataset by its id, by its file's name, or `last`."""
        return self._datasets.find(name)

    def compare_versions(
        self, dataset: str, before: int, after: int, start: int = 1, count: int = 12, only: str = ""
    ) -> Comparison:
        """What differs between two versions, a page of it; `only`: rows `added`, `removed` or `changed`."""
        return Versions(self._datasets).compare(dataset, before, after, start, count, only)

    def was_compared(self, dataset: str, before: int, after: int) -> bool:
        """Whether `compare_versions` would answer at once."""
        return Versions(self._datasets).was_compared(dataset, before, after)

    def delete_dataset(self, dataset: str) -> None:
        """Remove a dataset with all its versions and labels."""
        self._datasets.store.delete(dataset)
        self.shared.suggester.forget(dataset)

    def rows(
        self,
        dataset: str,
        start: int = 1,
        count: int = 12,
        version: int | None = None,
        only: str = "",
        marks_too: bool = True,
        task: str | None = None,
        whole: bool = False,
    ) -> RowPage:
        """A page of rows; `only` shows those of one kind of finding, looked for as a task reads them."""
        return self._datasets.rows(dataset, start, count, version, only, marks_too, task, whole)

    def reading(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        labels_too: bool = True,
    ) -> DatasetSpec:
        """How a dataset's columns are read; its labels take a look at every row."""
        return self._datasets.reading(dataset, task, roles, labels_too=labels_too)[0]

    def set_reading(self, dataset: str, task: str, roles: Mapping[str, str]) -> DatasetRecord:
        """Give the columns other roles."""
        return self._datasets.set_reading(dataset, task, roles)

    def check(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        model: str | None = None,
        max_length: int | None = None,
        leave_out: Sequence[str] = (),
        version: int | None = None,
        whole: bool = False,
        validation: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> CheckReport:
        """What is wrong with the rows; with a model also which are longer than the limit.

        `whole` looks for near rows among all, also where a sample is usual; `validation` is the dataset that training
        will be judged by.
        """
        about: dict[str, Any] = {"whole": whole, "validation": validation, "progress": progress}
        if model is not None:
            spec, _ = self._datasets.reading(dataset, task, roles, version)
            about |= self._lengths_for(dataset, spec, model, max_length, whole or TooLong.kind in leave_out)
        return self._datasets.check(dataset, task, roles, version=version, leave_out=leave_out, **about)

    def _lengths_for(
        self, dataset: str, spec: DatasetSpec, model: str, max_length: int | None, whole: bool
    ) -> dict[str, Any]:
        """How long the rows are for a model, and the limit."""
        info = self._models.ready(model)
        limit = self._seeing.limit(dataset, info, spec, {"max_length": max_length})
        return {"lengths": self._lengths.of(dataset, info, spec, whole=whole).by_row, "max_length": limit}

    def was_looked_at(self, dataset: str, task: str | None = None, whole: bool = False) -> bool:
        """Whether `check` would answer at once."""
        return self._datasets.was_looked_at(dataset, task, whole)

    def fix(
        self,
        dataset: str,
        kind: str,
        whole: bool = False,
        validation: str | None = None,
        model: str | None = None,
        max_length: int | None = None,
    ) -> DatasetRecord:
        """Remove or mend the rows of one kind of finding: a new version. Rows that are too long are so for a model."""
        about: dict[str, Any] = {"whole": whole, "validation": validation}
        if kind == TooLong.kind and model is not None:
            about |= self._lengths_for(dataset, self.reading(dataset), model, max_length, True)
        return self._datasets.fix(dataset, kind, **about)

    def cells(self, dataset: str, row: int) -> dict[str, str | None]:
        """The whole cells of a row as text that can be edited; None for one that is too long for it."""
        return Editing(self._datasets).cells(dataset, row)

    def edit_row(self, dataset: str, row: int, cells: Mapping[str, str]) -> DatasetRecord:
        """Write cells of a row anew, column → text: a new version."""
        return Editing(self._datasets).edit(dataset, row, cells)

    def splits(self, dataset: str, **settings: Any) -> SplitCounts:
        """How many rows each part gets, by the fields of `SplitSpec`; what is not given is as kept with the dataset."""
        spec = self._datasets.reading(dataset, labels_too=False)[0]
        return self._datasets.splits(dataset, split_spec({**splits_kept(spec, settings), **settings}), spec=spec)

    def keep_splits(self, dataset: str, **settings: Any) -> DatasetRecord:
        """Divide the rows of a dataset so from now on."""
        return self._datasets.keep_splits(dataset, split_spec(settings))
