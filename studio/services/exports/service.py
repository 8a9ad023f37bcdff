"""Exports of runs: each is written, loaded again and compared. The model host does the work."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

from studio.export import EXPORTS, Exporter, export_named
from studio.export.base import STEPS, chosen_options
from studio.export.folder import ROWS
from studio.schema.dataset import SplitCounts
from studio.schema.errors import StudioError
from studio.schema.exports import ExportView
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ExportResult, Report
from studio.schema.runs import RunRecord
from studio.services.exports.training_facts import training_facts
from studio.services.model_host.client import HostClient
from studio.services.planning.row_language import language_of_rows
from studio.services.progress import Progress, no_progress
from studio.services.runs.finished_runs import FinishedRuns
from studio.services.tools import extra_tools
from studio.store.files import folder_size, require_new_folder, require_room, write_whole
from studio.store.quota import Quota
from studio.store.runs import RunFolder
from studio.training.planning.setting_scope import applicable_settings


class Exports:
    """Exports of a workspace's runs."""

    def __init__(self, finished: FinishedRuns, host: HostClient, report: Callable[[str], Report | None]) -> None:
        """`report` gives the saved evaluation report of a run, for the model card."""
        self.finished, self.context, self._report = finished, finished.context, report
        self.datasets = finished.datasets
        self.host = host.of(self.context.workspace)

    def all(self, run: str) -> list[ExportView]:
        """All export formats, with size, options, and the reason why one is unavailable."""
        record, folder = self.finished.get(run)
        ref = self.finished.ref(record.id)
        return [self._view(exporter, ref, folder) for exporter in EXPORTS.values()]

    def create(
        self,
        run: str,
        format: str,
        to: Path | None = None,
        progress: Progress = None,
        options: Mapping[str, str] | None = None,
    ) -> ExportResult:
        """Write an export, load it again and compare. Without `to`, into the run's folder, with a zip beside it.

        `options` are those of the format: name → value.
        """
        if to is not None:
            self.context.owner_only("Writing to a folder")
        record, folder = self.finished.get(run)
        exporter = export_named(format)
        ref = self.finished.ref(record.id)
        view = self._view(exporter, ref, folder)
        if view.unavailable_reason:
            raise StudioError(
                "format-unavailable",
                view.unavailable_reason,
                given=format,
                valid=[name for name, each in EXPORTS.items() if not _unavailable_reason(each, ref)],
            )
        chosen = chosen_options(exporter, ref, options or {})
        if tools := view.tools_to_install(chosen):
            raise StudioError(
                "format-unavailable",
                f"The {tools[0].title} is not installed yet. {tools[0].sentence}",
                given=format,
                hint="Install it on the Export tab, or with: studio export RUN --format FORMAT --install-tools",
            )
        if to is not None:
            require_new_folder(to)
        target = (to or folder.exports / format).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        require_room(target.parent, 2 * exporter.size(ref))
        Quota(self.context.workspace).require(2 * exporter.size(ref), "This export")
        (progress or no_progress)(0, STEPS, "Waiting for the model process")
        facts = self._facts(record, folder)
        training = training_facts(self.finished, record, folder) if exporter.needs_training_facts else None
        result = self.host.result(
            "export",
            progress,
            run=ref,
            format=format,
            to=str(target),
            facts=facts,
            zip=to is None,
            options=chosen,
            training=training,
        )
        done = ExportResult.model_validate(result["result"])
        if to is None:
            write_whole(folder.exports / f"{format}.json", done.model_dump_json())
        return done

    def install_tools(
        self,
        run: str,
        format: str,
        options: Mapping[str, str] | None = None,
        progress: Progress = None,
        cancel: Event | None = None,
    ) -> list[str]:
        """Install the packages that a format needs beside the studio's own, each in an environment in the data folder.

        Returns the names of what was installed. Empty if all is there already.
        """
        self.context.require_owner("Installing packages")
        record, folder = self.finished.get(run)
        exporter = export_named(format)
        ref = self.finished.ref(record.id)
        view, chosen = self._view(exporter, ref, folder), chosen_options(exporter, ref, options or {})
        needed = {each.name for each in view.tools_to_install(chosen)}
        for environment in exporter.environments:
            if environment.name in needed:
                environment.install(self.context.home.tools, progress or no_progress, cancel or Event())
        return sorted(needed)

    def zip_path(self, run: str, format: str) -> Path:
        """The zip of an existing export."""
        _, folder = self.finished.get(run)
        export_named(format)
        kept = _kept_export(folder, format)
        if kept is None or not kept.zip_path or not Path(kept.zip_path).is_file():
            raise StudioError(
                "format-unavailable", "This format has not been exported yet.", given=format, hint="Export it first."
            )
        return Path(kept.zip_path)

    def _view(self, exporter: Exporter, ref: RunRef, folder: RunFolder) -> ExportView:
        tools = self.context.home.tools
        view = ExportView(
            format=exporter.format,
            title=exporter.title,
            sentence=exporter.sentence,
            bytes=exporter.size(ref),
            unavailable_reason=_unavailable_reason(exporter, ref),
            warning=ref.info.note if exporter.needs_base and ref.info.hub_id else "",
            has_rows=ROWS in exporter.extra_files,
            done=_kept_export(folder, exporter.format),
            options=exporter.options(ref),
            tools=tuple(extra_tools(each, tools) for each in exporter.environments),
        )
        may_install = not self.context.demo and self.context.role == "owner"
        return view if may_install else view.without_installing()

    def _language_of(self, record: RunRecord) -> str:
        """The code of the language of the run's rows. Empty if it is unknown, or the rows were deleted."""
        try:
            data = self.context.workspace.runs.spec(record.id).data
            return language_of_rows(self.datasets, record.dataset, data, record.dataset_version)
        except StudioError:
            return ""

    def _facts(self, record: RunRecord, folder: RunFolder) -> CardFacts:
        splits, config = folder.read_splits(), self.context.workspace.runs.spec(record.id).config
        counts = SplitCounts(**{name: len(rows) for name, rows in splits.items()}) if splits else None
        try:
            dataset = self.datasets.store.get(record.dataset, record.dataset_version)
            name, rows = dataset.name, dataset.rows
        except StudioError:
            name, rows = "a deleted dataset", 0
        if counts:
            rows = counts.train + counts.validation + counts.test
        return CardFacts(
            run=record.id,
            language=self._language_of(record),
            name=record.name,
            created=record.created,
            seconds=record.seconds or 0.0,
            dataset=name,
            rows=rows,
            splits=counts,
            metrics=record.metrics,
            report=self._report(record.id),
            best_step=record.best_step,
            steps=record.steps,
            settings=tuple(applicable_settings(config.method, config.task)),
        )


def _unavailable_reason(exporter: Exporter, ref: RunRef) -> str:
    return exporter.unavailable_reason(ref) or exporter.missing()


def _kept_export(folder: RunFolder, name: str) -> ExportResult | None:
    kept = folder.exports / f"{name}.json"
    if not kept.exists():
        return None
    result = ExportResult.model_validate_json(kept.read_text())
    return result if folder_size(Path(result.path)) else None
