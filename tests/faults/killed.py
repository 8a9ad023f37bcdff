"""A real process of the studio that is killed, by itself and for good, at a moment that is named.

python -m tests.faults.killed worker MOMENT HOME RUN          the worker, which says on stdout which events it has had
                                                              acknowledged
python -m tests.faults.killed server MOMENT HOME ACT RUN …    what the server does when a button is pressed

The traps are set around the studio's own functions; nothing of what they do is replaced. SIGKILL leaves no chance to
tidy up, so what is found afterwards is what a power cut or the system's killer would leave.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from studio.schema.requests import RunRequest

Trap = Callable[[], None]
"""Sets a trap."""


def die() -> None:
    """The end, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def trap(owner: Any, name: str, *, after: bool = False, nth: int = 1, when: Callable[..., bool] | None = None) -> None:
    """Die before (or after) the nth call of a function for which `when` holds."""
    original, left = getattr(owner, name), [nth]

    @wraps(original)
    def trapped(*given: Any, **named: Any) -> Any:
        matches = when is None or when(*given, **named)
        left[0] -= matches
        if matches and left[0] == 0 and not after:
            die()
        result = original(*given, **named)
        if matches and left[0] == 0 and after:
            die()
        return result

    setattr(owner, name, trapped)


def on_event(kind: str, *, after: bool = True, nth: int = 1, **wanted: Any) -> Trap:
    """Die when an event of a kind has been kept, or just before it is."""

    def fits(_: Any, run: str, event: Any) -> bool:
        return event.kind == kind and all(getattr(event, name) == value for name, value in wanted.items())

    def place() -> None:
        from studio.store.events import EventStore

        trap(EventStore, "append", after=after, nth=nth, when=fits)

    return place


def on(module: str, owner: str, name: str, **how: Any) -> Trap:
    """Die at a call of a function of a module (or of a class in it)."""

    def place() -> None:
        import importlib

        found: Any = importlib.import_module(module)
        trap(getattr(found, owner) if owner else found, name, **how)

    return place


def half_removed() -> None:
    """Die when half of an old checkpoint has been removed."""
    import studio.training.loop.checkpoints as checkpoints

    original = checkpoints.shutil.rmtree

    def half(path: Any, *given: Any, **named: Any) -> None:
        if Path(path).name.startswith("checkpoint-") and Path(path).exists():
            for file in sorted(Path(path).iterdir())[::2]:
                file.unlink()
            die()
        original(path, *given, **named)

    checkpoints.shutil = type("shutil", (), {**vars(shutil), "rmtree": staticmethod(half)})  # type: ignore[assignment]


def _named(*words: str) -> Callable[..., bool]:
    """A call whose path has all these words in it."""
    return lambda *given, **named: all(any(word in str(each) for each in given) for word in words)


WORKER: dict[str, Trap] = {
    "claimed, waiting for its turn": on("studio.store.queue", "Queue", "try_start"),
    "its turn, not started": on("studio.store.runs", "RunStore", "begin"),
    "started, importing": on("studio.worker.imports", "", "import_heavy"),
    "finding its rows": on("studio.worker.run", "Worker", "_job"),
    "loading the model": on_event("phase", phase="loading"),
    "reading the rows": on_event("phase", phase="reading", nth=2),
    "answering the prompts before the first step": on_event("reply", after=False),
    "the first validation is saved": on_event("evaluation", step=0),
    "before the first step is saved": on_event("step", after=False, step=1),
    "the first step is saved": on_event("step", step=1),
    "a step is done, not saved": on_event("step", after=False, step=8),
    "a step is saved": on_event("step", step=13),
    "during a validation": on(
        "studio.training.loop.callbacks",
        "EventCallback",
        "on_prediction_step",
        when=lambda _, args, state, *rest, **more: state.global_step == 10,
    ),
    "a validation is saved, its checkpoint not started": on_event("evaluation", step=10),
    "a checkpoint half written": on("torch", "", "save", nth=6),
    "a checkpoint written, not marked": on("studio.training.loop.checkpoints", "", "_write", nth=2),
    "a checkpoint marked, not renamed": on("pathlib", "Path", "rename", nth=2, when=_named(".new/checkpoint-")),
    "a checkpoint renamed, no event": on_event("checkpoint", after=False, nth=2),
    "an old checkpoint half removed": half_removed,
    "run.json half written": on("studio.store.run_folder_import", "", "write_whole", nth=4),
    "saving: the result written, not synced": on(
        "studio.training.loop.checkpoints", "", "sync_tree", when=_named(".adapter.new")
    ),
    "saving: the result not renamed": on("pathlib", "Path", "rename", when=_named(".adapter.new")),
    "result saved, end of the run not saved": on(
        "studio.store.runs", "RunStore", "set_status", when=lambda _, run, status, *rest, **more: status == "finished"
    ),
}
"""Moment → where it dies. With 18 steps, a check and a checkpoint every 5."""


