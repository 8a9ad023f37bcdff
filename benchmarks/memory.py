"""Memory that a run needs at its peak: the estimate beside what was measured, for methods, lengths and precisions.

Each configuration trains for two steps in a process of its own, as a worker does, checks included; what is compared is
the `memory_bytes` of its last event. On a machine with a GPU the same table is of the GPU's memory.

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
    from studio.machine.memory import peak_memory, reset_peak
    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
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
    config = TrainingConfig(task=task, model=model, max_steps=2, eval_rows=8, **values)
    peaks: dict[str, int] = {}

    def emit(event: Any) -> None:
        """The peak since the last event of each kind: what checks take, and what steps."""
        kind = event.kind if event.kind in ("step", "evaluation") else "before"
        peaks[kind] = max(peaks.get(kind, 0), peak_memory())
        reset_peak()

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
        train(job, emit, lambda: None)
    measured = max(peaks.values())
    if machine_facts().gpus:
        import torch

        measured = torch.cuda.max_memory_reserved()
    return {"expected": expected, "measured": measured, "tokens": tokens_at_once(config, facts), **peaks}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=int, nargs="*", help="numbers of configurations, from 0")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one)))
        return
    worst = 0.0
    print(f"{'configuration':84} {'estimate':>9} {'measured':>9} {'apart':>7} {'checks':>9} {'steps':>9} {'before':>9}")
    for number in given.only or range(len(CASES)):
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(number)], capture_output=True, text=True, check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        apart = found["expected"] / found["measured"] - 1
        worst = max(worst, abs(apart))
        model, values = CASES[number]
        words = f"{number} {model} " + " ".join(f"{name}={value}" for name, value in values.items())
        print(
            f"{words[:84]:84} {found['expected'] >> 20:6} MB {found['measured'] >> 20:6} MB {apart:+7.1%} "
            + " ".join(f"{found.get(kind, 0) >> 20:6} MB" for kind in ("evaluation", "step", "before")),
            flush=True,
        )
    print(f"Furthest apart: {worst:.1%} (goal: at most {GOAL:.0%})")


if __name__ == "__main__":
    main()
