"""Several tests at once, each process of them on cores of its own: torch processes that share cores crawl."""

import atexit
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest

from studio.machine.cores import THREAD_VARIABLES
from tests import forked

AT_WORK, COUNT = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
ROOT = str(Path(__file__).parents[1])  # processes of the studio don't look for modules in the working folder
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
os.environ.setdefault("STUDIO_MODEL_SOURCES", "hub")  # searches of tests reach only what a test starts
# DeepSpeed compiles a part of itself, for a minute. Copies of the project that share the folder compile it in turn.
os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(Path(ROOT) / "build" / "torch_extensions"))
# Gradio sets it in servers, whose processes would otherwise have an environment, and a zygote, of their own.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "True")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # torch processes of tests run beside each other
if AT_WORK and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    number = int(AT_WORK.removeprefix("gw")) % len(cores)
    mine = cores[number :: min(COUNT, len(cores))]
    os.sched_setaffinity(0, mine)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(len(mine))))

# Each step of a training and each act on a page is synced to the disk, which tests would wait for half of the time. So
# their folders are in memory where it has room for all of them, which take about 2 GB at most.
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
if MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available // 2) > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

if "HF_MODULES_CACHE" not in os.environ:  # code of models is copied there, and each value needs processes of its own
    os.environ["HF_MODULES_CACHE"] = mkdtemp(prefix="modules-")
    atexit.register(shutil.rmtree, os.environ["HF_MODULES_CACHE"], ignore_errors=True)

forked.install()
gc.disable()  # until everything is collected: looking for garbage would take a quarter of that time


def pytest_collection_finish() -> None:
    """Thousands of tests and their modules live until the end, so no garbage collection has to look at them."""
    gc.freeze()
    gc.enable()


_imported = 0
"""Modules at the last time that all objects were frozen."""


def pytest_runtest_logfinish() -> None:
    """What a test has imported lives until the end, too. Each training has garbage collected: with all modules of torch
    and transformers to look at, that would be a quarter of a tiny one."""
    global _imported
    if len(sys.modules) > _imported + 200:
        gc.collect()
        gc.freeze()
        _imported = len(sys.modules)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is for the matrix alone is left to it."""
    if os.environ.get("STUDIO_MATRIX") != "all":
        left = [each for each in items if each.get_closest_marker("matrix")]
        config.hook.pytest_deselected(items=left)
        items[:] = [each for each in items if each not in left]


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of the studio are started afresh, not forked: for what is about imports, memory or kinship."""
    for name, value in forked.AFRESH.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def cores() -> Iterator[int]:
    """How many cores this machine has, all of them for the processes of one test."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield len(os.sched_getaffinity(0))
    os.sched_setaffinity(0, mine)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was synced and renamed, in its order: ("sync" or "rename", name of the file or folder)."""
    order: list[tuple[str, str]] = []
    sync, replace, rename = os.fsync, os.replace, Path.rename

    def name_of(handle: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{handle}")).name

    def noted(kind: str, name: str, act: Callable[[], object]) -> object:
        order.append((kind, name))
        return act()

    monkeypatch.setattr(os, "fsync", lambda handle: noted("sync", name_of(handle), lambda: sync(handle)))
    monkeypatch.setattr(os, "replace", lambda one, two: noted("rename", Path(two).name, lambda: replace(one, two)))
    monkeypatch.setattr(Path, "rename", lambda one, two: noted("rename", Path(two).name, lambda: rename(one, two)))
    return order


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a disk of so many MB of its own, where this user may have one."""
    place = tmp_path / "small"

    def make(megabytes: int) -> Path:
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user may not mount a small disk")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)
