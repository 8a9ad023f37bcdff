"""Memory that a run needs at its peak: the estimate beside what was measured, for methods, lengths and precisions.

Each configuration trains for three steps in a process of its own, as a worker does, checks included; what is compared
is the largest `memory_bytes` of its events, which on a machine with a GPU is the GPU's memory. Ends with status 1 when
one lies further from its estimate than the goal, or could not be measured.

    .venv/bin/python benchmarks/memory.py [--only NUMBER …]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import sample

GOAL = 0.15
STEPS = 3
CHAT, SORT = "starter-chat", "starter-classify"
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    (CHAT, {"method": "lora", "batch_size": 2, "max_length": 128}),
    (CHAT, {"method": "lora", "batch_size": 4, "max_length": 256}),
    (CHAT, {"method": "lora", "batch_size": 4, "max_length": 512}),
    (CHAT, {"method": "lora", "batch_size": 4, "max_length": 512, "gradient_checkpointing": True}),
    (CHAT, {"method": "lora", "batch_size": 2, "max_length": 256, "precision": "float32"}),
    (CHAT, {"method": "dora", "batch_size": 2, "max_length": 256}),
    (CHAT, {"method": "qlora", "batch_size": 4, "max_length": 256}),
    (CHAT, {"method": "ia3", "batch_size": 4, "max_length": 256}),
    (CHAT, {"method": "prompt-tuning", "batch_size": 4, "max_length": 256}),
    (CHAT, {"method": "last-layers", "batch_size": 4, "max_length": 256, "last_layers": 8}),
    (CHAT, {"method": "full", "batch_size": 2, "max_length": 256, "precision": "float32"}),
    (CHAT, {"method": "full", "batch_size": 4, "max_length": 128, "optimizer": "adafactor", "precision": "float32"}),
    (CHAT, {"method": "full", "batch_size": 4, "max_length": 256, "precision": "bfloat16"}),
    (SORT, {"method": "full", "batch_size": 16, "max_length": 128, "precision": "float32"}),
    (SORT, {"method": "full", "batch_size": 32, "max_length": 256, "precision": "float32"}),
    (SORT, {"method": "lora", "batch_size": 16, "max_length": 256, "precision": "float32"}),
)  # fmt: skip


def rows_of(model: str, count: int) -> list[dict[str, str]]:
    """Rows that are longer than any limit here, so that the limit is what counts."""
    if model == SORT:
        return [{"text": f"{row['message']} " * 80, "label": row["intent"]} for row in sample("intent-routing")[:count]]
    pairs = sample("support-tone")
    return [
        {"prompt": pairs[at]["question"], "reply": " ".join(pair["answer"] for pair in pairs[at : at + 30])}
        for at in range(count)
    ]


def one(number: int) -> dict[str, Any]:
    """The estimate of a configuration, and the peak of a run."""
    from studio.machine.facts import machine_facts
    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
    from studio.schema.events import StepEvent
    from studio.tasks import task_named
    from studio.training.loading import encoding_for
    from studio.training.plan_facts import PlanFacts, memory_of, tokens_at_once
    from studio.training.run import TrainingJob, train
    from studio.worker.work import import_heavy

    model, values = CASES[number]
    import_heavy()
    task = "classification" if model == SORT else "chat"
    rows = rows_of(model, 96)
    labels = tuple(sorted({row["label"] for row in rows})) if task == "classification" else ()
    roles = {"text": "text", "label": "label"} if labels else {"prompt": "prompt", "reply": "reply"}
    config = TrainingConfig(task=task, model=model, max_steps=STEPS, eval_rows=8, **values)
    said: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            config=config, info=find_model(model), data=DatasetSpec(task=task, roles=roles, label_names=labels),
            train_rows=rows[:80], validation_rows=rows[80:], folder=Path(folder), threads=2,
        )  # fmt: skip
        encoding = encoding_for(job)
        examples = [task_named(task).encode(row, encoding) for row in rows[:20]]
        lengths = [example.full_length for example in examples]
        learned = sum(label != -100 for each in examples for label in each.labels) if not labels else 0
        share = learned / sum(len(each.input_ids) for each in examples)
        facts = PlanFacts(96, 80, 16, len(labels), lengths, share, max(lengths))
        expected = memory_of(config, job.info, facts, machine_facts())
        train(job, said.append, lambda: None)
    measured = max(event.memory_bytes for event in said if isinstance(event, StepEvent))
    return {"expected": expected, "measured": measured, "tokens": tokens_at_once(config, facts)}


def measured(number: int) -> dict[str, Any]:
    """The same by a fresh process; empty when it could not be done."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(number)], capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """The table, as docs/training.md has it; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=int, nargs="*", help="numbers of configurations, from 0")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one)))
        return 0
    missed = []
    worst = 0.0
    print("| | run | estimate, MB | measured, MB | |\n|---|---|---|---|---|")
    for number in given.only if given.only is not None else range(len(CASES)):
        model, values = CASES[number]
        words = f"{model}, " + ", ".join(f"{name} {value}" for name, value in values.items())
        found = measured(number)
        if not found:
            missed.append(f"{number} could not be measured")
            continue
        apart = found["expected"] / found["measured"] - 1
        worst = max(worst, abs(apart))
        if abs(apart) > GOAL:
            missed.append(f"{number} is {apart:+.1%} off")
        sizes = f"{found['expected'] >> 20:,} | {found['measured'] >> 20:,}"
        print(f"| {number} | {words} | {sizes} | {apart:+.1%} |", flush=True)
    print(f"\nFurthest apart: {worst:.1%} (goal: at most {GOAL:.0%}). {'; '.join(missed) or 'All within it.'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
