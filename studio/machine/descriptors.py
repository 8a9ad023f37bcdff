"""How many files and connections this process may have open."""

import sys

UNKNOWN = 1024


def descriptor_limit() -> int:
    """The number of file descriptors that this process may have open."""
    if sys.platform == "win32":
        return UNKNOWN
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNKNOWN * 1024 if soft == resource.RLIM_INFINITY else soft
