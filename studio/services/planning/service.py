"""A run before it starts: what is known of rows and model becomes a plan and an estimate."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from studio.data.checks import refusal
from studio.data.dataset_size import what_rows_allow
from studio.data.splits import require_columns
from studio.machine.facts import MachineFacts, machine_facts
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.models import Measured, ModelInfo
from studio.schema.runs import Replay
from studio.schema.settings_check import UNNAMED, config_from, gathered, raise_once, sifted
from studio.schema.spans import numbers_in
from studio.schema.views import FitView, MethodView, PlanView
from studio.services.datasets.service import Datasets
from studio.services.planning.lengths import Lengths
from studio.services.planning.replay_mixing import StartingPoint
from studio.store.run_rows import own_rows
from studio.tasks import Task, task_named
from studio.training.methods import METHODS
from studio.training.planning.memory_fit import Asked, fit
from studio.training.planning.presets import PlanFacts, default_method, estimate, plan_problems

USUAL_SPLITS = SplitCounts(
    train=340, validation=40, test=20, because="No rows were given: reckoned for 400 rows of 128 tokens."
)
USUAL_ROWS = PlanFacts(
    rows=400, train_rows=340, validation_rows=40, labels=2, token_lengths=(128,), learned_share=0.6, longest=128
)
"""What is assumed when someone asks what a model would take before having any rows."""
OWN_ACTIONS = frozenset(TrainingConfig.model_fields) - {*settings_of(), "test_prompts"}
"""Fields of a run that are no settings: task, model, method, preset, name. Test prompts are checked by the api."""
USUAL_METHOD = "lora"
"""The method of most models, until it is known of which."""
Divided = tuple[SplitCounts, PlanFacts]
"""How rows are divided, and how many they are."""


class Planning:
    """Plans from rows, model, method and machine."""

    def __init__(self, datasets: Datasets, lengths: Lengths) -> None:
        self.datasets, self.lengths = datasets, lengths
        self._limits = datasets.context.workspace.limits

    def methods(self, info: ModelInfo, task: str, memory: Mapping[str, int] | None = None) -> list[MethodView]:
        """All methods, each with why it can't be used."""
        machine = machine_facts()
        return [
            MethodView(
                name=method.name,
                title=method.title,
                sentence=method.sentence,
                term=method.term,
                unavailable_reason=method.unavailable_reason(info, task_named(task), machine),
                memory_bytes=(memory or {}).get(method.name, 0),
            )
            for method in METHODS.values()
        ]

    def plan(
        self,
        dataset: str | None,
        info: ModelInfo,
        spec: DatasetSpec,
        began: StartingPoint,
        *,
        preset: str = "balanced",
        name: str = "",
        validation: str | None = None,
        measured: Measured | None = None,
    ) -> PlanView:
        """The settings a run would have, why, and what it would take; without a dataset for rows of a usual kind."""
        asked, chosen, settings, splits = self._asked(dataset, info, spec, began, preset, name, validation)
        return self._view(asked, chosen, settings, splits, measured)

    def fit(
        self,
        dataset: str | None,
        info: ModelInfo,
        spec: DatasetSpec,
        began: StartingPoint,
        *,
        preset: str = "balanced",
        name: str = "",
        validation: str | None = None,
    ) -> FitView:
        """The settings nearest to these with which the run fits, and each change with its reason."""
        asked, chosen, settings, splits = self._asked(dataset, info, spec, began, preset, name, validation)
        fitted, values, changes = fit(asked, chosen, settings)
        kept = splits_kept(spec)
        return FitView(
            view=self._view(asked, fitted, values, splits),
            method=fitted,
            settings={key: value for key, value in values.items() if kept.get(key) != value},
            changes=tuple(change.sentence for change in changes),
        )

    def _view(
        self,
        asked: Asked,
        method: str,
        settings: Mapping[str, Any],
        splits: SplitCounts,
        measured: Measured | None = None,
    ) -> PlanView:
        plan = asked.plan(method, dict(settings))
        cost = estimate(plan, asked.info, asked.facts, asked.machine, measured)
        known = asked.facts is not USUAL_ROWS
        allows = what_rows_allow(asked.facts.rows, kinds=asked.facts.labels) if known else ""
        return PlanView(plan=plan, estimate=cost, splits=splits, usable=asked.facts.rows, allows=allows)

    def _asked(
        self,
        dataset: str | None,
        info: ModelInfo,
        spec: DatasetSpec,
        began: StartingPoint,
        preset: str,
        name: str,
        validation: str | None,
    ) -> tuple[Asked, str, dict[str, Any], SplitCounts]:
        """All that a plan is made of, checked before tokens are counted, which takes seconds: what is asked, by which
        method and settings."""
        task, usual = task_named(spec.task), (USUAL_SPLITS, USUAL_ROWS)
        settings, chosen = _settings(spec, began), began.method or default_method(task, info)
        rows, problems = self._looked_at(dataset, info, spec, began, preset, name, validation, usual)
        raise_once(problems)
        splits, facts = rows or usual
        if dataset is not None:
            facts = self._with_tokens(dataset, info, spec, settings, facts)
        return Asked(task, info, preset, facts, machine_facts(), name, self._limits), chosen, settings, splits

    def problems(
        self,
        dataset: str | None,
        info: ModelInfo | None,
        spec: DatasetSpec | None,
        began: StartingPoint,
        *,
        preset: str = "balanced",
        name: str = "",
        validation: str | None = None,
    ) -> list[StudioError]:
        """All that speaks against such a run and can be known without counting tokens, also where the model or how the
        rows are read is not known (None)."""
        return self._looked_at(dataset, info, spec, began, preset, name, validation)[1]

    def _looked_at(
        self,
        dataset: str | None,
        info: ModelInfo | None,
        spec: DatasetSpec | None,
        began: StartingPoint,
        preset: str,
        name: str,
        validation: str | None,
        rows: Divided | None = None,
    ) -> tuple[Divided | None, list[StudioError]]:
        """The rows of the dataset, else these, their tokens not counted; and all that is wrong."""
        task, machine = task_named(spec.task) if spec else None, machine_facts()
        problems = [*began.problems, *not_settings(began.settings)]
        settings = _settings(spec, began)
        chosen = began.method or (default_method(task, info) if task and info else USUAL_METHOD)
        if task and info:
            problems += _unsuited(task, info, chosen, machine)
        if dataset is not None and spec is not None:
            rows = self._rows(dataset, spec, settings, began.replay, validation, problems)
        head = {"task": spec.task if spec else UNNAMED, "model": info.name if info else UNNAMED}
        asked = {**settings, **head, "method": chosen, "preset": preset, "name": name}
        return rows, problems + plan_problems(task, info, rows[1] if rows else None, machine, asked, self._limits)

    def _rows(
        self,
        dataset: str,
        spec: DatasetSpec,
        settings: Mapping[str, Any],
        replay: Replay | None,
        validation: str | None,
        problems: list[StudioError],
    ) -> Divided | None:
        """How rows are divided and how many they are; None where a problem, of which is told, leaves that open."""
        before = len(problems)
        config, kept, wrong = sifted({"task": UNNAMED, "model": UNNAMED, **settings})
        held = None
        with gathered(problems):
            report = self.datasets.check(
                dataset, spec.task, spec.roles, leave_out=spec.left_out, rows_left_out=spec.rows_left_out
            )
            if unusable := refusal(report):
                problems.append(unusable)
        if validation is not None:
            with gathered(problems):
                held = self.datasets.check(validation, spec.task, spec.roles).usable
        with gathered(problems):
            require_columns(self.datasets.store.get(dataset).columns, split_spec(kept))
        open_ = {each.field for each in (*problems, *wrong)} & {*SplitSpec.model_fields, "replay", "replay_from"}
        if len(problems) > before or open_:
            return None
        with gathered(problems):
            splits = self.datasets.splits(dataset, split_spec(kept), spec=spec, validation_file=held is not None)
            more, there = 0, splits.train
            own = own_rows(there, self._limits.run_rows, config.replay if replay is not None else 0.0)
            splits = splits.model_copy(update={"train": own})
            if replay is not None:
                most = round(splits.train * config.replay / (1 - config.replay))
                more = min(self.datasets.store.get(replay.dataset).rows, most)
            return splits, replace(
                USUAL_ROWS,
                rows=splits.train + splits.validation + splits.test + more,
                train_rows=splits.train + more,
                validation_rows=splits.validation if held is None else held,
                labels=len(spec.label_names),
                token_lengths=(),
                longest=0,
                sampled_from=there if own < there else 0,
            )
        return None

    def _with_tokens(
        self, dataset: str, info: ModelInfo, spec: DatasetSpec, settings: Mapping[str, Any], facts: PlanFacts
    ) -> PlanFacts:
        """The same with the tokens of the rows counted."""
        measured = self.lengths.of(dataset, info, spec, str(settings.get("system_prompt", "")))
        without = frozenset(numbers_in(spec.rows_left_out))
        told = zip(measured.by_row.items(), measured.heads or [0] * len(measured.numbers), strict=True)
        counted = [(length, head) for (row, length), head in told if length and row not in without]
        lengths, heads = [length for length, _ in counted], [head for _, head in counted]
        return replace(
            facts,
            token_lengths=lengths,
            learned_share=measured.learned_share,
            longest=max(lengths, default=0),
            heads=heads if any(heads) else (),
        )


