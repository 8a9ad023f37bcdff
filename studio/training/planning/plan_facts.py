"""What is known of the rows when a run is planned, and the memory that it would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo, ProcessMemory
from studio.tasks import Task, task_named
from studio.training.batching.packing import filled, packs
from studio.training.batching.sampler import MEGA
from studio.training.planning.memory_model import estimate_memory, process_memory
from studio.training.planning.parallelism import WAYS, problems, way_of

MARKS = 3
"""Tokens that a model puts around a question and its passage."""


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
    heads: Sequence[int] = ()
    """Of each of these rows the tokens that every piece begins with anew: the question before a passage, and the marks
    around both. Empty where rows are read in one go, or in pieces that have nothing in common."""

    sampled_from: int = 0
    """Training rows of which a demo's run uses a sample; 0 where all are used."""

    @cached_property
    def cut(self) -> dict[tuple[int, int, bool], "PlanFacts"]:
        """Rows as they are in pieces of a length, once they were asked for: a plan asks several times."""
        return {}

    @property
    def mean_length(self) -> float:
        return sum(self.token_lengths) / len(self.token_lengths) if self.token_lengths else 128.0

    def percentile(self, share: float) -> int:
        """A length that this share of the rows does not exceed."""
        ordered = sorted(self.token_lengths) or [128]
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def in_pieces(task: Task, kind: str) -> bool:
    """Whether a model of this kind is given what is beyond the longest row, too, in pieces of their own."""
    return not task.cuts and (task.packs or kind == "encoder")


def as_learned(facts: PlanFacts, config: TrainingConfig) -> PlanFacts:
    """The rows as the trainer gets them: long texts in pieces, and fewer, fuller rows where short ones share one.

    Exact for the rows whose lengths are known; how many there are of all, and of each part, follows by their share.
    """
    task = task_named(config.task)
    if task.cuts or not facts.token_lengths or not (task.packs or facts.heads):
        return facts
    way = config.max_length, config.stride, packs(config)
    if way not in facts.cut:
        facts.cut[way] = _cut(facts, *way)
    return facts.cut[way]


def _cut(facts: PlanFacts, size: int, stride: int, packing: bool) -> PlanFacts:
    heads = facts.heads or [0] * len(facts.token_lengths)
    told = zip(facts.token_lengths, heads, strict=True)
    pieces = [piece for length, head in told for piece in pieces_of(length, head, size, stride)]
    full = [sum(pieces[each] for each in row) for row in filled(pieces, size)] if packing else pieces
    share = len(full) / len(facts.token_lengths)
    return replace(
        facts,
        rows=max(1, round(facts.rows * share)),
        train_rows=max(1, round(facts.train_rows * share)),
        validation_rows=math.ceil(facts.validation_rows * share),
        token_lengths=full,
        longest=max(full, default=0),
        heads=(),
    )


def pieces_of(length: int, head: int, size: int, stride: int) -> list[int]:
    """Lengths of the pieces in which a row is learned, as the tasks cut it; all numbers are tokens.

    With a head, each piece is the head and a part of the rest, and two parts share `stride` tokens. Without one the
    pieces share nothing, and one of a single token teaches nothing: no other foretells it.
    """
    if not head:
        whole, rest = divmod(length, size)
        return [size] * whole + ([rest] if rest > 1 else [])
    body = length - head
    head = min(head, size // 2 + MARKS)  # a longer question is cut
    room = size - head
    step = room - min(stride, room // 2)
    more = max(0, math.ceil((body - room) / step))
    return [head + min(room, body - step * each) for each in range(more + 1)]


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
    """What a process would take alone, and as one of several by each way, for the same rows a step."""
    count = config.processes if config.processes > 1 else max(2, len(machine.gpus))
    nothing = {"zero": 0, "fsdp": False, "offload": "none"}
    alone = config.model_copy(update={**nothing, "processes": 1, "batch_size": config.together})
    size = max(1, config.together // count)
    found = [(alone, "One process", "All of it in one.")]
    for way in WAYS:
        offload = config.offload if way.zero else "none"
        several = config.model_copy(update={**way.settings, "processes": count, "batch_size": size, "offload": offload})
        found.append((several, way.title, way.sentence))
    lines = []
    for each, title, sentence in found:
        rows, wrong = _rows(each, facts, machine), problems(each, machine)
        lines.append(
            ProcessMemory(
                way=title,
                zero=each.zero,
                fsdp=each.fsdp,
                processes=each.processes,
                sentence=sentence,
                process_bytes=process_memory(info, each, **rows),
                memory_bytes=estimate_memory(info, each, **rows),
                chosen=each.processes == config.processes and way_of(each) == way_of(config),
                unavailable_reason=wrong[0].what if wrong else "",
            )
        )
    return tuple(lines)


def tokens_at_once(config: TrainingConfig, facts: PlanFacts) -> int:
    """Tokens of the largest batch: the longest row and the rows sorted next to it (see batching/sampler.py)."""
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
