"""Waits for the folds of a cross-validation, for `studio evaluate RUN --folds N`."""

import time

from studio.cli.context import Context
from studio.schema.cross_validation import FoldsView
from studio.schema.report import Report
from studio.schema.runs import RunRecord

LOOK_SECONDS = 1.0


def cross_validate(context: Context, run: RunRecord, folds: int) -> Report | FoldsView:
    """Train the folds, wait for them and evaluate. Ctrl-C leaves them in the queue, and returns their state.

    One that is in progress is continued.
    """
    service, last = context.studio.cross_validation, ""
    view = service.start(run.id, folds)
    again = f"studio evaluate {run.id} --folds {folds}"
    try:
        while view.status == "training":
            if view.sentence != last:
                last = view.sentence
                context.note(last)
            time.sleep(LOOK_SECONDS)
            context.studio.reconcile()
            view = service.view(run.id) or view
    except KeyboardInterrupt:
        context.note(f"The folds continue. Wait for them with: {again}. Cancel them with: {again} --stop")
        return view
    with context.progress("Rows") as progress:
        return service.evaluate(run.id, progress=progress)
