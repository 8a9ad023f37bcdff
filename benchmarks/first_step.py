"""From Start to the first training step on starter-chat: a fresh worker and a prepared one, with and without prompts.

.venv/bin/python benchmarks/first_step.py
"""

import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from homes import ENVIRONMENT, add_file, add_run
from rows import SAMPLES

from studio.store import Home

GOAL = 5.0
PROMPTS = ("Where is my parcel?", "Can I return a lamp that I have used?", "Do you ship to Norway?")


def seconds_to_first_step(prepared: bool, prompts: tuple[str, ...]) -> float:
    """From handing the run to a worker until its first step begins, the check before it included."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        run = add_run(home, add_file(home, SAMPLES / "support-tone.csv"), "starter-chat", prompts)
        command = [sys.executable, "-W", "ignore", "-m", "studio.worker"]
        if prepared:
            worker = subprocess.Popen([*command, "--prepared"], stdin=subprocess.PIPE, env=ENVIRONMENT)
            time.sleep(15)  # a person is still looking at the settings
            began = time.time()
            assert worker.stdin is not None
            worker.stdin.write(f"{folder}\tdefault\t{run}\n".encode())
            worker.stdin.close()
        else:
            began = time.time()
            quiet = subprocess.DEVNULL
            worker = subprocess.Popen([*command, "--home", folder, run], env=ENVIRONMENT, stdout=quiet, stderr=quiet)
        events = home.workspace().events
        while not (steps := events.after(run, kinds=("step",))):
            if worker.poll() is not None:
                raise SystemExit("the worker ended before its first step")
            time.sleep(0.02)
        first = steps[0]
        config = home.workspace().runs.spec(run).config
        rows = config.batch_size * config.gradient_accumulation
        ended = datetime.fromisoformat(first.time.replace("Z", "+00:00")).timestamp()
        home.workspace().runs.wish_stop(run, "discard")
        worker.wait(60)
        return ended - rows / first.event.rows_per_second - began  # type: ignore[union-attr]


def main() -> int:
    found = {}
    for prepared in (False, True):
        for prompts in ((), PROMPTS):
            seconds = seconds_to_first_step(prepared, prompts)
            found[prepared, bool(prompts)] = seconds
            worker = "prepared" if prepared else "fresh"
            print(f"{worker:9} worker, {len(prompts)} test prompts: {seconds:5.1f} s to the first step", flush=True)
    good = found[True, True] <= GOAL
    print(f"goal {GOAL:g} s for a prepared worker with its prompts: {'reached' if good else 'NOT reached'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
