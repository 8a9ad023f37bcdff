"""How long work ends when it is cancelled."""


class Stopped(Exception):
    """Long work was cancelled."""
