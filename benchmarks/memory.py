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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.schema.models import ModelInfo

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import sample

GOAL = 0.15
STEPS = 3
CHAT, SORT, T5 = "starter-chat", "starter-classify", "small-t5"
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
    (T5, {"task": "summarization", "method": "full", "batch_size": 4, "max_length": 256, "precision": "float32"}),
    (T5, {"task": "summarization", "method": "lora", "batch_size": 8, "max_length": 256, "answer_length": 64}),
    (
        SORT,
        {"task": "question-answering", "method": "full", "batch_size": 16, "max_length": 256, "precision": "float32"},
    ),
    (SORT, {"task": "score", "method": "full", "batch_size": 16, "max_length": 128, "precision": "float32"}),
    (CHAT, {"task": "preference", "method": "lora", "batch_size": 2, "max_length": 256}),
    (CHAT, {"task": "completion", "method": "lora", "batch_size": 4, "max_length": 256}),
)
"""Base model, and settings; `task` where it is not the usual one of the model. A score is given to texts as labels are.
"""
USUAL = {CHAT: "chat", SORT: "classification"}
ROLES: dict[str, tuple[str, ...]] = {
    "chat": ("prompt", "reply"),
    "classification": ("text", "label"),
    "score": ("text", "score"),
    "summarization": ("text", "summary"),
    "question-answering": ("question", "context", "answer"),
    "preference": ("prompt", "chosen", "rejected"),
    "completion": ("text",),
}
"""Columns of the rows, which are called as their roles."""


def rows_of(task: str, count: int) -> list[dict[str, Any]]:
    """Rows that are longer than any limit here, so that the limit is what counts."""
    if task in ("classification", "score"):
        told = sample("intent-routing")[:count]
        return [
            {"text": f"{row['message']} " * 80, "label": row["intent"], "score": at / count}
            for at, row in enumerate(told)
        ]
    pairs = sample("support-tone")
    rows = []
    for at in range(count):
        asked, texts = pairs[at]["question"], [pair["answer"] for pair in pairs[at : at + 30]]
        long, other = " ".join(texts), " ".join(reversed(texts))
        rows.append(
            {
                "prompt": asked,
                "reply": long,
                "chosen": long,
                "rejected": other,
                "text": long,
                "summary": other,
                "question": asked,
                "context": long,
                "answer": texts[0],
            }
        )
    return rows


def small_t5(folder: Path) -> "ModelInfo":
    """A model of the shape of T5-small with random weights and a starter's tokenizer."""
    import torch
    import transformers as hf

    from studio.models import find_model
    from studio.models.inspect import inspect_folder

    torch.manual_seed(0)
    tokenizer = hf.AutoTokenizer.from_pretrained(find_model(CHAT).path)
    ends = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    model = hf.T5ForConditionalGeneration(hf.T5Config(vocab_size=len(tokenizer), **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return inspect_folder(folder, title="T5 small")


def one(number: int) -> dict[str, Any]:
    """The estimate of a configuration, and the peak of a run."""
    from studio.machine.facts import machine_facts
    from studio.machine.memory import forget_peak
    from studio.models import find_model
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec
    from studio.schema.events import StepEvent
    from studio.tasks import task_named
    from studio.training.loop.loading import encoding_for
    from studio.training.loop.run import TrainingJob, train
    from studio.training.planning.plan_facts import PlanFacts, largest_batch_tokens, memory_of
    from studio.worker.imports import import_heavy

    model, values = CASES[number]
    values = dict(values)
    import_heavy()
    kind = values.pop("task", None) or USUAL[model]
    task = "classification" if kind == "score" else kind
    rows = [{role: row[role] for role in ROLES[kind]} for row in rows_of(kind, 96)]
    labels = tuple(sorted({row["label"] for row in rows})) if kind == "classification" else ()
    data = DatasetSpec(task=task, roles={role: role for role in ROLES[kind]}, label_names=labels)
    config = TrainingConfig(task=task, model=model, max_steps=STEPS, eval_rows=8, **values)
    said: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        info = small_t5(Path(folder) / "base") if model == T5 else find_model(model)
        forget_peak()  # of making the model
        job = TrainingJob(
            config=config,
            info=info,
            data=data,
            train_rows=rows[:80],
            validation_rows=rows[80:],
            folder=Path(folder) / "run",
            threads=2,
        )
        encoding = encoding_for(job)
        examples = [task_named(task).encode(row, encoding) for row in rows[:20]]
        lengths = [example.full_length for example in examples]
        share = sum(sum(each.learned) for each in examples) / sum(len(each.input_ids) for each in examples)
        facts = PlanFacts(96, 80, 16, len(labels), lengths, share, max(lengths))
        expected = memory_of(config, job.info, facts, machine_facts())
        train(job, said.append, lambda: None)
    measured = max(event.memory_bytes for event in said if isinstance(event, StepEvent))
    return {"expected": expected, "measured": measured, "tokens": largest_batch_tokens(config, facts)}


def measured(number: int) -> dict[str, Any]:
    """The same by a fresh process; empty when it could not be done."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(number)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return {}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """The table, as docs/background/memory-and-speed.md has it; the exit status."""
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
