"""Adapter merging: adapters of one base model are combined with weights into a new run."""

from collections.abc import Mapping
from typing import Any

from studio.machine.paths import without_places
from studio.machine.run_in_process import ProcessError, ProcessTimeout
from studio.schema.errors import StudioError, raise_all
from studio.schema.runs import RunRecord, RunSpec
from studio.services.context import Context, run_for_workspace
from studio.services.runners import LOCAL
from studio.store.db import now
from studio.store.files import folder_size
from studio.store.quota import Quota
from studio.training.methods import METHODS, has_rank, method_named

WAYS: dict[str, str] = {
    "cat": "The exact sum. The ranks add up, so the adapter gets larger.",
    "svd": "The sum, reduced to the highest rank of the adapters.",
    "linear": "Adds the matrices. Small but inexact. All adapters need the same rank.",
    "ties": "Keeps the largest changes on which the adapters agree.",
    "dare_linear": "Keeps a random half of the changes and scales it up.",
}
"""PEFT's combination types, in plain words."""
MOST_SECONDS = 600
SUM_OFF = 0.01


def combine(context: Context, weights: Mapping[str, float], how: str, name: str) -> RunRecord:
    """Combine adapters. `weights` is run → weight; the first run gives settings and rows."""
    store = context.workspace.runs
    runs = {store.get(run).id: float(weight) for run, weight in weights.items()}
    specs = [store.spec(run) for run in runs]
    _check(context, list(runs), specs, list(runs.values()), how)
    parts = ", ".join(f"{weight:g} × {store.get(run).name}" for run, weight in runs.items())
    done, title = f"Combined from {parts}.", store.unique_name(name or "combined")
    spec = specs[0].model_copy(
        update={
            "config": specs[0].config.model_copy(update={"name": title, **_shape(specs, how)}),
            "because": (f"{done} {WAYS[how]}",),
            "runner": LOCAL,
            "seconds": 0.0,
        }
    )
    parts_size = sum(folder_size(store.folder(run).adapter) for run in runs)
    Quota(context.workspace).require(parts_size, "The combined adapter")
    Quota(context.workspace).require_few(runs=1)
    made = store.create(spec)
    store.set_status(made.id, "stopped", "The adapters are being combined.")  # a queued run would be submitted
    try:
        _make(context, made.id, runs, how)
    except StudioError:
        store.delete(made.id)
        raise
    store.set_status(made.id, "finished", done, started=now(), ended=now(), has_result=True, reason=done)
    return store.get(made.id)


def _shape(specs: list[RunSpec], how: str) -> dict[str, Any]:
    """Settings of the combined adapter: plain LoRA with alpha equal to the rank, since PEFT puts the strengths of the
    adapters into the weights.
    """
    configs = [spec.config for spec in specs]
    method = METHODS[configs[0].method]
    if not method.has_rank:
        return {"method": method.combines_as}
    ranks = [config.lora_rank for config in configs]
    rank = sum(ranks) if how == "cat" else max(ranks)
    wide = any(config.lora_targets != "attention" for config in configs)
    return {
        "method": method.combines_as,
        "lora_rank": rank,
        "lora_alpha": rank,
        "lora_targets": "all-linear" if wide else "attention",
        "frozen_layers": min(config.frozen_layers for config in configs),
    }


def _check(context: Context, runs: list[str], specs: list[RunSpec], weights: list[float], how: str) -> None:
    """Raise `StudioError` with all reasons why these runs can't be combined."""
    problems = []
    if len(runs) < 2:
        problems.append(_refused("Choose two or more runs to combine.", "runs", given=len(runs)))
    if how not in WAYS:
        problems.append(_refused("There is no such combination method.", "how", given=how, valid=list(WAYS)))
    if any(not 0 < abs(weight) <= 10 for weight in weights):
        problems.append(
            _refused("A weight is not valid.", "weight", given=weights, valid="numbers from -10 to 10, but not 0")
        )
    for run, spec in zip(runs, specs, strict=True):
        problems += _problems_of_run(context, run, spec, specs[0])
    total = sum(weights)
    if all(method_named(spec.config.method).averages for spec in specs) and abs(total - 1) > SUM_OFF:
        problems.append(
            _refused(
                "These adapters are averaged, so their weights must add up to 1.",
                "weight",
                given=f"{total:g} in total",
            )
        )
    ranks = sorted({spec.config.lora_rank for spec in specs if has_rank(spec.config.method)})
    if how in ("linear", "ties", "dare_linear") and len(ranks) > 1:
        problems.append(
            _refused(
                "The adapters have different ranks.",
                "how",
                given=f"{how} with ranks {ranks}",
                valid="cat or svd",
            )
        )
    raise_all(problems)


def _problems_of_run(context: Context, run: str, spec: RunSpec, first: RunSpec) -> list[StudioError]:
    """Why the adapter of a run can't be combined with that of the first run."""
    problems = []
    record = context.workspace.runs.get(run)
    if not (context.workspace.runs.folder(run).adapter / "adapter_config.json").exists():
        problems.append(_refused(f"The run {record.name} has no adapter.", "runs", given=run))
    if spec.config.model != first.config.model:
        problems.append(
            _refused(
                f"The adapter of {record.name} has another base model.",
                "runs",
                given=spec.config.model,
                valid=first.config.model,
            )
        )
    method, first_method = method_named(spec.config.method), method_named(first.config.method)
    more = "a head" if spec.data.label_names else "" if method.combines_as else method.learns_besides
    if more:
        problems.append(_refused(f"The run {record.name} also trained {more}, which can't be combined.", "runs"))
    elif (method.has_rank, method.averages) != (first_method.has_rank, first_method.averages):
        problems.append(_refused(f"The adapter of {record.name} is of a different kind.", "runs"))
    return problems


def _refused(what: str, field: str, given: object = None, valid: object = None) -> StudioError:
    return StudioError("bad-setting", what, given=given, valid=valid, field=field)


def _make(context: Context, made: str, runs: Mapping[str, float], how: str) -> None:
    visitors = context.workspace.is_visitors
    arguments = {"new_run": made, "weights": dict(runs), "method": how}
    try:
        run_for_workspace(context, "studio.worker.combine:run", arguments, MOST_SECONDS)
    except ProcessTimeout as error:
        raise StudioError(
            "unexpected",
            "Combining took longer than ten minutes and was stopped.",
            hint="Try again while no run is training, or with fewer runs.",
        ) from error
    except ProcessError as error:
        raise StudioError(error.code, "The adapters could not be combined.", hint=error.hint) from error
    except StudioError as error:
        if visitors:
            raise error.with_texts(without_places) from error
        raise
