"""What a run can do once it has learned: chat, classify, predict, evaluate, export. The model host does the work."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from studio.export import EXPORTS, export_named
from studio.inference.base_and_tuned import how
from studio.inference.heads import head_of
from studio.inference.predict import writer_for
from studio.schema.dataset import DatasetSpec, SplitCounts
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RowsRef, RunRef
from studio.schema.report import Answer, ChatSettings, ExportResult, Report
from studio.schema.runs import RunRecord
from studio.schema.views import ChatChunk, ExportView
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.services.model_host.client import HostClient
from studio.services.model_host.replies import Replies, labels_of, written
from studio.services.models import Models
from studio.store.files import folder_size, require_room, write_whole
from studio.store.quota import Quota
from studio.store.runs import RunFolder
from studio.tasks import task_named

Progress = Callable[[int, int, str], None] | None
MOST_MESSAGES, MOST_CHARACTERS = 200, 100_000
CHARACTERS_PER_TOKEN = 32
"""A visitor's conversation may have so many characters for each token that a reply may have."""


class Answers:
    """The results of a workspace's runs."""

    def __init__(self, context: Context, host: HostClient, datasets: Datasets, models: Models) -> None:
        self.context, self.datasets, self.models = context, datasets, models
        self.host = host.of(context.workspace)
        self.runs = context.workspace.runs

    # --- talking ---

    def warm_up(self, run: str) -> None:
        """Load both models now."""
        self.host.result("load", run=self._ref(run))

    def chat_place(self) -> Callable[[], None]:
        """Take this workspace's place for a chat, before any work is done for it; returns what gives it back.

        Raises:
            StudioError `limit-reached`: when the visitor's last message is still being answered.
        """
        return self.host.place("chat")

    def ask(
        self,
        run: str,
        messages: Sequence[dict[str, str]],
        settings: ChatSettings,
        give_back: Callable[[], None] | None = None,
    ) -> Replies:
        """Both answers to a conversation, whatever the model answers with: replies as they are written, or labels."""
        give_back = give_back or self.chat_place()
        try:
            self._check_messages(messages, settings.system)
            ref = self._ref(run)
            if self.at_once(run):
                text = str(messages[-1]["content"])
                return Replies(self.host.ask("classify", give_back, run=ref, text=text), labels_of)
            limit = self.context.workspace.limits.chat_tokens
            limited = self.context.workspace.limits.over("chat_tokens", settings.max_new_tokens)
            if limited:
                settings = settings.model_copy(update={"max_new_tokens": limit})
            note = f"Limited to {limit:,} tokens in this demo." if limited else ""
            exchange = self.host.ask("chat", give_back, run=ref, messages=list(messages), settings=settings)
            return Replies(exchange, partial(written, note=note))
        except BaseException:
            give_back()
            raise

    def chat(self, run: str, messages: Sequence[dict[str, str]], settings: ChatSettings) -> Iterator[ChatChunk]:
        """Both replies as they are written; ending the iteration stops them."""
        if self.at_once(run):
            raise StudioError(
                "wrong-state",
                "This run answers with labels, not with replies.",
                given="chat",
                hint="Ask it for labels: studio chat does so by itself.",
            )
        return self.ask(run, messages, settings)

    def classify(self, run: str, text: str) -> tuple[Answer, Answer]:
        """Labels with probabilities: of the base (a guess by neighbours) and of the tuned model."""
        self._check_messages([{"role": "user", "content": text}])
        result = self.host.result("classify", run=self._ref(run), text=text)
        return Answer.model_validate(result["base"]), Answer.model_validate(result["tuned"])

    def how(self, run: str) -> str:
        """A word on how the tuned model answers, where it needs one; nothing is loaded for it."""
        return how(self.runs.spec(self.runs.get(run).id).config)

    def at_once(self, run: str) -> bool:
        """Whether its model answers with labels and probabilities instead of word by word."""
        spec = self.runs.spec(run)
        try:
            return head_of(self.models.find(spec.config.model), spec.data).at_once
        except StudioError:  # the base is gone: nothing can be asked, and what is kept can still be looked at
            return task_named(spec.config.task).has_labels

    # --- scoring ---

    def evaluate(self, run: str, data: str | None = None, progress: Progress = None) -> Report:
        """Base and tuned on rows kept apart (or on a file's); the report is kept with the run."""
        record, folder = self._finished(run)
        ref = self._ref(record.id)
        if data is None:
            split, rows = self._held_out(record, folder)
            roles = None
        else:
            other = self.datasets.open(data)
            split, roles = "file", self.read_alike(ref.spec.data, other.id)
            rows = RowsRef(path=str(self.datasets.store.rows_path(other.id, other.version)), numbers=None)
        result = self.host.result("evaluate", progress, run=ref, rows=rows, split=split, roles=roles)
        report = Report.model_validate(result["report"])
        if data is None:
            write_whole(folder.report, report.model_dump_json(indent=2))
        return report

    def report(self, run: str) -> Report | None:
        """The kept report."""
        folder = self.runs.folder(self.runs.get(run).id)
        return Report.model_validate_json(folder.report.read_text()) if folder.report.exists() else None

    def predict(self, run: str, data: str, out: Path, *, base: bool = False, progress: Progress = None) -> int:
        """Write every row of the data with a prediction; how many rows."""
        self.context.owner_only("Writing to a file")
        record, _ = self._finished(run)
        writer_for(out)
        source = self.datasets.open(data)
        rows = RowsRef(path=str(self.datasets.store.rows_path(source.id, source.version)), numbers=None)
        ref = self._ref(record.id)
        roles = self.read_alike(ref.spec.data, source.id, inputs=True)
        require_room(out.parent, source.bytes)
        result = self.host.result(
            "predict", progress, run=ref, rows=rows, out=str(out.resolve()), base=base, roles=roles
        )
        return int(result["rows"])

    def read_alike(self, learned: DatasetSpec, data: str, inputs: bool = False) -> dict[str, str]:
        """Column → role of other rows: the run's own columns where they are there, else as the file is read.

        With `inputs` what is to be predicted may be missing.
        """
        columns = self.datasets.table(data).columns
        own = {column: role for column, role in learned.roles.items() if column in columns}
        if own == learned.roles:
            return own
        if inputs:
            return self.datasets.inputs_of(data, learned.task, own)
        kept = self.datasets.store.get(data).spec
        asked = None if kept is not None and kept.task == learned.task else own or None
        return dict(self.datasets.reading(data, learned.task, asked)[0].roles)

    # --- taking away ---

    def exports(self, run: str) -> list[ExportView]:
        """Every form, its size, and why it can't be had."""
        record, folder = self._finished(run)
        ref = self._ref(record.id)
        return [
            ExportView(
                format=name,
                title=exporter.title,
                sentence=exporter.sentence,
                bytes=exporter.size(ref),
                unavailable_reason=exporter.unavailable_reason(ref),
                done=_kept_export(folder, name),
            )
            for name, exporter in EXPORTS.items()
        ]

    def export(self, run: str, name: str, to: Path | None = None, progress: Progress = None) -> ExportResult:
        """Write an export, loaded again and compared; without `to` into the run's folder, with a zip beside it."""
        if to is not None:
            self.context.owner_only("Writing to a folder")
        record, folder = self._finished(run)
        exporter = export_named(name)
        ref = self._ref(record.id)
        if why := exporter.unavailable_reason(ref):
            raise StudioError(
                "format-unavailable",
                why,
                given=name,
                valid=[each for each in EXPORTS if not EXPORTS[each].unavailable_reason(ref)],
            )
        if to is not None and to.exists() and not (to.is_dir() and not any(to.iterdir())):
            raise StudioError(
                "not-allowed", "Something lies at this place already.", given=to.name, hint="Name a new folder."
            )
        target = (to or folder.exports / name).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        require_room(target.parent, 2 * exporter.size(ref))
        Quota(self.context.workspace).require(2 * exporter.size(ref), "This export")
        facts = self._facts(record, folder)
        result = self.host.result("export", progress, run=ref, format=name, to=str(target), facts=facts, zip=to is None)
        done = ExportResult.model_validate(result["result"])
        if to is None:
            write_whole(folder.exports / f"{name}.json", done.model_dump_json())
        return done

    def export_zip(self, run: str, name: str) -> Path:
        """The zip of an export that was made."""
        _, folder = self._finished(run)
        export_named(name)
        kept = _kept_export(folder, name)
        if kept is None or not kept.zip_path or not Path(kept.zip_path).is_file():
            raise StudioError("format-unavailable", "This was not exported yet.", given=name, hint="Export it first.")
        return Path(kept.zip_path)

    # --- what the host needs to know ---

    def _ref(self, run: str) -> RunRef:
        record, folder = self._finished(run)
        spec = self.runs.spec(record.id)
        info = self.models.ready(spec.config.model)
        return RunRef(
            info=info,
            spec=spec,
            folder=str(folder.root),
            trusted=self.models.trusted(info),
            learned_from=self._rows(record, folder, "train"),
        )

    def _finished(self, run: str) -> tuple[RunRecord, RunFolder]:
        record = self.runs.get(run)
        folder = self.runs.folder(record.id)
        if not record.has_result or folder.result is None:
            raise StudioError(
                "wrong-state",
                f"The run {record.name} has no tuned model yet.",
                given=record.status,
                valid="a run that has finished, or was stopped with what it had learned",
            )
        return record, folder

    def _rows(self, record: RunRecord, folder: RunFolder, split: str) -> RowsRef | None:
        """The rows of a split as the worker wrote them down."""
        if not folder.splits.exists():
            return None
        numbers = json.loads(folder.splits.read_text()).get(split) or []
        path = self.datasets.store.rows_path(record.dataset, record.dataset_version)
        return RowsRef(path=str(path), numbers=numbers) if numbers and path.exists() else None

    def _held_out(self, record: RunRecord, folder: RunFolder) -> tuple[str, RowsRef]:
        for split in ("test", "validation"):
            if rows := self._rows(record, folder, split):
                return split, rows
        spec = self.runs.spec(record.id)
        if spec.validation_dataset:
            path = self.datasets.store.rows_path(spec.validation_dataset, spec.validation_version)
            return "validation", RowsRef(path=str(path), numbers=None)
        raise StudioError(
            "too-few-rows",
            "No rows were kept apart from training, or they are no longer here.",
            hint="Evaluate on a file of its own: studio evaluate RUN --data FILE",
        )

    def _facts(self, record: RunRecord, folder: RunFolder) -> CardFacts:
        counts = None
        if folder.splits.exists():
            split = json.loads(folder.splits.read_text())
            sizes = {name: len(split.get(name) or []) for name in ("train", "validation", "test")}
            counts = SplitCounts(**sizes)
        try:
            dataset = self.datasets.store.get(record.dataset, record.dataset_version)
            name, rows = dataset.name, dataset.rows
        except StudioError:
            name, rows = "a dataset that is no longer here", 0
        if counts:
            rows = counts.train + counts.validation + counts.test
        return CardFacts(
            run=record.id,
            name=record.name,
            created=record.created,
            seconds=record.seconds or 0.0,
            dataset=name,
            rows=rows,
            splits=counts,
            metrics=record.metrics,
            report=self.report(record.id),
            best_step=record.best_step,
            steps=record.steps,
        )

    def _check_messages(self, messages: Sequence[dict[str, str]], system: str = "") -> None:
        limit = self.context.workspace.limits.chat_tokens
        most = min(MOST_CHARACTERS, CHARACTERS_PER_TOKEN * limit) if limit else MOST_CHARACTERS
        if (
            len(messages) > MOST_MESSAGES
            or len(system)
            + sum(len(str(each.get("content", ""))) + len(str(each.get("base", ""))) for each in messages)
            > most
        ):
            raise StudioError(
                "limit-reached" if limit else "bad-setting",
                "The conversation is too long.",
                valid=f"up to {most:,} characters" + (" in this demo" if limit else ""),
                hint="Clear it and begin a new one.",
            )
        if not messages or not str(messages[-1].get("content", "")).strip():
            raise StudioError("bad-setting", "There is nothing to answer.", hint="Write something first.")


def _kept_export(folder: RunFolder, name: str) -> ExportResult | None:
    kept = folder.exports / f"{name}.json"
    if not kept.exists():
        return None
    result = ExportResult.model_validate_json(kept.read_text())
    return result if folder_size(Path(result.path)) else None
