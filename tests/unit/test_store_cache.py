"""The cache of what was computed: bounded, safe for many threads, each value computed once."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.api import Studio
from studio.store.cache import Cache


def at_once(function: Callable[[int], object], threads: int = 32) -> list[object]:
    """What a function returns in many threads that begin in the same moment."""
    meet = threading.Barrier(threads)

    def run(number: int) -> object:
        meet.wait()
        return function(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def test_a_value_is_computed_once_however_many_threads_ask() -> None:
    cache: Cache[int] = Cache(4)
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        time.sleep(0.1)
        return 7

    assert at_once(lambda _: cache.get_or_compute("key", slow)) == [7] * 32
    assert len(calls) == 1


def test_a_tiny_cache_gives_every_thread_its_own_value() -> None:
    cache: Cache[int] = Cache(1)

    def ask(number: int) -> bool:
        return all(
            cache.get_or_compute((number + step) % 40, lambda n=number + step: n % 40) == (number + step) % 40
            for step in range(300)
        )

    assert at_once(ask) == [True] * 32 and len(cache) == 1


def test_an_error_reaches_who_asked_and_the_next_one_computes_it_again() -> None:
    cache: Cache[int] = Cache(4)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute("key", lambda: 1 // 0)
    assert cache.get_or_compute("key", lambda: 2) == 2 and cache.get("other") is None and "key" in cache


@pytest.mark.slow
def test_many_threads_check_and_split_rows_of_one_workspace_with_caches_that_hold_one_value(tmp_path: Path) -> None:
    """Fails where a thread inserts a value, another drops it, and the first looks it up again."""
    studio = Studio(tmp_path)
    data = [
        studio.datasets.add_text(
            "question,answer\n" + "".join(f"Where is {n}?,Under stone {n + k}.\n" for n in range(12))
        ).id
        for k in range(6)
    ]
    for name in ("reports", "labels", "left_out", "counts", "differences"):
        setattr(studio.context.workspace.datasets.computed, name, Cache(1))

    def ask(number: int) -> bool:
        for step in range(30):
            dataset = data[(number + step) % len(data)]
            if studio.checks.check(dataset).rows != 12 or studio.datasets.splits(dataset).train < 8:
                return False
        return True

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        assert at_once(ask) == [True] * 32
    finally:
        sys.setswitchinterval(usual)
    studio.close()
