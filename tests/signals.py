"""Signals as a terminal gives them to the processes of a test."""

import signal


def heed_ctrl_c() -> None:
    """Also where the tests themselves run in the background, where a shell has the signal ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
