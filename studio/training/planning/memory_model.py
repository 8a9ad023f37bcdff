"""How much memory a run would need at its peak, worked out before it starts.

Every figure was measured on living runs; benchmarks/memory.py prints estimate and measurement side by side.
"""

from dataclasses import dataclass
from typing import Any

from studio.inference.heads import AT_ONCE
from studio.schema.config import WHOLE, TrainingConfig
from studio.schema.models import ModelInfo
from studio.tasks import task_named
from studio.training.distributed.processes import BUCKET
from studio.training.methods import Method, method_named
from studio.training.optimizers import OPTIMIZERS

MB = 1 << 20
LIBRARIES = 700 * MB
"""torch, transformers, peft and trl, imported."""
ON_GPU = 600 * MB
"""What a GPU's own libraries take of its memory."""
CHUNK = 2**24
"""Logits at a time while learning (training/losses/causal_lm.py: CHUNK_NUMBERS)."""
CHECK_POSITIONS = 1024
"""Positions of which logits are made at a time in a check."""
LOGIT_BYTES = 8
"""Of each logit: itself in both formats, and its gradient or its logarithm."""
WRITTEN, READ = 3, 2
"""Copies of the logits of a model that reads and writes, all positions at once: itself, its logarithm, and while it
learns a gradient."""
NF4, INT8 = 0.53, 1.02
"""Bytes a weight that is held in 4 or in 8 bits, its scales included."""
DEEPSPEED = 60 * MB
"""DeepSpeed, imported, and what its processes hand each other."""
LAUNCHING = 450 * MB
"""The worker and torchrun, which train nothing themselves: less for a fresh worker, more for a prepared one."""


def estimate_memory(info: ModelInfo, config: TrainingConfig, *, gpu: bool = False, **rows: Any) -> int:
    """Bytes that a run needs at its peak: of a GPU, or of all its processes together. `rows` as `process_memory`."""
    each = process_memory(info, config, gpu=gpu, **rows)
    return each if gpu or config.processes == 1 else config.processes * each + LAUNCHING


@dataclass(frozen=True)
class _Optimizing:
    """Bytes in each process of what turns gradients into steps."""

    state: float
    gradients: float
    bucket: float
    """Gradients on their way from one process to another."""
    step: float
    """What a step takes besides, for a moment."""


def process_memory(
    info: ModelInfo,
    config: TrainingConfig,
    *,
    longest: int = 0,
    learned_share: float = 0.5,
    labels: int = 0,
    tokens: int = 0,
    gpu: bool = False,
) -> int:
    """Bytes that each process of a run needs at its peak.

    `longest` is the longest row in tokens (0: the limit), `learned_share` the share of tokens that are learned,
    `labels` how many a classifier tells apart (0: it tells a score, or is none), `tokens` those of the largest batch
    (0: as many rows of the longest).
    """
    method = method_named(config.method)
    width = _width(config)
    length = min(longest or config.max_length, config.max_length, info.context or config.max_length)
    at_once = tokens or config.batch_size * length
    optimizing = _optimizing(info, config, labels)
    weights = _weights(info, config, width)
    libraries = (ON_GPU if gpu else LIBRARIES) + (DEEPSPEED if config.zero else 0)
    activations = _activations(info, config, method, width, length, at_once)
    logits, check = _logits(info, config, width, at_once * learned_share, length)
    part = weights / config.processes
    if gpu and _offloads(config):
        # DeepSpeed computes the step where the state is, and brings what it shares out of gradients there as well
        kept, step = optimizing.bucket + (optimizing.gradients if config.zero == 1 else 0.0), 0.0
        part = 0.0
    else:
        kept, step = optimizing.bucket + optimizing.gradients + optimizing.state, optimizing.step
    at_work = max(kept + activations + logits, kept + step, check)
    if config.zero < 3 and not config.fsdp:
        return round(libraries + weights + at_work)
    if gpu:  # whole for a moment at the end; loaded in the machine's memory
        return round(libraries + max(weights + part, part + info.vocabulary * info.hidden * width + at_work))
    return round(libraries + weights + part + at_work)


def offloaded_memory(info: ModelInfo, config: TrainingConfig, labels: int = 0) -> int:
    """Bytes of the machine's memory in which all processes of a run on GPUs hold what these need not."""
    if not _offloads(config) or config.offload != "cpu":
        return 0
    optimizing = _optimizing(info, config, labels)
    each = optimizing.state + (optimizing.gradients if config.zero > 1 else 0.0)
    return round(config.processes * each + (_weights(info, config, _width(config)) if config.zero == 3 else 0.0))


def outputs(info: ModelInfo, config: TrainingConfig, labels: int) -> int:
    """Numbers that a classifier's head gives: one for each label, or a score; 0 for any other head."""
    return max(1, labels) if _head(info, config) == "labels" else 0


