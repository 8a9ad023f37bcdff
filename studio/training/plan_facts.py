"""What is known of the rows when a run is planned, and the memory that it would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo, ProcessMemory
from studio.tasks import task_named
from studio.training.memory import estimate_memory, process_memory
from studio.training.packing import filled, packs
from studio.training.sampler import MEGA
from studio.training.together import WAYS, problems


@dataclass(frozen=True)
class PlanFacts:
    """What is known of the rows."""

    rows: int
    """Usable ones."""
    train_rows: int
    validation_rows: int
    labels: int
    token_lengths: Sequence[int]
    """A sample, before anything is cut."""
    learned_share: float
    """Share of the tokens that is learned."""
    longest: int

    @cached_property
    def packed(self) -> dict[int, "PlanFacts"]:
        """Rows as they are when packed to a length, once they were asked for: a plan asks several times."""
        return {}

    @property
    def mean_length(self) -> float:
        return sum(self.token_lengths) / len(self.token_lengths) if self.token_lengths else 128.0

    def percentile(self, share: float) -> int:
        """A length that this share of the rows does not exceed."""
        ordered = sorted(self.token_lengths) or [128]
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def as_learned(facts: PlanFacts, config: TrainingConfig) -> PlanFacts:
    """The rows as the trainer gets them: long texts in pieces, and fewer, fuller rows where short ones share one."""
    if not packs(config) or not facts.token_lengths:
        return facts
    size = config.max_length
    if size not in facts.packed:
        facts.packed[size] = _packed(facts, size)
    return facts.packed[size]


def _packed(facts: PlanFacts, size: int) -> PlanFacts:
    pieces = [min(size, length - start) for length in facts.token_lengths for start in range(0, length, size)]
    full = [sum(pieces[each] for each in row) for row in filled(pieces, size)]
    share = len(full) / len(facts.token_lengths)
    return replace(
        facts,
        rows=max(1, round(facts.rows * share)),
        train_rows=max(1, round(facts.train_rows * share)),
        validation_rows=math.ceil(facts.validation_rows * share),
        token_lengths=full,
        longest=max(full),
    )


def memory_of(config: TrainingConfig, info: ModelInfo, facts: PlanFacts, machine: MachineFacts | None = None) -> int:
    """Bytes that a run needs at its peak: of a GPU where the machine has one."""
    return estimate_memory(info, config, **_rows(config, facts, machine))


def _rows(config: TrainingConfig, facts: PlanFacts, machine: MachineFacts | None) -> dict[str, Any]:
    """What memory depends on beside model and settings."""
    facts = as_learned(facts, config)
    return {
        "longest": facts.longest,
        "learned_share": facts.learned_share,
        "labels": labels_told_apart(config, facts),
        "tokens": tokens_at_once(config, facts) * task_named(config.task).sequences,
        "gpu": bool(machine and machine.gpus),
    }


def per_process(
    config: TrainingConfig, info: ModelInfo, facts: PlanFacts, machine: MachineFacts
) -> tuple[ProcessMemory, ...]:
    """What a process would take alone, and as one of several at each stage of ZeRO, for the same rows a step."""
    count = config.processes if config.processes > 1 else max(2, len(machine.gpus))
    alone = config.model_copy(update={"processes": 1, "zero": 0, "offload": "none", "batch_size": config.together})
    size = max(1, config.together // count)
    found = [(alone, "One process", "All of it in one.")]
    for way in WAYS.values():
        several = config.model_copy(update={"processes": count, "zero": way.zero, "batch_size": size})
        found.append((several, way.title, way.sentence))
    lines = []
    for each, title, sentence in found:
        rows, wrong = _rows(each, facts, machine), problems(each, machine)
        lines.append(
            ProcessMemory(
                way=title, zero=each.zero, processes=each.processes, sentence=sentence,
                process_bytes=process_memory(info, each, **rows), memory_bytes=estimate_memory(info, each, **rows),
                chosen=(each.processes, each.zero) == (config.processes, config.zero),
                why_not=wrong[0].what if wrong else "",
            )
        )  # fmt: skip
    return tuple(lines)


def tokens_at_once(config: TrainingConfig, facts: PlanFacts) -> int:
    """Tokens of the largest batch: the longest row, and the rows that are sorted next to it (training/sampler.py)."""
    ordered = sorted((min(length, config.max_length) for length in facts.token_lengths), reverse=True)
    size = config.batch_size
    if not ordered:
        return size * min(facts.longest or config.max_length, config.max_length)
    ordered[0] = max(ordered[0], min(facts.longest, config.max_length))
    groups = max(4.0, facts.train_rows / (size * MEGA)) if config.group_by_length else facts.train_rows / size
    apart = groups * len(ordered) / max(facts.train_rows, 1)
    return sum(ordered[min(len(ordered) - 1, round(place * apart))] for place in range(size))


def labels_told_apart(config: TrainingConfig, facts: PlanFacts) -> int:
    """Outputs of a classifier; 0 for a model that writes text."""
    return facts.labels if task_named(config.task).has_labels else 0
