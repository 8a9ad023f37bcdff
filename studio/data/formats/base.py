"""The interface of a file format. Add a format as one module and one line in the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.data.limits import HARD, ReadLimits
from studio.data.table import Table
from studio.schema.dataset import AS_FOUND, Reading


@dataclass(frozen=True)
class Format:
    """One file format."""

    name: str
    title: str
    extensions: tuple[str, ...]
    """With the dot, in lower case."""
    read: Callable[[Path, str, Reading, ReadLimits], Table]
    """Arguments: path, name to show, reading options, limits. Returns the table."""
    sandboxed: bool = False
    """Read in a sandboxed process with limited memory, because unpacked data can be very large."""
    sandboxed_for_visitors: bool = False
    """Read in a sandboxed process only for visitors of a demo."""

    def is_sandboxed(self, limits: ReadLimits) -> bool:
        """Return whether a sandboxed process reads a file under these limits."""
        return self.sandboxed or (self.sandboxed_for_visitors and limits.visitor)


__all__ = ["AS_FOUND", "HARD", "Format", "ReadLimits", "Reading"]
