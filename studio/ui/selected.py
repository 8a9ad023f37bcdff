"""Owns: which run the steps 4 to 7 are about: the one that was chosen, else the newest."""

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.ui.session import Visit


def selected(visit: Visit) -> RunRecord | None:
    """The run that was chosen, the newest when it is gone or none was, None when there is no run."""
    if visit.choices.run:
        try:
            return visit.studio.runs.get(visit.choices.run)
        except StudioError:
            visit.choose(run="", reached=())
    newest = next(iter(visit.studio.runs.all()), None)
    if newest is not None:
        visit.choose(run=newest.id, reached=())
    return newest


def meant(visit: Visit) -> str:
    """The run that a button was drawn for, which this page may have left meanwhile (a server that began anew knows only
    what was chosen last, in whichever tab); it is the chosen one from now on."""
    run = visit.text("run", 100)
    if run and run != visit.choices.run:
        visit.choose(run=visit.studio.runs.get(run).id, reached=())
    return visit.choices.run


def reach(visit: Visit, *steps: str) -> None:
    """Note that steps of the run are done: ticks on their tabs."""
    new = tuple(step for step in steps if step not in visit.choices.reached)
    if new:
        visit.choose(reached=(*visit.choices.reached, *new))


def with_result(visit: Visit) -> list[RunRecord]:
    """Runs that have a tuned model, the newest first."""
    return [run for run in visit.studio.runs.all() if run.has_result]
