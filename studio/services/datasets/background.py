"""Long work on rows in a subprocess, with progress and cancellation, so that the page stays responsive.

Each method does the same as the one of `Datasets`, `Versions` or `Editing`. Results that are not saved are cached for
these.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from studio.schema.dataset import CheckReport, DatasetRecord, SplitCounts
from studio.services.datasets import subprocess_jobs
from studio.services.datasets.ingestion import import_options
from studio.services.datasets.service import Datasets
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.services.datasets.versions import Versions

Progress = Callable[[int, int], None]
"""Gets the rows and bytes read so far."""


class DatasetJobs:
    """Work on a workspace's datasets, each in a subprocess."""

    def __init__(self, datasets: Datasets, versions: Versions) -> None:
        self.datasets, self.versions, self.context = datasets, versions, datasets.context

    def add_files(
        self, paths: Mapping[str, Path], progress: Progress | None = None, cancel: Event | None = None, **options: Any
    ) -> DatasetRecord:
        """Import files, name → path."""
        return subprocess_jobs.read_files(self.context, paths, import_options(options), progress, cancel)

    def add_hub(
        self, name: str, progress: Progress | None = None, cancel: Event | None = None, **options: Any
    ) -> DatasetRecord:
        """Import rows of a dataset on the Hub."""
        return subprocess_jobs.fetch_rows(self.context, name, import_options(options), progress, cancel)

    def reread(
        self, dataset: str, progress: Progress | None = None, cancel: Event | None = None, **options: Any
    ) -> DatasetRecord:
        """Read a dataset's files with other options: a new version."""
        return subprocess_jobs.reread(self.context, dataset, import_options(options), progress, cancel)

    def fix(
        self,
        dataset: str,
        kind: str,
        whole: bool = False,
        progress: Progress | None = None,
        cancel: Event | None = None,
    ) -> DatasetRecord:
        """Remove or repair the rows with one kind of problem: a new version."""
        arguments = {"dataset": dataset, "kind": kind, "whole": whole}
        return subprocess_jobs.fix(self.context, arguments, progress, cancel)

    def edit_row(
        self,
        dataset: str,
        row: int,
        cells: Mapping[str, str],
        progress: Progress | None = None,
        cancel: Event | None = None,
    ) -> DatasetRecord:
        """Change cells of a row: a new version."""
        arguments = {"dataset": dataset, "row": row, "cells": dict(cells)}
        return subprocess_jobs.edit(self.context, arguments, progress, cancel)

    def check(
        self,
        dataset: str,
        task: str,
        progress: Progress | None = None,
        cancel: Event | None = None,
        whole: bool = False,
        **splits: Any,
    ) -> None:
        """Check the rows and split them. `splits` are fields of `SplitSpec`."""
        spec, _ = self.datasets.resolve_spec(dataset, task, labels_too=False)
        split = split_spec({**saved_splits(spec, splits), **splits})
        split_arguments = {"splits": split.model_dump(), "spec": spec.model_dump()}
        arguments = {"dataset": dataset, "task": task, "whole": whole, "divided": split_arguments}
        counts: list[SplitCounts] = []

        def check() -> CheckReport:
            report, split_counts = subprocess_jobs.check_and_split(self.context, arguments, progress, cancel)
            counts.extend([split_counts] if split_counts else [])
            return report

        def count() -> SplitCounts:
            if counts:
                return counts[0]
            return subprocess_jobs.splits(self.context, {"dataset": dataset, **split_arguments}, progress, cancel)

        self.datasets.check(dataset, task, whole=whole, elsewhere=check)
        self.datasets.count_splits(dataset, split, spec=spec, elsewhere=count)

    def compare_versions(
        self,
        dataset: str,
        before: int,
        after: int,
        progress: Progress | None = None,
        cancel: Event | None = None,
    ) -> None:
        """Compare two versions."""
        arguments = {"dataset": dataset, "before": before, "after": after}
        self.versions.difference(
            dataset,
            before,
            after,
            elsewhere=lambda: subprocess_jobs.compare(self.context, arguments, progress, cancel),
        )
