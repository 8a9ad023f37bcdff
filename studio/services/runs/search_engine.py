"""Hyperparameter search: Optuna proposes settings, and each trial is a run in the queue.

`advance` moves a search on. The server calls it every few seconds, the command line while it waits, and the process
that started a trial when the trial ends.
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
"""Trials, and checks of a trial, before one is given up early."""
MOST_TRIALS = 500
"""Of any search, one that has minutes alone, too."""
MOST_FAILED = 5
"""Trials in a row; when so many have failed, the rows are gone, say, the next one would as well."""


def against_budget(trials: int | None, minutes: float) -> list[StudioError]:
    """What speaks against so many trials and minutes; None and 0: no limit of that kind."""
    fits = trials is None or 1 <= trials <= MOST_TRIALS
    if fits and math.isfinite(minutes) and minutes >= 0:
        return []
    return [
        StudioError(
            "bad-setting",
            "A search can't have this budget.",
            given=f"{'any' if trials is None else trials} trials, {minutes:g} minutes",
            valid=f"1 to {MOST_TRIALS} trials, 0 minutes or more",
            field="minutes" if fits else "trials",
        )
    ]


def against(config: TrainingConfig, settings: Mapping[str, Any], train_rows: int, held: int) -> list[StudioError]:
    """What speaks against a search around these settings, of which some were set by hand."""
    found = []
    if "test_prompts" in settings:
        found.append(
            StudioError(
                "unknown-setting",
                "test_prompts is not a setting of a search.",
                field="test_prompts",
                hint="Leave it out: the trials of a search answer no prompts.",
            )
        )
    if not held:
        found.append(
            StudioError(
                "too-few-rows",
                "A search needs validation rows to tell which settings do best.",
                hint="Keep some rows for validation.",
                field="validation_share",
            )
        )
    if not _varied(config, settings, train_rows):
        found.append(
            StudioError(
                "bad-setting",
                "All that a search would vary is set by hand.",
                field="learning_rate",
                hint="Leave some of these settings to the studio, the rate first.",
            )
        )
    return found


def _varied(config: TrainingConfig, settings: Mapping[str, Any], train_rows: int) -> dict[str, Any]:
    """What a search varies, with the values that are tried first."""
    return {name: getattr(config, name) for name in space(config, train_rows) if name not in settings}


class SearchEngine:
    """Searches of a workspace that are under way."""

    def __init__(self, store: SearchStore, runs: RunLifecycle, start_trial: StartTrial) -> None:
        self.store, self.runs, self._start_trial = store, runs, start_trial

    def begin(self, spec: SearchSpec, config: TrainingConfig, train_rows: int) -> SearchView:
        """Begin a search around the settings of the preset, `config`; `against` has found no problem."""
        most = self.store.limits.run_minutes
        minutes = min(spec.minutes or most, most) if most else spec.minutes  # for all trials of a demo's visitor
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
        """A search as it stands."""
        spec = self.store.get(search)
        return self._view(spec, self._study(spec))

    def advance(self, search: str) -> SearchView:
        """Record trials that ended, stop poor ones, start the next one. The server calls this in a loop."""
        spec = self.store.get(search)
        study = self._study(spec)
        with self.store.alone(spec.id) as mine:
            if mine:
                self._move_on(spec, study)
        view = self._view(spec, study)
        self.store.mark(spec.id, view.status == "running")
        return view

    def ended(self, run: str) -> None:
        """A run is over: its search goes on, though nobody may be looking."""
        for spec in self.store.all():
            if self.store.tried(spec.id, run):
                with suppress(StudioError):
                    self.advance(spec.id)

    def stop(self, search: str) -> SearchView:
        """Begin no further trial, and stop the one at work."""
        spec = self.store.get(search)
        self.store.stop(spec.id)
        view = self.advance(spec.id)
        for trial in view.trials:
            if trial.state == "running" and trial.run and self.runs.get(trial.run).status in ACTIVE:
                self.runs.stop(trial.run, "discard")
        return self.advance(spec.id)

    def best_settings(self, search: str) -> dict[str, Any]:
        """The settings of the best trial, and those that were set by hand."""
        view = self.advance(search)
        if view.best is None:
            raise StudioError("wrong-state", "No trial of this search has ended well yet.", hint="Wait for one.")
        found = next(trial for trial in view.trials if trial.number == view.best)
        return {**view.spec.settings, **found.settings}

    def _study(self, spec: SearchSpec) -> Any:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # Neither sampler nor pruner is kept in the file: they are named each time.
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.store.trials_file(spec.id)))),
            study_name=spec.id,
            load_if_exists=True,
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=0),
        )
        # Made anew at each look, so its seed must move on, or every trial would draw the same numbers.
        seed = spec.seed + len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
        return study

    def _move_on(self, spec: SearchSpec, study: Any) -> None:
        """Take in what the trial at work has come to; begin the next one when there is none and the budget allows."""
        from optuna.trial import TrialState

        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            if self._goes_on(spec, study, trial):
                return
        if self._is_over(spec, study) or not self.runs.has_room():
            return
        asked = study.ask()
        config = TrainingConfig.model_validate_json(study.user_attrs["config"])
        settings = _suggested(asked, config, study.user_attrs["rows"], set(spec.settings))
        most = self.store.limits.run_steps
        if most and "max_steps" not in spec.settings:  # more epochs than the preset's may be more than a run may take
            settings["max_steps"] = most
        try:
            run = self._start_trial(spec, {**spec.settings, **settings}, f"{spec.name} · trial {asked.number + 1}")
        except StudioError:
            study.tell(asked, state=TrialState.FAIL)
            return
        asked.set_user_attr("run", run.id)

    def _goes_on(self, spec: SearchSpec, study: Any, frozen: Any) -> bool:
        """Whether a trial is still at work; one that has ended, or is gone, is written down."""
        from optuna.trial import Trial as OptunaTrial
        from optuna.trial import TrialState

        trial = OptunaTrial(study, frozen._trial_id)
        run = frozen.user_attrs.get("run")
        try:
            record = self.runs.get(run) if run else None
        except StudioError:
            record = None
        if record is None:  # begun by someone who was ended before the run was, or deleted since
            study.tell(frozen.number, state=TrialState.FAIL)
            return False
        losses = [
            (each.event.step, each.event.eval_loss)
            for each in self.runs.events(record.id, kinds=("evaluation",))
            if isinstance(each.event, EvaluationEvent) and each.event.step
        ]
        for check, (_, loss) in enumerate(losses):
            if check not in frozen.intermediate_values:
                trial.report(loss, check)
        if record.status in ACTIVE or record.status == "paused":
            if record.status == "training":
                if self._spent(spec, study, record.seconds or 0.0):
                    self._end(trial, record, "cut", "keep")
                elif len(losses) >= WARM_UP and trial.should_prune():
                    self._end(trial, record, "pruned", "discard")
            return True
        value = min((loss for _, loss in losses), default=math.nan)
        # Of a trial that the minutes cut short counts what it had reached: with more time it could only do better.
        cut, pruned = (frozen.user_attrs.get(why) for why in ("cut", "pruned"))
        if math.isfinite(value) and (record.status == "finished" or cut):
            study.tell(frozen.number, value)
        elif cut or pruned:
            study.tell(frozen.number, state=TrialState.PRUNED)
        else:
            study.tell(frozen.number, state=TrialState.FAIL)
        return False

    def _end(self, trial: Any, record: RunRecord, why: str, wish: StopWish) -> None:
        """Have the run of a trial stopped; the reason is written down first, in case that this process is ended."""
        trial.set_user_attr(why, True)
        with suppress(StudioError):  # it has ended by itself just now
            self.runs.stop(record.id, wish)

    def _is_over(self, spec: SearchSpec, study: Any) -> bool:
        done = _done(study)
        last = [trial.state.name for trial in done[-MOST_FAILED:]]
        return (
            self.store.stopped(spec.id)
            or len(done) >= (spec.trials or MOST_TRIALS)
            or last == ["FAIL"] * MOST_FAILED
            or self._spent(spec, study)
        )

    def _spent(self, spec: SearchSpec, study: Any, at_work: float = 0.0) -> bool:
        """Whether the minutes are over, with these seconds of the trial at work."""
        if not spec.minutes:
            return False
        took = at_work
        for trial in _done(study):
            with suppress(StudioError):  # a run may be deleted
                took += self.runs.store.get(trial.user_attrs.get("run", "")).seconds or 0.0
        return took >= 60 * spec.minutes

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


def _done(study: Any) -> list[Any]:
    """The trials that are over, in their order."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def space(config: TrainingConfig, rows: int) -> dict[str, Any]:
    """What is varied, around what the preset takes: (lowest, highest) or the choices."""
    rate, passes = config.learning_rate, max(1, round(config.epochs))
    found: dict[str, Any] = {
        "learning_rate": (rate / 5, min(rate * 5, 0.1)),
        "epochs": (max(1, passes // 2), max(passes * 2, passes + 1)),
        "batch_size": tuple(
            size
            for size in sorted({max(1, config.batch_size // 2), config.batch_size, config.batch_size * 2})
            if size <= max(1, rows)
        ),
    }
    if has_rank(config.method):
        found["lora_rank"] = tuple(sorted({config.lora_rank, *RANKS}))
    return found


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
    said = f"{done} of {spec.trials} trials done" if spec.trials else f"Trials done: {done}"
    said += f"; it ends after {spec.minutes:g} minutes of training." if spec.minutes else "."
    if len(trials) >= MOST_FAILED and all(trial.state == "failed" for trial in trials[-MOST_FAILED:]):
        said += f" The last {MOST_FAILED} have failed, so no other begins."
    if best is None:
        return said
    first = next((trial.value for trial in trials if trial.number == 0), None)
    if first is None or best.number == 0 or best.value is None:
        return f"{said} The preset does best so far."
    return f"{said} Trial {best.number + 1} does best: validation loss {best.value:.4f}, the preset's is {first:.4f}."
