"""Hyperparameter search: Optuna proposes settings, and each trial is a run in the queue.

`advance` moves a search forward. The server calls it every few seconds, the command line while it waits, and the
process that started a trial when the trial ends.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent
from studio.schema.runs import ACTIVE, RunRecord, StopWish
from studio.schema.search import SearchSpec, SearchView, Trial
from studio.services.runs.lifecycle import RunLifecycle
from studio.store.searches import SearchStore
from studio.training.methods import has_rank

StartTrial = Callable[[SearchSpec, dict[str, Any], str], RunRecord]
"""(search, settings of a trial, name) → its run."""
RANKS = (4, 8, 16, 32, 64)
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "running"}
WARM_UP = 2
"""Number of trials, and of validations of a trial, before trials are pruned."""
MOST_TRIALS = 500
"""Maximum number of trials of a search, also of one that is limited by minutes."""
MOST_FAILED = 5
"""Maximum number of failed trials in a row. Then the next one would probably fail too."""


def budget_problems(trials: int | None, minutes: float) -> list[StudioError]:
    """Problems of a budget. None and 0: no limit of that kind."""
    fits = trials is None or 1 <= trials <= MOST_TRIALS
    if fits and math.isfinite(minutes) and minutes >= 0:
        return []
    return [
        StudioError(
            "bad-setting",
            "The budget of the search is not valid.",
            given=f"any trials, {minutes:g} minutes" if trials is None else f"{trials} trials, {minutes:g} minutes",
            valid=f"1 to {MOST_TRIALS} trials, and 0 minutes or more",
            field="minutes" if fits else "trials",
        )
    ]


def search_problems(
    config: TrainingConfig, settings: Mapping[str, Any], train_rows: int, validation_rows: int
) -> list[StudioError]:
    """Problems of a search around these settings. `settings` were set by hand and are not varied."""
    problems = []
    if "test_prompts" in settings:
        problems.append(
            StudioError(
                "unknown-setting",
                "A search can't use test_prompts.",
                field="test_prompts",
                hint="Leave it out, because trials don't answer prompts.",
            )
        )
    if not validation_rows:
        problems.append(
            StudioError(
                "too-few-rows",
                "A search needs validation rows to compare settings.",
                hint="Set a share of the rows for validation, for example 0.1.",
                field="validation_share",
            )
        )
    if not _varied(config, settings, train_rows):
        problems.append(
            StudioError(
                "bad-setting",
                "You have set all settings that a search would vary.",
                field="learning_rate",
                hint="Remove some of these settings, the learning rate first.",
            )
        )
    return problems


def _varied(config: TrainingConfig, settings: Mapping[str, Any], train_rows: int) -> dict[str, Any]:
    """The settings that a search varies, with the values that are tried first."""
    return {name: getattr(config, name) for name in space(config, train_rows) if name not in settings}


class SearchEngine:
    """Runs the searches of a workspace."""

    def __init__(self, store: SearchStore, runs: RunLifecycle, start_trial: StartTrial) -> None:
        self.store, self.runs, self._start_trial = store, runs, start_trial

    def begin(self, spec: SearchSpec, config: TrainingConfig, train_rows: int) -> SearchView:
        """Start a search around the settings of the preset, `config`. `search_problems` must have found no problem."""
        with self.store.starting():
            return self._begin(spec, config, train_rows)

    def _begin(self, spec: SearchSpec, config: TrainingConfig, train_rows: int) -> SearchView:
        most = self.store.limits.run_minutes
        minutes = min(spec.minutes or most, most) if most else spec.minutes  # for all trials of a visitor
        spec = spec.model_copy(
            update={"id": self.store.new_id(), "first": _varied(config, spec.settings, train_rows), "minutes": minutes}
        )
        study = self._study(spec)
        study.set_user_attr("rows", train_rows)
        study.set_user_attr("config", config.model_dump_json())
        study.enqueue_trial(spec.first)
        self.store.add(spec)
        return self.advance(spec.id)

    def get(self, search: str) -> SearchView:
        """The state of a search."""
        spec = self.store.get(search)
        return self._view(spec, self._study(spec))

    def advance(self, search: str) -> SearchView:
        """Record trials that ended, stop poor ones, start the next one. The server calls this in a loop."""
        spec = self.store.get(search)
        study = self._study(spec)
        with self.store.alone(spec.id) as mine:
            if mine:
                self._advance(spec, study)
        view = self._view(spec, study)
        self.store.mark(spec.id, view.status == "running")
        return view

    def run_ended(self, run: str) -> None:
        """Advance the search of a run that has ended."""
        for spec in self.store.all():
            if self.store.tried(spec.id, run):
                with suppress(StudioError):
                    self.advance(spec.id)

    def stop(self, search: str) -> SearchView:
        """Start no further trial, and stop the running one."""
        spec = self.store.get(search)
        self.store.stop(spec.id)
        view = self.advance(spec.id)
        for trial in view.trials:
            if trial.state == "running" and trial.run and self.runs.get(trial.run).status in (*ACTIVE, "paused"):
                self.runs.stop(trial.run, "discard")
        return self.advance(spec.id)

    def best_settings(self, search: str) -> dict[str, Any]:
        """The settings of the best trial, and those that were set by hand."""
        view = self.advance(search)
        if view.best is None:
            raise StudioError(
                "wrong-state", "No trial of this search has finished yet.", hint="Wait until a trial finishes."
            )
        best_trial = next(trial for trial in view.trials if trial.number == view.best)
        return {**view.spec.settings, **best_trial.settings}

    def _study(self, spec: SearchSpec) -> Any:
        """The study in the search's file. Reading it writes nothing: the file would grow at each look.

        Raises:
            StudioError `unreadable-file`: when the file is damaged, for example because the disk was full.
        """
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        file = self.store.trials_file(spec.id)
        try:
            storage = JournalStorage(JournalFileBackend(str(file)))
            # Sampler and pruner are not saved in the file, so they are set each time.
            pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=0)
            try:
                study = optuna.load_study(storage=storage, study_name=spec.id, pruner=pruner)
            except KeyError:  # a new search, or somebody has deleted its file
                study = optuna.create_study(storage=storage, study_name=spec.id, direction="minimize", pruner=pruner)
        except ValueError as error:
            raise StudioError(
                "unreadable-file",
                "The trials of this search can't be read.",
                given=file.name,
                hint="Start a new search.",
            ) from error
        # The sampler is made each time. Without another seed, every trial would draw the same numbers.
        seed = spec.seed + len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
        return study

    def _advance(self, spec: SearchSpec, study: Any) -> None:
        """Update the trial that runs. If there is none and the budget allows, start the next one."""
        from optuna.trial import TrialState

        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            if self._update_trial(spec, study, trial):
                return
        if self._is_over(spec, study) or not self.runs.has_room():
            return
        trial = study.ask()
        config = TrainingConfig.model_validate_json(study.user_attrs["config"])
        settings = _suggested(trial, config, study.user_attrs["rows"], set(spec.settings))
        most = self.store.limits.run_steps
        if most and "max_steps" not in spec.settings:  # a trial with more epochs could exceed the limit of steps
            settings["max_steps"] = most
        try:
            run = self._start_trial(spec, {**spec.settings, **settings}, f"{spec.name} · trial {trial.number + 1}")
        except StudioError:
            study.tell(trial, state=TrialState.FAIL)
            return
        trial.set_user_attr("run", run.id)

    def _update_trial(self, spec: SearchSpec, study: Any, frozen: Any) -> bool:
        """Record the validations of a trial, and its result when its run has ended. Returns whether it still runs."""
        from optuna.trial import Trial as OptunaTrial
        from optuna.trial import TrialState

        trial = OptunaTrial(study, frozen._trial_id)
        record = self._run_of(frozen)
        if record is None:  # the process ended before it started the run, or the run was deleted
            study.tell(frozen.number, state=TrialState.FAIL)
            return False
        losses = self._validation_losses(record)
        for index, loss in enumerate(losses):
            if index not in frozen.intermediate_values:
                trial.report(loss, index)
                # Asked at each value: it compares with the other trials at the last one, which they may not have.
                if index + 1 >= WARM_UP and trial.should_prune():
                    trial.set_user_attr("unpromising", True)
        if record.status not in ACTIVE and record.status != "paused":
            trial.set_user_attr("seconds", record.seconds or 0.0)  # the run may be deleted
            _tell_result(study, frozen, record, losses)
            return False
        if record.status == "training":
            if self._is_time_over(spec, study, record.seconds or 0.0):
                self._stop_trial(trial, record, "cut", "keep")
            elif trial.user_attrs.get("unpromising"):
                self._stop_trial(trial, record, "pruned", "discard")
        return True

    def _run_of(self, frozen: Any) -> RunRecord | None:
        """The run of a trial; None when there is none."""
        run = frozen.user_attrs.get("run")
        try:
            return self.runs.get(run) if run else None
        except StudioError:
            return None

    def _validation_losses(self, record: RunRecord) -> list[float]:
        """The validation losses of a run, except that before training."""
        return [
            each.event.eval_loss
            for each in self.runs.events(record.id, kinds=("evaluation",))
            if isinstance(each.event, EvaluationEvent) and each.event.step
        ]

    def _stop_trial(self, trial: Any, record: RunRecord, why: str, wish: StopWish) -> None:
        """Stop the run of a trial. The reason is saved first, in case this process is ended."""
        trial.set_user_attr(why, True)
        with suppress(StudioError):  # it has just ended
            self.runs.stop(record.id, wish)

    def _is_over(self, spec: SearchSpec, study: Any) -> bool:
        done = _done(study)
        last = [trial.state.name for trial in done[-MOST_FAILED:]]
        return (
            self.store.stopped(spec.id)
            or len(done) >= (spec.trials or MOST_TRIALS)
            or last == ["FAIL"] * MOST_FAILED
            or self._is_time_over(spec, study)
        )

    def _is_time_over(self, spec: SearchSpec, study: Any, running_seconds: float = 0.0) -> bool:
        """Whether the trials have used up the minutes; `running_seconds` are those of the trial that runs."""
        if not spec.minutes:
            return False
        seconds = sum(trial.user_attrs.get("seconds", 0.0) for trial in _done(study))
        return bool(running_seconds + seconds >= 60 * spec.minutes)

    def _view(self, spec: SearchSpec, study: Any) -> SearchView:
        trials = tuple(
            Trial(
                number=each.number,
                state=STATES[each.state.name],
                run=each.user_attrs.get("run", ""),
                value=each.value if each.state.name == "COMPLETE" else None,
                settings=dict(each.params),
            )
            for each in study.get_trials(deepcopy=False)
            if each.state.name != "WAITING"
        )
        good = [trial for trial in trials if trial.value is not None]
        best = min(good, key=lambda trial: trial.value or 0.0, default=None)
        running = any(trial.state == "running" for trial in trials)
        over = not running and self._is_over(spec, study)
        status = "running" if not over else "stopped" if self.store.stopped(spec.id) else "finished"
        return SearchView(
            spec=spec,
            status=status,
            trials=trials,
            best=best.number if best else None,
            sentence=_sentence(spec, trials, best),
        )


def _tell_result(study: Any, frozen: Any, record: RunRecord, losses: list[float]) -> None:
    """Record the result of a trial whose run has ended.

    A trial that the time limit ended counts with its lowest loss: with more time it could only do better.
    """
    from optuna.trial import TrialState

    value = min(losses, default=math.nan)
    cut, pruned = (frozen.user_attrs.get(why) for why in ("cut", "pruned"))
    if math.isfinite(value) and (record.status == "finished" or cut):
        study.tell(frozen.number, value)
    elif cut or pruned:
        study.tell(frozen.number, state=TrialState.PRUNED)
    else:
        study.tell(frozen.number, state=TrialState.FAIL)


def _done(study: Any) -> list[Any]:
    """The trials that have ended, in their order."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def space(config: TrainingConfig, rows: int) -> dict[str, Any]:
    """The values that are varied, around those of the preset: (lowest, highest) or the choices."""
    rate, passes = config.learning_rate, max(1, round(config.epochs))
    values: dict[str, Any] = {
        "learning_rate": (rate / 5, min(rate * 5, 0.1)),
        "epochs": (max(1, passes // 2), max(passes * 2, passes + 1)),
        "batch_size": tuple(
            size
            for size in sorted({max(1, config.batch_size // 2), config.batch_size, config.batch_size * 2})
            if size <= max(1, rows)
        ),
    }
    if has_rank(config.method):
        values["lora_rank"] = tuple(sorted({config.lora_rank, *RANKS}))
    return values


def _suggested(trial: Any, config: TrainingConfig, rows: int, fixed: set[str]) -> dict[str, Any]:
    """The settings of a trial."""
    settings: dict[str, Any] = {}
    for name, values in space(config, rows).items():
        if name in fixed:
            continue
        if name == "learning_rate":
            settings[name] = float(trial.suggest_float(name, *values, log=True))
        elif name == "epochs":
            settings[name] = int(trial.suggest_int(name, *values))
        else:
            settings[name] = int(trial.suggest_categorical(name, values))
    return settings


def _sentence(spec: SearchSpec, trials: tuple[Trial, ...], best: Trial | None) -> str:
    done = sum(trial.state != "running" for trial in trials)
    sentences = [f"{done} of {spec.trials} trials done." if spec.trials else f"Trials done: {done}."]
    if spec.minutes:
        sentences.append(f"The search ends after {spec.minutes:g} minutes of training.")
    if len(trials) >= MOST_FAILED and all(trial.state == "failed" for trial in trials[-MOST_FAILED:]):
        sentences.append(f"The last {MOST_FAILED} have failed, so the search has ended.")
    preset = next((trial.value for trial in trials if trial.number == 0), None)
    if best and best.number == 0:
        sentences.append("The preset has the best result so far.")
    elif best and preset is None:  # its trial has failed
        number, loss = best.number + 1, best.value
        sentences.append(f"Trial {number} has the best result so far: validation loss {loss:.4f}.")
    elif best:
        number, loss = best.number + 1, best.value
        sentences.append(
            f"Trial {number} has the best result so far: validation loss {loss:.4f} (preset: {preset:.4f})."
        )
    return " ".join(sentences)
