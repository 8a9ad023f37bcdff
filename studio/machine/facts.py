"""What this machine has, found out without torch: cores, memory, GPUs, number formats, room on the disk."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from studio.machine.limits import cpu_quota, memory_left, memory_limit

NVIDIA_SMI = ("/usr/lib/wsl/lib/nvidia-smi", "/usr/bin/nvidia-smi")
"""Where it lies when it is not on the path."""


@dataclass(frozen=True)
class Gpu:
    """A graphics processor that torch may use."""

    name: str
    memory_total: int
    memory_available: int


@dataclass(frozen=True)
class MachineFacts:
    """This machine, or as much of it as this process may use. Sizes in bytes."""

    cores: int
    memory_total: int
    memory_available: int
    disk_free: int
    gpus: tuple[Gpu, ...] = ()
    bfloat16_fast: bool = False
    """The processor computes in bfloat16, or it costs little to do so in software."""

    @property
    def training_memory(self) -> int:
        """What a run can use: the largest GPU's memory, else the machine's."""
        return max((gpu.memory_total for gpu in self.gpus), default=self.memory_total)

    def sentence(self) -> str:
        """In a line: `2 cores · 24 GB of memory · no GPU`."""
        cores = f"{self.cores} core{'s' if self.cores != 1 else ''}"
        gpus = ", ".join(f"{gpu.name} with {gpu.memory_total / 2**30:.0f} GB" for gpu in self.gpus)
        return f"{cores} · {self.memory_total / 2**30:.0f} GB of memory · {gpus or 'no GPU'}"


def machine_facts(folder: Path | None = None) -> MachineFacts:
    """The machine as it is now. `folder` is where room on the disk is asked for."""
    memory, limit = psutil.virtual_memory(), memory_limit()
    return MachineFacts(
        cores=usable_cores(),
        memory_total=min(memory.total, limit or memory.total),
        memory_available=memory_available(),
        disk_free=disk_free(folder or Path.home()),
        gpus=_gpus(),
        bfloat16_fast=_bfloat16_fast(),
    )


def memory_available() -> int:
    """Bytes that this process could take now."""
    left, available = memory_left(), psutil.virtual_memory().available
    return available if left is None else min(available, left)


def free_for_training() -> int:
    """Bytes that a run in this process could take now: of the largest GPU, else of the machine."""
    _gpus.cache_clear()
    machine = machine_facts()
    own = psutil.Process().memory_info().rss
    return max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available + own)


def usable_cores() -> int:
    """Cores that this process may use, by affinity and by quota; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, cores if quota is None else min(cores, round(quota)))


def disk_free(folder: Path) -> int:
    """Bytes that can still be written in a folder, or in the nearest one above it that exists."""
    for place in (folder, *folder.parents):
        if place.exists():
            return shutil.disk_usage(place).free
    return 0


@cache
def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA's, by its own tool. Without the tool torch would find none either."""
    tool = shutil.which("nvidia-smi") or next((path for path in NVIDIA_SMI if Path(path).exists()), None)
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    command = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for line in said.splitlines() if (gpu := parse_gpu(line)))


def parse_gpu(line: str) -> Gpu | None:
    """A line of nvidia-smi: name, total and free memory in MiB."""
    name, total, free = (*(part.strip() for part in line.rsplit(",", 2)), "", "")[:3]
    return Gpu(name, int(total) << 20, int(free) << 20) if total.isdigit() and free.isdigit() else None


@cache
def _bfloat16_fast() -> bool:
    """By the processor's flags on Linux; Apple's processors from the M2 on have it, and lose little before."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}.isdisjoint(flags.split())
