"""The splits of a version, computed while the data checks read its rows."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from studio.data.split_assignment import SplitAssignment
from studio.data.splits import Splitter
from studio.data.table import Row
from studio.schema.errors import StudioError
from studio.store.split_store import VersionSplit


class SplitsDuringCheck:
    """Computes the splits of a version while the data checks read its rows."""

    def __init__(self, split: VersionSplit) -> None:
        self._split = split
        self._splitter: Splitter | None = None

    def row_callback(self) -> Callable[[int, Row, Mapping[str, Any]], None] | None:
        """A function that takes each usable row. None where the splits are cached, or the rows can't be split."""
        if self._split.key in self._split.store.computed.divisions:
            return None
        with suppress(StudioError):
            self._splitter = self._split.splitter()
            return self._splitter.add
        return None

    def parts(self) -> Mapping[int, str]:
        """Row number → split. Empty where the rows can't be split: `count_splits` gives the reason."""
        try:
            return self._split.cached(self._assign).splits
        except StudioError:
            return {}

    def _assign(self) -> SplitAssignment:
        spec = self._split.spec
        return self._splitter.assignment(spec.left_out, spec.rows_left_out) if self._splitter else self._split.assign()
