"""Cross-validation of a run: the same settings are trained once for each fold of its rows.

The folds are runs in the queue, with progress, pause and stop as any run. When all have ended, the model of each fold
answers the rows of that fold, and the report over all rows is saved in the report of the run.
"""

from contextlib import suppress
from datetime import UTC, datetime

from studio.data.split_names import NO_COLUMN
from studio.schema.cross_validation import FOLDS, MOST_FOLDS, CrossValidation, FoldsView, Status
from studio.schema.dataset import Fold
from studio.schema.errors import StudioError, bad_setting
from studio.schema.host import FoldRef
from studio.schema.report import Report
from studio.schema.runs import ACTIVE, RunRecord, RunSpec
from studio.services.evaluation.service import Evaluation
from studio.services.progress import Progress
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.run_messages import wrong_state
from studio.store.files import write_whole
from studio.store.split_store import VersionSplit


class CrossValidations:
    """The cross-validations of a workspace's runs."""

    def __init__(self, runs: RunLifecycle, evaluation: Evaluation) -> None:
        self.runs, self.evaluation, self.finished = runs, evaluation, evaluation.finished

    def start(self, run: str, folds: int = FOLDS) -> FoldsView:
        """Queue a run for each fold, with the settings and the rows of `run`.

        One that is in progress with the same number of folds is continued: paused and interrupted folds are resumed.

        Raises:
            StudioError: when the rows can't be divided into folds, or the limits do not allow so many runs.
        """
        record, _ = self.finished.get(run)
        now = self.view(record.id)
        if now and now.folds == folds and now.status in ("training", "paused", "trained"):
            for each in now.runs:
                if each.status in ("paused", "interrupted"):
                    self.runs.resume(each.id)
            return self._require_view(record.id)
        if now and now.status in ("training", "paused"):
            raise wrong_state(
                record,
                "A cross-validation of {name} with another number of folds is in progress.",
                hint="Cancel it first.",
            )
        if problem := self.problem(record.id, folds):
            raise problem
        if now:
            self._end(now)  # of one that failed, other folds may still train
        before = self._saved(record.id)
        started: list[str] = []
        try:
            for number in range(1, folds + 1):
                once = f"folds {record.id} {before.created if before else ''} {number} of {folds}"
                spec = self._spec(record, Fold(number=number, count=folds))
                started.append(self.runs.submit(spec, once).id)
        except StudioError:
            self._withdraw(started)
            raise
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._save(record.id, CrossValidation(folds=folds, runs=tuple(started), created=created))
        return self._require_view(record.id)

    def problem(self, run: str, folds: int = FOLDS) -> StudioError | None:
        """Why a run can't be cross-validated. None when it can."""
        try:
            self._check(run, folds)
        except StudioError as error:
            return error
        return None

    def seconds(self, run: str, folds: int = FOLDS) -> float | None:
        """The estimated training time of all folds, from the time that the run took. None: unknown."""
        record, folder = self.finished.get(run)
        splits = folder.read_splits()
        if not record.seconds or not splits:
            return None
        if self.runs.spec(record.id).config.max_steps:
            return record.seconds * folds
        rows = sum(map(len, splits.values()))
        return record.seconds * (folds - 1) * rows / max(1, rows - len(splits["test"]))

    def rows(self, run: str) -> int:
        """The number of rows that a cross-validation tests."""
        _, folder = self.finished.get(run)
        return sum(map(len, folder.read_splits().values()))

    def view(self, run: str) -> FoldsView | None:
        """The state of the last cross-validation of a run. None when there was none."""
        saved = self._saved(run)
        if saved is None:
            return None
        runs = []
        for each in saved.runs:
            with suppress(StudioError):  # it was deleted
                runs.append(self.runs.get(each))
        report = self.evaluation.report(run)
        scores = report.cross_validation.fold_scores if report and report.cross_validation else ()
        complete = tuple(each.run for each in scores) == saved.runs
        status, sentence = _state(saved, runs, complete)
        progress = [self.runs.progress(each.id) for each in runs] if status in ("training", "paused") else []
        share = sum(each.share for each in progress) / saved.folds if progress else 1.0
        seconds = self.seconds(run, saved.folds) if progress else None
        return FoldsView(
            status=status,
            folds=saved.folds,
            runs=tuple(runs),
            share=min(1.0, share),
            seconds_left=seconds and seconds * (1 - share),
            sentence=sentence,
        )

    def evaluate(self, run: str, progress: Progress = None) -> Report:
        """Evaluate the model of each fold on its rows, and save the report over all rows with the run.

        Raises:
            StudioError: `wrong-state` when a fold has no model.
        """
        record, folder = self.finished.get(run)
        view = self._require_view(record.id)
        if view.status not in ("trained", "finished"):
            raise wrong_state(record, "The cross-validation of {name} is not complete.", hint=view.sentence)
        refs = []
        for each in view.runs:
            rows = self.finished.rows(each, self.runs.store.folder(each.id), "test")
            if rows is None:
                raise wrong_state(each, "The rows of {name} are no longer on the disk.", hint="Start again.")
            refs.append(FoldRef(run=self.finished.ref(each.id), name=each.id, rows=rows))
        own = self._own_report(record.id, progress)
        result = self.evaluation.host.result("evaluate_folds", progress, folds=tuple(refs))
        report = Report.model_validate(result["report"])
        own = self.evaluation.report(record.id) or own or report  # it may have been evaluated meanwhile
        whole = own.model_copy(update={"cross_validation": report})
        write_whole(folder.report, whole.model_dump_json(indent=2))
        return report

    def _own_report(self, run: str, progress: Progress) -> Report | None:
        """The report on the run's own test or validation rows, which is made if it is missing. None without rows."""
        try:
            return self.evaluation.report(run) or self.evaluation.evaluate(run, progress=progress)
        except StudioError as error:
            if error.code != "too-few-rows":
                raise
            return None

    def pause(self, run: str) -> FoldsView:
        """Pause the folds that train or wait. `start` continues them."""
        view = self._require_view(run)
        for each in view.runs:
            if each.status in ACTIVE:
                with suppress(StudioError):  # it has just ended
                    self.runs.pause(each.id)
        return self._require_view(run)

    def stop(self, run: str) -> FoldsView:
        """Cancel a cross-validation: no fold trains any more. Its runs stay in the list."""
        view, saved = self._require_view(run), self._saved(run)
        assert saved is not None
        self._save(run, saved.model_copy(update={"stopped": True}))
        self._end(view)
        return self._require_view(run)

    def _end(self, view: FoldsView) -> None:
        """Let no fold train any more."""
        for each in view.runs:
            if each.status in ACTIVE or each.status == "paused":
                with suppress(StudioError):  # it has just ended
                    self.runs.stop(each.id, "discard")

    def _spec(self, record: RunRecord, fold: Fold) -> RunSpec:
        """The spec of a fold: that of the run, without its test prompts."""
        spec, name, number, count = self.runs.spec(record.id), record.name, fold.number, fold.count
        config = spec.config.model_copy(update={"name": f"{name} · fold {number} of {count}", "test_prompts": ()})
        because = (f"Fold {number} of {count} of a cross-validation of {name}, with the same settings.",)
        seconds = self.seconds(record.id, count)
        changes = {"seconds": seconds / count if seconds else spec.seconds, "seconds_range": None}
        return spec.model_copy(update={"config": config, "fold": fold, "because": because, **changes})

    def _check(self, run: str, folds: int) -> None:
        """Raise `StudioError` when a run can't be cross-validated."""
        record, _ = self.finished.get(run)
        spec, datasets = self.runs.spec(record.id), self.finished.datasets.store
        if not 2 <= folds <= MOST_FOLDS:
            raise bad_setting("folds", "The number of folds is not valid.", folds, f"2 to {MOST_FOLDS}")
        limits = self.runs.context.workspace.limits
        if limits.over("runs_per_address", folds) or (
            limits.waiting_runs and folds > max(1, limits.running_runs) + limits.waiting_runs
        ):  # refused now, instead of after some folds were started
            self.runs.context.owner_only("Cross-validation")
        self.runs.require_rows(spec)
        if spec.fold:
            raise wrong_state(
                record, "{name} is itself a fold of a cross-validation.", hint="Choose the run behind it."
            )
        if spec.config.start_from or (spec.replay and spec.replay.dataset == spec.dataset):
            raise wrong_state(
                record,
                "{name} started from a model that may have seen the rows of the folds.",
                hint="Cross-validate a run that started from a base model.",
            )
        if spec.splits.time_column:
            raise bad_setting(
                "time_column",
                "Rows that are split by time can't be cross-validated: folds would learn from later rows.",
                spec.splits.time_column,
                hint="Test on more rows of the latest time instead.",
            )
        dataset = datasets.get(spec.dataset, spec.dataset_version)
        column = spec.splits.split_column or ("" if spec.splits.group_column else dataset.split_column or "")
        if column and column != NO_COLUMN:
            raise bad_setting(
                "split_column",
                "The file names the split of each row, and folds would ignore it.",
                column,
                hint="Use more test rows of the file instead, or train without the split column (none).",
            )
        first = Fold(number=1, count=folds)
        with_validation = spec.validation_dataset is not None
        VersionSplit(datasets, dataset, spec.data, spec.splits, with_validation, first).assign()

    def _withdraw(self, runs: list[str]) -> None:
        """Remove the runs of a cross-validation that could not be started whole."""
        for each in runs:
            with suppress(StudioError):
                self.runs.stop(each, "discard")
            with suppress(StudioError):
                self.runs.delete(each)

    def _require_view(self, run: str) -> FoldsView:
        view = self.view(run)
        if view is None:
            record = self.runs.get(run)
            raise wrong_state(record, "There is no cross-validation of {name}.", hint="Start one first.")
        return view

    def _saved(self, run: str) -> CrossValidation | None:
        file = self.runs.store.folder(self.runs.get(run).id).folds
        return CrossValidation.model_validate_json(file.read_text()) if file.exists() else None

    def _save(self, run: str, state: CrossValidation) -> None:
        write_whole(self.runs.store.folder(self.runs.get(run).id).folds, state.model_dump_json(indent=2))


def _state(saved: CrossValidation, runs: list[RunRecord], complete: bool) -> tuple[Status, str]:
    """Return the state of a cross-validation, and a sentence about it."""
    folds, done = saved.folds, sum(each.status == "finished" and each.has_result for each in runs)
    numbered = list(enumerate(runs, start=1))
    broken = [each for each in numbered if each[1].status in ("failed", "stopped")]
    lost = [each for each in numbered if each[1].status == "interrupted"]
    if complete:
        return "finished", f"Cross-validation with {folds} folds."
    if saved.stopped:
        return "stopped", "The cross-validation was canceled."
    if len(runs) < folds:
        return "failed", "The run of a fold was deleted. Start the cross-validation again."
    if broken:
        number, run = broken[0]
        return "failed", f"Fold {number} of {folds} has no model. {run.reason}".strip()
    if done == folds:
        return "trained", f"All {folds} folds are trained. Their models can be evaluated now."
    words = f"{done} of {folds} folds are trained."
    paused = f"Paused. {words}"
    if lost:
        number, run = lost[0]
        paused = " ".join((words, f"Fold {number} was interrupted.", run.reason)).strip()
    working = any(each.status in ACTIVE for each in runs)
    return ("training", words) if working else ("paused", paused)
