"""The limit of open files and connections of this process."""

import sys
from contextlib import suppress

UNKNOWN = 1024
MOST = 65_536
"""The limit that a server requests."""


def descriptor_limit() -> int:
    """The number of file descriptors that this process may have open."""
    if sys.platform == "win32":
        return UNKNOWN
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNKNOWN * 1024 if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors to the hard limit. Returns the limit in force."""
    if sys.platform == "win32":
        return MOST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    new_limit = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < new_limit:
        with suppress(ValueError, OSError):  # macOS refuses more than the kernel allows
            resource.setrlimit(resource.RLIMIT_NOFILE, (new_limit, hard))
            return new_limit
    return MOST if soft == resource.RLIM_INFINITY else soft
