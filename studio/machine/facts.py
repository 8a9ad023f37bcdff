"""What this machine has, found without torch: cores, memory, GPUs, number formats, free disk space."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from studio.machine.fresh import kept_for
from studio.machine.limits import cpu_quota, memory_limit

GPU_OF_RUNS = "STUDIO_GPU_OF_RUNS"
"""Environment variable with a GPU, written as nvidia-smi does: name, MiB of memory, MiB free."""
NVIDIA_SMI = ("/usr/lib/wsl/lib/nvidia-smi", "/usr/bin/nvidia-smi")
"""Where the tool is installed when it is not on the path."""


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch may use. Sizes in bytes."""

    name: str
    memory_total: int
    memory_available: int


@dataclass(frozen=True)
class MachineFacts:
    """The part of this machine that this process may use. Sizes in bytes."""

    cores: int
    memory_total: int
    memory_available: int
    disk_free: int
    gpus: tuple[Gpu, ...] = ()
    bfloat16_fast: bool = False
    """The CPU computes in bfloat16, or emulates it at little cost."""

    @property
    def training_memory(self) -> int:
        """Bytes that a run can use: the memory of the largest GPU, otherwise of the machine."""
        return max((gpu.memory_total for gpu in self.gpus), default=self.memory_total)

    def sentence(self) -> str:
        """One line, for example `2 cores · 24 GB of memory · no GPU`."""
        cores = f"{self.cores} core{'s' if self.cores != 1 else ''}"
        gpus = ", ".join(f"{gpu.name} with {gpu.memory_total / 2**30:.0f} GB" for gpu in self.gpus)
        return f"{cores} · {self.memory_total / 2**30:.0f} GB of memory · {gpus or 'no GPU'}"


@kept_for(1.0)
def machine_facts(folder: Path | None = None) -> MachineFacts:
    """The machine as it is now, or a second ago. `folder` is where the free disk space is measured."""
    return _read_facts(folder)


def _read_facts(folder: Path | None = None) -> MachineFacts:
    memory, (limit, left) = psutil.virtual_memory(), memory_limit()
    return MachineFacts(
        cores=usable_cores(),
        memory_total=_within(memory.total, limit),
        memory_available=_within(memory.available, left),
        disk_free=disk_free(folder or Path.home()),
        gpus=_gpus(),
        bfloat16_fast=_bfloat16_fast(),
    )


def memory_available() -> int:
    """Bytes of memory that this process could use now."""
    (_, left), available = memory_limit(), psutil.virtual_memory().available
    return _within(available, left)


def _within(memory: int, limit: int | None) -> int:
    """Bytes of memory under a limit, if there is one."""
    return memory if limit is None else min(memory, limit)


def free_for_training() -> int:
    """Bytes that a run in this process could use now, on the largest GPU or in the machine's memory."""
    _gpus.cache_clear()
    machine = _read_facts()
    own = psutil.Process().memory_info().rss
    return max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available + own)


def usable_cores() -> int:
    """Cores that this process may use, by affinity and by quota. At least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, cores if quota is None else min(cores, round(quota)))


def disk_free(folder: Path) -> int:
    """Free bytes on the disk of a folder, or of its nearest parent that exists."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


@cache
def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs that CUDA_VISIBLE_DEVICES does not hide, as nvidia-smi reports them. Without the tool, torch finds
    none either.

    Where only runs get a GPU and this process does not, a variable describes it.
    """
    if described := parse_gpu(os.environ.get(GPU_OF_RUNS, "")):
        return (described,)
    tool = shutil.which("nvidia-smi") or next((path for path in NVIDIA_SMI if Path(path).exists()), None)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if tool is None or visible in ("", "-1"):
        return ()
    command = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = output.splitlines()
    if visible and all(number.strip().isdecimal() for number in visible.split(",")):
        lines = [lines[number] for number in map(int, visible.split(",")) if number < len(lines)]
    return tuple(gpu for line in lines if (gpu := parse_gpu(line)))


def parse_gpu(line: str) -> Gpu | None:
    """Parse a line of nvidia-smi: name, total memory and free memory in MiB."""
    name, total, free = (*(part.strip() for part in line.rsplit(",", 2)), "", "")[:3]
    return Gpu(name, int(total) << 20, int(free) << 20) if total.isdigit() and free.isdigit() else None


@cache
def _bfloat16_fast() -> bool:
    """Read from the CPU flags on Linux. Apple's CPUs support it from the M2 on, and lose little before."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}.isdisjoint(flags.split())
