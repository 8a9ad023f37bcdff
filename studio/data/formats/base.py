"""What a file format must say. A further format is one module and one line in the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.data.limits import HARD, ReadLimits
from studio.data.table import Table
from studio.schema.dataset import AS_FOUND, Reading


@dataclass(frozen=True)
class Format:
    """One kind of file that the studio reads."""

    name: str
    title: str
    extensions: tuple[str, ...]
    """With the dot, in lower case."""
    read: Callable[[Path, str, Reading, ReadLimits], Table]
    """Path, the name that people know the file by, how to read it, and how large it may be → table."""
    apart: bool = False
    """Read in a process of its own with limited memory: what is packed may grow beyond measure."""
    apart_for_visitors: bool = False
    """Only files of a demo's visitors are read so."""

    def is_apart(self, limits: ReadLimits) -> bool:
        """Whether a process of its own reads a file under these limits."""
        return self.apart or (self.apart_for_visitors and limits.visitor)


__all__ = ["AS_FOUND", "HARD", "Format", "ReadLimits", "Reading"]
