"""Hyperparameter search on the Method tab: budget, a live table of trials, and "Use the best settings"."""

import math
from collections.abc import Callable
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.requests import SearchRequest
from studio.schema.search import SearchView, Trial
from studio.ui.components.basic import Field, button, fold
from studio.ui.components.layout import poll
from studio.ui.components.markup import Html, html
from studio.ui.components.sparkline import spark
from studio.ui.visitors.session import Visit

USUAL = "6"
LOOK = 2000
"""Milliseconds between two updates of a running search."""
WORDS = {"running": "running", "finished": "finished", "pruned": "stopped early", "failed": "failed"}


def panel(visit: Visit) -> Html:
    """The fold. Open while a search runs."""
    view = _view(visit)
    working = view is not None and view.status == "running"
    budget, minutes = _budget(visit)
    usable = view is not None and view.best is not None and _has_same_rows(visit, view)
    trials = Field("trials", "Trials", "Number of settings to try. Empty: as many as the minutes allow.")
    limit = "Time limit in minutes of training. The running trial keeps its best checkpoint. Empty: no limit."
    body = html(
        '<div class="stack"><p>Tries other learning rates, epochs, batch sizes and ranks. Each trial is a run of its '
        "own. The values of the preset come first, so the best trial is never worse.</p>"
        '<div class="row">{budget}{minutes}</div><div class="row">{start}{stop}{best}</div>{table}{again}</div>',
        budget=trials.text(budget, "search-trials", inputmode="numeric"),
        minutes=Field("minutes", "Minutes", limit).text(minutes, "search-minutes", inputmode="decimal"),
        start=button("Start search", "search-start", aria_label="Start search for better settings", disabled=working),
        stop=working and button("Stop", "search-stop", "quiet"),
        best=usable and button("Use the best settings", "search-best", "acc"),
        table=view and _table(view),
        again=working and poll("search-look", LOOK),
    )
    summary = view.sentence if view else "hyperparameter search by trial runs"
    return html(
        '<section class="panel flush">{f}</section>', f=fold("Find better settings", summary, body, working, "search")
    )


def _table(view: SearchView) -> Html:
    names = list(view.spec.first)
    heads = [html('<th class="num" translate="no">{n}</th>', n=name.replace("_", " ")) for name in names]
    values = [(trial.number, trial.value) for trial in view.trials if trial.value is not None]
    return html(
        '{curve}<div class="scroll-x" role="region" tabindex="0" aria-label="Trials"><table><thead><tr><th>Trial</th>'
        '<th>State</th><th class="num">Loss</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
        curve=spark(values, view.best, True) if len(values) > 1 else "",
        heads=heads,
        rows=[_row(trial, names, trial.number == view.best) for trial in view.trials],
    )


def _row(trial: Trial, names: list[str], best: bool) -> Html:
    word = "best so far" if best else WORDS[trial.state]
    return html(
        '<tr class="{c}"><td>{n}</td><td>{w}</td><td class="num">{v}</td>{cells}</tr>',
        c="sel" if best else "",
        n="preset" if trial.number == 0 else trial.number + 1,
        w=word,
        v=f"{trial.value:.4f}" if trial.value is not None else "",
        cells=[
            html('<td class="num">{x}</td>', x=f"{trial.settings[name]:.3g}" if name in trial.settings else "")
            for name in names
        ],
    )


def _view(visit: Visit) -> SearchView | None:
    """The search of this page. One that has ended is shown with its own rows, task and model only."""
    search = str(visit.choices.extra.get("search") or "")
    if not search:
        return None
    try:
        view = visit.studio.search.get(search)
    except StudioError:
        return None
    return view if view.status == "running" or _has_same_rows(visit, view) else None


def _has_same_rows(visit: Visit, view: SearchView) -> bool:
    """Whether a search was made with the dataset, task and model that are chosen now."""
    spec, chosen = view.spec, visit.choices
    return (spec.dataset, spec.task, spec.model) == (chosen.dataset, chosen.task, chosen.model)


def _budget(visit: Visit) -> tuple[str, str]:
    """Trials and minutes as typed. The default is the usual number of trials."""
    kept = visit.choices.extra
    return str(kept.get("search_trials", USUAL)), str(kept.get("search_minutes", ""))


def start(visit: Visit) -> None:
    """Start a search. Settings that were set by hand stay the same in all trials."""
    visit.settle()
    trials, typed = _budget(visit)
    minutes = _minutes(typed or "0")
    number = None if minutes and not trials else _trials(trials)
    request = SearchRequest(run=visit.choices.run_request(), trials=number, minutes=minutes)
    visit.remember(search=visit.studio.search.start(request).spec.id)


def _trials(typed: str) -> int:
    if not typed.isdecimal():
        raise StudioError(
            "bad-setting",
            "The number of trials must be a whole number.",
            given=typed or "empty",
            valid="1 or more, for example 6, or empty with a number of minutes",
            field="trials",
        )
    return int(typed)


def _minutes(typed: str) -> float:
    try:
        minutes = float(typed.replace(",", "."))
    except ValueError:
        minutes = math.nan
    if not math.isfinite(minutes):
        raise StudioError(
            "bad-setting",
            "The time limit must be a number of minutes.",
            given=typed,
            valid="0 or more, for example 30",
            field="minutes",
        )
    return minutes


def stop(visit: Visit) -> None:
    """Start no more trials."""
    visit.studio.search.stop(str(visit.choices.extra.get("search") or ""))


def use_best(visit: Visit) -> None:
    """Use the settings of the best trial as if set by hand."""
    settings: dict[str, Any] = visit.studio.search.best_settings(str(visit.choices.extra.get("search") or ""))
    visit.choose(settings={**visit.choices.settings, **settings})


ACTS: dict[str, Callable[[Visit], None]] = {
    "search-trials": lambda visit: visit.remember(search_trials=visit.text("value", 10).strip()),
    "search-minutes": lambda visit: visit.remember(search_minutes=visit.text("value", 10).strip()),
    "search-start": start,
    "search-look": lambda visit: None,
    "search-stop": stop,
    "search-best": use_best,
}
"""The actions of the fold."""
