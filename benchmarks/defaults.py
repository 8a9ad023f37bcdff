"""Balanced beside the library's defaults: the same rows, model and method, judged on the same rows kept apart.

What is compared are the settings: both sides are runs of the studio's own worker, and the other one has what
`SFTConfig`, `DPOConfig`, `KTOConfig`, `TrainingArguments` and `LoraConfig` take when nothing is said. Each seed also
draws other rows to hold out. Sets with fewer than twice `--judged` rows are cut into as many folds as there are seeds,
so that each row is held out once. Balanced is no worse when its mean over the seeds is better, or when the other's mean
lies within the mean 95 % interval of Balanced. Ends with status 1 when it is worse on any of the data.

    .venv/bin/python benchmarks/defaults.py [--data FOLDER] [--only NAME ...] [--rows 240] [--judged 300] [--seeds 3]

`--data` names a folder of public data (LLaMA-Factory's demos, clinc_small.json); without it only the samples are taken.
"""

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rows import sample

from studio.api import Studio
from studio.schema.report import Metric
from studio.schema.requests import RunRequest

Rows = list[dict[str, Any]]
TIMES_LABELS = 4
"""Labels are learned from so many times the rows: they are short."""
INTENTS = 40
JUDGED_BY = {
    "chat": "loss",
    "classification": "macro_f1",
    "completion": "perplexity",
    "preference": "reward_accuracy",
    "feedback": "thumbs_told_apart",
    "summarization": "rougeL",
    "question-answering": "f1",
}
"""Task → the metric that decides."""
SAMPLES = ("support-tone", "call-notes", "intent-routing", "review-mood")
PUBLIC: dict[str, tuple[str, str]] = {
    "alpaca": ("alpaca_en_demo.json", "chat"),
    "identity": ("identity.json", "chat"),
    "tool calls": ("glaive_toolcall_en_demo.json", "chat"),
    "articles": ("wiki_demo.txt", "completion"),
    "pairs": ("dpo_en_demo.json", "preference"),
    "thumbs": ("kto_en_demo.json", "feedback"),
    "intents": ("clinc_small.json", "classification"),
}
"""Name → file of the folder, task."""


def rows_of(name: str, folder: Path | None) -> tuple[Rows, str]:
    """All rows of a set, shuffled once for all, and their task; none where the folder lacks the file."""
    if name in SAMPLES:
        rows: Rows = list(sample(name))
        task = "classification" if name in ("intent-routing", "review-mood") else "chat"
    else:
        file, task = PUBLIC[name]
        if folder is None or not (folder / file).exists():
            return [], task
        text = (folder / file).read_text(encoding="utf-8")
        if name == "articles":
            rows = [{"text": line} for line in text.splitlines() if line.strip()]
        elif name == "intents":
            told = json.loads(text)
            known = sorted({label for _, label in told["train"]})[:INTENTS]
            rows = [{"text": said, "label": label} for said, label in told["train"] if label in known]
        else:
            rows = json.loads(text)
    random.Random(0).shuffle(rows)
    return rows, task


def library(task: str, kind: str) -> dict[str, Any]:
    """What the library takes when nothing is said, as settings of the studio."""
    from peft import LoraConfig
    from transformers import TrainingArguments
    from trl import DPOConfig, KTOConfig, SFTConfig

    config = {"preference": DPOConfig, "feedback": KTOConfig}.get(task, SFTConfig if kind == "causal" else None)
    fields, usual, adapter = (config or TrainingArguments).__dataclass_fields__, TrainingArguments, LoraConfig()

    def of(name: str) -> Any:
        return (fields.get(name) or usual.__dataclass_fields__[name]).default

    found = {
        "learning_rate": of("learning_rate"),
        "epochs": of("num_train_epochs"),
        "gradient_accumulation": 1,
        "batch_size": of("per_device_train_batch_size"),
        "scheduler": "linear",
        "warmup_share": 0.0,
        "weight_decay": of("weight_decay"),
        "max_grad_norm": of("max_grad_norm"),
        "early_stopping_patience": 0,
        "keep_best": False,
        "group_by_length": False,
    }
    if kind == "causal":
        # Without a word peft takes the projections of queries and values alone; attention is the nearest here.
        found |= {"lora_rank": adapter.r, "lora_alpha": adapter.lora_alpha, "lora_targets": "attention"}
    else:
        found |= {"label_smoothing": of("label_smoothing_factor")}
    return found


