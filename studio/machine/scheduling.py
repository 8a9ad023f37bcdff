"""How Linux shares the cores between the server and a run.

The server answers in bursts of milliseconds. By default each burst interrupts a thread of the run at once, and the
other threads of the run wait for that one. With the policy SCHED_BATCH a burst takes an idle core, which a run on all
cores leaves many times in a step, and otherwise waits for the next tick of the clock, a few milliseconds.
"""

import os
from contextlib import suppress


def interrupt_nobody() -> None:
    """For the server: let this thread, and threads and processes that it starts, wait for a core. Linux only."""
    with suppress(AttributeError, OSError):  # another system, or a container that forbids it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def interrupt_others() -> None:
    """For a worker: have the usual policy again, whoever started it."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
