"""Several processes for one run: what each would hold, what that costs, and why it can't be. No torch.

DeepSpeed (training/distributed/processes.py) or FSDP (training/distributed/fsdp.py) shards the model; trainers only
select their rows.
"""

from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import Any

from studio.machine.deepspeed import why_no_deepspeed, why_no_nvme
from studio.machine.facts import MachineFacts
from studio.schema.config import WHOLE, TrainingConfig
from studio.schema.errors import StudioError
from studio.training.methods import METHODS

OPTIMIZERS = ("adamw", "sgd")
"""Those that do not mind that DeepSpeed lays all weights in one row, and gives each process a piece of it."""
OF_PARTS = ("adamw", "sgd", "rmsprop", "adagrad")
"""Those that learn the same of a part of each weight, which is all that a process has of a whole model under FSDP."""


@dataclass(frozen=True)
class Way:
    """A way for several processes to train one run."""

    zero: int
    title: str
    sentence: str
    cost: float
    """Time of a step beside one process on the same cores (benchmarks/processes.py)."""
    fsdp: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What chooses it."""
        return {"zero": self.zero, "fsdp": self.fsdp}


FSDP = Way(0, "FSDP", "As ZeRO-3, by PyTorch itself, without DeepSpeed.", 2.2, fsdp=True)
WAYS: tuple[Way, ...] = (
    Way(0, "Data parallel", "Each process holds all of it.", 1.3),
    Way(1, "ZeRO-1", "Each holds a part of the optimizer’s numbers.", 1.0),
    Way(2, "ZeRO-2", "A part of the gradients, too.", 1.0),
    Way(3, "ZeRO-3", "A part of the weights, too, brought together layer by layer.", 2.7),
    FSDP,
)


def way_of(config: TrainingConfig) -> Way:
    """The way that the settings choose."""
    return FSDP if config.fsdp else next(way for way in WAYS if way.zero == config.zero)


def further(config: TrainingConfig, machine: MachineFacts) -> Way | None:
    """The next way that shares out more and can be taken: a stage of ZeRO after the other, and FSDP where none can."""
    if config.fsdp or config.zero == 3:
        return None
    ways = [way for way in WAYS if way.zero == config.zero + 1 or way.fsdp]
    return next((way for way in ways if not problems(config.model_copy(update=way.settings), machine)), None)


def zero_off(machine: MachineFacts) -> dict[str, str]:
    """Stages of ZeRO that can't be chosen on this machine, each with the reason."""
    why = _why_no_zero(machine)
    return {str(way.zero): why for way in WAYS if way.zero and why}


def fsdp_off(machine: MachineFacts) -> dict[str, str]:
    """The same of FSDP."""
    return {"True": why} if (why := why_no_fsdp(machine)) else {}


def offload_off(machine: MachineFacts) -> dict[str, str]:
    """Where a run can't hold what ZeRO shares out, each with the reason.

    DeepSpeed is asked of the disk beside, since it takes seconds: until it answers nothing is said, and a plan that
    wants the disk waits for the answer.
    """
    if why := _why_no_zero(machine):
        return {"cpu": why, "nvme": why}
    _ask_of_disk()
    if not why_no_nvme.cache_info().currsize or not (why := why_no_nvme()):
        return {}
    return {"nvme": why}


@cache
def _ask_of_disk() -> None:
    """Once, since what is not answered yet would be asked again."""
    Thread(target=why_no_nvme, daemon=True).start()


def _why_no_zero(machine: MachineFacts) -> str:
    most, each = places(machine)
    if most < 2:
        return f"ZeRO shares a run out among processes with a {each} of their own, and there is one {each}."
    return why_no_deepspeed()


def why_no_fsdp(machine: MachineFacts) -> str:
    """Why PyTorch's own way to share weights out is not offered here; empty where it is."""
    if len(machine.gpus) > 1:
        return ""
    if machine.gpus:
        return "FSDP shares weights out among several GPUs, and there is one."
    return "FSDP is for several GPUs: processes on one processor have one memory, in which one process holds as little."


def places(machine: MachineFacts) -> tuple[int, str]:
    """For how many processes there is room, and what each needs one of."""
    return (len(machine.gpus), "GPU") if machine.gpus else (machine.cores, "core")


