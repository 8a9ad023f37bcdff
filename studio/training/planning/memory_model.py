"""Estimates the peak memory of a run before it starts.

Every constant was measured on real runs. benchmarks/memory.py compares estimates with measurements.
"""

from dataclasses import dataclass

from studio.inference.heads import SINGLE_PASS_HEADS
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.tasks import task_named
from studio.training.distributed.processes import BUCKET
from studio.training.methods import method_named
from studio.training.optimizers import OPTIMIZERS

MB = 1 << 20
LIBRARIES = 700 * MB
"""torch, transformers, peft and trl after import."""
GPU_LIBRARIES = 600 * MB
"""GPU memory of the GPU's own libraries."""
CHUNK = 2**24
"""Logits per chunk during training (training/losses/causal_lm.py: CHUNK_LOGITS)."""
VALIDATION_POSITIONS = 1024
"""Number of positions whose logits are computed at a time during validation."""
LOGIT_BYTES = 8
"""Bytes per logit: the value in two formats, and its gradient or logarithm."""
TRAINING_COPIES, VALIDATION_COPIES = 3, 2
"""Copies of the logits of an encoder–decoder, which computes all positions at once: the logits, their logarithm, and
during training a gradient."""
NF4, INT8 = 0.53, 1.02
"""Bytes per weight in 4 and 8 bits, including scales."""
DEEPSPEED = 60 * MB
"""DeepSpeed after import, and its communication buffers."""
LAUNCHING = 450 * MB
"""The worker and torchrun, which do not train themselves. Less for a fresh worker, more for a prepared one."""


@dataclass(frozen=True)
class RowFacts:
    """What the memory of a run depends on besides model and settings."""

    longest: int = 0
    """The longest row in tokens. 0: the maximum length."""
    learned_share: float = 0.5
    """The share of trained tokens."""
    labels: int = 0
    """The number of labels of a classifier. 0: a score, or none."""
    tokens: int = 0
    """The tokens of the largest batch. 0: a batch of the longest rows."""


LONGEST_ROWS = RowFacts()
"""Rows of the maximum length."""


def estimate_memory(
    info: ModelInfo, config: TrainingConfig, rows: RowFacts = LONGEST_ROWS, *, gpu: bool = False
) -> int:
    """Peak memory of a run in bytes: of one GPU, or of all its processes together."""
    each = process_memory(info, config, rows, gpu=gpu)
    return each if gpu or config.processes == 1 else config.processes * each + LAUNCHING


@dataclass(frozen=True)
class _OptimizerMemory:
    """Bytes per process of gradients, optimizer state and their buffers."""

    state: float
    gradients: float
    bucket: float
    """Gradients in communication between processes."""
    step: float
    """Temporary memory of an optimizer step."""


def process_memory(info: ModelInfo, config: TrainingConfig, rows: RowFacts = LONGEST_ROWS, *, gpu: bool = False) -> int:
    """Peak memory of each process of a run in bytes."""
    width = _width(config)
    length = min(rows.longest or config.max_length, config.max_length, info.context or config.max_length)
    batch_tokens = rows.tokens or config.batch_size * length
    optimizing = _optimizer_memory(info, config, rows.labels)
    weights = _weights(info, config, width)
    libraries = (GPU_LIBRARIES if gpu else LIBRARIES) + (DEEPSPEED if config.zero else 0)
    activations = _activations(info, config, length, batch_tokens)
    logits, validation = _logits(info, config, width, batch_tokens * rows.learned_share, length)
    shard_bytes = weights / config.processes
    if gpu and _uses_offload(config):
        # DeepSpeed computes the step where the optimizer state is, and moves the gradients that it shards there as well
        kept, step = optimizing.bucket + (optimizing.gradients if config.zero == 1 else 0.0), 0.0
        shard_bytes = 0.0
    else:
        kept, step = optimizing.bucket + optimizing.gradients + optimizing.state, optimizing.step
    working = max(kept + activations + logits, kept + step, validation)
    if config.zero < 3 and not config.fsdp:
        return round(libraries + weights + working)
    if gpu:  # unsharded for a moment at the end; loaded in the machine's memory
        return round(
            libraries + max(weights + shard_bytes, shard_bytes + info.vocabulary * info.hidden * width + working)
        )
    return round(libraries + weights + shard_bytes + working)


def offloaded_memory(info: ModelInfo, config: TrainingConfig, labels: int = 0) -> int:
    """Bytes of the machine's memory for the data that a run on GPUs offloads."""
    if not _uses_offload(config) or config.offload != "cpu":
        return 0
    optimizing = _optimizer_memory(info, config, labels)
    each = optimizing.state + (optimizing.gradients if config.zero > 1 else 0.0)
    return round(config.processes * each + (_weights(info, config, _width(config)) if config.zero == 3 else 0.0))


def head_size(info: ModelInfo, config: TrainingConfig, labels: int) -> int:
    """Number of outputs of a classification head: one per label, or one score. 0 for any other head."""
    return max(1, labels) if _head(info, config) == "labels" else 0


