"""What earlier runs on this machine, and its load now, tell about the time of a planned run."""

from statistics import median

from pydantic import ValidationError

from studio.machine.facts import MachineFacts
from studio.machine.load import free_share
from studio.schema.config import TrainingConfig
from studio.schema.events import StepEvent
from studio.services.context import Context
from studio.store import Workspace
from studio.training.planning.time_estimate import Experience

RUNS, RATIOS = 3, 20
"""Number of earlier runs of the same kind for the speed, and of any kind for the range."""
STEPS = 30
"""Number of last steps of a run that give its speed."""
SMALLEST_CPU_SHARE = 0.1
SAME = ("processes", "precision", "gradient_checkpointing", "quantization")
"""Settings on which the speed depends, besides model, method and task."""


def experience(context: Context, config: TrainingConfig, machine: MachineFacts) -> Experience:
    """What this machine tells about the time of a run with these settings."""
    runs = context.workspace.runs
    speeds: list[float] = []
    for run in runs.trained_here(config.model, config.method, config.task, 4 * RUNS):
        try:
            other = runs.spec(run).config
        except ValidationError:  # a run of another version of the studio
            continue
        if len(speeds) < RUNS and all(getattr(other, name) == getattr(config, name) for name in SAME):
            by_cores = not machine.gpus and config.processes == 1
            if speed := _speed(context.workspace, run, by_cores):
                speeds.append(speed)
    ratios = tuple(actual / estimated for estimated, actual in runs.durations(RATIOS))
    share = 1.0 if machine.gpus else cpu_share(context)
    return Experience(median(speeds) if speeds else None, len(speeds), ratios, share)


def cpu_share(context: Context) -> float:
    """The share of its cores that a run would get now.

    It waits for a second sample when the last one is too old. The server calls it while a page is open, so that no page
    waits.
    """
    workers = {entry.pid for entry in context.home.queue.listing() if entry.pid is not None}
    return free_share(workers)


def _speed(workspace: Workspace, run: str, by_cores: bool) -> float | None:
    """Tokens per second of a run, with `by_cores` as if it had had all cores. None when it is not known."""
    speeds: list[float] = []
    for stored in workspace.events.last(run, "step", STEPS):
        step = stored.event
        if isinstance(step, StepEvent) and step.step > 1 and step.tokens_per_second:
            share = max(step.processor or 1.0, SMALLEST_CPU_SHARE) if by_cores else 1.0
            speeds.append(step.tokens_per_second / share)
    return median(speeds) if speeds else None
