"""One run by several processes on starter-chat: time of a step, first step and memory, beside one process.

All ways train the same rows, four a step, on the same cores; losses must be those of one process. Each in a process of
its own, as a worker does.

    .venv/bin/python benchmarks/processes.py [--only NUMBER …] [--steps N] [--processes N] [--method X]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import sample

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("one process", {}),
    ("data parallel", {"zero": 0}),
    ("ZeRO-1", {"zero": 1}),
    ("ZeRO-2", {"zero": 2}),
    ("ZeRO-3", {"zero": 3}),
    ("ZeRO-2, held in the memory", {"zero": 2, "offload": "cpu"}),
    ("ZeRO-3, held in the memory", {"zero": 3, "offload": "cpu"}),
    ("FSDP", {"fsdp": True}),
)
ROWS_A_STEP = 4
MOST_LOSS = 0.02
"""By which losses in bfloat16 may differ from those of one process."""


def one(number: int, processes: int, steps: int, method: str) -> dict[str, Any]:
    """What a way takes: seconds, bytes and losses."""
    import psutil

    from studio.machine.facts import machine_facts
    from studio.machine.memory import peak_memory
    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
    from studio.schema.events import StepEvent
    from studio.training.loop.loading import TrainingJob
    from studio.worker.imports import train_function

    count = processes if number else 1
    config = TrainingConfig(
        task="chat",
        model="starter-chat",
        method=method,
        max_length=96,
        max_steps=steps,
        batch_size=ROWS_A_STEP // count,
        processes=count,
        early_stopping_patience=0,
        keep_best=False,
        eval_steps=steps,
        **WAYS[number][1],
    )
    times: list[float] = []
    peaks: dict[int, int] = {}
    losses: list[float] = []

    def emit(event: Any) -> None:
        if not isinstance(event, StepEvent):
            return
        times.append(time.perf_counter())
        losses.append(event.loss)
        below = psutil.Process().children(recursive=True)
        ranks = [each.pid for each in below if "studio.worker.rank" in " ".join(each.cmdline())]
        for pid in ranks or [os.getpid()]:
            peaks[pid] = max(peaks.get(pid, 0), peak_memory([pid]))
        peaks[-1] = max(peaks.get(-1, 0), event.memory_bytes)

    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            config=config,
            info=find_model(config.model),
            train_rows=sample("support-tone"),
            validation_rows=[],
            data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
            folder=Path(folder),
            threads=machine_facts().cores,
        )
        began = time.perf_counter()
        train_function(count)(job, emit, lambda: None)
    apart = [later - earlier for earlier, later in pairwise(times)]
    return {
        "step": median(apart),
        "first": times[0] - began,
        "whole": time.perf_counter() - began,
        "losses": losses,
        "all": max(peaks.pop(-1), sum(peaks.values())),
        "each": max(peaks.values()),
    }


def main() -> int:
    """The table; 1 when a way learned something else."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=int, nargs="*", help="numbers of ways, from 0")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--method", default="lora")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one, given.processes, given.steps, given.method)))
        return 0
    alone, furthest = None, 0.0
    heads = (("s/step", 7), ("rows/s", 7), ("beside one", 10), ("first step", 10), ("each", 8), ("all", 8), ("loss", 7))
    print(f"{'way':28} " + " ".join(f"{head:>{width}}" for head, width in heads))
    for number in given.only if given.only is not None else range(len(WAYS)):
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                __file__,
                "--one",
                str(number),
                "--steps",
                str(given.steps),
                "--processes",
                str(given.processes),
                "--method",
                given.method,
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        if done.returncode:
            return 1
        found = json.loads(done.stdout.splitlines()[-1])
        alone = alone or found
        apart = max(abs(ours - theirs) for ours, theirs in zip(found["losses"], alone["losses"], strict=True))
        furthest = max(furthest, apart)
        print(
            f"{WAYS[number][0]:28} {found['step']:7.2f} {ROWS_A_STEP / found['step']:7.2f} "
            f"{found['step'] / alone['step']:9.2f}x {found['first']:8.1f} s {found['each'] >> 20:5} MB "
            f"{found['all'] >> 20:5} MB {found['losses'][-1]:7.4f}",
            flush=True,
        )
    print(f"Losses furthest from one process's: {furthest:.4f} (at most {MOST_LOSS:g})")
    return 0 if furthest <= MOST_LOSS else 1


if __name__ == "__main__":
    sys.exit(main())
