"""A run before it starts: what is known of rows and model becomes a plan and an estimate."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from studio.data.amount import what_rows_allow
from studio.data.checks import refusal
from studio.machine.facts import machine_facts
from studio.schema.checked import config_from
from studio.schema.dataset import DatasetSpec, SplitCounts, SplitSpec
from studio.schema.errors import StudioError, raise_all
from studio.schema.models import Measured, ModelInfo
from studio.schema.spans import numbers_in
from studio.schema.views import FitView, MethodView, PlanView
from studio.services.datasets import Datasets
from studio.services.lengths import Lengths
from studio.services.mixing import Beginning
from studio.tasks import task_named
from studio.training.checking import check_settings
from studio.training.fitting import Asked, fit
from studio.training.methods import METHODS, method_named
from studio.training.presets import PlanFacts, default_method, estimate, preset_named

USUAL_SPLITS = SplitCounts(
    train=340, validation=40, test=20, because="No rows were given: reckoned for 400 rows of 128 tokens."
)
USUAL_ROWS = PlanFacts(
    rows=400, train_rows=340, validation_rows=40, labels=2, token_lengths=(128,), learned_share=0.6, longest=128
)
"""What is assumed when someone asks what a model would take before having any rows."""


class Planning:
    """Plans from rows, model, method and machine."""

    def __init__(self, datasets: Datasets, lengths: Lengths) -> None:
        self.datasets, self.lengths = datasets, lengths

    def methods(self, info: ModelInfo, task: str, memory: Mapping[str, int] | None = None) -> list[MethodView]:
        """All methods, each with why it can't be used."""
        machine = machine_facts()
        return [
            MethodView(
                name=method.name,
                title=method.title,
                sentence=method.sentence,
                term=method.term,
                why_not=method.why_not(info, task_named(task), machine),
                memory_bytes=(memory or {}).get(method.name, 0),
            )
            for method in METHODS.values()
        ]

    def plan(
        self,
        dataset: str | None,
        info: ModelInfo,
        spec: DatasetSpec,
        began: Beginning,
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
        began: Beginning,
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
        began: Beginning,
        preset: str,
        name: str,
        validation: str | None,
    ) -> tuple[Asked, str, dict[str, Any], SplitCounts]:
        """All that a plan is made of, checked before tokens are counted: what is asked, by which method and settings.

        Every problem that can be known before is told at once.
        """
        given = {key.replace("-", "_"): value for key, value in began.settings.items()}
        settings, replay = {**splits_kept(spec, given), **given}, began.replay
        task = task_named(spec.task)
        machine = machine_facts()
        chosen = began.method or default_method(task, info)
        problems = list(began.problems)
        if why := task.why_not(info):
            problems.append(StudioError("wrong-model", why, hint="Choose another model or task.", field="model"))
        try:
            if not why and (why := method_named(chosen).why_not(info, task, machine)):
                problems.append(StudioError("method-unavailable", why, hint="Choose another method.", field="method"))
        except StudioError as error:
            problems.append(error)
        head = {"task": task.name, "model": info.name, "method": chosen, "preset": preset, "name": name}
        try:
            preset_named(preset)
            check_settings(info, machine, {**head, **settings})  # before tokens are counted, which takes seconds
        except StudioError as error:
            problems.append(error)
        if dataset is not None:
            report = self.datasets.check(dataset, spec.task, spec.roles, leave_out=spec.left_out,
                                         rows_left_out=spec.rows_left_out)  # fmt: skip
            if unusable := refusal(report):
                problems.append(unusable)
        raise_all(problems)
        splits = USUAL_SPLITS
        if dataset is not None:
            splits = self.datasets.splits(
                dataset, split_spec(settings), spec=spec, validation_file=validation is not None
            )
        facts = self._facts(dataset, info, spec, settings, validation, splits) if dataset else USUAL_ROWS
        if replay is not None:
            share = config_from({"task": "-", "model": "-", "replay": settings["replay"]}).replay
            more = min(self.datasets.store.get(replay.dataset).rows, round(facts.train_rows * share / (1 - share)))
            facts = replace(facts, rows=facts.rows + more, train_rows=facts.train_rows + more)
        return Asked(task, info, preset, facts, machine, name), chosen, settings, splits

    def _facts(
        self,
        dataset: str,
        info: ModelInfo,
        spec: DatasetSpec,
        settings: Mapping[str, Any],
        validation: str | None,
        splits: SplitCounts,
    ) -> PlanFacts:
        measured = self.lengths.of(dataset, info, spec, str(settings.get("system_prompt", "")))
        usable = splits.train + splits.validation + splits.test
        held = splits.validation
        if validation is not None:
            held = self.datasets.check(validation, spec.task, spec.roles).usable
        without = frozenset(numbers_in(spec.rows_left_out))
        told = zip(measured.by_row.items(), measured.heads or [0] * len(measured.numbers), strict=True)
        counted = [(length, head) for (row, length), head in told if length and row not in without]
        lengths, heads = [length for length, _ in counted], [head for _, head in counted]
        return PlanFacts(
            rows=usable,
            train_rows=splits.train,
            validation_rows=held,
            labels=len(spec.label_names),
            token_lengths=lengths,
            learned_share=measured.learned_share,
            longest=max(lengths, default=0),
            heads=heads if any(heads) else (),
        )


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
