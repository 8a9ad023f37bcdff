"""Which packages are installed."""

from importlib.util import find_spec

from studio.machine.fresh import kept_for


@kept_for(5.0)
def is_installed(name: str) -> bool:
    """Whether a package can be imported. It may be installed while the studio runs, which shows after 5 seconds."""
    return find_spec(name) is not None
