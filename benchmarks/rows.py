"""Rows for the benchmarks, made from the sample datasets: always the same ones."""

import csv
import random
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "assets" / "samples"


def sample(name: str) -> list[dict[str, str]]:
    """The rows of a sample dataset."""
    with (SAMPLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def long_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows of 60 to 500 tokens, about 220 in the middle, as in common instruction sets: several questions in one."""
    chance = random.Random(seed)
    pairs = sample("support-tone")
    rows = []
    for _ in range(count):
        chosen = chance.sample(pairs, min(9, 1 + int(chance.expovariate(1 / 3.0))))
        asked = "\n".join(f"{number}. {pair['question']}" for number, pair in enumerate(chosen, start=1))
        told = "\n".join(f"{number}. {pair['answer']}" for number, pair in enumerate(chosen, start=1))
        rows.append({"prompt": f"Answer each of these questions of customers.\n{asked}", "reply": told})
    return rows
