"""Checks whether this machine can run the studio, one result per part. Needs no network and imports no torch."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from studio.machine.deepspeed import check_deepspeed
from studio.machine.facts import MachineFacts, machine_facts
from studio.machine.plugins import LOADED
from studio.schema.report import MachineCheck

LEAST_MEMORY, LEAST_DISK = 4 << 30, 2 << 30
SHOWN = ("torch", "transformers", "peft", "trl", "gradio", "huggingface_hub")


def check_machine(home: Path | None = None) -> list[MachineCheck]:
    """All checks of the machine. `home` is the folder that holds the runs."""
    folder = home or Path.home()
    facts = machine_facts(folder)
    return [
        _python(),
        _memory(facts),
        _disk(facts, folder),
        MachineCheck(name="cores", ok=True, detail=_cores(facts)),
        _libraries(),
        _gpu(facts),
        _four_bits(),
        check_deepspeed(),
    ]


def check_plugins() -> list[MachineCheck]:
    """One check for each package that adds something, and one for each plugin that is not used.

    Only plugins that were loaded before are known.
    """
    added: dict[str, list[str]] = {}
    for plugin in LOADED:
        if not plugin.problem:
            added.setdefault(plugin.package, []).append(f"{plugin.kind} {plugin.name}")
    good = [
        MachineCheck(name="plugin", ok=True, detail=f"{package} adds {', '.join(names)}.", needed=False)
        for package, names in sorted(added.items())
    ]
    fix = "Upgrade the package, or uninstall it."
    return good + [
        MachineCheck(name="plugin", ok=False, detail=plugin.problem, fix=fix, needed=False)
        for plugin in LOADED
        if plugin.problem
    ]


def _check(name: str, ok: bool, detail: str, fix: str, needed: bool = True) -> MachineCheck:
    """A check that shows its fix only when it is not ok."""
    return MachineCheck(name=name, ok=ok, detail=detail, fix="" if ok else fix, needed=needed)


def _python() -> MachineCheck:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fix = "Install Python 3.11 or newer and run `make setup` again."
    return _check("python", sys.version_info >= (3, 11), detail, fix)


def _memory(facts: MachineFacts) -> MachineCheck:
    detail = f"{facts.memory_total / 2**30:.1f} GB, {facts.memory_available / 2**30:.1f} GB free"
    fix = "Training a starter needs about 3 GB. Give this machine or container at least 4 GB."
    return _check("memory", facts.memory_total >= LEAST_MEMORY, detail, fix)


def _disk(facts: MachineFacts, folder: Path) -> MachineCheck:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    writable = there.is_dir() and os.access(there, os.W_OK)
    fix = "Free some disk space. A run of a starter needs up to 1 GB."
    if not writable:
        fix = f"The studio can't write to the folder {there}. Choose another one with --home."
    detail = f"{facts.disk_free / 2**30:.1f} GB free, runs are saved in {folder}"
    return _check("disk", writable and facts.disk_free >= LEAST_DISK, detail, fix)


def _cores(facts: MachineFacts) -> str:
    cores = f"{facts.cores} core{'s' if facts.cores != 1 else ''}"
    return f"{cores}, {'fast' if facts.bfloat16_fast else 'slow'} with bfloat16"


def _libraries() -> MachineCheck:
    """Whether all required libraries have the tested versions."""
    versions = ", ".join(f"{name} {_version(name) or 'missing'}" for name in SHOWN)
    wrong = _unmet()
    detail = f"{versions}. Wrong versions: {', '.join(wrong)}" if wrong else versions
    return _check("libraries", not wrong, detail, "Run `make setup` again.")


def _unmet() -> list[str]:
    """Requirements of the studio's package that are missing or have another version."""
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(line) for line in requires("finetune-studio") or ()]
    except PackageNotFoundError:
        return ["finetune-studio (not installed)"]
    wrong = []
    for each in needed:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        installed = _version(each.name)
        if installed is None or not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} {installed or 'missing'} (needed: {each.specifier or 'any'})")
    return wrong


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _gpu(facts: MachineFacts) -> MachineCheck:
    names = ", ".join(f"{gpu.name} ({gpu.memory_total / 2**30:.0f} GB)" for gpu in facts.gpus)
    fix = "Optional. With an NVIDIA GPU and its driver, larger models train much faster."
    return _check("gpu", bool(names), names or "none found, so runs use the CPU", fix, needed=False)


def _four_bits() -> MachineCheck:
    installed = _version("bitsandbytes")
    detail = f"bitsandbytes {installed}" if installed else "bitsandbytes is missing, so QLoRA is not available"
    return _check("4-bit", installed is not None, detail, "Run `make setup` again.", needed=False)
