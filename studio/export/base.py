"""What all exports have in common: written beside, cleaned, loaded again in a fresh process, then put in place."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.export import agreement_check, card, folder
from studio.inference.base_and_tuned import has_room_for, result_folder
from studio.inference.model_cache import Shelf
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ExportResult

Progress = Callable[[int, int, str], None]
STEPS = 4


@dataclass
class ExportJob:
    """A run that is to be taken away."""

    run: RunRef
    facts: CardFacts
    shelf: Shelf
    zip: bool = True


class Exporter(ABC):
    """One form in which a tuned model can be taken away."""

    format: str
    title: str
    sentence: str
    library: str
    """The library that loads it, as the Hub names it."""

    @abstractmethod
    def unavailable_reason(self, run: RunRef) -> str:
        """Why it is not on offer for this run; empty when it is."""

    @abstractmethod
    def size(self, run: RunRef) -> int:
        """Bytes that it will take, about."""

    @abstractmethod
    def write(self, job: ExportJob, to: Path) -> None:
        """The weights and what describes them."""

    @abstractmethod
    def snippet(self, run: RunRef, place: str) -> str:
        """Python that loads it from `place` and asks it something, with no studio."""

    def export(self, job: ExportJob, to: Path, progress: Progress) -> ExportResult:
        """Write it to a folder, whole or not at all, tested; a zip beside it when the job says so."""
        result_folder(job.run)
        if reason := self.unavailable_reason(job.run):
            raise StudioError(
                "format-unavailable", reason, given=self.format, hint="Choose another form.", field="format"
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
            progress(1, STEPS, "Asking the chat's models")
            reference = agreement_check.reference_answers(job.shelf, job.run)
            if not has_room_for(job.run, 1):
                job.shelf.forget()  # the fresh process needs the room
            progress(2, STEPS, "Loading it again in a fresh process")
            answers = agreement_check.export_answers(stage, job.run, reference)
            tested = agreement_check.compare(reference, answers, self.format)
            progress(3, STEPS, "Packing")
            packed = folder.zipped(stage, to) if job.zip else None
            size = folder.size(stage)
        progress(STEPS, STEPS, "Done")
        return ExportResult(
            format=self.format,
            path=str(to),
            bytes=size,
            tested=tested,
            how_to_use=self.snippet(job.run, to.name),
            zip_path=str(packed) if packed else None,
        )
