"""The plan of the Method tab: computed, fitted to the memory, measured by a few real steps; and the prepared run."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest
from studio.schema.runs import RunnerView
from studio.schema.views import PlanView
from studio.ui.tabs.method import prompts
from studio.ui.visitors.session import Visit

MEASURED = 4
"""Number of remembered values of a probe: bytes of memory, seconds, and the range of seconds."""


def name_of(visit: Visit) -> str:
    """The name of the run. The default is the name of the dataset."""
    return visit.choices.name or Path(visit.studio.datasets.get(visit.choices.dataset).name).stem


def plan_key(visit: Visit) -> str:
    chosen = visit.choices
    return f"{chosen.dataset} {visit.studio.datasets.get(chosen.dataset).version} {chosen.model} {chosen.task}"


def planned(visit: Visit, method: str = "") -> PlanView | StudioError:
    """The plan for the current choices (or with another method), or why there is none."""
    other = {"method": method} if method else {}
    try:
        return visit.studio.planning.plan(visit.choices.run_request(name=name_of(visit), **other))
    except StudioError as error:
        return error


def run_request(visit: Visit) -> RunRequest:
    """The run that Start starts: the current choices, with the run's name and the prompts that are not empty."""
    written = tuple(prompt.strip() for prompt in prompts.of(visit) if prompt.strip())
    return visit.choices.run_request(name=name_of(visit), prompts=written, runner=runner_of(visit).name)


def runners(visit: Visit) -> list[RunnerView]:
    """The runners that this person can choose from. Only an owner has a choice."""
    offered = visit.studio.catalog.runners()
    return offered[:1] if visit.demo or visit.role != "owner" else offered


def runner_of(visit: Visit) -> RunnerView:
    """The chosen runner, or the default one where there is no such runner any more."""
    offered = runners(visit)
    return next((each for each in offered if each.name == visit.choices.extra.get("runner")), offered[0])


def prepare_run(visit: Visit) -> None:
    """Prepare the run up to its first step, before Start is pressed."""
    with suppress(StudioError):  # Start reports the reason
        visit.studio.runs.prepare(run_request(visit))


def prepare_early(visit: Visit) -> None:
    """Prepare the run while the rows are shown, with the plan of the Method tab. It can still be changed there."""
    key = plan_key(visit)
    prepare_run(visit)
    visit.remember(estimated=key)


def with_measurement(visit: Visit, view: PlanView | StudioError) -> PlanView | StudioError:
    """The plan with measured memory and time, if a probe was made."""
    measured = kept(visit, "probed")
    if len(measured) != MEASURED or isinstance(view, StudioError):
        return view
    size, seconds, low, high = measured
    held_beside = view.estimate.beside_bytes <= view.estimate.beside_available_bytes
    fits = size <= view.estimate.available_bytes and held_beside
    time = {"seconds": seconds, "low_seconds": low, "high_seconds": high, "time_because": ()}
    cost = view.estimate.model_copy(update={"memory_bytes": size, "probed": True, "fits": fits, **time})
    return view.model_copy(update={"estimate": cost})


def make_it_fit(visit: Visit) -> None:
    """Change settings until the run fits the memory, and remember the changes."""
    fitted = visit.studio.planning.fit(visit.choices.run_request(name=name_of(visit)))
    visit.choose(method=fitted.method, settings=fitted.settings)
    visit.remember(fitted=[_fitted_key(visit), *fitted.changes], wrong={})


def measure(visit: Visit) -> None:
    """Measure memory and time by a few real steps."""
    view = visit.studio.planning.probe(visit.choices.run_request(name=name_of(visit)))
    e = view.estimate
    visit.remember(probed=[_fitted_key(visit), e.memory_bytes, e.seconds, e.low_seconds, e.high_seconds])


def _fitted_key(visit: Visit) -> str:
    """A key of the choices that a fit or a probe was made for."""
    chosen = visit.choices
    values = " ".join(f"{name}={value}" for name, value in sorted(chosen.settings.items()))
    return f"{plan_key(visit)} {chosen.method} {chosen.preset} {values}"


def kept(visit: Visit, name: str) -> list[Any]:
    """The result of a fit or a probe, if it was made for the current choices."""
    saved = visit.choices.extra.get(name) or [""]
    return list(saved[1:]) if saved[0] == _fitted_key(visit) else []
