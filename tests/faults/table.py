"""Every line of docs/background/failures.md, by fault and moment. An incomplete table is not written."""

from .killed import SERVER, WORKER

KILLED_WORKER, KILLED_SERVER = "kill -9 of the worker", "kill -9 of the server"
OTHERS = (
    ("the whole database overwritten", "a step"),
    ("the clock set back by an hour", "step 5"),
    ("the model's folder deleted", "a step"),
    ("the machine restarted, the process number reused", "a step"),
    ("SIGTERM to the worker", "a step"),
    ("the worker hangs", "a step"),
    ("out of memory: limit of the process", "a step"),
    ("out of memory: killed by the system", "a step"),
    ("a full disk, a small tmpfs", "after the first checkpoint"),
    ("the database locked by another program for 35 s", "a step"),
    ("Start pressed in two browsers", "the same moment"),
)
EVERY = (
    *((KILLED_SERVER, moment) for moment in SERVER),
    *((KILLED_WORKER, moment) for moment in WORKER),
    *OTHERS,
)
HEAD = """<!-- Made by `make test-faults`: run it again after a change. -->
# Failures

What happens to a run when something goes wrong on the machine. For each line, a test really kills a process, fills a
disk, or damages a database or a clock. Then the run is resumed. It ends with the losses of an undisturbed run, step by
step.

"""


def lines(rows: list[list[str]]) -> list[str]:
    """The rows as a table, in the order of `EVERY`."""
    known = {row: place for place, row in enumerate(EVERY)}
    ordered = sorted(rows, key=lambda row: known.get((row[0], row[1]), len(known)))
    head = ["| failure | moment | result |", "|---|---|---|"]
    return head + [f"| {what} | {moment} | {found} |" for what, moment, found in ordered]


def missing(rows: list[list[str]]) -> list[str]:
    """What the whole table has and these rows lack: it failed, or this machine could not do it."""
    there = {(row[0], row[1]) for row in rows}
    return [f"{what}, {moment}" for what, moment in EVERY if (what, moment) not in there]
