"""Plans and estimates of runs, from the rows, the model and the machine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from studio.data.checks.report_errors import refusal
from studio.data.dataset_size import what_training_rows_allow
from studio.data.splits import require_columns
from studio.machine.facts import MachineFacts, machine_facts
from studio.schema.config import DEFAULT_METHOD, TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.models import Measured, ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.settings_check import UNNAMED, gathered, raise_once, sifted
from studio.schema.spans import numbers_in
from studio.schema.views import FitView, PlanView
from studio.services.datasets.check_options import CheckOptions
from studio.services.datasets.service import Datasets
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.services.planning.experience import experience
from studio.services.planning.lengths import Lengths
from studio.services.planning.replay_mixing import StartingPoint
from studio.services.planning.row_language import language_note
from studio.services.planning.row_system_prompt import shared_system_prompt
from studio.store.run_rows import own_rows
from studio.store.split_store import VersionSplit
from studio.tasks import Task, task_named
from studio.training.methods import METHODS
from studio.training.planning.estimate import run_seconds
from studio.training.planning.memory_fit import fit
from studio.training.planning.plan_facts import as_trained
from studio.training.planning.presets import (
    KnownParts,
    PlanFacts,
    PlanRequest,
    default_method,
    estimate,
    make_plan,
    plan_problems,
)
from studio.training.planning.time_estimate import with_range

USUAL_SPLITS = SplitCounts(
    train=340, validation=40, test=20, because="Estimated for 400 rows of 128 tokens, because no dataset was given."
)
USUAL_ROWS = PlanFacts(
    rows=400, train_rows=340, validation_rows=40, labels=2, token_lengths=(128,), learned_share=0.6, longest=128
)
"""Rows that are assumed for an estimate without a dataset."""
OWN_ACTIONS = frozenset(TrainingConfig.model_fields) - {*settings_of(), "test_prompts"}
"""Fields of a run that are not settings: task, model, method, preset, name."""
Divided = tuple[SplitCounts, PlanFacts]
"""Sizes of the splits, and facts about the rows."""


@dataclass(frozen=True)
class Resolved:
    """A request with its model, the spec of its rows, and its starting point. Model and spec may be unknown."""

    request: RunRequest
    info: ModelInfo | None
    spec: DatasetSpec | None
    start: StartingPoint
    version: int | None = None
    """The version of the dataset. None: the current one."""


class Planner:
    """Plans from rows, model, method and machine."""

    def __init__(self, datasets: Datasets, lengths: Lengths) -> None:
        self.datasets, self.lengths = datasets, lengths
        self._limits = datasets.context.workspace.limits

    def plan(self, resolved: Resolved, measured: Measured | None = None) -> PlanView:
        """The settings of the run with their reasons, and what it takes.

        Without a dataset the plan is for typical rows. `measured`: memory and time of a few real steps.
        """
        request, method, settings, splits = self._plan_request(resolved)
        return self._with_language(resolved, self._view(request, method, settings, splits, measured))

    def fit(self, resolved: Resolved) -> FitView:
        """The nearest settings with which the run fits the memory, and each change with its reason."""
        request, method, settings, splits = self._plan_request(resolved)
        fitted, values, changes = fit(request, method, settings)
        saved = saved_splits(resolved.spec) if resolved.spec else {}
        return FitView(
            view=self._with_language(resolved, self._view(request, fitted, values, splits)),
            method=fitted,
            settings={key: value for key, value in values.items() if saved.get(key) != value},
            changes=tuple(change.sentence for change in changes),
        )

    def problems(self, resolved: Resolved) -> list[StudioError]:
        """All problems of the run that can be known without counting tokens."""
        return self._splits_and_problems(resolved)[1]

    def _view(
        self,
        request: PlanRequest,
        method: str,
        settings: Mapping[str, Any],
        splits: SplitCounts,
        measured: Measured | None = None,
    ) -> PlanView:
        plan = make_plan(request, method, settings)
        cost = estimate(plan, request.info, request.facts, request.machine, measured)
        seconds, earlier = cost.seconds, experience(self.datasets.context, plan.config, request.machine)
        if not measured and earlier.tokens_per_second:
            facts = as_trained(request.facts, plan.config)
            seconds = run_seconds(plan.config, request.info, facts, request.machine, earlier.tokens_per_second)
        cost = with_range(cost, seconds, earlier)
        known = request.facts is not USUAL_ROWS
        allows = what_training_rows_allow(request.facts.train_rows, request.facts.labels) if known else ""
        return PlanView(plan=plan, estimate=cost, splits=splits, usable=request.facts.rows, allows=allows)

    def _with_language(self, resolved: Resolved, view: PlanView) -> PlanView:
        """The plan, with a sentence about the language of the rows if the model does not know it."""
        if resolved.request.dataset is None:
            return view
        assert resolved.info is not None and resolved.spec is not None
        note = language_note(self.datasets, resolved.request.dataset, resolved.info, resolved.spec)
        return view.model_copy(update={"language": note})

    def _plan_request(self, resolved: Resolved) -> tuple[PlanRequest, str, dict[str, Any], SplitCounts]:
        """All that a plan is made from, with method and settings.

        Raises:
            StudioError: before tokens are counted, because that takes seconds.
        """
        request, info, spec = resolved.request, resolved.info, resolved.spec
        assert info is not None and spec is not None
        task = task_named(spec.task)
        settings, method = _settings(spec, resolved.start), resolved.start.method or default_method(info)
        rows, problems = self._splits_and_problems(resolved, (USUAL_SPLITS, USUAL_ROWS))
        raise_once(problems)
        splits, facts = rows or (USUAL_SPLITS, USUAL_ROWS)
        if request.dataset is not None:
            facts = self._with_tokens(resolved, settings, facts)
        plan_request = PlanRequest(task, info, request.preset, facts, machine_facts(), request.name, self._limits)
        return plan_request, method, settings, splits

    def _splits_and_problems(
        self, resolved: Resolved, typical: Divided | None = None
    ) -> tuple[Divided | None, list[StudioError]]:
        """The splits of the dataset, with facts about its rows but no tokens, else `typical`; and all problems."""
        request, info, spec = resolved.request, resolved.info, resolved.spec
        task, machine = task_named(spec.task) if spec else None, machine_facts()
        problems = [*resolved.start.problems, *not_settings(resolved.start.settings)]
        settings = _settings(spec, resolved.start)
        method = resolved.start.method or (default_method(info) if task and info else DEFAULT_METHOD)
        if task and info:
            problems += _suitability_problems(task, info, method, machine)
        rows = typical
        if request.dataset is not None and spec is not None:
            rows = self._rows(resolved, settings, problems)
        head = {"task": spec.task if spec else UNNAMED, "model": info.name if info else UNNAMED}
        values = {**settings, **head, "method": method, "preset": request.preset, "name": request.name}
        facts = rows[1] if rows else None
        return rows, problems + plan_problems(KnownParts(task, info, facts, machine, self._limits), values)

    def _rows(self, resolved: Resolved, settings: Mapping[str, Any], problems: list[StudioError]) -> Divided | None:
        """Sizes of the splits and facts about the rows. None after an error, which is added to `problems`."""
        spec, replay, version = resolved.spec, resolved.start.replay, resolved.version
        dataset, validation = resolved.request.dataset, resolved.request.validation
        assert dataset is not None and spec is not None
        before = len(problems)
        config, kept, wrong = sifted({"task": UNNAMED, "model": UNNAMED, **settings})
        validation_rows = None
        with gathered(problems):
            options = CheckOptions(spec.roles, version, leave_out=spec.left_out, rows_left_out=spec.rows_left_out)
            report = self.datasets.check(dataset, spec.task, options)
            if unusable := refusal(report):
                problems.append(unusable)
        if validation is not None:
            with gathered(problems):
                validation_rows = self.datasets.check(validation, spec.task, CheckOptions(spec.roles)).usable
        with gathered(problems):
            record = self.datasets.store.get(dataset, version)
            require_columns(record.columns, split_spec(kept))
        open_ = {each.field for each in (*problems, *wrong)} & {*SplitSpec.model_fields, "replay", "replay_from"}
        if len(problems) > before or open_:
            return None
        with gathered(problems):
            with_file = validation_rows is not None
            splits = self.datasets.counts_of(
                VersionSplit(self.datasets.store, record, spec, split_spec(kept), with_file)
            )
            replayed, available = 0, splits.train
            own = own_rows(available, self._limits.run_rows, config.replay if replay is not None else 0.0)
            splits = splits.model_copy(update={"train": own})
            if replay is not None:
                most = round(splits.train * config.replay / (1 - config.replay))
                replayed = min(self.datasets.store.get(replay.dataset).rows, most)
            rows = splits.train + splits.validation + splits.test + replayed
            if validation_rows is not None:
                splits = splits.model_copy(update={"validation": validation_rows})
            return splits, replace(
                USUAL_ROWS,
                rows=rows,
                train_rows=splits.train + replayed,
                validation_rows=splits.validation,
                labels=len(spec.label_names),
                token_lengths=(),
                longest=0,
                sampled_from=available if own < available else 0,
            )
        return None

    def _with_tokens(self, resolved: Resolved, settings: Mapping[str, Any], facts: PlanFacts) -> PlanFacts:
        """The facts, with the tokens of the rows counted."""
        dataset, info, spec = resolved.request.dataset, resolved.info, resolved.spec
        assert dataset is not None and info is not None and spec is not None
        system_prompt = str(settings.get("system_prompt", ""))
        record = self.datasets.store.get(dataset, resolved.version)
        measured = self.lengths.of_version(record, info, spec, system_prompt)
        without = frozenset(numbers_in(spec.rows_left_out))
        lengths_and_heads = zip(measured.by_row.items(), measured.heads or [0] * len(measured.numbers), strict=True)
        counted = [(length, head) for (row, length), head in lengths_and_heads if length and row not in without]
        lengths, heads = [length for length, _ in counted], [head for _, head in counted]
        return replace(
            facts,
            token_lengths=lengths,
            learned_share=measured.learned_share,
            system_prompt=shared_system_prompt(self.datasets, record, spec),
            longest=max(lengths, default=0),
            heads=heads if any(heads) else (),
        )


def _suitability_problems(task: Task, info: ModelInfo, method: str, machine: MachineFacts) -> list[StudioError]:
    """Problems of a model that can't do the task, and of a method that can't be used with it."""
    problems = []
    if why := task.unavailable_reason(info):
        problems.append(StudioError("wrong-model", why, hint="Choose another model or task.", field="model"))
    if method in METHODS and (why := METHODS[method].unavailable_reason(info, task, machine)):
        problems.append(StudioError("method-unavailable", why, hint="Choose another method.", field="method"))
    return problems


def _settings(spec: DatasetSpec | None, start: StartingPoint) -> dict[str, Any]:
    """All settings that were set, by field name, with the split settings saved with the rows."""
    given = {key.replace("-", "_"): value for key, value in start.settings.items()}
    given = {name: value for name, value in given.items() if name not in OWN_ACTIONS}
    return {**(saved_splits(spec, given) if spec else {}), **given}


def not_settings(settings: Mapping[str, Any]) -> list[StudioError]:
    """Errors about fields among the settings that are set in another way, for example the model."""
    names = [key.replace("-", "_") for key in settings]
    return [
        StudioError(
            "unknown-setting", f"{name} is not a setting.", field=name, hint=f"Choose the {name} of the run instead."
        )
        for name in names
        if name in OWN_ACTIONS
    ]
