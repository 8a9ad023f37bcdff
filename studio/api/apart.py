"""Long work on rows in a process of its own, for a page that must stay quick: with progress, and a way to stop it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from studio.api.base import Door
from studio.api.data import reading_of
from studio.schema.dataset import CheckReport, DatasetRecord, SplitCounts
from studio.services.datasets import subprocess_jobs
from studio.services.datasets.versions import Versions
from studio.services.planning.service import split_spec, splits_kept

Tell = Callable[[int, int], None]
"""Rows and bytes so far."""


class ApartDoor(Door):
    """The same as elsewhere, done by another process."""

    def read_apart(
        self, paths: Mapping[str, Path], tell: Tell | None = None, stop: Event | None = None, **how: Any
    ) -> DatasetRecord:
        """Bring files in, name → path."""
        return subprocess_jobs.read_files(self.context, paths, reading_of(how), tell, stop)

    def fetch_apart(self, name: str, tell: Tell | None = None, stop: Event | None = None, **how: Any) -> DatasetRecord:
        """Bring rows of a dataset on the Hub in."""
        return subprocess_jobs.fetch_rows(self.context, name, reading_of(how), tell, stop)

    def reread_apart(
        self, dataset: str, tell: Tell | None = None, stop: Event | None = None, **how: Any
    ) -> DatasetRecord:
        """Read a dataset's files another way."""
        return subprocess_jobs.reread(self.context, dataset, reading_of(how), tell, stop)

    def fix_apart(
        self, dataset: str, kind: str, whole: bool = False, tell: Tell | None = None, stop: Event | None = None
    ) -> DatasetRecord:
        """Remove or mend the rows of one kind of finding: a new version."""
        return subprocess_jobs.fix(self.context, {"dataset": dataset, "kind": kind, "whole": whole}, tell, stop)

    def edit_apart(
        self, dataset: str, row: int, cells: Mapping[str, str], tell: Tell | None = None, stop: Event | None = None
    ) -> DatasetRecord:
        """Write cells of a row anew: a new version."""
        return subprocess_jobs.edit(self.context, {"dataset": dataset, "row": row, "cells": dict(cells)}, tell, stop)

    def look_apart(
        self,
        dataset: str,
        task: str,
        tell: Tell | None = None,
        stop: Event | None = None,
        whole: bool = False,
        **splits: Any,
    ) -> None:
        """Look for what is wrong with the rows, and divide them; `check` and `splits` then answer at once."""
        spec, _ = self._datasets.reading(dataset, task, labels_too=False)
        division = split_spec({**splits_kept(spec, splits), **splits})
        about = {"splits": division.model_dump(), "spec": spec.model_dump()}
        given = {"dataset": dataset, "task": task, "whole": whole, "divided": about}
        told: list[SplitCounts] = []

        def look() -> CheckReport:
            report, counts = subprocess_jobs.look(self.context, given, tell, stop)
            told.extend([counts] if counts else [])
            return report

        def divide() -> SplitCounts:
            return told[0] if told else subprocess_jobs.splits(self.context, {"dataset": dataset, **about}, tell, stop)

        self._datasets.check(dataset, task, whole=whole, elsewhere=look)
        self._datasets.splits(dataset, division, spec=spec, elsewhere=divide)

    def compare_apart(
        self, dataset: str, before: int, after: int, tell: Tell | None = None, stop: Event | None = None
    ) -> None:
        """Compare two versions; `compare_versions` then answers at once."""
        given = {"dataset": dataset, "before": before, "after": after}
        Versions(self._datasets).difference(
            dataset, before, after, elsewhere=lambda: subprocess_jobs.compare(self.context, given, tell, stop)
        )
