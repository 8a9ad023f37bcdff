"""Limits of memory that a process sets for itself, and how it recognizes that memory ran out."""

import re
from contextlib import suppress
from pathlib import Path

OUT_OF_MEMORY = re.compile(
    "can't allocate memory|cannot allocate memory|out of memory|not enough memory|bad_alloc"
    "|could not create a (memory|primitive(?! descriptor))",
    re.IGNORECASE,
)
"""How torch, its libraries and the system report it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    return isinstance(error, MemoryError) or bool(OUT_OF_MEMORY.search(str(error)))


def limit_memory(size: int) -> None:
    """Limit the address space of this process to so many bytes, and write no core dumps. Without effect where the
    system has no such limit."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        size = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_more_memory(size: int) -> None:
    """As `limit_memory`, with so many bytes beyond what this process uses now."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit_memory(pages * resource.getpagesize() + size)
