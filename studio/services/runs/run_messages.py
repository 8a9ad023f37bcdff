"""Where a run stands, in plain words."""

from studio.schema.runs import PHASE_WORDS, RunRecord, StopWish


def taken_out(record: RunRecord, step: int | None, wish: StopWish) -> str:
    """What became of a run that was stopped while it waited or was paused."""
    if wish == "discard":
        return "Stopped on request; nothing was kept."
    if step is None:
        return "Taken out of the queue."
    return f"Stopped while it {'was paused' if record.status == 'paused' else 'waited'}; step {step:,} is safe."


def goes_on(step: int | None, saved: bool) -> str:
    """From where a run goes on; `saved`: there is a checkpoint, if not a whole one."""
    if step is not None:
        return f"Goes on from step {step:,}."
    if saved:
        return "Of its checkpoints a file is missing or cut, so it starts again."
    return "Nothing was saved, so it starts again."


def sentence_of(record: RunRecord, position: int | None, short: tuple[int, int] | None = None) -> str:
    """How far a run is, in a sentence; `short` is what it needs and what is free while that is too little."""
    if record.status == "queued" and short:
        needed, free = (f"{size / 2**30:.1f} GB" for size in short)
        return f"Waiting for memory: it needs about {needed}, and {free} are free."
    if record.status == "queued":
        before = "Its turn is next" if not position else f"{position} {'run' if position == 1 else 'runs'} before it"
        return f"Waiting: {before}."
    if record.status == "training" and record.phase == "training" and record.steps:
        return f"Training, step {record.step:,} of {record.steps:,}"
    if record.status in ("starting", "training"):
        return PHASE_WORDS.get(record.phase, "Preparing")
    if record.status == "stopping":
        if record.reason:  # it hangs
            return record.reason
        return "Pausing after this step" if record.stop_wish == "pause" else "Stopping after this step"
    return record.reason or {"finished": "Finished", "stopped": "Stopped"}.get(
        record.status, record.status.capitalize()
    )
