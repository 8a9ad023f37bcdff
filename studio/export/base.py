"""Base class of exports: staged, cleaned, loaded again in a new process, then moved to the target."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.export import agreement_check, card, folder
from studio.inference.base_and_tuned import fits_in_memory, result_folder
from studio.inference.model_cache import ModelCache
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ExportResult

Progress = Callable[[int, int, str], None]
STEPS = 4


@dataclass
class ExportJob:
    """A run to export."""

    run: RunRef
    facts: CardFacts
    model_cache: ModelCache
    zip: bool = True


class Exporter(ABC):
    """One export format."""

    format: str
    title: str
    sentence: str
    library: str
    """The library that loads the export, by its name on the Hub."""
    needs_base = False
    """Whether the export is loaded on top of the base model."""
    exact = False
    """Whether its replies must begin as the chat's do for every prompt, and not only for half of them."""

    @abstractmethod
    def unavailable_reason(self, run: RunRef) -> str:
        """Return why this format is unavailable for a run, or ""."""

    @abstractmethod
    def size(self, run: RunRef) -> int:
        """Return the approximate size in bytes."""

    @abstractmethod
    def write(self, job: ExportJob, to: Path) -> None:
        """Write the weights and their config to a folder."""

    @abstractmethod
    def snippet(self, run: RunRef, place: str) -> str:
        """Return Python code that loads the export from `place` and runs it, without the studio."""

    def export(self, job: ExportJob, to: Path, progress: Progress) -> ExportResult:
        """Write the export to a folder, atomically, after a test. Also write a zip if the job requests it.

        Raise `StudioError` for an unavailable format, a folder in use, or a full disk.
        """
        result_folder(job.run)
        if reason := self.unavailable_reason(job.run):
            raise StudioError(
                "format-unavailable", reason, given=self.format, hint="Choose another export format.", field="format"
            )
        folder.check_target(to, self.library)
        folder.require_room(to, self.size(job.run) * (2 if job.zip else 1))
        with folder.staged(to) as stage:
            progress(0, STEPS, "Writing the weights")
            self.write(job, stage)
            folder.copy_tokenizer(job.run, stage)
            text = card.model_card(self, job.run, job.facts)
            (stage / "README.md").write_text(folder.without_paths(text, job.run), encoding="utf-8")
            folder.check_clean(stage, job.run)
            progress(1, STEPS, "Generating replies to compare with")
            reference = agreement_check.reference_answers(job.model_cache, job.run)
            if not fits_in_memory(job.run, 1):
                job.model_cache.forget()  # the new process needs the memory
            progress(2, STEPS, "Testing the export in a new process")
            answers = agreement_check.export_answers(stage, job.run, reference)
            tested = agreement_check.compare(reference, answers, self.exact)
            progress(3, STEPS, "Writing the zip file")
            archive = folder.zipped(stage, to) if job.zip else None
            size = folder.size(stage)
        progress(STEPS, STEPS, "Done")
        return ExportResult(
            format=self.format,
            path=str(to),
            bytes=size,
            tested=tested,
            how_to_use=self.snippet(job.run, to.name),
            zip_path=str(archive) if archive else None,
        )
