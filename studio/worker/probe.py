"""A probe: a few real steps on the longest rows, and what they took. Nothing of it is kept.

python -m studio.worker.probe --home DIR --workspace W      the run's spec as JSON on stdin, what was measured on stdout
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from studio.inference.templates import remember_in
from studio.machine.paths import without_places
from studio.schema.events import StepEvent
from studio.schema.models import Measured
from studio.schema.runs import RunSpec
from studio.store import Home
from studio.store.demo_rules import require_allowed
from studio.worker.messages import in_plain_words
from studio.worker.rows import rows_of_run
from studio.worker.run import way_to_train

STEPS = 4
"""The first one warms up, and its time does not count."""


def main() -> int:
    """The exit status: 0 measured, 1 it could not be done, with a plain sentence on stdout."""
    parser = argparse.ArgumentParser(prog="studio.worker.probe", description="Measures a few steps of a run.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--workspace", required=True)
    given = parser.parse_args()
    spec = RunSpec.model_validate_json(sys.stdin.read())
    remember_in(given.home)
    try:
        with redirect_stdout(sys.stderr):
            found = measure(Home(given.home), given.workspace, spec)
    except Exception as error:
        said = in_plain_words(error)
        visitors = Home(given.home).workspace(given.workspace).is_visitors
        print(json.dumps({"code": said.code, "what": without_places(said.message) if visitors else said.message}))
        return 1
    print(found.model_dump_json())
    return 0


def measure(home: Home, workspace: str, spec: RunSpec) -> Measured:
    """Peak memory, and tokens a second."""
    train = way_to_train(spec.config.processes)
    from studio.machine.facts import usable_cores
    from studio.training.loop.loading import TrainingJob

    owner, config = home.workspace(workspace), spec.config
    require_allowed(owner, spec)
    rows = rows_of_run(owner.datasets, spec, owner.limits.run_rows)
    info = owner.find_model(config.model)
    few = config.model_copy(
        update={"max_steps": STEPS, "test_prompts": (), "eval_steps": STEPS, "epochs": 1000.0, "keep_best": False}
    )
    said: list[Any] = []
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
        train(job, said.append, lambda: None)
    steps = [event for event in said if isinstance(event, StepEvent)]
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


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
