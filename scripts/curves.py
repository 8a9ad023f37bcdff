"""Records the curves on which the coach's rules are tested: small real trainings by this studio, one file each.

.venv/bin/python scripts/curves.py [NAME ...]
"""

import csv
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from studio.api import Studio
from studio.models.starters.install import fetch_starter
from studio.schema.events import AnyEvent, StateEvent, StepEvent
from studio.schema.requests import RunRequest
from studio.schema.runs import ACTIVE

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests" / "unit" / "curves"
SAMPLES = ROOT / "assets" / "samples"
PROMPTS = ("Where is my parcel?", "Can I return a lamp that I have used?", "Do you ship to Norway?")


def sample(name: str) -> list[dict[str, str]]:
    """All rows of a sample."""
    with (SAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text(rows: Sequence[dict[str, str]]) -> str:
    """Rows as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def whole(name: str, model: str) -> dict[str, Any]:
    """A sample as a person trains it who changes nothing."""
    return {"rows": sample(name), "model": model, "settings": {}}


def chat(rows: Sequence[dict[str, str]], held: int = 12, **settings: Any) -> dict[str, Any]:
    """Some rows of support-tone to learn from, and other ones for validation."""
    return {"rows": rows, "held": sample("support-tone")[-held:], "model": "starter-chat", "settings": settings}


def run_away() -> dict[str, Any]:
    """A base whose last numbers are so large that the next step is beyond what a number can hold."""
    place = Path(tempfile.mkdtemp()) / "run-away"
    shutil.copytree(fetch_starter("starter-chat"), place)
    weights = load_file(place / "model.safetensors")
    weights["model.norm.weight"] *= 1e30
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    return {**chat(sample("support-tone")[:40], epochs=1), "model": str(place)}


def all_the_same() -> dict[str, Any]:
    """Every question has the same answer."""
    rows = [{**row, "answer": "Thanks for asking. We will see to it."} for row in sample("support-tone")[:172]]
    return {
        "rows": rows[:160],
        "held": rows[160:],
        "model": "starter-chat",
        "settings": {"epochs": 1, "learning_rate": 1e-3, "eval_steps": 10, "max_length": 192},
    }


def random_letters() -> dict[str, Any]:
    """Replies in which there is nothing to be learned."""
    dice = random.Random(5)
    rows = [
        {**row, "answer": " ".join("".join(dice.choices("abcdefghijklmnop", k=5)) for _ in range(6))}
        for row in sample("support-tone")[:120]
    ]
    return {
        "rows": rows[:100],
        "held": rows[100:],
        "model": "starter-chat",
        "settings": {"epochs": 4, "eval_steps": 10, "early_stopping_patience": 0, "lora_rank": 1},
    }


def rare_label() -> dict[str, Any]:
    """One label has few rows to learn from."""
    rows = [row for row in sample("intent-routing") if row["intent"] in ("complaint", "praise", "track_order")]
    rare = [row for row in rows if row["intent"] == "praise"]
    usual = [row for row in rows if row["intent"] != "praise"]
    return {
        "rows": [*usual[:48], *rare[:3]],
        "held": [*usual[48:56], *rare[3:8]],
        "model": "starter-classify",
        "settings": {"epochs": 2, "early_stopping_patience": 0, "learning_rate": 1e-4},
    }


def too_fast(rate: float, rows_at_once: int) -> dict[str, Any]:
    """All weights of a classifier, at a rate that never falls, and nothing that shortens a long gradient."""
    kinds = ("cancel_order", "change_address", "complaint", "damaged_item")
    rows = [row for row in sample("intent-routing") if row["intent"] in kinds]
    return {
        "rows": rows[:120],
        "held": rows[120:140],
        "model": "starter-classify",
        "settings": {
            "learning_rate": rate,
            "batch_size": rows_at_once,
            "scheduler": "constant",
            "warmup_share": 0.0,
            "max_grad_norm": 1000.0,
            "epochs": 20,
            "max_steps": 120,
            "eval_steps": 40,
            "early_stopping_patience": 0,
        },
    }


MADE: dict[str, Callable[[], dict[str, Any]]] = {
    "good-support-tone": lambda: whole("support-tone", "starter-chat"),
    "good-intent-routing": lambda: whole("intent-routing", "starter-classify"),
    "good-review-mood": lambda: whole("review-mood", "starter-classify"),
    "good-call-notes": lambda: whole("call-notes", "starter-chat"),
    "overfitting": lambda: chat(sample("support-tone")[:12], epochs=25, early_stopping_patience=0, learning_rate=1e-3),
    "underfitting": random_letters,
    "rate-too-high": lambda: chat(sample("support-tone")[:80], epochs=2, learning_rate=5e-2),
    "diverged": run_away,
    "collapsed": lambda: chat(
        sample("support-tone")[:40],
        epochs=3,
        learning_rate=0.1,
        lora_rank=1,
        lora_alpha=4096,
        loraplus_ratio=64.0,
        max_grad_norm=1000.0,
        scheduler="constant",
    ),
    "spikes": lambda: too_fast(6e-4, rows_at_once=8),
    "no-better-than-chance": lambda: too_fast(4e-4, rows_at_once=2),
    "rate-too-low": lambda: chat(sample("support-tone")[:80], epochs=2, learning_rate=1e-7),
    "too-good": all_the_same,
    "no-change": lambda: chat(sample("support-tone")[:16], epochs=2, learning_rate=2e-5),
    "noisy-validation": lambda: chat(
        sample("support-tone")[:60],
        held=3,
        epochs=3,
        batch_size=1,
        eval_steps=3,
        early_stopping_patience=0,
        learning_rate=3e-3,
    ),
    "never-predicted": rare_label,
    "cut-off": lambda: chat(sample("support-tone")[:40], epochs=1, max_length=40),
}


def record(name: str) -> None:
    """Train, and keep what was said."""
    made = MADE[name]()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(folder)
        if Path(made["model"]).is_dir():
            studio.models.use_folder(made["model"])
        data = studio.datasets.add_text(text(made["rows"]), f"{name}.csv").id
        held = studio.datasets.add_text(text(made["held"]), "held.csv").id if "held" in made else None
        prompts = PROMPTS if made["model"] != "starter-classify" else ()
        run = studio.runs.start(
            RunRequest(dataset=data, model=made["model"], settings=made["settings"], prompts=prompts, validation=held)
        )
        began = time.monotonic()
        try:
            while studio.runs.get(run.id).status in ACTIVE:
                time.sleep(0.5)
        finally:  # nobody is left behind when this script is ended
            if studio.runs.get(run.id).status in ACTIVE:
                studio.runs.stop(run.id, "discard")
        ended = studio.runs.get(run.id)
        events = [each.event for each in studio.runs.events(run.id)]
        spoken = [event.rule for event in events if event.kind == "advice"]
        took = f"{ended.status}, {ended.step} steps in {time.monotonic() - began:.0f} s"
        print(f"{name}: {took}; {', '.join(spoken) or 'silence'}. {ended.reason}", flush=True)
        config = studio.runs.spec(run.id).config.model_dump(mode="json", exclude_defaults=True)
        if Path(made["model"]).is_dir():
            shutil.rmtree(Path(made["model"]).parent)
        lines = [row for event in events if (row := short(event)) is not None]
        studio.close()
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in lines)
    (KEPT / f"{name}.json").write_text(f'{{"config": {json.dumps(config)},\n"events": [\n{rows}\n]}}\n')


def short(event: AnyEvent) -> Any:
    """A step as [step, loss, gradient, passes]; of the rest what the coach hears."""
    if isinstance(event, StepEvent):
        norm = None if event.grad_norm is None else float(f"{event.grad_norm:.4g}")
        return [event.step, float(f"{event.loss:.4g}"), norm, round(event.epoch, 3)]
    if isinstance(event, StateEvent) or event.kind in ("checkpoint", "held", "advice"):
        return None
    return event.model_dump(mode="json", exclude_defaults=True) | {"kind": event.kind}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for each in sys.argv[1:] or MADE:
        record(each)
