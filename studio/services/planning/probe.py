"""A probe of a planned run: a few real steps in a subprocess, never while a run trains."""

from studio.machine.limits import oom_kills
from studio.machine.locks import try_lock
from studio.machine.paths import without_places
from studio.machine.run_in_process import ProcessError, ProcessTimeout
from studio.schema.errors import StudioError
from studio.schema.models import Measured
from studio.schema.runs import RunSpec
from studio.services.context import Context, run_for_workspace
from studio.store.demo_rules import require_allowed

MOST_SECONDS = 300
LOCK = ".probe.lock"
"""File of the data folder that is locked while a run is measured."""


def probe(context: Context, spec: RunSpec) -> Measured:
    """Memory and time of a few steps. One run is measured at a time.

    Raises:
        StudioError: when the steps can't be made now.
    """
    with (context.home.root / LOCK).open("w") as file:
        if not try_lock(file):
            raise StudioError(
                "wrong-state",
                "Another run is being measured on this machine. Measuring at the same time would be wrong for both.",
                hint="Wait until it ends, or use the estimate.",
            )
        return _measured(context, spec)


def _measured(context: Context, spec: RunSpec) -> Measured:
    if context.home.queue.has_running_run():
        raise StudioError(
            "wrong-state",
            "A run is training on this machine. Measuring at the same time would be wrong for both.",
            hint="Wait until it ends, or use the estimate.",
        )
    require_allowed(context.workspace, spec)
    visitors, kills = context.workspace.is_visitors, oom_kills()
    try:
        arguments = {"spec": spec.model_dump(mode="json")}
        measured = run_for_workspace(context, "studio.worker.probe:run", arguments, MOST_SECONDS)
    except ProcessTimeout as error:
        raise StudioError(
            "training-failed",
            f"The measurement took longer than {MOST_SECONDS // 60} minutes and was stopped.",
            hint="A run with these settings would take very long. Choose a smaller batch size or a smaller model.",
        ) from error
    except ProcessError as error:
        if oom_kills() > kills:
            raise StudioError(
                "out-of-memory",
                "The system stopped the measurement, because memory ran out.",
                hint="Make it fit (studio estimate --fit) finds settings that need less memory.",
            ) from error
        killed = error.code == "out-of-memory"
        raise StudioError(
            "training-failed",
            "The process of the measurement was killed." if killed else "The measurement failed.",
            hint=without_places(error.last_line) if context.demo else error.last_line,
        ) from error
    except StudioError as error:
        safe_error = error.with_texts(without_places) if visitors else error
        what = f"The measurement failed. {safe_error.what}"
        raise StudioError.from_dict({**safe_error.to_dict(), "what": what}) from error
    return Measured.model_validate(measured)
