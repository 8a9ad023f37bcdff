"""One run: build, train, save. The caller reports errors; none are handled here."""

import math
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from studio.inference.heads import head_of
from studio.machine.disk import end_putting
from studio.metrics import measure
from studio.schema.events import AdviceEvent, CheckpointEvent, HeldEvent, PhaseEvent
from studio.schema.runs import StopWish
from studio.tasks import Encoding, Example, Row, Task, task_named
from studio.training.batching.packing import join_documents, pack_documents, uses_packing
from studio.training.batching.packing_check import supports_packing
from studio.training.batching.token_cache import cache_key, cached_examples
from studio.training.distributed.fsdp import mark_as_sharded
from studio.training.distributed.processes import (
    barrier,
    broadcast_from_main,
    gathered_weights,
    is_main_process,
    world_size,
)
from studio.training.loop.baseline import Baseline, BaselineTask, BaselineValidation
from studio.training.loop.baseline_cache import BaselineCache, replies_key, validation_key
from studio.training.loop.baseline_replies import BaselineReplies, base_answers
from studio.training.loop.callbacks import (
    Diverged,
    Emit,
    EventCallback,
    ShouldStop,
    StopNow,
    ValidationRules,
    obey_before_training,
)
from studio.training.loop.checkpoints import Checkpoints, QuotaExceeded, TrainingProgress, replace_folder
from studio.training.loop.eval_predictions import MAX_ROWS, with_texts, without_targets
from studio.training.loop.head_warmup import HeadWarmup
from studio.training.loop.loading import (
    TrainingJob,
    encode_rows,
    encoding_for,
    prepare_model,
    require_examples,
    set_base_model,
)
from studio.training.loop.outcome import Outcome
from studio.training.loop.sample_replies import MAX_TOKENS_DURING, SAMPLE, PromptAnswerer, progress_message
from studio.training.loop.sample_schedule import SampleSchedule
from studio.training.methods import method_named
from studio.training.methods.base import Method
from studio.training.planning.data_stats import read_event
from studio.training.planning.eval_schedule import eval_interval
from studio.training.planning.setting_scope import applies
from studio.training.trainers import Parts, builder

__all__ = ["Outcome", "StopNow", "TrainingJob", "train"]


def train(
    job: TrainingJob, emit: Emit, should_stop: ShouldStop, is_waiting: Callable[[], bool] = lambda: False
) -> Outcome:
    """Train a run. Continues from the newest complete checkpoint if there is one.

    `is_waiting`: whether the run is only prepared and not started yet, so that nothing is delayed.
    """
    run = _Run(job, emit, should_stop, is_waiting)
    try:
        run.build()
        stopped = run.learn()
        return run.finish(stopped)
    except Diverged:
        run.save_last_good()
        raise
    except StopNow as stop:  # before the first step there is nothing to save
        return Outcome(run.method.result, None, stop.wish, False, run.progress.step, None)


def build_run(job: TrainingJob, on_rows: Callable[[int, int], None]) -> "_Run":
    """A run before its first step: model, rows and trainer exist, and nothing was trained."""

    def emit(event: Any) -> None:
        if isinstance(event, PhaseEvent) and event.total:
            on_rows(event.done or 0, event.total)

    run = _Run(job, emit, lambda: None)
    run.build()
    return run


