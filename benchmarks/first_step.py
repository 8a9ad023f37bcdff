"""From Start to the first training step on starter-chat: a fresh worker and a prepared one, with and without prompts.

.venv/bin/python benchmarks/first_step.py
"""

import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from homes import ENVIRONMENT
from rows import SAMPLES

from studio.api import Studio
from studio.schema.runs import ACTIVE

GOAL = 3.0
PROMPTS = ("Where is my parcel?", "Can I return a lamp that I have used?", "Do you ship to Norway?")
LOOKING = 15
"""Seconds for which a person still looks at the settings, while a worker is made ready."""


def seconds_to_first_step(prepared: bool, prompts: tuple[str, ...]) -> tuple[float, float]:
    """From the press of Start until its answer, and until the first step begins, the check before it included."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder)
        try:
            data = studio.add_file(SAMPLES / "support-tone.csv").id
            studio.plan(data, "starter-chat", "chat")  # as step 3 shows it
            if prepared:
                studio.prepare_worker()
                time.sleep(LOOKING)
            began = time.time()
            run = studio.start(data, "starter-chat", "chat", prompts=prompts).id
            answered = time.time() - began
            while not (steps := studio.events(run, kinds=("step",))):
                if studio.run(run).status not in ACTIVE:
                    raise SystemExit(f"the run ended before its first step: {studio.run(run).reason}")
                time.sleep(0.02)
            ended = datetime.fromisoformat(steps[0].time.replace("Z", "+00:00")).timestamp()
            lasted = studio.spec(run).config.rows_a_step / steps[0].event.rows_per_second  # type: ignore[union-attr]
            studio.stop(run, "discard")
            while studio.run(run).status in ACTIVE:
                time.sleep(0.1)
            return answered, ended - lasted - began
        finally:
            studio.close()


def main() -> int:
    os.environ.update(ENVIRONMENT)
    found = {}
    for prepared in (False, True):
        for prompts in ((), PROMPTS):
            answered, seconds = seconds_to_first_step(prepared, prompts)
            found[prepared, bool(prompts)] = seconds
            worker = "prepared" if prepared else "fresh"
            print(f"{worker:9} worker, {len(prompts)} test prompts: {seconds:5.1f} s to the first step "
                  f"({answered:.1f} s of them until Start was answered)", flush=True)  # fmt: skip
    good = found[True, True] <= GOAL
    print(f"goal {GOAL:g} s for a prepared worker with its prompts: {'reached' if good else 'NOT reached'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
