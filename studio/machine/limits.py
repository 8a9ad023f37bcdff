"""Limits of a container for this process, from cgroup v2 or v1. All are None without a cgroup."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
WHOLE = Path("/proc/vmstat")


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """The CPU limit in cores, or None without a limit."""
    quotas = []
    for folder in _folders("cpu", root, own):
        whole = _read(folder / "cpu.max").split()
        if len(whole) == 2 and whole[0].isdigit():
            quotas.append(int(whole[0]) / int(whole[1]))
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> tuple[int | None, int | None]:
    """The memory limit for this process's group and what is left of it, in bytes. None without a limit.

    File pages that can be dropped count as free.
    """
    levels = _memory(root, own)
    left = min((max(limit - used, 0) for limit, used in levels), default=None)
    return min((limit for limit, _ in levels), default=None), left


def oom_kills(root: Path = ROOT, own: Path = OWN, whole: Path = WHOLE) -> int:
    """How many processes the kernel has killed because memory ran out.

    Counted for this process's group, or for the whole machine where groups do not count. Only an increase is
    meaningful. 0 when nothing counts.
    """
    for folder in _folders("memory", root, own):
        for name in ("memory.events", "memory.oom_control"):
            counted = _line(folder / name, "oom_kill")
            if counted is not None:
                return counted
    return _line(whole, "oom_kill") or 0


def _memory(root: Path, own: Path) -> list[tuple[int, int]]:
    """(limit, used) in bytes for every level that has a limit."""
    limits = []
    for folder in _folders("memory", root, own):
        for limit_name, usage_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = _number(folder / limit_name)
            if limit and limit < 1 << 60:
                limits.append((limit, (_number(folder / usage_name) or 0) - _droppable(folder)))
    return limits


def _droppable(folder: Path) -> int:
    # In cgroup v1, usage includes the groups below, and only the `total_` number does so, too.
    stat = folder / "memory.stat"
    inactive = _line(stat, "total_inactive_file")
    return inactive if inactive is not None else _line(stat, "inactive_file") or 0


def _line(file: Path, *names: str) -> int | None:
    """The number after the first of these names in a file of lines "name number". None when no name matches."""
    for line in _read(file).splitlines():
        name, _, value = line.partition(" ")
        if name in names and value.isdigit():
            return int(value)
    return None


def _folders(controller: str, root: Path, own: Path) -> list[Path]:
    """The folders of this process's groups, from its own up to the root, in both cgroup versions."""
    folders = []
    for line in _read(own).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        base = root if not names else root / controller
        if names and controller not in names.split(","):
            continue
        here = base / path.lstrip("/")
        while here != base and base in here.parents:
            folders.append(here)
            here = here.parent
        folders.append(base)
    return folders


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdigit() else None