def _unsuited(task: Task, info: ModelInfo, method: str, machine: MachineFacts) -> list[StudioError]:
    """A model that can't do the task, and a method that can't be used with it."""
    found = []
    if why := task.unavailable_reason(info):
        found.append(StudioError("wrong-model", why, hint="Choose another model or task.", field="model"))
    if method in METHODS and (why := METHODS[method].unavailable_reason(info, task, machine)):
        found.append(StudioError("method-unavailable", why, hint="Choose another method.", field="method"))
    return found


def _settings(spec: DatasetSpec | None, began: StartingPoint) -> dict[str, Any]:
    """All that were set by hand, by field name, with those that a person keeps with the rows."""
    given = {key.replace("-", "_"): value for key, value in began.settings.items()}
    given = {name: value for name, value in given.items() if name not in OWN_ACTIONS}
    return {**(splits_kept(spec, given) if spec else {}), **given}


def not_settings(settings: Mapping[str, Any]) -> list[StudioError]:
    """Refusals of fields among the settings that are chosen in another way, for example the model."""
    names = [key.replace("-", "_") for key in settings]
    return [
        StudioError(
            "unknown-setting", f"{name} is not a setting.", field=name, hint=f"Choose the {name} of the run instead."
        )
        for name in names
        if name in OWN_ACTIONS
    ]


def split_spec(settings: Mapping[str, Any]) -> SplitSpec:
    """How rows are divided under these settings."""
    given = {name: settings[name] for name in SplitSpec.model_fields if settings.get(name) is not None}
    config = config_from({"task": "-", "model": "-", **given})
    return SplitSpec(**{name: getattr(config, name) for name in SplitSpec.model_fields})


def splits_kept(spec: DatasetSpec, given: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What a person chose for a dataset, as settings; a column that is given now takes the place of the one kept."""
    kept = spec.splits.model_dump(exclude_defaults=True) if spec.splits else {}
    ways = ("group_column", "time_column", "split_column")
    return {name: value for name, value in kept.items() if name not in ways or not any(given.get(way) for way in ways)}
