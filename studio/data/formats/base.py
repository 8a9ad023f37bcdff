"""What a file format must say. A further format is one module and one line in the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.data.table import Table
from studio.schema.dataset import AS_FOUND, Reading


@dataclass(frozen=True)
class Format:
    """One kind of file that the studio reads."""

    name: str
    title: str
    extensions: tuple[str, ...]
    """With the dot, in lower case."""
    read: Callable[[Path, str, Reading], Table]
    """Path, the name that people know the file by, and how to read it → table."""
    apart: bool = False
    """Read in a process of its own with limited memory: what is packed may grow beyond measure."""


__all__ = ["AS_FOUND", "Format", "Reading"]
