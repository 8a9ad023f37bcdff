"""Base class of exports: staged, cleaned, loaded again in a new process, then moved to the target."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

from studio.export import agreement_check, card, folder
from studio.inference.base_and_tuned import fits_in_memory, result_folder
from studio.inference.model_cache import ModelCache
from studio.machine.tool_environment import ToolEnvironment
from studio.schema.errors import StudioError
from studio.schema.exports import ExportOption
from studio.schema.host import CardFacts, RunRef, TrainingFacts
from studio.schema.report import ExportResult, Usage

Progress = Callable[[int, int, str], None]


class Phase(IntEnum):
    """What an export does, in this order. Some formats skip a phase."""

    LOADING = 0
    WRITING = 1
    CONVERTING = 2
    QUANTIZING = 3
    ANSWERING = 4
    TESTING = 5
    PACKING = 6


STEPS = len(Phase)


def silent(done: int, total: int, message: str) -> None:
    """Ignore the progress."""


@dataclass
class ExportJob:
    """A run to export."""

    run: RunRef
    facts: CardFacts
    model_cache: ModelCache
    zip: bool = True
    options: dict[str, str] = field(default_factory=dict)
    """Chosen options: name → value. All of the format's options are present."""
    tools: Path | None = None
    """The folder of the environments of extra tools."""
    training: TrainingFacts | None = None
    """How the run was trained, for formats with `needs_training_facts`."""
    progress: Progress = silent
    """Gets each phase when it begins."""

    def enter(self, phase: Phase, title: str) -> None:
        """Report that a phase begins. `title` says what happens, for example "Writing the weights"."""
        self.progress(phase, STEPS, title)


@dataclass(frozen=True)
class TestResult:
    """How well an export agrees with the studio."""

    __test__ = False
    """For pytest: this is no test class."""
    tested: str
    """What was checked, in a sentence."""
    comparison: tuple[tuple[str, ...], ...] = ()
    """A table of what was measured, the head first."""
    decided: Mapping[str, str] = field(default_factory=dict)
    """What the test has decided and `usages` must know, beside the options: name → value."""


