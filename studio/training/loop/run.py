"""One run: build, train, save. The worker around it turns errors into words; nothing is swallowed here."""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.inference.heads import head_of
from studio.machine.disk import end_putting
from studio.metrics import measure
from studio.schema.events import AdviceEvent, CheckpointEvent, HeldEvent, PhaseEvent
from studio.schema.runs import StopWish
from studio.tasks import Encoding, Example, Row, Task, task_named
from studio.training.batching.packing import joined, pack, packs
from studio.training.batching.packing_check import shares_rows
from studio.training.batching.token_cache import key_of, remembered
from studio.training.distributed.fsdp import claim
from studio.training.distributed.processes import agreed, leads, wait, whole
from studio.training.loop.callbacks import Diverged, Emit, EventCallback, ShouldStop, StopNow
from studio.training.loop.checkpoints import Checkpoints, NoRoom, Standing, replace_folder
from studio.training.loop.eval_predictions import MOST, silent, told_once
from studio.training.loop.head_warmup import HeadFirst
from studio.training.loop.loading import (
    TrainingJob,
    encode_rows,
    encoding_for,
    name_base,
    on_disk,
    ready_model,
    require_examples,
)
from studio.training.loop.outcome import Outcome
from studio.training.loop.sample_replies import answer_prompts
from studio.training.loop.sample_schedule import Watching
from studio.training.methods import Method, method_named
from studio.training.planning.data_stats import read_event
from studio.training.planning.eval_schedule import check_every
from studio.training.trainers import Parts, builder

OF_STEPS = frozenset(
    {
        "name",
        "preset",
        "epochs",
        "max_steps",
        "max_minutes",
        "learning_rate",
        "gradient_accumulation",
        "scheduler",
        "warmup_share",
        "optimizer",
        "loraplus_ratio",
        "layer_decay",
        "head_first",
        "neftune_alpha",
        "weight_decay",
        "max_grad_norm",
        "test_prompts",
        "watch_share",
        "eval_steps",
        "early_stopping_patience",
        "keep_best",
        "mirror",
    }
)
"""Settings that steps obey, and what follows them: the check before the first one is the same whatever they are."""

__all__ = ["Outcome", "StopNow", "TrainingJob", "train"]


def train(job: TrainingJob, emit: Emit, should_stop: ShouldStop) -> Outcome:
    """Train, from the newest whole checkpoint when there is one."""
    run = _Run(job, emit, should_stop)
    try:
        run.build()
        stopped = run.learn()
        return run.finish(stopped)
    except Diverged:
        run.keep_what_was_good()
        raise
    except StopNow as stop:  # before the first step there is nothing to keep
        return Outcome(run.method.result, None, stop.wish, False, run.standing.step, None)


def prepared(job: TrainingJob, on_rows: Callable[[int, int], None]) -> "_Run":
    """A run that stands before its first step: model, rows and trainer are there, and nothing was learned."""

    def emit(event: Any) -> None:
        if isinstance(event, PhaseEvent) and event.total:
            on_rows(event.done or 0, event.total)

    run = _Run(job, emit, lambda: None)
    run.build()
    return run


