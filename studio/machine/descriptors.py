"""How many files and connections this process may have open."""

import sys
from contextlib import suppress

UNKNOWN = 1024
MOST = 65_536
"""As many as a server asks for."""


def descriptor_limit() -> int:
    """The number of file descriptors that this process may have open."""
    if sys.platform == "win32":
        return UNKNOWN
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return UNKNOWN * 1024 if soft == resource.RLIM_INFINITY else soft


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of file descriptors to the hard one; the limit that holds then."""
    if sys.platform == "win32":
        return MOST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS refuses more than the kernel allows
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft
