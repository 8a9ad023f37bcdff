"""A run that has no result and goes on no more: its best step becomes the result, without another step of learning."""

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.services.runs.service import Runs


def finish(runs: Runs, run: str) -> RunRecord:
    """Have a worker make the result of the step that it would keep; the run waits for its turn as any other."""
    told = runs.progress(run)
    record, step, spec = told.record, told.keeps, runs.store.spec(told.record.id)
    words = f"Ends with what it had learned by step {step or 0:,}."
    runs.require_rows(spec)
    if step is None or not runs.queue_again(record, words, stop_wish="keep"):
        raise StudioError(
            "wrong-state",
            f"The run {record.name} has no step to be kept, or has a result already.",
            given=record.status,
            valid="a run without a result that has a whole checkpoint, and does not work or wait",
        )
    return runs.get(record.id)