class _Run:
    """A run at work: what `train` builds up."""

    def __init__(self, job: TrainingJob, emit: Emit, should_stop: ShouldStop) -> None:
        self.job, self.emit, self.should_stop = job, emit, should_stop
        self.task: Task = task_named(job.config.task)
        self.variant, self.head = self.task.variant(job.info.kind, job.data.roles), head_of(job.info, job.data)
        self.method: Method = method_named(job.config.method)
        self.checkpoints = Checkpoints(job.folder / "checkpoints", job.disk_left)
        self.no_room = False
        self.resume_from: Path | None = None
        self.standing = Standing()
        self.watching = Watching(job.config.watch_share)
        self.packed = False
        self.encoding: Encoding
        self.learned: list[Example]
        self.trainer: Any
        self.callback: EventCallback

    def build(self) -> None:
        """Model, rows, trainer."""
        import torch
        from transformers import PrinterCallback, set_seed

        job, config = self.job, self.job.config
        torch.set_num_threads(max(1, job.threads))
        if leads():
            end_putting(job.folder / f".{self.method.result}.new", job.folder / self.method.result)
        if found := agreed(self._found() if leads() else None):
            self.resume_from, self.standing = found
        self._phase("loading")
        set_seed(config.seed)
        self.encoding = encoding_for(job)
        model = ready_model(job, self.method, self.head)
        if config.fsdp:
            claim(model)
        self.packed = packs(config) and self._shares_rows(model)
        self._phase("reading")
        learned = self.learned = self._encode(job.train_rows)
        held = self._encode(chosen(job.validation_rows, config.eval_rows, config.seed))
        require_examples(learned, job.train_rows, config)
        self.callback = EventCallback(
            self.emit,
            self.should_stop,
            self.standing,
            self.checkpoints,
            every=check_every(len(learned), len(held), config),
            validates=bool(held),
            patience=config.early_stopping_patience,
            best_metric=self.variant.best_metric,
        )
        self.trainer = builder(self.variant.trainer)(
            Parts(
                model=model,
                head=self.head,
                encoding=self.encoding,
                config=config,
                folder=self.checkpoints.root,
                train=learned,
                validation=held,
                callback=self.callback,
                resumed=self.resume_from is not None,
                begun=job.begins_with is not None,
                measure=self._measure,
            )
        )
        self.trainer.settings, self.trainer.checkpoints, self.trainer.standing = config, self.checkpoints, self.standing
        if self.trainer.only_numbers:
            self.trainer.first_check = self._first_check(held)
        self.trainer.remove_callback(PrinterCallback)
        if config.head_first and self.head.at_once:
            self.trainer.add_callback(HeadFirst(config.head_first))
        self.callback.trainer, self.callback.watch = self.trainer, self._watch
        self.texts = [self.encoding.tokenizer.decode(each.input_ids, skip_special_tokens=True) for each in held[:MOST]]
        self.emit(read_event(job, self.variant.trainer, self.head, learned, len(held)))

    def _found(self) -> tuple[Path, Standing] | None:
        """The checkpoint to go on from; for a run that takes no step more one that can be loaded is enough."""
        newest = self.checkpoints.newest()
        return self.checkpoints.newest_loadable() if self.job.ends else newest

    def learn(self) -> StopWish | None:
        """All steps that are left; the wish that ended them before their time."""
        from transformers import TrainerState

        if self.resume_from is None:
            self.watching.took(self._replies("base", 0))
        elif self.job.ends:
            self.trainer._load_from_checkpoint(str(self.resume_from))
            return "keep"
        else:
            state = TrainerState.load_from_json(str(self.resume_from / "trainer_state.json"))
            if self.standing.early or state.global_step >= state.max_steps:  # the trainer would take one step too many
                self.trainer._load_from_checkpoint(str(self.resume_from))
                return None
        self.watching.begin()
        try:
            self.trainer.train(resume_from_checkpoint=str(self.resume_from) if self.resume_from else None)
        except StopNow as stop:
            if stop.wish == "keep" and self.standing.step:
                with suppress(NoRoom):
                    self._save_now()
            return stop.wish
        except NoRoom:
            if not self.standing.step:
                raise
            self.no_room = True
            return self.callback.stopped or "keep"
        return self.callback.stopped

    def finish(self, stopped: StopWish | None) -> Outcome:
        """Save the best step, or the last, and answer the test prompts with it."""
        standing, result = self.standing, self.method.result
        if stopped in ("discard", "pause") or not standing.step:
            return Outcome(result, None, stopped, False, standing.step, None)
        best = self._best() if self.job.config.keep_best else None
        with whole(self.trainer):
            if best is not None and best != self._at():
                self.trainer._load_from_checkpoint(str(self.checkpoints.path(best)))
            self._phase("saving")
            path = self._save(result)
            if stopped is None:
                self._replies("tuned", best or standing.step)
        metrics = dict(self.callback.last_metrics)
        if best is not None and standing.best_loss is not None:
            metrics = {"eval_loss": standing.best_loss, **standing.best_metrics}
        if standing.base_loss is not None:
            metrics["base_eval_loss"] = standing.base_loss
        return Outcome(
            result, path, stopped, standing.early, standing.step, best or standing.step, metrics, self.no_room
        )

    def keep_what_was_good(self) -> None:
        """The best step before the loss ran away, or the last one saved, as the run's result."""
        there, best = agreed(self.checkpoints.loadable()), self.standing.best_step
        if there:
            step = best if best in there else there[-1]
            if best is not None and step != best:
                self._say_lost(best, step)
            with whole(self.trainer):
                self.trainer._load_from_checkpoint(str(self.checkpoints.path(step)))
                self._save(self.method.result)

    def _best(self) -> int | None:
        """The best step, to be loaded or in memory; None, which is said, when a file of its checkpoint is gone."""
        best = self.standing.best_step
        if best is None or best == self._at() or best in agreed(self.checkpoints.loadable()):
            return best
        self._say_lost(best, self.standing.step)
        return None

    def _say_lost(self, best: int, kept: int) -> None:
        said = f"Of the checkpoint of step {best:,} a file is missing or cut. The result is that of step {kept:,}."
        self.emit(AdviceEvent(step=self.standing.step, title="The best step is lost", message=said))

    def _at(self) -> int | None:
        """The step of the weights in memory."""
        return self.trainer.state.global_step or self.standing.step

    def _phase(self, name: str) -> None:
        if wish := self.should_stop():
            if not self.standing.step or wish == "discard":
                raise StopNow(wish)
        self.emit(PhaseEvent(phase=name))

    def _encode(self, rows: Sequence[Row]) -> list[Example]:
        def on_progress(done: int) -> None:
            wish = self.should_stop()
            if wish and not (wish == "keep" and self.job.ends):
                raise StopNow(wish)
            self.emit(PhaseEvent(phase="reading", done=done, total=len(rows), unit="rows"))

        job = self.job
        examples = remembered(
            job.kept,
            lambda: key_of(rows, self.encoding, job.info),
            len(rows),
            lambda: encode_rows(self.task, rows, self.encoding, on_progress),
        )
        if self.packed:
            return [joined(documents) for documents in pack(examples, self.encoding.max_length)]
        return examples

    def _shares_rows(self, model: Any) -> bool:
        """Whether short texts share a row, as was planned; a model that would see them as one is said to."""
        if agreed(shares_rows(model)):
            return True
        said = "This model would read texts that share a row as one text, so each has a row of its own: more steps."
        self.emit(AdviceEvent(step=self.standing.step, title="Texts do not share rows", message=said))
        return False

    def _watch(self, step: int) -> None:
        """At a check: the validation rows of a classifier, and the test prompts when they are due."""
        if step == 0:
            self.watching.begin()
        if rows := self.trainer.held():
            self.emit(HeldEvent(step=step, rows=tuple(told_once(rows, self.texts) if step == 0 else silent(rows))))
        last = step >= self.trainer.state.max_steps or self.standing.early
        best = step == self.standing.best_step
        due = self.should_stop() is None and self.watching.due(best, last, best or not self.job.config.keep_best)
        if step and agreed(due):
            with whole(self.trainer):
                self.watching.took(self._replies("tuned", step, during=True))

    def _replies(self, who: str, step: int, during: bool = False) -> float:
        """The seconds that it took."""
        config = self.job.config
        return answer_prompts(
            self.trainer.model,
            self.task,
            self.encoding,
            config,
            self.head,
            self.learned,
            who,
            step,
            self.emit,
            self.should_stop,
            during,
            self._base() if who == "base" else None,
        )

    def _first_check(self, held: Sequence[Example]) -> tuple[Any, ...]:
        """What the check before the first step depends on."""
        rows = hash(repr([(each.input_ids, each.labels) for each in held]))
        return on_disk(self.job), self.job.config.model_dump_json(exclude=set(OF_STEPS)), self.job.threads, rows

    def _base(self) -> tuple[Any, ...]:
        """What the base's replies depend on, besides the prompts."""
        config = self.job.config
        return on_disk(self.job), config.method, config.precision, config.quantisation, self.job.threads

    def _measure(self, observed: Mapping[str, Any]) -> dict[str, float]:
        """The task's metrics of what was observed on the validation rows."""
        return measure(self.variant.metrics, observed)

    def _save_now(self) -> None:
        """A checkpoint of the step at which a person stopped the run in the middle of a check."""
        self.trainer._save_checkpoint(self.trainer.model, None)
        step = self.standing.step
        path = self.checkpoints.path(step)
        self.emit(CheckpointEvent(step=step, name=path.name, bytes=self.checkpoints.size(step)))

    def _save(self, kind: str) -> Path:
        """The result with its tokenizer, whole or not there; of several processes one writes it."""
        place, weights = self.job.folder / kind, self.trainer.gathered()
        if leads():
            self._write(kind, place, weights)
        wait()
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
        name_base(new, self.job.info)
        (new / "README.md").unlink(missing_ok=True)  # names a path of this machine; the export writes a true card
        replace_folder(new, place)


def chosen(rows: Sequence[Row], most: int, seed: int) -> Sequence[Row]:
    """The validation rows of every check: always the same ones."""
    if len(rows) <= most:
        return rows
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), most))]
