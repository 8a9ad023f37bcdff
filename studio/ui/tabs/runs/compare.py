"""Comparison of the ticked runs: one chart, and the settings that differ."""

from collections.abc import Sequence

from studio.schema.numbers import duration
from studio.schema.runs import RunRecord
from studio.schema.views import CurvesView
from studio.services.runs.curves import MOST
from studio.ui.components.basic import fold
from studio.ui.components.layout import scroll_table
from studio.ui.components.markup import Html, html
from studio.ui.visitors.session import Visit

TICKED = 500
"""Maximum number of ticked runs."""


def panel(visit: Visit, records: Sequence[RunRecord]) -> Html:
    """A chart that js/compare.js draws, and a table. Empty with fewer than two runs that have trained."""
    begun, ticks = [each.id for each in records if each.step], ticked(visit)
    if len(begun) < 2:
        return Html("")
    chosen = [each for each in begun if each in ticks]
    words = f"{f'{len(chosen)} runs' if len(chosen) > 1 else 'Several runs'} on one chart, and the settings that differ"
    body = html('<div class="stack">{c}</div>', c=_compared(visit, chosen))
    folded = fold("Compare", words, body, key="compare", open_=bool(chosen))
    return html('<section class="panel flush" data-key="comparing">{f}</section>', f=folded)


def _compared(visit: Visit, chosen: Sequence[str]) -> Html:
    if not 2 <= len(chosen) <= MOST:
        return html('<p class="small">Tick two to {n} runs in the table.</p>', n=MOST)
    view = visit.studio.curves.compare(chosen)
    note = html('<p class="small">These runs used different rows. Compare their losses with care.</p>')
    return html(
        '<div class="runs-compared" data-key="compare-{key}" data-keep data-compare="{ids}"></div>{table}{note}',
        key="-".join(chosen),
        ids=" ".join(chosen),
        table=_table(view),
        note="" if view.same_rows else note,
    )


def _table(view: CurvesView) -> Html:
    """One column for each run: first its results, then the settings that differ."""
    lines = [
        ("Best loss", ["not yet" if run.best_loss is None else f"{run.best_loss:.3f}" for run in view.runs]),
        ("Time", [duration(run.seconds) if run.seconds else "" for run in view.runs]),
        *((each.label, list(each.values)) for each in view.differs),
    ]
    names = [html('<th scope="col" translate="no">{n}</th>', n=run.name) for run in view.runs]
    rows = [
        html('<tr><th scope="row">{l}</th>{v}</tr>', l=label, v=[html("<td>{x}</td>", x=each) for each in values])
        for label, values in lines
    ]
    return scroll_table("Differences", html("<td></td>{names}", names=names), rows, "differs")


def pick(visit: Visit) -> None:
    """Tick or untick a run."""
    run, is_ticked = visit.text("name", 120).removeprefix("pick-"), visit.event.get("value") in (True, "true", "on")
    new = [visit.studio.runs.get(run).id] if is_ticked else []
    kept = [each for each in ticked(visit) if each != run]  # not before: another tick may be on its way
    visit.remember(compared=[*kept, *new][-TICKED:])


def ticked(visit: Visit) -> list[str]:
    """Ids of the ticked runs, the latest last. Some may be deleted or not in the table."""
    kept = visit.choices.extra.get("compared")
    return [str(each) for each in kept] if isinstance(kept, list) else []