class Exporter(ABC):
    """One export format."""

    format: str
    title: str
    sentence: str
    library: str
    """The library that loads the export, by its name on the Hub."""
    saved_as = ""
    """The number format of its weights. Empty: that of the run."""
    needs_base = False
    """Whether the export is loaded on top of the base model."""
    exact = False
    """Whether its replies must begin as the chat's do for every prompt, and not only for half of them."""
    extra_files: frozenset[str] = frozenset()
    """Extensions and names of files that it may contain besides safetensors, tokenizer files and the card."""
    has_tokenizer_files = True
    """Whether the files of the tokenizer are copied into it."""
    needs_training_facts = False
    """Whether it repeats the run, and needs its rows and losses."""
    environments: tuple[ToolEnvironment, ...] = ()
    """Packages that it needs in environments of their own. Some may be for one choice of an option only."""

    @abstractmethod
    def unavailable_reason(self, run: RunRef) -> str:
        """Return why this format is unavailable for a run, or ""."""

    @abstractmethod
    def size(self, run: RunRef) -> int:
        """Return the approximate size in bytes."""

    @abstractmethod
    def write(self, job: ExportJob, to: Path) -> None:
        """Write the weights and their config to a folder. Name each phase that can take long with `job.enter`."""

    @abstractmethod
    def snippet(self, run: RunRef, place: str) -> str:
        """Return Python code that loads the export from `place` and runs it, without the studio."""

    def options(self, run: RunRef) -> tuple[ExportOption, ...]:
        """Return what the user can choose for a run."""
        return ()

    def missing(self) -> str:
        """Return what this machine lacks for the format and can't install by itself, or "". For example an extra."""
        return ""

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return how each program uses the export in `place`. `options` also has what the test has decided."""
        return (Usage(title="Python", language="python", code=self.snippet(run, place).strip()),)

    def test(self, job: ExportJob, stage: Path, progress: Progress) -> TestResult:
        """Load the export in a new process and compare it. Raise `StudioError` if it differs.

        A format overrides `compare` if another library loads it, and `test` if it has no replies to compare.
        """
        progress(Phase.ANSWERING, STEPS, "Loading the model")
        job.model_cache.pair(job.run)
        progress(Phase.ANSWERING, STEPS, "Generating replies to compare with")
        reference = agreement_check.reference_answers(job.model_cache, job.run)
        if not fits_in_memory(job.run, 1):
            job.model_cache.forget()  # the new process needs the memory
        progress(Phase.TESTING, STEPS, "Testing the export in a new process")
        return self.compare(job, stage, reference)

    def card(self, job: ExportJob, result: TestResult) -> str:
        """Return README.md. Its front matter has the library and the tag of the studio (`folder.check_target`)."""
        return card.model_card(self, job.run, job.facts, job.options, result)

    def compare(self, job: ExportJob, stage: Path, reference: agreement_check.ReferenceAnswers) -> TestResult:
        """Compare the answers of the export with those of the chat. Raise `StudioError` if they differ."""
        answers = agreement_check.export_answers(stage, job.run, reference)
        return TestResult(agreement_check.compare(reference, answers, self.exact))

    def export(self, job: ExportJob, to: Path, progress: Progress) -> ExportResult:
        """Write the export to a folder, atomically, after a test. Also write a zip if the job requests it.

        Raise `StudioError` for an unavailable format, a folder in use, or a full disk.
        """
        result_folder(job.run)
        if reason := self.unavailable_reason(job.run):
            raise StudioError(
                "format-unavailable", reason, given=self.format, hint="Choose another export format.", field="format"
            )
        job = replace(job, options=chosen_options(self, job.run, job.options), progress=progress)
        job.enter(Phase.LOADING, "Preparing the export")
        folder.check_target(to, self.library)
        folder.require_room(to, self.size(job.run) * (2 if job.zip else 1))
        with folder.staged(to) as stage:
            self.write(job, stage)
            if self.has_tokenizer_files:
                folder.copy_tokenizer(job.run, stage)
            result = self.test(job, stage, progress)
            known = {**job.options, **result.decided}
            text = self.card(replace(job, options=known), result)
            (stage / "README.md").write_text(folder.without_paths(text, job.run), encoding="utf-8")
            folder.check_clean(stage, job.run, self.extra_files)
            if job.zip:
                job.enter(Phase.PACKING, "Writing the zip file")
            archive = folder.zipped(stage, to) if job.zip else None
            size = folder.size(stage)
        progress(STEPS, STEPS, "Done")
        usages = self.usages(job.run, to.name, known)
        return ExportResult(
            format=self.format,
            path=str(to),
            bytes=size,
            tested=result.tested,
            how_to_use=usages[0].code,
            zip_path=str(archive) if archive else None,
            options=job.options,
            usages=usages,
            comparison=result.comparison,
        )


def chosen_options(exporter: Exporter, run: RunRef, given: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each option of a format: the given one, else the default.

    Raises:
        StudioError: `bad-setting` for an unknown option, an unknown value, or one that is not available.
    """
    options = {option.name: option for option in exporter.options(run)}
    for name in given:
        if name not in options:
            raise StudioError(
                "bad-setting",
                f"The export format {exporter.format} has no option with this name.",
                given=name,
                valid=", ".join(options) or "no options",
                field="option",
            )
    chosen = {}
    for name, option in options.items():
        value = given.get(name, option.default)
        choice = next((each for each in option.choices if each.value == value), None)
        if choice is None or choice.unavailable_reason:
            raise StudioError(
                "bad-setting",
                choice.unavailable_reason if choice else f"The option {name} can't have this value.",
                given=value,
                valid=[each.value for each in option.choices if not each.unavailable_reason],
                field="option",
            )
        chosen[name] = value
    return chosen
