"""How busy a run keeps the processor: the share of what it may use, not of what the machine has."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.machine import facts
from studio.training.loop.callbacks import EventCallback, ValidationRules
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress


@pytest.fixture
def one_core() -> Iterator[None]:
    """This process may use one core alone."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("a process can't be given cores here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def share(folder: Path, cores: float) -> float:
    """What is told of ten seconds in which `cores` of them were at work."""
    rules = ValidationRules(every=10, validates=False, patience=0)
    callback = EventCallback(lambda event: None, lambda: None, TrainingProgress(), Checkpoints(folder), rules)
    assert callback._cpu_use() is None, "nothing is known before the first step"
    callback._clocks = (time.monotonic() - 10, time.process_time() - 10 * cores)
    told = callback._cpu_use()
    assert told is not None
    return told


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("at_work", [0.5, 1.0])
def test_a_process_that_has_one_core_keeps_all_of_it_busy(tmp_path: Path, at_work: float) -> None:
    assert share(tmp_path, at_work) == pytest.approx(at_work, abs=0.02)


def test_a_quota_counts_as_the_cores_that_it_is_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "cpu_quota", lambda: 1.0)
    assert share(tmp_path, 0.8) == pytest.approx(0.8, abs=0.02)


def test_of_several_cores_one_at_work_is_its_part(tmp_path: Path) -> None:
    assert share(tmp_path, 1.0) == pytest.approx(1 / facts.usable_cores(), abs=0.02)
