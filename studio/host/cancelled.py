"""The exception that ends a cancelled request."""


class Stopped(Exception):
    """Raised inside a request that was cancelled."""
