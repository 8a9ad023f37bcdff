"""Whether DeepSpeed can run here. It is optional, and compiles a part of itself when it first offloads to disk."""

import platform
import shutil
import subprocess
import sys
import sysconfig
from ctypes.util import find_library
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studio.machine.packages import is_installed
from studio.schema.report import MachineCheck

INSTALL = "pip install 'finetune-studio[deepspeed]' (in a copy of the project: make test-setup)"
TOOLS = ("g++", "c++", "clang++")
NVME = "from deepspeed.ops.op_builder import AsyncIOBuilder as A; raise SystemExit(0 if A().is_compatible() else 3)"
NVME_SECONDS = 60
NO_LIBAIO = "DeepSpeed needs the system library libaio to offload to disk. Install libaio-dev."


def why_no_deepspeed() -> str:
    """Why ZeRO can't be used on this machine. Empty when it can."""
    if not is_installed("deepspeed"):
        return f"ZeRO needs the library DeepSpeed, which is not installed. Install it with {INSTALL}."
    if platform.system() != "Linux":
        return "DeepSpeed runs on Linux only. Data parallel training (zero 0) works here."
    return ""


@cache
def why_no_nvme() -> str:
    """Why a run can't offload to disk. Empty when it can. With libaio here, it starts DeepSpeed to find out, which
    takes one to two seconds."""
    if why := why_no_deepspeed() or _why_no_compiler():
        return why
    if find_library("aio") is None:
        return NO_LIBAIO
    try:
        command = [sys.executable, "-P", "-c", NVME]
        result = subprocess.run(command, capture_output=True, check=False, timeout=NVME_SECONDS)
    except subprocess.TimeoutExpired:
        return "DeepSpeed did not report whether it can offload to disk on this machine."
    if result.returncode == 0:
        return ""
    return NO_LIBAIO


def _why_no_compiler() -> str:
    if not any(shutil.which(tool) for tool in TOOLS):
        return "DeepSpeed compiles code to offload to disk, but there is no C++ compiler. Install g++."
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "DeepSpeed compiles code to offload to disk, but Python.h is missing. Install python3-dev."
    return ""


def check_deepspeed() -> MachineCheck:
    """The check of DeepSpeed for `studio doctor`."""
    why = why_no_deepspeed()
    try:
        version_text = f"DeepSpeed {version('deepspeed')}"
    except PackageNotFoundError:
        version_text = "DeepSpeed is not installed"
    return MachineCheck(
        name="several processes",
        ok=not why,
        detail=version_text if not why else f"{version_text}. Data parallel training is available, ZeRO is not",
        fix=f"Optional. {why}" if why else "",
        needed=False,
    )
