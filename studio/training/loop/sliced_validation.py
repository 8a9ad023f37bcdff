"""A validation in slices, so that training never waits long for it. Later slices repeat the library's evaluation loop
with the outputs of the earlier ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SLICE_SECONDS = 1.5
"""Seconds after which a slice ends. The last batch or token in it may take longer, to about 2 s."""


class SliceOver(Exception):
    """Ends the evaluation loop before its next batch. The outputs of all batches before are kept."""


@dataclass
class SlicedValidation:
    """The batches of an unfinished validation, and their outputs."""

    rows: int
    largest: int
    """Rows of a batch if there is time."""
    smallest: int = 1
    """Rows of the first batch, which measures the speed."""
    sizes: list[int] = field(default_factory=list)
    """Rows of each finished batch."""
    outputs: list[Any] = field(default_factory=list)
    """Loss, logits and labels of each finished batch, on the CPU."""
    seconds: list[float] = field(default_factory=list)
    """Seconds that each finished batch took."""
    has_time: Callable[[float], bool] = lambda seconds: True
    """Whether there is time for a batch that takes so many seconds."""
    after_batch: Callable[[], None] = lambda: None
    """Called after each batch that was computed."""
    _batch: int = 0
    _planned: int = 0

    @property
    def done(self) -> int:
        """Number of rows that are finished."""
        return sum(self.sizes)

    def batches(self) -> list[list[int]]:
        """Row numbers of each batch: the finished ones, then as large as a slice allows."""
        self._batch, self._planned = 0, self._size()
        sizes = list(self.sizes)
        while sum(sizes) < self.rows:
            sizes.append(min(self._planned, self.rows - sum(sizes)))
        ends = [sum(sizes[: place + 1]) for place in range(len(sizes))]
        return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]

    def output(self, rows: int, compute: Callable[[], Any]) -> Any:
        """The output of the next batch, of so many rows.

        Raises:
            SliceOver: there is no time left for it, or the batches could be larger.
        """
        self._batch += 1
        if self._batch <= len(self.outputs):
            return self.outputs[self._batch - 1]
        if not self.has_time(self._row_seconds() * rows) or self._size() > self._planned:
            raise SliceOver
        started = time.monotonic()
        result = _on_cpu(compute())
        self.sizes.append(rows)
        self.seconds.append(time.monotonic() - started)
        self.outputs.append(result)
        self.after_batch()
        return result

    def _row_seconds(self) -> float:
        return self.seconds[-1] / self.sizes[-1] if self.sizes else 0.0

    def _size(self) -> int:
        """The largest half, quarter and so on of `largest` that fits into a slice, at the speed of the last batch."""
        size = self.largest if self.sizes else self.smallest
        while size > self.smallest and size * self._row_seconds() > SLICE_SECONDS:
            size = max(self.smallest, size // 2)
        return size


def _on_cpu(value: Any) -> Any:
    """Tensors, also in tuples, on the CPU."""
    if isinstance(value, tuple | list):
        return tuple(_on_cpu(each) for each in value)
    return value.cpu() if hasattr(value, "cpu") else value
