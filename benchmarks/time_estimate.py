"""How many runs take a time in the range that their plan gave, on this machine with the load that it has.

.venv/bin/python benchmarks/time_estimate.py --runs 10
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from homes import ENVIRONMENT

from studio.api import Studio
from studio.machine.load import free_share
from studio.schema.requests import RunRequest
from studio.schema.runs import ACTIVE

KINDS = (("support-tone", "starter-chat"), ("review-mood", "starter-classify"))
"""Samples, and the models that are trained on them in turn."""
STEPS = (4, 8, 12, 6, 16)


def main() -> None:
    """Plan and train short runs one after the other, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    held = 0
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder)
        try:
            for number in range(given.runs):
                sample, model = KINDS[number % len(KINDS)]
                settings = {"max_steps": STEPS[number % len(STEPS)], "eval_rows": 8, "epochs": 20}
                request = RunRequest(dataset=studio.datasets.add_sample(sample).id, model=model, settings=settings)
                cost = studio.planning.plan(request).estimate
                share = free_share()
                run = studio.runs.start(request).id
                while (record := studio.runs.get(run)).status in ACTIVE:
                    time.sleep(1)
                actual = record.seconds or 0.0
                inside = cost.low_seconds <= actual <= cost.high_seconds
                held += inside
                print(
                    f"{model:18} {settings['max_steps']:3} steps, {share:.0%} of the CPU free: planned "
                    f"{cost.low_seconds:.0f} to {cost.high_seconds:.0f} s, took {actual:.0f} s ({record.status})"
                    f"{'' if inside else '  outside'}",
                    flush=True,
                )
        finally:
            studio.close()
    print(f"{held} of {given.runs} runs took a time in their range.")


if __name__ == "__main__":
    main()