def problems(config: TrainingConfig, machine: MachineFacts) -> list[StudioError]:
    """What speaks against the processes that were asked for, all of it."""
    found = [_of_zero(config, machine), _of_offload(config), _of_places(config, machine), _of_head(config)]
    if config.fsdp:
        found += _of_fsdp(config, machine)
    elif config.processes > 1 and config.zero:
        found += [_of_exact(config, machine), _of_optimizer(config, machine)]
    return [each for each in found if each is not None]


def _wrong(field: str, what: str, given: object, valid: str) -> StudioError:
    return StudioError("bad-setting", what, given=given, valid=valid, field=field)


def _or_fsdp(machine: MachineFacts) -> str:
    return "" if why_no_fsdp(machine) else ", or fsdp in its place"


def _of_zero(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    if not config.zero:
        return None
    if config.processes == 1:
        what = "ZeRO shares a run out among several processes, and there is only one."
        return _wrong("zero", what, f"ZeRO-{config.zero} with 1 process", "2 processes or more, or zero 0")
    if why := why_no_deepspeed():
        return _wrong("zero", why, f"ZeRO-{config.zero}", f"0, which is plain data parallel{_or_fsdp(machine)}")
    return None


def _of_offload(config: TrainingConfig) -> StudioError | None:
    if config.offload == "none":
        return None
    if not config.zero:
        what = "Only what ZeRO shares out can be held elsewhere."
        return _wrong("offload", what, f"{config.offload} without ZeRO", "none, or zero 1, 2 or 3")
    if config.offload == "nvme" and config.zero != 3:
        return _wrong("offload", "Only ZeRO-3 can hold a part of a run on the disk.", "nvme", "cpu, or zero 3")
    if config.offload == "nvme" and (why := why_no_nvme()):
        return _wrong("offload", why, "nvme", "cpu or none")
    return None


def _of_places(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    most, each = places(machine)
    if config.processes <= max(most, 1):
        return None
    what = f"Each process needs a {each} of its own, and there are not so many."
    if most == 1:
        what = f"Each process needs a {each} of its own, and there is one."
    return _wrong("processes", what, config.processes, f"up to {most}")


def _of_head(config: TrainingConfig) -> StudioError | None:
    if config.processes == 1 or not config.head_first:
        return None
    what = "Several processes settle at the first step which weights learn, so the head can't learn alone before."
    return _wrong("head_first", what, f"{config.head_first:g} with {config.processes} processes", "0, or 1 process")


def _of_fsdp(config: TrainingConfig, machine: MachineFacts) -> list[StudioError]:
    """Of weights in few bits a part means nothing, and the scale of float16 steps would differ from part to part."""
    found = []
    if why := why_no_fsdp(machine):
        found.append(_wrong("fsdp", why, "on", "off; zero 3 shares out the same where DeepSpeed is"))
    elif config.processes == 1:
        what = "FSDP shares a run out among several processes, and there is only one."
        found.append(_wrong("fsdp", what, "on with 1 process", "2 processes or more, or off"))
    if config.zero:
        what = "ZeRO and FSDP are two ways to share out the same weights."
        found.append(_wrong("fsdp", what, f"both, with ZeRO-{config.zero}", "fsdp on with zero 0, or off"))
    method = METHODS.get(config.method)
    if method is not None and method.quantised:
        what = "FSDP can't share out a base that is held in few bits: each process would hold all of it."
        found.append(_wrong("fsdp", what, f"on with {method.title}", "zero 3, or the method lora"))
    if config.precision == "float16":
        found.append(_wrong("precision", "FSDP trains in bfloat16 or float32.", "float16", "bfloat16 or float32"))
    if config.method in WHOLE and config.optimizer not in OF_PARTS:
        what = f"FSDP gives each process a part of every weight, and the optimizer {config.optimizer} needs it whole."
        found.append(_wrong("optimizer", what, config.optimizer, ", ".join(OF_PARTS)))
    return found


def _of_exact(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    method = METHODS.get(config.method)
    if config.precision == "float32" or method is None or not getattr(method, "exact", ()):
        return None
    what = f"{method.title} holds some weights in float32, and DeepSpeed holds all in one format."
    right = f"precision float32, or zero 0{_or_fsdp(machine)}"
    return _wrong("zero", what, f"ZeRO-{config.zero} in {config.precision}", right)


def _of_optimizer(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    if config.optimizer in OPTIMIZERS:
        return None
    right = ", ".join(OPTIMIZERS) + ("" if config.method in WHOLE else _or_fsdp(machine))
    what = f"ZeRO lays all weights in one row, which the optimizer {config.optimizer} is not made for."
    return _wrong("optimizer", what, config.optimizer, right)
