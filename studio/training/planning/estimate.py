"""What a run would take, before it starts: steps, time, memory, and how much of the model learns."""

from studio.machine.facts import MachineFacts
from studio.schema.config import Plan, TrainingConfig
from studio.schema.models import Estimate, Measured, ModelInfo
from studio.tasks import task_named
from studio.training.methods import method_named
from studio.training.planning.eval_schedule import CHECK_ROW, check_every, total_steps
from studio.training.planning.memory_model import answers_at_once, offloaded_memory, outputs
from studio.training.planning.parallelism import way_of
from studio.training.planning.plan_facts import PlanFacts, as_learned, labels_told_apart, memory_of, per_process

CORE_SPEED = {"bfloat16": 4.0e10, "float16": 4.0e10, "float32": 2.0e10}
"""Tokens times parameters that a core trains a second with LoRA, measured (docs/training.md)."""
SLOW_BFLOAT16 = 0.4e10
"""The same where the processor has no instructions for it."""
GPU_SPEED = 1.5e12
"""The same for a GPU, as a careful guess."""
PADDING = 1.05
"""Tokens computed for one of the rows."""
START_SECONDS = 8.0
REPLY_SECONDS = 3.0
"""A test prompt, answered twice, on a model of a hundred million parameters."""


def estimate(
    plan: Plan, info: ModelInfo, facts: PlanFacts, machine: MachineFacts, measured: Measured | None = None
) -> Estimate:
    """Steps, seconds, memory and parameters of a planned run, sharpened by what was measured."""
    config, method = plan.config, method_named(plan.config.method)
    facts = as_learned(facts, config)
    steps = total_steps(facts.train_rows, config)
    rows_a_step = min(config.rows_a_step, facts.train_rows)
    memory = measured.memory_bytes if measured else memory_of(config, info, facts, machine)
    available = max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available)
    beside = offloaded_memory(info, config, labels_told_apart(config, facts)) if machine.gpus else 0
    short = what_is_short(memory, available, beside, machine)
    learned = method.learned(info, config, outputs(info, config, facts.labels))
    return Estimate(
        fits=not short,
        memory_bytes=memory,
        available_bytes=available,
        beside_bytes=beside,
        beside_available_bytes=machine.memory_available if beside else 0,
        short=short,
        seconds=round(_seconds(config, info, facts, machine, steps, rows_a_step, measured), 1),
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
    """Bytes of a run's folder at the end: the result, the best and the last checkpoint, each with the weights that are
    saved (of all layers where the result is a model), and the state of the optimizer in the last one."""
    whole = method_named(config.method).result == "model"
    short = whole and config.precision != "float32"
    weights = (max(info.parameters, learned) if whole else learned) * (2 if short else 4)
    state = learned * (12 if short else 8)  # two averages, and a float32 copy of a short weight
    return 3 * weights + state


def what_is_short(memory: int, available: int, beside: int, machine: MachineFacts) -> str:
    """A sentence for each memory that has too little room, of a GPU or of the machine; all numbers are bytes."""
    found = []
    if memory > available:
        whose = "GPU's" if machine.gpus else "machine's"
        found.append(f"The {whose} memory is short: {_gb(memory)} are needed, and {_gb(available)} are free.")
    if beside > machine.memory_available:
        found.append(
            f"The machine's own memory is short for what is held there in place of the GPUs': {_gb(beside)} are "
            f"needed, and {_gb(machine.memory_available)} are free."
        )
    return " ".join(found)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB"


def _seconds(
    config: TrainingConfig,
    info: ModelInfo,
    facts: PlanFacts,
    machine: MachineFacts,
    steps: int,
    rows_a_step: int,
    measured: Measured | None,
) -> float:
    tokens = min(facts.mean_length, config.max_length) * task_named(config.task).sequences
    if measured and measured.tokens_per_second:
        row = tokens / measured.tokens_per_second
    else:
        row = tokens * PADDING * computed(info) / speed(config, machine)
        row *= method_named(config.method).cost * (1.33 if config.gradient_checkpointing else 1.0)
    if config.processes > 1:
        row *= way_of(config).cost / (config.processes if machine.gpus else 1)
    seconds = START_SECONDS * (1 if config.processes == 1 else 2) + steps * rows_a_step * row
    if facts.validation_rows:
        checks = steps // check_every(facts.train_rows, facts.validation_rows, config) + 1
        seconds += checks * min(facts.validation_rows, config.eval_rows) * CHECK_ROW * row
    if not answers_at_once(info, config):
        seconds += len(config.test_prompts) * REPLY_SECONDS * max(1.0, info.parameters / 1e8)
    return seconds


def computed(info: ModelInfo) -> float:
    """Parameters that take part in computing a token: an encoder's table of words is only looked up."""
    lookup = info.vocabulary * info.hidden if info.kind == "encoder" else 0
    return max(info.parameters - lookup, info.parameters * 0.2)


def speed(config: TrainingConfig, machine: MachineFacts) -> float:
    """Tokens times parameters a second."""
    if machine.gpus:
        return GPU_SPEED
    core = CORE_SPEED[config.precision]
    if config.precision != "float32" and not machine.bfloat16_fast:
        core = SLOW_BFLOAT16
    return core * (config.threads or machine.cores)
