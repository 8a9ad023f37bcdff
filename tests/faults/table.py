"""Every line of docs/background/failures.md, by fault and moment. An incomplete table is not written."""

from .killed import SERVER, WORKER

KILLED_WORKER, KILLED_SERVER = "kill -9 of the worker", "kill -9 of the server"
OTHERS = (
    ("the whole database overwritten with noise", "a step"),
    ("the clock set back by an hour", "step 5"),
    ("the model's folder deleted", "a step"),
    ("the machine restarted, the pid used again", "a step"),
    ("SIGTERM to the worker", "a step"),
    ("the worker hangs", "a step"),
    ("no more memory, a limit on the process", "a step"),
    ("no more memory, killed by the system", "a step"),
    ("a full disk, a small tmpfs", "after the first checkpoint"),
    ("the database locked by another program for 35 s", "a step"),
    ("two browsers press Start", "the same moment"),
)
EVERY = (
    *((KILLED_SERVER, moment) for moment in SERVER),
    *((KILLED_WORKER, moment) for moment in WORKER),
    *OTHERS,
)
HEAD = """<!-- Made by `make test-faults`: run it again after a change. -->
# Under faults

What happens to a run when something happens to the machine: each line is a real process that was really ended, or a
disk, a database, a clock that was really spoiled, and the run that went on afterwards. A run that goes on ends with
the losses of one that nothing befell, step by step.

"""


def lines(rows: list[list[str]]) -> list[str]:
    """The rows as a table, in the order of `EVERY`."""
    known = {row: place for place, row in enumerate(EVERY)}
    ordered = sorted(rows, key=lambda row: known.get((row[0], row[1]), len(known)))
    head = ["| what befell | at which moment | what was found afterwards |", "|---|---|---|"]
    return head + [f"| {what} | {moment} | {found} |" for what, moment, found in ordered]


def missing(rows: list[list[str]]) -> list[str]:
    """What the whole table has and these rows lack: it failed, or this machine could not do it."""
    there = {(row[0], row[1]) for row in rows}
    return [f"{what}, {moment}" for what, moment in EVERY if (what, moment) not in there]