class _Run:
    """The state of a run while it is built, trained and saved."""

    def __init__(
        self, job: TrainingJob, emit: Emit, should_stop: ShouldStop, is_waiting: Callable[[], bool] = lambda: False
    ) -> None:
        self.job, self.emit, self.should_stop, self.is_waiting = job, emit, should_stop, is_waiting
        self.task: Task = task_named(job.config.task)
        self.variant, self.head = self.task.variant(job.info.kind, job.data.roles), head_of(job.info, job.data)
        self.method: Method = method_named(job.config.method)
        self.checkpoints = Checkpoints(job.folder / "checkpoints", job.disk_left)
        self.no_room = False
        self.resume_from: Path | None = None
        self.progress = TrainingProgress()
        self.schedule = SampleSchedule(job.config.watch_share)
        self.packed = False
        self.encoding: Encoding
        self.learned: list[Example]
        self.trainer: Any
        self.callback: EventCallback
        self.answerer: PromptAnswerer
        self.baseline: Baseline

    def build(self) -> None:
        """Load the model and the rows, and create the trainer."""
        import torch
        from transformers import PrinterCallback, set_seed

        job, config = self.job, self.job.config
        torch.set_num_threads(max(1, job.threads))
        if is_main_process():
            end_putting(job.folder / f".{self.method.result}.new", job.folder / self.method.result)
        if checkpoint := broadcast_from_main(self._find_checkpoint() if is_main_process() else None):
            self.resume_from, self.progress = checkpoint
        self._phase("loading")
        set_seed(config.seed)
        self.encoding = encoding_for(job)
        model = prepare_model(job, self.method, self.head)
        if config.fsdp:
            mark_as_sharded(model)
        self.packed = uses_packing(config) and self._shares_rows(model)
        self._phase("reading")
        learned = self.learned = self._encode(job.train_rows)
        validation_rows = sample_rows(job.validation_rows, config.eval_rows, config.seed)
        validation = self._encode(validation_rows)
        require_examples(learned, job.train_rows, config)
        every = eval_interval(len(learned), len(validation), config)
        rules = ValidationRules(every, bool(validation), config.early_stopping_patience, self.variant.best_metric)
        self.callback = EventCallback(self.emit, self.should_stop, self.progress, self.checkpoints, rules)
        self.answerer = PromptAnswerer(job, self.task, self.encoding, self.head, self.emit, self.should_stop)
        self.trainer = builder(self.variant.trainer)(
            Parts(
                model=model,
                head=self.head,
                encoding=self.encoding,
                config=config,
                folder=self.checkpoints.root,
                train=learned,
                validation=validation,
                callback=self.callback,
                resumed=self.resume_from is not None,
                has_start_weights=job.start_weights is not None,
                measure=self._measure,
            )
        )
        self.trainer.settings, self.trainer.checkpoints, self.trainer.progress = config, self.checkpoints, self.progress
        self.trainer.remove_callback(PrinterCallback)
        if config.head_first and self.head.single_pass and applies("head_first", config.method, config.task):
            self.trainer.add_callback(HeadWarmup(config.head_first))
        self.callback.trainer, self.callback.on_validation = self.trainer, self._on_validation
        self.callback.baseline = self.baseline = self._baseline(validation)
        watched = validation[:MAX_ROWS] if self.head.single_pass else []
        self.texts_sent = self.progress.base_loss is not None
        """Whether an event has the texts of the validation rows."""
        self.texts = [self.task.text_of(validation_rows[each.row - 1], self.encoding.roles) for each in watched]
        facts = read_event(job, self.variant.trainer, self.head, learned, len(validation))
        self.emit(facts.model_copy(update={"padded": bool(self.trainer.pads)}))

    def _find_checkpoint(self) -> tuple[Path, TrainingProgress] | None:
        """The checkpoint to resume from. A run that takes no more steps needs only a loadable one."""
        newest = self.checkpoints.newest()
        return self.checkpoints.newest_loadable() if self.job.finalize_only else newest

    def learn(self) -> StopWish | None:
        """Train the remaining steps. Returns the stop request that ended training early, or None."""
        from transformers import TrainerState

        if self.resume_from is None:
            self.baseline.answer_prompts()
        elif self.job.finalize_only:
            self.trainer._load_from_checkpoint(str(self.resume_from))
            return "keep"
        else:
            state = TrainerState.load_from_json(str(self.resume_from / "trainer_state.json"))
            if self.progress.early or state.global_step >= state.max_steps:  # the trainer would take another step
                self.trainer._load_from_checkpoint(str(self.resume_from))
                return None
        self.schedule.begin()
        try:
            self.trainer.train(resume_from_checkpoint=str(self.resume_from) if self.resume_from else None)
        except StopNow as stop:
            if stop.wish == "keep" and self.progress.step:
                with suppress(QuotaExceeded):
                    self._save_now()
            return stop.wish
        except QuotaExceeded:
            if not self.progress.step:
                raise
            self.no_room = True
            return self.callback.stopped or "keep"
        if self.callback.stopped is None:
            self.baseline.finish()
            return "discard" if self.should_stop() == "discard" else None
        return self.should_stop() or self.callback.stopped  # a pause may have become a stop during the last validation

    def finish(self, stopped: StopWish | None) -> Outcome:
        """Save the best step or the last one, and answer the test prompts with it."""
        progress, result = self.progress, self.method.result
        if stopped in ("discard", "pause") or not progress.step:
            return Outcome(result, None, stopped, False, progress.step, None)
        best = self._best_step() if self.job.config.keep_best else None
        with gathered_weights(self.trainer):
            if best is not None and best != self._step_in_memory():
                self.trainer._load_from_checkpoint(str(self.checkpoints.path(best)))
            self._phase("saving")
            path = self._save(result)
            if stopped is None:
                self._replies(best or progress.step)
        metrics = dict(self.callback.last_metrics)
        if best is not None and progress.best_loss is not None:
            metrics = {"eval_loss": progress.best_loss, **progress.best_metrics}
        if progress.base_loss is not None:
            metrics["base_eval_loss"] = progress.base_loss
        return Outcome(
            result, path, stopped, progress.early, progress.step, best or progress.step, metrics, self.no_room
        )

    def save_last_good(self) -> None:
        """After the loss diverged: save the best step, or the last checkpoint, as the result."""
        loadable, best = broadcast_from_main(self.checkpoints.loadable()), self.progress.best_step
        if loadable:
            step = best if best in loadable else loadable[-1]
            if best is not None and step != best:
                self._report_lost_checkpoint(best, step)
            with gathered_weights(self.trainer):
                self.trainer._load_from_checkpoint(str(self.checkpoints.path(step)))
                self._save(self.method.result)

    def _best_step(self) -> int | None:
        """The best step, if its weights are in memory or can be loaded. Otherwise report that and return None."""
        best = self.progress.best_step
        if best is None or best == self._step_in_memory() or best in broadcast_from_main(self.checkpoints.loadable()):
            return best
        self._report_lost_checkpoint(best, self.progress.step)
        return None

    def _report_lost_checkpoint(self, best: int, kept: int) -> None:
        message = f"The checkpoint of step {best:,} is incomplete. The result is the checkpoint of step {kept:,}."
        self.emit(AdviceEvent(step=self.progress.step, title="The best checkpoint is damaged", message=message))

    def _step_in_memory(self) -> int | None:
        """The step of the weights in memory."""
        return self.trainer.state.global_step or self.progress.step

    def _phase(self, name: str) -> None:
        if wish := self.should_stop():
            if not self.progress.step or wish == "discard":
                raise StopNow(wish)
        self.emit(PhaseEvent(phase=name))

    def _encode(self, rows: Sequence[Row]) -> list[Example]:
        def on_progress(done: int) -> None:
            obey_before_training(self.should_stop, self.progress)
            self.emit(PhaseEvent(phase="reading", done=done, total=len(rows), unit="rows"))

        job = self.job
        examples = cached_examples(
            job.token_cache,
            lambda: cache_key(rows, self.encoding, job.info, job.config.task),
            len(rows),
            lambda: encode_rows(self.task, rows, self.encoding, on_progress),
        )
        if self.packed:
            return [join_documents(documents) for documents in pack_documents(examples, self.encoding.max_length)]
        return examples

    def _shares_rows(self, model: Any) -> bool:
        """Whether short texts share a row, as planned. If the model does not support it, advice is emitted."""
        if broadcast_from_main(supports_packing(model)):
            return True
        message = "This model would read packed texts as one text, so they are not packed. The run has more steps."
        self.emit(AdviceEvent(step=self.progress.step, title="Packing is not possible", message=message))
        return False

    def _on_validation(self, step: int) -> None:
        """After a validation: emit the predictions of a classifier, and answer the test prompts if they are due."""
        if step == 0 and not self.progress.step:
            self.schedule.begin()
        if rows := self.trainer.row_predictions():
            described = with_texts(rows, self.texts) if not self.texts_sent else without_targets(rows)
            self.texts_sent = True
            self.emit(HeldEvent(step=step, rows=tuple(described)))
        last = step >= self.trainer.state.max_steps or self.progress.early
        best = step == self.progress.best_step
        due = self.should_stop() is None and self.schedule.due(best, last, best or not self.job.config.keep_best)
        if step and broadcast_from_main(due):
            with gathered_weights(self.trainer):
                self.schedule.record(self._replies(step, during=True))

    def _replies(self, step: int, during: bool = False) -> float:
        """Answer the test prompts with the fine-tuned model. Returns the seconds."""
        return self.answerer.answer(self.trainer.model, step, during)

    def _baseline(self, validation: Sequence[Example]) -> Baseline:
        """What is measured of the base model. After a resume, what was not measured before."""
        job, resumed, tasks = self.job, self.resume_from is not None, []
        cache, one_process = BaselineCache(job.token_cache), world_size() == 1
        base_is_gone = bool(job.config.start_from) and job.start_weights is None
        if not resumed or (one_process and not job.finalize_only and not base_is_gone):
            if job.config.test_prompts and (not resumed or self.progress.pending_replies):
                self.progress.pending_replies, self.schedule.cost = True, math.inf
                tasks.append(BaselineTask(self._base_replies(cache).advance, without_adapter=True))
            if validation and one_process and self.progress.base_loss is None:
                weighted_by = self.learned if self.trainer.weights_rows else []
                key = partial(validation_key, job, self.method, self.head.single_pass, weighted_by, validation)
                tasks.append(BaselineTask(BaselineValidation(self.trainer, cache, key).advance))
        baseline = Baseline(self.trainer, tasks, self.should_stop, self.is_waiting)
        if resumed:
            baseline.keep_weights()
        return baseline

    def _base_replies(self, cache: BaselineCache) -> BaselineReplies:
        """The base model's replies to the test prompts."""
        head, prompts = self.head, self.answerer.prompt_ids()
        sample = [] if head.generates else self.learned[:SAMPLE]
        return BaselineReplies(
            prompts=self.job.config.test_prompts,
            answers=base_answers(self.trainer.model, self.encoding, head, prompts, sample),
            tokenizer=self.encoding.tokenizer if head.generates else None,
            cache=cache,
            key=replies_key(self.job, self.method, prompts, sample),
            emit=self.emit,
            report=self._report_base_replies,
            on_finished=self._base_replies_finished,
        )

    def _report_base_replies(self, finished: int, tokens: int) -> None:
        if self.baseline.phase:
            total = len(self.job.config.test_prompts)
            message = progress_message("base", finished, total, (tokens, MAX_TOKENS_DURING))
            self.emit(
                PhaseEvent(phase=self.baseline.phase, message=message, done=finished, total=total, unit="prompts")
            )

    def _base_replies_finished(self, seconds: float) -> None:
        self.progress.pending_replies, self.schedule.cost = False, seconds

    def _measure(self, observed: Mapping[str, Any]) -> dict[str, float]:
        """The task's metrics for the observations of the validation rows."""
        return measure(self.variant.metrics, observed)

    def _save_now(self) -> None:
        """Save a checkpoint of the step at which the user stopped the run during a validation."""
        self.trainer._save_checkpoint(self.trainer.model, None)
        step = self.progress.step
        path = self.checkpoints.path(step)
        self.emit(CheckpointEvent(step=step, name=path.name, bytes=self.checkpoints.size(step)))

    def _save(self, kind: str) -> Path:
        """Save the result with its tokenizer, atomically. The main process writes it."""
        place, weights = self.job.folder / kind, self.trainer.gathered()
        if is_main_process():
            self._write(kind, place, weights)
        barrier()
        return place

    def _write(self, kind: str, place: Path, weights: dict[str, Any] | None) -> None:
        model = self.trainer.model
        new = self.job.folder / f".{kind}.new"
        shutil.rmtree(new, ignore_errors=True)
        self.checkpoints.make_room(
            sum(
                weight.numel() * weight.element_size()
                for weight in model.parameters()
                if weight.requires_grad or kind == "model"
            )
        )
        if kind == "adapter":
            model.save_pretrained(str(new), save_embedding_layers=False, state_dict=weights)
        else:
            model.save_pretrained(str(new), state_dict=weights)
        self.encoding.tokenizer.save_pretrained(str(new))
        set_base_model(new, self.job.info)
        # It names a path of this machine; the export writes a complete model card.
        (new / "README.md").unlink(missing_ok=True)
        replace_folder(new, place)


def sample_rows(rows: Sequence[Row], most: int, seed: int) -> Sequence[Row]:
    """The validation rows that are used, the same in every validation."""
    if len(rows) <= most:
        return rows
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), most))]
