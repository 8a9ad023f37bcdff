"""A probe: a few real steps on the longest rows, and what they took. Nothing of it is kept.

The planning service calls `run` in a process of its own.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.inference.templates import remember_in
from studio.schema.events import StepEvent
from studio.schema.models import Measured
from studio.schema.runs import RunSpec
from studio.store import Home
from studio.store.demo_rules import require_allowed
from studio.worker.imports import train_function
from studio.worker.messages import to_studio_error
from studio.worker.rows import rows_of_run

STEPS = 4
"""The first one warms up, and its time does not count."""


def run(home: str, workspace: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Measure a few steps of a run's spec. Any error becomes a `StudioError`."""
    remember_in(Path(home))
    try:
        return measure(Home(Path(home)), workspace, RunSpec.model_validate(spec)).model_dump(mode="json")
    except Exception as error:
        raise to_studio_error(error) from error


def measure(home: Home, workspace: str, spec: RunSpec) -> Measured:
    """Peak memory, and tokens a second."""
    train = train_function(spec.config.processes)
    from studio.machine.facts import usable_cores
    from studio.training.loop.loading import TrainingJob

    owner, config = home.workspace(workspace), spec.config
    require_allowed(owner, spec)
    rows = rows_of_run(owner.datasets, spec, owner.limits.run_rows)
    info = owner.find_model(config.model)
    few = config.model_copy(
        update={
            "max_steps": STEPS,
            "test_prompts": (),
            "eval_steps": STEPS,
            "epochs": 1000.0,
            "keep_best": False,
            "mirror": "none",
        }
    )
    events: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            config=few,
            info=info,
            data=spec.data,
            train_rows=longest_and_others(rows.train, config.together, STEPS * config.rows_a_step),
            validation_rows=longest_and_others(rows.validation, 2 * config.batch_size, 0),
            folder=Path(folder),
            threads=config.threads or usable_cores(),
            trusted=home.trusts(info),
        )
        train(job, events.append, lambda: None)
    steps = [event for event in events if isinstance(event, StepEvent)]
    paces = [step.tokens_per_second for step in steps[1:] or steps if step.tokens_per_second]
    return Measured(
        memory_bytes=max(step.memory_bytes for step in steps),
        tokens_per_second=sum(paces) / len(paces) if paces else 0.0,
        steps=len(steps),
    )


def longest_and_others(rows: Sequence[Mapping[str, Any]], longest: int, others: int) -> list[Mapping[str, Any]]:
    """The rows that need most memory, and some as they come for the pace."""
    order = sorted(range(len(rows)), key=lambda at: -sum(len(str(value)) for value in rows[at].values()))
    rest = order[longest:]
    chosen = order[:longest] + random.Random(0).sample(rest, min(others, len(rest)))
    return [rows[at] for at in chosen]
