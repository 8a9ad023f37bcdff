"""Facts about the rows for planning a run, and the memory that the run would need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo, ProcessMemory
from studio.tasks import Task, task_named
from studio.training.batching.packing import best_fit, uses_packing
from studio.training.batching.sampler import MEGA
from studio.training.planning.memory_model import RowFacts, estimate_memory, process_memory
from studio.training.planning.parallelism import STRATEGIES, problems, strategy_of

SPECIAL_TOKENS = 3
"""Special tokens around a question and its passage."""


@dataclass(frozen=True)
class PlanFacts:
    """Facts about the rows of a run."""

    rows: int
    """Number of usable rows."""
    train_rows: int
    validation_rows: int
    labels: int
    token_lengths: Sequence[int]
    """A sample, before truncation."""
    learned_share: float
    """Share of the trained tokens."""
    longest: int
    heads: Sequence[int] = ()
    """For each sampled row, the tokens that every piece repeats: the question before a passage, and the special
    tokens. Empty where rows are not split, or their pieces share nothing."""

    sampled_from: int = 0
    """Number of training rows from which a demo's run uses a sample. 0 when all are used."""
    system_prompt: str = ""
    """The system prompt that all rows have themselves. Empty where they have none, or different ones."""

    @cached_property
    def cut(self) -> dict[tuple[int, int, bool], "PlanFacts"]:
        """Cache of the facts after splitting, by (length, stride, packing). A plan needs them several times."""
        return {}

    @property
    def mean_length(self) -> float:
        return sum(self.token_lengths) / len(self.token_lengths) if self.token_lengths else 128.0

    def percentile(self, share: float) -> int:
        """A length that this share of the rows does not exceed."""
        ordered = sorted(self.token_lengths) or [128]
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def splits_long_rows(task: Task, kind: str) -> bool:
    """Whether a model of this kind is trained on rows beyond the maximum length in separate pieces."""
    return not task.cuts and (task.packs or kind == "encoder")


def as_trained(facts: PlanFacts, config: TrainingConfig) -> PlanFacts:
    """The rows as the trainer gets them: long texts split into pieces, and short ones packed.

    Exact for the rows with known lengths, and scaled to the number of all rows and of each split.
    """
    task = task_named(config.task)
    if task.cuts or not facts.token_lengths or not (task.packs or facts.heads):
        return facts
    key = config.max_length, config.stride, uses_packing(config)
    if key not in facts.cut:
        facts.cut[key] = _as_pieces(facts, *key)
    return facts.cut[key]


def _as_pieces(facts: PlanFacts, size: int, stride: int, packing: bool) -> PlanFacts:
    heads = facts.heads or [0] * len(facts.token_lengths)
    rows = zip(facts.token_lengths, heads, strict=True)
    pieces = [piece for length, head in rows for piece in piece_lengths(length, head, size, stride)]
    full = [sum(pieces[each] for each in row) for row in best_fit(pieces, size)] if packing else pieces
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


def piece_lengths(length: int, head: int, size: int, stride: int) -> list[int]:
    """Lengths of the pieces of a row, as the tasks split it. All numbers are tokens.

    With a head, each piece is the head and a part of the rest, and adjacent parts share `stride` tokens. Without a head
    the pieces share nothing, and a piece of one token is dropped, since no other predicts it.
    """
    if not head:
        whole, rest = divmod(length, size)
        return [size] * whole + ([rest] if rest > 1 else [])
    body = length - head
    head = min(head, size // 2 + SPECIAL_TOKENS)  # a longer question is truncated
    room = size - head
    step = room - min(stride, room // 2)
    further_pieces = max(0, math.ceil((body - room) / step))
    return [head + min(room, body - step * each) for each in range(further_pieces + 1)]


def memory_of(config: TrainingConfig, info: ModelInfo, facts: PlanFacts, machine: MachineFacts | None = None) -> int:
    """Peak memory of a run in bytes: of one GPU if the machine has any."""
    return estimate_memory(info, config, _row_facts(config, facts), gpu=bool(machine and machine.gpus))


def _row_facts(config: TrainingConfig, facts: PlanFacts) -> RowFacts:
    facts = as_trained(facts, config)
    tokens = largest_batch_tokens(config, facts) * task_named(config.task).sequences
    return RowFacts(facts.longest, facts.learned_share, label_count(config, facts), tokens)


def per_process(
    config: TrainingConfig, info: ModelInfo, facts: PlanFacts, machine: MachineFacts
) -> tuple[ProcessMemory, ...]:
    """Memory of a single process, and of several with each strategy, for the same effective batch size."""
    count = config.processes if config.processes > 1 else max(2, len(machine.gpus))
    no_sharding = {"zero": 0, "fsdp": False, "offload": "none"}
    single = config.model_copy(update={**no_sharding, "processes": 1, "batch_size": config.together})
    size = max(1, config.together // count)
    candidates = [(single, "One process", "One process holds everything.")]
    for strategy in STRATEGIES:
        offload = config.offload if strategy.zero else "none"
        parallel = config.model_copy(
            update={**strategy.settings, "processes": count, "batch_size": size, "offload": offload}
        )
        candidates.append((parallel, strategy.title, strategy.sentence))
    lines = []
    for each, title, sentence in candidates:
        rows, issues, gpu = _row_facts(each, facts), problems(each, machine), bool(machine.gpus)
        lines.append(
            ProcessMemory(
                way=title,
                zero=each.zero,
                fsdp=each.fsdp,
                processes=each.processes,
                sentence=sentence,
                process_bytes=process_memory(info, each, rows, gpu=gpu),
                memory_bytes=estimate_memory(info, each, rows, gpu=gpu),
                chosen=each.processes == config.processes and strategy_of(each) == strategy_of(config),
                unavailable_reason=issues[0].what if issues else "",
            )
        )
    return tuple(lines)


def largest_batch_tokens(config: TrainingConfig, facts: PlanFacts) -> int:
    """Tokens of the largest batch: the longest row and the rows sorted next to it (batching/sampler.py)."""
    ordered = sorted((min(length, config.max_length) for length in facts.token_lengths), reverse=True)
    size = config.batch_size
    if not ordered:
        return size * min(facts.longest or config.max_length, config.max_length)
    ordered[0] = max(ordered[0], min(facts.longest, config.max_length))
    groups = max(4.0, facts.train_rows / (size * MEGA)) if config.group_by_length else facts.train_rows / size
    spacing = groups * len(ordered) / max(facts.train_rows, 1)
    return sum(ordered[min(len(ordered) - 1, round(place * spacing))] for place in range(size))


def label_count(config: TrainingConfig, facts: PlanFacts) -> int:
    """Outputs of a classifier. 0 for a generative model."""
    return facts.labels if task_named(config.task).has_labels else 0
