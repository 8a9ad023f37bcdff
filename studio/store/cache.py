"""A bounded cache for many threads: a value is computed once, however many threads ask for it at the same time."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class Cache(Generic[V]):
    """Values by key, at most `most` of them. The least recently used value is dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._computing: set[Hashable] = set()
        self._changed = threading.Condition()

    def get_or_compute(self, key: Hashable, compute: Callable[[], V]) -> V:
        """The value of a key. If another thread is computing it, wait for that thread.

        An error of `compute` is raised only in the thread that called it. Waiting threads then compute the value
        themselves.
        """
        with self._changed:
            while key not in self._values and key in self._computing:
                self._changed.wait()
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            self._computing.add(key)
        try:
            value = compute()
            self.put(key, value)
            return value
        finally:
            with self._changed:
                self._computing.discard(key)
                self._changed.notify_all()

    def get(self, key: Hashable) -> V | None:
        """The value of a key, or None."""
        with self._changed:
            return self._values.get(key)

    def put(self, key: Hashable, value: V) -> None:
        """Set the value of a key."""
        with self._changed:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def __contains__(self, key: Hashable) -> bool:
        with self._changed:
            return key in self._values

    def __len__(self) -> int:
        return len(self._values)


class Computed:
    """Recent results for the versions of a workspace's datasets. Versions never change, so the results stay valid."""

    def __init__(self) -> None:
        self.reports: Cache[Any] = Cache(32)
        """Check reports, by rows, import options and check options."""
        self.columns: Cache[Any] = Cache(32)
        """Column previews of some rows. A page requests them many times."""
        self.labels: Cache[tuple[str, ...]] = Cache(32)
        """Labels of rows."""
        self.left_out: Cache[Any] = Cache(32)
        """Rows that are excluded from a run."""
        self.counts: Cache[Any] = Cache(32)
        """Number of rows of each split."""
        self.prompts: Cache[tuple[str, ...]] = Cache(8)
        """Test prompts among the first rows. The Method tab requests them each time."""
        self.divisions: Cache[Any] = Cache(1)
        """Row → split. It can have a million entries, so only one is kept."""
        self.batches: Cache[Any] = Cache(16)
        """First batches of runs."""
        self.differences: Cache[Any] = Cache(8)
        """Differences between two versions of a dataset."""
