"""Several runs on one chart, and the settings in which they differ: a panel above the table of runs."""

from collections.abc import Sequence

from studio.schema.runs import RunRecord
from studio.schema.views import CurvesView
from studio.services.curves import MOST
from studio.ui.components.basic import check_input, fold
from studio.ui.markup import Html, html
from studio.ui.numbers import duration
from studio.ui.session import Visit

LISTED = 30
"""Runs that are offered, newest first, beside those that are chosen."""


def panel(visit: Visit, records: Sequence[RunRecord]) -> Html:
    """Boxes to choose by, a chart that js/compare.js draws, a table; nothing while there are fewer than two runs."""
    begun = [each for each in records if each.step]
    if len(begun) < 2:
        return Html("")
    chosen = [each.id for each in begun if each.id in _kept(visit)]
    offered = [each for at, each in enumerate(begun) if at < LISTED or each.id in chosen]
    boxes = html(
        '<div class="row wrap picks" role="group" aria-label="Runs to compare">{b}</div>',
        b=[check_input(f"compare-{each.id}", each.name, each.id in chosen, "pick-run") for each in offered],
    )
    many = f"{len(chosen)} runs" if len(chosen) > 1 else "Several runs"
    body = html('<div class="stack">{b}{c}</div>', b=boxes, c=_compared(visit, chosen))
    words = f"{many} on one chart, and what they differ in"
    return html(
        '<section class="panel flush" data-key="comparing">{f}</section>',
        f=fold("Compare", words, body, key="compare", open_=bool(chosen)),
    )


def _compared(visit: Visit, chosen: Sequence[str]) -> Html:
    if len(chosen) < 2:
        return html('<p class="small">Choose two to {n} runs.</p>', n=MOST)
    view = visit.studio.compare_runs(chosen)
    mark = "compare-" + "-".join(chosen)
    return html(
        '<div class="compared" data-key="{key}" data-keep data-compare="{ids}"></div>{table}{note}',
        key=mark,
        ids=" ".join(chosen),
        table=_table(view),
        note="" if view.same_rows else html('<p class="small">They learned from different rows: compare their losses '
                                            "with care.</p>"),
    )  # fmt: skip


def _table(view: CurvesView) -> Html:
    """Columns are runs; first what they reached, then what differs."""
    lines = [
        ("Best loss", ["not yet" if run.best_loss is None else f"{run.best_loss:.3f}" for run in view.runs]),
        ("Time", [duration(run.seconds) if run.seconds else "" for run in view.runs]),
        *((each.label, list(each.values)) for each in view.differs),
    ]
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="What differs, scrolls sideways"><table '
        'class="differs"><thead><tr><td></td>{names}</tr></thead><tbody>{rows}</tbody></table></div>',
        names=[html('<th scope="col">{n}</th>', n=run.name) for run in view.runs],
        rows=[html('<tr><th scope="row">{l}</th>{v}</tr>', l=label, v=[html("<td>{x}</td>", x=each) for each in values])
              for label, values in lines],
    )  # fmt: skip


def pick(visit: Visit) -> None:
    """Put a run on the chart, or take it off; the oldest choice gives way when there are too many."""
    run = visit.text("name", 120).removeprefix("compare-")
    kept = [each for each in _kept(visit) if each != run]
    if visit.event.get("value") in (True, "true", "on"):
        kept = [*kept, visit.studio.run(run).id][-MOST:]
    visit.remember(compared=kept)


def _kept(visit: Visit) -> list[str]:
    kept = visit.choices.extra.get("compared")
    return [str(each) for each in kept] if isinstance(kept, list) else []