def is_discriminative(info: ModelInfo, config: TrainingConfig) -> bool:
    """Whether the model outputs labels, a score or spans in one forward pass, and generates no text."""
    return info.kind == "encoder" or _head(info, config) in SINGLE_PASS_HEADS


def _head(info: ModelInfo, config: TrainingConfig) -> str:
    """The head that the model is trained with, independent of the columns."""
    return task_named(config.task).variant(info.kind, {}).head


def _uses_offload(config: TrainingConfig) -> bool:
    """Whether data of the run is offloaded. Only what ZeRO shards can be."""
    return bool(config.zero) and config.offload != "none"


def _logits(info: ModelInfo, config: TrainingConfig, width: int, learned: float, length: int) -> tuple[float, float]:
    """Bytes of the logits during a step and during validation. 0 for classification and span heads.

    `learned` is the number of trained tokens of a batch. An encoder–decoder computes the logits of all target
    positions.
    """
    if is_discriminative(info, config):
        return 0.0, 0.0
    if info.kind == "seq2seq":
        written = config.batch_size * config.answer_length * info.vocabulary * width
        return TRAINING_COPIES * written, VALIDATION_COPIES * 2 * written
    positions = min(2 * config.batch_size * length, VALIDATION_POSITIONS)
    return LOGIT_BYTES * min(learned * info.vocabulary, CHUNK), LOGIT_BYTES * info.vocabulary * positions


def _weights(info: ModelInfo, config: TrainingConfig, width: int) -> float:
    """Bytes of the base model as loaded. Embeddings are not quantized."""
    if info.quantized and info.bytes:
        return float(info.bytes)
    if not method_named(config.method).quantized:
        return info.parameters * width
    embedding = info.vocabulary * info.hidden
    bytes_per_weight = NF4 if config.quantization == "4-bit" else INT8
    return embedding * width + max(info.parameters - embedding, 0) * bytes_per_weight


def _width(config: TrainingConfig) -> int:
    """Bytes of a number in the precision of the run."""
    return 4 if config.precision == "float32" else 2


def _optimizer_memory(info: ModelInfo, config: TrainingConfig, labels: int) -> _OptimizerMemory:
    """Memory of the trainable weights besides the weights themselves."""
    learning = method_named(config.method).learned(info, config, head_size(info, config, labels))
    chosen, width = OPTIMIZERS[config.optimizer], _width(config)
    if not chosen.masters:
        width = 4
    copies = 4 if config.zero or (chosen.masters and width == 2) else 0
    state, gradients, bucket = learning * (chosen.state_bytes + copies), float(learning * width), 0.0
    step = float(learning * copies)
    if config.processes > 1:
        is_sharded = bool(config.zero) or (config.fsdp and method_named(config.method).trains_base_weights)
        state, step = (state / config.processes, step / config.processes) if is_sharded else (state, step)
        if config.zero > 1:
            gradients, bucket = gradients / config.processes, float(min(learning, BUCKET) * width)
        # Gradients of a layer are complete, and once more in float32 while they are reduced.
        elif config.fsdp and is_sharded:
            gradients, bucket = gradients / config.processes, learning * (width + 4) / max(info.layers, 1)
        else:
            bucket = gradients
    return _OptimizerMemory(state, gradients, bucket, step)


def _activations(info: ModelInfo, config: TrainingConfig, length: int, batch_tokens: int) -> float:
    """Bytes of activations of a batch, measured on llama-like models, BERT and T5.

    Encoders and encoder–decoders use dropout in attention, so each token keeps its attention weights for every other
    token, in float32.
    """
    method, width = method_named(config.method), _width(config)
    if info.kind == "encoder":
        heads = max(12, info.hidden // 64)
        whole = batch_tokens * (4 * (5.5 * info.hidden + 3.3 * info.intermediate) + 14 * heads * length)
    elif info.kind == "seq2seq":
        whole = _encoder_decoder_layer(info, config, width, length, batch_tokens)
    else:
        whole = batch_tokens * (9.2 * info.hidden + 5.5 * info.intermediate) * width
    whole *= method.depth(info, config) * method.keeps
    if config.gradient_checkpointing:
        written = config.batch_size * config.answer_length if info.kind == "seq2seq" else 0
        return info.layers * info.hidden * width * (batch_tokens + written) + whole
    return info.layers * whole


def _encoder_decoder_layer(
    info: ModelInfo, config: TrainingConfig, width: int, length: int, batch_tokens: int
) -> float:
    """Bytes of activations of one encoder and one decoder layer. The decoder attends to both texts.

    The target length is bounded by the maximum answer length. On a CPU, attention weights are float32 for any format of
    the weights.
    """
    heads, answer = max(8, info.hidden // 64), config.answer_length
    linear = 5.5 * info.hidden + 3.3 * info.intermediate
    read = width * (linear + 2 * info.hidden) + 14 * heads * length
    written = width * (linear + 4 * info.hidden) + 14 * heads * (length + answer)
    return batch_tokens * read + config.batch_size * answer * written
