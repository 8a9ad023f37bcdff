"""What the worker makes of what its processes say, and of one that is gone without a word."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

import pytest
import torch

from studio.machine.facts import Gpu, MachineFacts
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, StepEvent
from studio.training.planning import memory_model, peak_memory
from studio.worker import launcher
from studio.worker.imports import use_one_gpu

SAYS = """
import sys, time
from multiprocessing.connection import Client
from studio.schema.events import StepEvent
worker = Client(sys.argv[1], "AF_UNIX")
worker.send(("here", 1)); worker.recv()
worker.send(("event", StepEvent(step=1, loss=1, learning_rate=1, rows_per_second=1, memory_bytes=77)))
if sys.argv[2] == "done": worker.send(("done", "an outcome"))
words = {"code": "unexpected", "what": "An error."}
if sys.argv[2] == "lost": worker.send(("failed", (words, "Connection reset by peer")))
"""


def heard(folder: Path, ending: str) -> tuple[Any, list[AnyEvent]]:
    """By a worker whose one process ends so."""
    said: list[AnyEvent] = []
    with socket(AF_UNIX, SOCK_STREAM) as door:
        door.bind(str(folder / "socket"))
        door.listen(1)
        with subprocess.Popen([sys.executable, "-c", SAYS, str(folder / "socket"), ending]) as process:
            return launcher.RankServer(door, process, said.append, lambda: None).listen(), said


def counting(numbers: list[int]) -> Callable[[], int]:
    """A kernel that has killed so many at each look, and no more after the last."""
    return lambda: numbers.pop(0) if len(numbers) > 1 else numbers[0]


def test_a_process_that_the_system_ended_for_memory_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "oom_kills", counting([3, 4]))
    with pytest.raises(StudioError, match="because memory ran out") as caught:
        heard(tmp_path, "without a word")
    assert caught.value.code == "out-of-memory", "which the worker answers by half the batch"


def test_a_process_that_was_killed_otherwise_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "oom_kills", counting([3]))
    with pytest.raises(StudioError, match="of the training processes was killed") as caught:
        heard(tmp_path, "without a word")
    assert caught.value.code == "training-failed"


def test_one_that_misses_another_is_not_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "oom_kills", counting([3]))
    with pytest.raises(StudioError, match="of the training processes was killed"):
        heard(tmp_path, "lost")


def test_memory_is_of_all_processes_on_a_processor_and_of_the_gpu_on_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    outcome, said = heard(tmp_path / "cpu", "done")
    assert outcome == "an outcome" and isinstance(said[0], StepEvent) and said[0].memory_bytes > 20_000_000
    gpus = (Gpu("G", 2**34, 2**34),)
    facts = MachineFacts(cores=2, memory_total=2**34, memory_available=2**34, disk_free=2**34, gpus=gpus)
    monkeypatch.setattr(launcher, "machine_facts", lambda: facts)
    (tmp_path / "gpu").mkdir()
    _, said = heard(tmp_path / "gpu", "done")
    assert isinstance(said[0], StepEvent) and said[0].memory_bytes == 77, "as the process measured it"


def test_on_a_gpu_a_runs_memory_is_what_cuda_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.training.loop.callbacks import EventCallback

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 5 << 30)
    assert peak_memory.on_gpu() and peak_memory.gpu_peak() == (5 << 30) + memory_model.GPU_LIBRARIES
    callback = EventCallback.__new__(EventCallback)
    assert callback._peak() == (5 << 30) + memory_model.GPU_LIBRARIES


@pytest.mark.parametrize(
    ("chosen", "alone", "together"),
    [(None, "0", "0,1"), ("2,3,4", "2", "2,3"), ("1", "1", "0,1"), ("", "", "0,1")],
)
def test_the_gpus_that_a_person_chose_are_used(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, alone: str, together: str
) -> None:
    gpus = (Gpu("G", 2**34, 2**34),) * 2
    facts = MachineFacts(cores=2, memory_total=2**34, memory_available=2**34, disk_free=2**34, gpus=gpus)
    monkeypatch.setattr(launcher, "machine_facts", lambda: facts)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen or "")
    if chosen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert launcher.environment(2)["CUDA_VISIBLE_DEVICES"] == together
    use_one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == alone
