"""Estimates of a run before it starts: steps, time, memory and trainable parameters."""

from studio.machine.facts import MachineFacts
from studio.schema.config import Plan, TrainingConfig
from studio.schema.models import Estimate, Measured, ModelInfo
from studio.tasks import task_named
from studio.training.methods import method_named
from studio.training.planning.eval_schedule import VALIDATION_ROW_COST, eval_interval, total_steps
from studio.training.planning.memory_model import head_size, is_discriminative, offloaded_memory
from studio.training.planning.parallelism import strategy_of
from studio.training.planning.plan_facts import PlanFacts, as_trained, label_count, memory_of, per_process

CORE_SPEED = {"bfloat16": 4.0e10, "float16": 4.0e10, "float32": 2.0e10}
"""Tokens × parameters per second and core with LoRA, measured (docs/background/memory-and-speed.md)."""
SLOW_BFLOAT16 = 0.4e10
"""The same for a CPU without bfloat16 instructions."""
GPU_SPEED = 1.5e12
"""The same for a GPU, a conservative guess."""
PADDING = 1.05
"""Computed tokens per real token."""
START_SECONDS = 8.0
REPLY_SECONDS = 3.0
"""Seconds for a test prompt, answered twice, with a model of 100 million parameters."""


def estimate(
    plan: Plan, info: ModelInfo, facts: PlanFacts, machine: MachineFacts, measured: Measured | None = None
) -> Estimate:
    """Steps, seconds, memory and parameters of a planned run, refined by a measurement if there is one."""
    config, method = plan.config, method_named(plan.config.method)
    facts = as_trained(facts, config)
    steps = total_steps(facts.train_rows, config)
    rows_a_step = min(config.rows_a_step, facts.train_rows)
    memory = measured.memory_bytes if measured else memory_of(config, info, facts, machine)
    available = max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available)
    host_memory = offloaded_memory(info, config, label_count(config, facts)) if machine.gpus else 0
    short = memory_shortage(memory, available, host_memory, machine)
    learned = method.learned(info, config, head_size(info, config, facts.labels))
    return Estimate(
        fits=not short,
        memory_bytes=memory,
        available_bytes=available,
        beside_bytes=host_memory,
        beside_available_bytes=machine.memory_available if host_memory else 0,
        short=short,
        seconds=round(run_seconds(config, info, facts, machine, measured.tokens_per_second if measured else None), 1),
        steps=steps,
        epochs=round(steps * rows_a_step / max(1, facts.train_rows), 2) if config.max_steps else config.epochs,
        effective_batch_size=config.rows_a_step,
        disk_bytes=disk_needed(info, config, learned),
        trainable_parameters=learned,
        total_parameters=info.parameters,
        probed=measured is not None,
        per_process=per_process(config, info, facts, machine),
        because=plan.because,
    )


def disk_needed(info: ModelInfo, config: TrainingConfig, learned: int) -> int:
    """Bytes of a run's folder at the end: the result, the best and the last checkpoint, each with the saved weights
    (all weights if the result is a model), and the optimizer state of the last one."""
    saves_model = method_named(config.method).result == "model"
    short_format = saves_model and config.precision != "float32"
    weights = (max(info.parameters, learned) if saves_model else learned) * (2 if short_format else 4)
    state = learned * (12 if short_format else 8)  # two averages, and a float32 copy of a weight in a short format
    return 3 * weights + state


def memory_shortage(memory: int, available: int, host_memory: int, machine: MachineFacts) -> str:
    """A sentence for each memory that is too small, of a GPU or of the machine. All numbers are bytes."""
    sentences = []
    if memory > available:
        needed, free = _gb(memory), _gb(available)
        sentences.append(
            f"The GPU's memory is too small: the run needs {needed}, and {free} are free."
            if machine.gpus
            else f"The machine's memory is too small: the run needs {needed}, and {free} are free."
        )
    if host_memory > machine.memory_available:
        needed, free = _gb(host_memory), _gb(machine.memory_available)
        sentences.append(
            f"The machine's memory is too small for the data that the GPUs offload: the run needs {needed}, and {free} "
            "are free."
        )
    return " ".join(sentences)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"


def run_seconds(
    config: TrainingConfig,
    info: ModelInfo,
    facts: PlanFacts,
    machine: MachineFacts,
    tokens_per_second: float | None = None,
) -> float:
    """Seconds of a run when all cores are free, with a measured speed or with that of the formula.

    `facts` are those of the rows as they are trained (`as_trained`).
    """
    steps, rows_a_step = total_steps(facts.train_rows, config), min(config.rows_a_step, facts.train_rows)
    tokens = min(facts.mean_length, config.max_length) * task_named(config.task).sequences
    if tokens_per_second:
        row = tokens / tokens_per_second
    else:
        row = tokens * PADDING * computed(info) / speed(config, machine)
        row *= method_named(config.method).cost * (1.33 if config.gradient_checkpointing else 1.0)
    if config.processes > 1:
        row *= strategy_of(config).cost / (config.processes if machine.gpus else 1)
    seconds = START_SECONDS * (1 if config.processes == 1 else 2) + steps * rows_a_step * row
    if facts.validation_rows:
        checks = steps // eval_interval(facts.train_rows, facts.validation_rows, config) + 1
        seconds += checks * min(facts.validation_rows, config.eval_rows) * VALIDATION_ROW_COST * row
    if not is_discriminative(info, config):
        seconds += len(config.test_prompts) * REPLY_SECONDS * max(1.0, info.parameters / 1e8)
    return seconds


def computed(info: ModelInfo) -> float:
    """Parameters used in the computation of a token. An encoder only looks up its embedding table."""
    lookup = info.vocabulary * info.hidden if info.kind == "encoder" else 0
    return max(info.parameters - lookup, info.parameters * 0.2)


def speed(config: TrainingConfig, machine: MachineFacts) -> float:
    """Tokens × parameters per second."""
    if machine.gpus:
        return GPU_SPEED
    core = CORE_SPEED[config.precision]
    if config.precision != "float32" and not machine.bfloat16_fast:
        core = SLOW_BFLOAT16
    return core * (config.threads or machine.cores)