def worker(moment: str, home: str, run: str) -> int:
    """The worker of a run."""
    from studio.store import Home
    from studio.store.events import EventStore
    from studio.worker.run import Worker

    append = EventStore.append

    def told(self: Any, of: str, event: Any) -> int:
        """Say which events were acknowledged, at once and to nobody's buffer."""
        number = append(self, of, event)
        os.write(1, f"{number}\n".encode())
        return number

    EventStore.append = told  # type: ignore[method-assign]
    WORKER[moment]()
    return Worker(Home(home), "default", run).work()


SERVER: dict[str, tuple[str, Trap]] = {
    "start: before the run exists": ("start", on("studio.store.runs", "RunStore", "create")),
    "start: folder written, not in the database": ("start", on("studio.store.runs", "", "write_whole", after=True)),
    "start: in the database, not in the queue": ("start", on("studio.store.queue", "Queue", "enqueue")),
    "start: in the queue, no worker": (
        "start",
        on("studio.services.runners.worker_processes", "WorkerProcesses", "start"),
    ),
    "start: the worker just started": (
        "start",
        on("studio.services.runners.worker_processes", "WorkerProcesses", "start", after=True),
    ),
    "stop: request saved, no event": ("stop", on("studio.store.runs", "RunStore", "set_status")),
    "stop: event saved": ("stop", on("studio.store.runs", "RunStore", "set_status", after=True)),
    "pause: request saved, no event": ("pause", on("studio.store.runs", "RunStore", "set_status", nth=2)),
    "pause: event saved": ("pause", on("studio.store.runs", "RunStore", "set_status", nth=2, after=True)),
    "resume: before the event": ("resume", on("studio.store.runs", "RunStore", "set_status")),
    "resume: event saved, not in the queue": ("resume", on("studio.store.queue", "Queue", "enqueue")),
    "resume: in the queue, no worker": (
        "resume",
        on("studio.services.runners.worker_processes", "WorkerProcesses", "start"),
    ),
    "resume: the worker just started": (
        "resume",
        on("studio.services.runners.worker_processes", "WorkerProcesses", "start", after=True),
    ),
    "note: in the database, not in the folder": ("note", on("studio.store.runs", "", "redescribe")),
    "delete: run.json removed": ("delete", on("pathlib", "Path", "unlink", after=True, when=_named("run.json"))),
    "delete: not in the database, folder still there": ("delete", on("shutil", "", "rmtree")),
    "export: half written": ("export", on("zipfile", "ZipFile", "write", nth=3)),
    "import: half extracted": ("import", on("studio.store.run_archive", "", "extract", nth=3)),
    "import: folder in place, not in the database": ("import", on("studio.store.runs", "", "import_copied_runs")),
    "reconcile: a lost run found, no event": ("look", on("studio.store.runs", "RunStore", "_set_status")),
}
"""Moment → the act that is done, and where it dies."""


def server(moment: str, home: str, *given: str) -> int:
    """An act of the server."""
    from studio.api import Studio

    act, place = SERVER[moment]
    studio = Studio(home)
    place()
    if act == "start":
        data, model = given
        settings = {"max_length": 64, "max_steps": 3, "eval_rows": 2}
        studio.runs.start(RunRequest(dataset=data, model=model, task="chat", settings=settings), once="a page")
    elif act == "look":
        studio.reconcile()
    elif act == "import":
        studio.saved.import_archive(Path(given[0]))
    elif act == "export":
        studio.saved.export_archive(given[0], Path(given[1]))
    elif act == "note":
        studio.saved.annotate(given[0], note="a note", tags=["x"])
    else:
        getattr(studio.runs, act)(given[0])
    return 0


if __name__ == "__main__":
    sys.exit({"worker": worker, "server": server}[sys.argv[1]](*sys.argv[2:]))