def answers_at_once(info: ModelInfo, config: TrainingConfig) -> bool:
    """Whether labels, a score or places in a text are told in one go, and nothing is written."""
    return info.kind == "encoder" or _head(info, config) in AT_ONCE


def _head(info: ModelInfo, config: TrainingConfig) -> str:
    """What the model ends in while it learns, whatever its columns."""
    return task_named(config.task).variant(info.kind, {}).head


def _offloads(config: TrainingConfig) -> bool:
    """Whether a part of the run is held elsewhere than where it is computed: of what ZeRO shares out alone."""
    return bool(config.zero) and config.offload != "none"


def _logits(info: ModelInfo, config: TrainingConfig, width: int, learned: float, length: int) -> tuple[float, float]:
    """Bytes of the numbers that stand for words, of a step and of a check: none where labels or places are told.

    `learned` is how many tokens are, of a batch. A model that reads and writes computes all that it writes at once.
    """
    if answers_at_once(info, config):
        return 0.0, 0.0
    if info.kind == "seq2seq":
        written = config.batch_size * config.answer_length * info.vocabulary * width
        return WRITTEN * written, READ * 2 * written
    checked = min(2 * config.batch_size * length, CHECK_POSITIONS)
    return LOGIT_BYTES * min(learned * info.vocabulary, CHUNK), LOGIT_BYTES * info.vocabulary * checked


def _weights(info: ModelInfo, config: TrainingConfig, width: int) -> float:
    """The base as it is held; fewer bits for all but the embedding."""
    if info.quantised and info.bytes:
        return float(info.bytes)
    if config.method != "qlora":
        return info.parameters * width
    embedding = info.vocabulary * info.hidden
    short = NF4 if config.quantisation == "4-bit" else INT8
    return embedding * width + max(info.parameters - embedding, 0) * short


def _width(config: TrainingConfig) -> int:
    """Bytes of a number as it is computed."""
    return 4 if config.precision == "float32" else 2


def _optimizing(info: ModelInfo, config: TrainingConfig, labels: int) -> _Optimizing:
    """What the weights that learn need besides themselves."""
    learning = method_named(config.method).learned(info, config, outputs(info, config, labels))
    chosen, width = OPTIMIZERS[config.optimizer], _width(config)
    if not chosen.masters:
        width = 4
    copies = 4 if config.zero or (chosen.masters and width == 2) else 0
    state, gradients, bucket = learning * (chosen.state_bytes + copies), float(learning * width), 0.0
    step = float(learning * copies)
    if config.processes > 1:
        parted = bool(config.zero) or (config.fsdp and config.method in WHOLE)
        state, step = (state / config.processes, step / config.processes) if parted else (state, step)
        if config.zero > 1:
            gradients, bucket = gradients / config.processes, float(min(learning, BUCKET) * width)
        elif config.fsdp and parted:  # those of a layer are whole, and again in float32 as they are brought together
            gradients, bucket = gradients / config.processes, learning * (width + 4) / max(info.layers, 1)
        else:
            bucket = gradients
    return _Optimizing(state, gradients, bucket, step)


def _activations(
    info: ModelInfo, config: TrainingConfig, method: Method, width: int, length: int, at_once: int
) -> float:
    """Bytes of a batch that are kept for the way back, measured on llama-like models, on BERT and on T5.

    Encoders, and models that read and write, drop attention at random while they learn, so each token keeps how it
    looked at every other, in float32.
    """
    if info.kind == "encoder":
        heads = max(12, info.hidden // 64)
        whole = at_once * (4 * (5.5 * info.hidden + 3.3 * info.intermediate) + 14 * heads * length)
    elif info.kind == "seq2seq":
        whole = _of_two_stacks(info, config, width, length, at_once)
    else:
        whole = at_once * (9.2 * info.hidden + 5.5 * info.intermediate) * width
    whole *= method.depth(info, config) * method.keeps
    if config.gradient_checkpointing:
        written = config.batch_size * config.answer_length if info.kind == "seq2seq" else 0
        return info.layers * info.hidden * width * (at_once + written) + whole
    return info.layers * whole


def _of_two_stacks(info: ModelInfo, config: TrainingConfig, width: int, length: int, at_once: int) -> float:
    """Bytes that a layer of the reader and one of the writer keep: the writer's looks at both texts.

    The bound of what is written is the longest answer. On a processor looks are in float32 whatever the weights are.
    """
    heads, answer = max(8, info.hidden // 64), config.answer_length
    linear = 5.5 * info.hidden + 3.3 * info.intermediate
    read = width * (linear + 2 * info.hidden) + 14 * heads * length
    written = width * (linear + 4 * info.hidden) + 14 * heads * (length + answer)
    return at_once * read + config.batch_size * answer * written
