"""The plan of the Method tab: worked out, made to fit, sharpened by a few real steps, and made ready before Start."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest
from studio.schema.views import PlanView
from studio.ui.session import Visit
from studio.ui.tabs.method import prompts


def name_of(visit: Visit) -> str:
    """The run's name, the data's own until another is given."""
    return visit.choices.name or Path(visit.studio.datasets.get(visit.choices.dataset).name).stem


def plan_key(visit: Visit) -> str:
    chosen = visit.choices
    return f"{chosen.dataset} {visit.studio.datasets.get(chosen.dataset).version} {chosen.model} {chosen.task}"


def planned(visit: Visit, method: str = "") -> PlanView | StudioError:
    """The plan for what is chosen (or with another method), or why there is none."""
    chosen = visit.choices
    try:
        return visit.studio.planning.plan(
            RunRequest(
                dataset=chosen.dataset,
                model=chosen.model,
                task=chosen.task,
                method=method or chosen.method or None,
                preset=chosen.preset,
                settings=chosen.settings,
                name=name_of(visit),
            )
        )
    except StudioError as error:
        return error


def asked(visit: Visit) -> dict[str, Any]:
    """What is chosen, as a run is asked for."""
    chosen = visit.choices
    return {
        "dataset": chosen.dataset,
        "model": chosen.model,
        "task": chosen.task,
        "method": chosen.method or None,
        "preset": chosen.preset,
        "settings": chosen.settings,
        "name": name_of(visit),
        "prompts": tuple(prompt.strip() for prompt in prompts.of(visit) if prompt.strip()),
    }


def make_ready(visit: Visit) -> None:
    """Have the run stand before its first step by the time that Start is pressed."""
    with suppress(StudioError):  # Start will say why
        visit.studio.runs.prepare(RunRequest(**asked(visit)))


def foresee(visit: Visit) -> None:
    """The same while a person still looks at rows, with the plan that step 3 will show: nothing is lost when it is
    changed there."""
    key = plan_key(visit)
    make_ready(visit)
    visit.remember(reckoned=key)


def sharpened(visit: Visit, view: PlanView | StudioError) -> PlanView | StudioError:
    """With what a probe measured in place of the estimate."""
    measured = kept(visit, "measured")
    if not measured or isinstance(view, StudioError):
        return view
    size, seconds = measured
    held_beside = view.estimate.beside_bytes <= view.estimate.beside_available_bytes
    fits = size <= view.estimate.available_bytes and held_beside
    cost = view.estimate.model_copy(update={"memory_bytes": size, "seconds": seconds, "probed": True, "fits": fits})
    return view.model_copy(update={"estimate": cost})


def make_it_fit(visit: Visit) -> None:
    """Change settings until the run fits the memory, least harm first, and say which."""
    chosen = visit.choices
    found = visit.studio.planning.fit(
        RunRequest(
            dataset=chosen.dataset,
            model=chosen.model,
            task=chosen.task,
            method=chosen.method or None,
            preset=chosen.preset,
            settings=chosen.settings,
            name=name_of(visit),
        )
    )
    visit.choose(method=found.method, settings=found.settings)
    visit.remember(fitted=[_fitted_key(visit), *found.changes], wrong={})


def measure(visit: Visit) -> None:
    """Make a few real steps, and show what they took in place of the estimate."""
    chosen = visit.choices
    found = visit.studio.planning.probe(
        RunRequest(
            dataset=chosen.dataset,
            model=chosen.model,
            task=chosen.task,
            method=chosen.method or None,
            preset=chosen.preset,
            settings=chosen.settings,
            name=name_of(visit),
        )
    )
    visit.remember(measured=[_fitted_key(visit), found.estimate.memory_bytes, found.estimate.seconds])


def _fitted_key(visit: Visit) -> str:
    """What a fit or a probe was made for: it counts no more when anything of it changes."""
    chosen = visit.choices
    values = " ".join(f"{name}={value}" for name, value in sorted(chosen.settings.items()))
    return f"{plan_key(visit)} {chosen.method} {chosen.preset} {values}"


def kept(visit: Visit, name: str) -> list[Any]:
    """What a fit or a probe found, when it was for what is chosen now."""
    found = visit.choices.extra.get(name) or [""]
    return list(found[1:]) if found[0] == _fitted_key(visit) else []
