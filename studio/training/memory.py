"""How much memory a run would need at its peak, worked out before it starts.

Every figure was measured on living runs; benchmarks/memory.py prints estimate and measurement side by side.
"""

from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.distributed import BUCKET
from studio.training.methods import Method, method_named
from studio.training.optimizers import OPTIMIZERS

MB = 1 << 20
LIBRARIES = 700 * MB
"""torch, transformers, peft and trl, imported."""
ON_GPU = 600 * MB
"""What a GPU's own libraries take of its memory."""
CHUNK = 2**24
"""Logits at a time while learning (training/loss.py: CHUNK_NUMBERS)."""
CHECK_POSITIONS = 1024
"""Positions of which logits are made at a time in a check."""
LOGIT_BYTES = 8
"""Of each logit: itself in both formats, and its gradient or its logarithm."""
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
    `labels` how many a classifier tells apart (0: it writes text), `tokens` those of the largest batch (0: as many
    rows of the longest).
    """
    method = method_named(config.method)
    width = 4 if config.precision == "float32" else 2
    length = min(longest or config.max_length, config.max_length, info.context or config.max_length)
    at_once = tokens or config.batch_size * length
    learning = method.learned(info, config, labels)
    kept, of_step = _optimizer(config, method, learning, width)
    weights = _weights(info, config, width)
    libraries = (ON_GPU if gpu else LIBRARIES) + (DEEPSPEED if config.zero else 0)
    activations = at_once * _activations(info, config, method, width, length)
    logits = 0.0 if labels else LOGIT_BYTES * min(at_once * learned_share * info.vocabulary, CHUNK)
    check = 0.0 if labels else LOGIT_BYTES * info.vocabulary * min(2 * config.batch_size * length, CHECK_POSITIONS)
    at_work = max(kept + activations + logits, kept + of_step, check)
    if config.zero < 3:
        return round(libraries + weights + at_work)
    part = weights / config.processes
    if gpu:  # whole for a moment at the end; loaded in the machine's memory
        return round(libraries + max(weights + part, part + info.vocabulary * info.hidden * width + at_work))
    return round(libraries + weights + part + at_work)


def _weights(info: ModelInfo, config: TrainingConfig, width: int) -> float:
    """The base as it is held; fewer bits for all but the embedding."""
    if config.method != "qlora":
        return info.parameters * width
    embedding = info.vocabulary * info.hidden
    short = NF4 if config.quantisation == "4-bit" else INT8
    return embedding * width + max(info.parameters - embedding, 0) * short


def _optimizer(config: TrainingConfig, method: Method, learning: int, width: int) -> tuple[float, float]:
    """Bytes of gradients and state that stay in a process, and those of a step alone."""
    chosen = OPTIMIZERS[config.optimizer]
    if not chosen.masters:
        width = 4
    copies = 4 if config.zero or (chosen.masters and width == 2) else 0
    state, gradients = learning * (chosen.state_bytes + copies), float(learning * width)
    if config.processes > 1:
        state /= config.processes if config.zero else 1
        gradients = gradients / config.processes + min(learning, BUCKET) * width if config.zero > 1 else 2 * gradients
    return gradients + state, learning * copies / (config.processes if config.zero else 1)


def _activations(info: ModelInfo, config: TrainingConfig, method: Method, width: int, length: int) -> float:
    """Bytes a token that are kept for the way back, measured on llama-like models and on BERT.

    Encoders drop attention at random while they learn, so each keeps how it looked at every other token, in float32.
    """
    if info.kind == "encoder":
        heads = max(12, info.hidden // 64)
        whole = info.layers * (4 * (5.5 * info.hidden + 3.3 * info.intermediate) + 14 * heads * length)
    else:
        whole = info.layers * (9.2 * info.hidden + 5.5 * info.intermediate) * width
    whole *= method.depth(info, config) * method.keeps
    if config.gradient_checkpointing:
        return info.layers * info.hidden * width + whole / max(info.layers, 1)
    return whole