def write(rows: Rows, path: Path) -> Path:
    """Rows as a file: as text where they are that, as JSON where they have parts, else as CSV."""
    if list(rows[0]) == ["text"]:
        path = path.with_suffix(".jsonl")
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    elif any(not isinstance(value, str) for row in rows for value in row.values()):
        path = path.with_suffix(".json")
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path = path.with_suffix(".csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def judged(studio: Studio, request: RunRequest, held: str) -> Metric:
    """A run to its end, and the metric that decides."""
    run = studio.runs.start(request)
    while (record := studio.runs.get(run.id)).status in ("queued", "starting", "training", "stopping"):
        time.sleep(1)
    if record.status != "finished":
        raise SystemExit(f"{record.status}: {record.reason}")
    return studio.evaluation.evaluate(run.id, held).metrics[JUDGED_BY[str(request.task)]]


@dataclass(frozen=True)
class Sizes:
    """Largest numbers of rows, and of characters in a row; seeds of each set."""

    train: int
    held_out: int
    characters: int
    seeds: int


def split(rows: Rows, seed: int, sizes: Sizes) -> tuple[Rows, Rows]:
    """Rows held out and rows to train on, of one seed. Small sets: fold `seed` of `sizes.seeds` is held out."""
    if len(rows) >= 2 * sizes.held_out:
        drawn = random.Random(seed).sample(rows, len(rows))
        return drawn[: sizes.held_out], drawn[sizes.held_out :][: sizes.train]
    held = rows[seed :: sizes.seeds]
    return held, [row for place, row in enumerate(rows) if place % sizes.seeds != seed][: sizes.train]


def pair(task: str, held: Rows, train: Rows, seed: int) -> tuple[Metric, Metric]:
    """The deciding metric with Balanced and with the library's defaults."""
    kind, model = ("encoder", "starter-classify") if task == "classification" else ("causal", "starter-chat")
    with tempfile.TemporaryDirectory() as place:
        studio = Studio(Path(place) / "home")
        try:
            judge = studio.datasets.add_file(write(held, Path(place) / "held")).id
            data = studio.datasets.add_file(write(train, Path(place) / "rows")).id
            request = RunRequest(dataset=data, model=model, task=task, settings={"seed": seed})
            other = request.model_copy(update={"settings": {**library(task, kind), "seed": seed}})
            return judged(studio, request, judge), judged(studio, other, judge)
        finally:
            studio.close()


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def spread(values: list[float]) -> str:
    """Mean of the seeds, smallest and largest."""
    return f"{mean(values):.4f} ({min(values):.4f}–{max(values):.4f})"


def compared(name: str, folder: Path | None, sizes: Sizes, say: Callable[[str], None]) -> bool | None:
    """Whether Balanced is no worse; None where the rows are not there."""
    rows, task = rows_of(name, folder)
    letters = sizes.characters
    if task == "completion":
        rows = [{"text": row["text"][:letters]} for row in rows]
    rows = [row for row in rows if sum(len(str(value)) for value in row.values()) <= letters]
    if not rows:
        say(f"| {name} | | | not here | | |")
        return None
    if task == "classification":
        sizes = replace(sizes, train=sizes.train * TIMES_LABELS)
    splits = [split(rows, seed, sizes) for seed in range(sizes.seeds)]
    found = [pair(task, *each, seed) for seed, each in enumerate(splits)]
    ours, theirs = [each[0].tuned for each in found], [each[1].tuned for each in found]
    first = found[0][0]
    sign = 1 if first.higher_is_better else -1
    ahead = sign * (mean(ours) - mean(theirs)) >= 0
    low = mean([own.low for own, _ in found if own.low is not None] or [mean(ours)])
    high = mean([own.high for own, _ in found if own.high is not None] or [mean(ours)])
    level = low <= mean(theirs) <= high
    better = sum(sign * (own - other) > 0 for own, other in zip(ours, theirs, strict=True))
    word = "better or equal" if ahead else "within the interval" if level else "WORSE"
    counts = f"{len(splits[0][1])} | {sum(len(held) for held, _ in splits)}"
    say(
        f"| {name} | {counts} | {JUDGED_BY[task]} | {spread(theirs)} | {spread(ours)} | {low:.4f}–{high:.4f} "
        f"| {better} of {len(found)} | {word} |"
    )
    return ahead or level


def main() -> int:
    """The table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of public data")
    parser.add_argument("--only", nargs="*", choices=[*SAMPLES, *PUBLIC])
    parser.add_argument("--rows", type=int, default=240, help="rows to learn from, at the most")
    parser.add_argument("--letters", type=int, default=1_000_000, help="longer rows are left out, plain text is cut")
    parser.add_argument("--judged", type=int, default=300, help="rows to be judged by for each seed, at the most")
    parser.add_argument("--seeds", type=int, default=3, help="seeds, and folds of small sets")
    given = parser.parse_args()
    print("| data | training rows | held-out rows | metric | library | Balanced | 95 % interval | Balanced better | |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    names = given.only or [*SAMPLES, *PUBLIC]
    sizes = Sizes(given.rows, given.judged, given.letters, given.seeds)
    found = [compared(name, given.data, sizes, lambda line: print(line, flush=True)) for name in names]
    worse = found.count(False)
    print(f"\nBalanced is {'no worse than the defaults anywhere' if not worse else f'worse on {worse} of the data'}.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
