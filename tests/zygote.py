"""A process that has imported what the studio's processes need, and becomes them: see forked.py.

python -m tests.zygote KIND SOCKET
"""

import gc
import importlib
import json
import math
import os
import runpy
import select
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import setproctitle

from studio.machine import processes
from studio.machine.garbage import paused_garbage_collection
from tests import forked

IMPORTED = {
    forked.TRAINING: (
        "studio.training.loop.run",
        "studio.training.trainers.classification",
        "studio.training.trainers.sft",
        "peft",
        "trl.chat_template_utils",
        "datasets",
        "studio.worker.run",
        "studio.host.host",
    ),
    forked.LIBRARIES: (
        "fastapi",
        "gradio_client",  # gradio itself reads its port when it is imported
        "pandas",
        "datasets",
        "peft",
        "transformers.generation",
        "transformers.models.bert.modeling_bert",
        "transformers.models.llama.modeling_llama",
        "trl.trainer.sft_trainer",
    ),
    "page": (
        "gradio",
        "fastapi",
        "uvicorn",
        "studio.cli",
        "studio.ui.app",
        "studio.ui.visitors.login",
        "studio.ui.http.server",
    ),
}
IDLE = 600.0
"""Seconds without anything to do after which it ends."""


def main(kind: str, path: str) -> None:
    """Serve until nobody needs it; return in a new process, when it has become what was asked for."""
    if os.fork():
        os._exit(0)  # so that it is nobody's child
    os.setsid()
    setproctitle.setproctitle(f"zygote for {kind}")  # finds its place only while the environment is untouched
    forked.install()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    with paused_garbage_collection():
        for name in IMPORTED[kind]:
            importlib.import_module(name)
        if kind == forked.TRAINING:
            from studio.worker.imports import import_heavy

            import_heavy()
    gc.collect()
    gc.freeze()  # no process that is forked looks at all this again, or copies it
    listener.listen(64)
    asked, fds = _serve(listener, Path(path))
    _become(asked, fds)


def _serve(listener: socket.socket, path: Path) -> tuple[forked.Asked, list[int]]:
    """What a new process is to become; the zygote itself never returns."""
    waits = selectors.DefaultSelector()
    waits.register(listener, selectors.EVENT_READ)
    children: dict[int, tuple[int, socket.socket]] = {}  # by descriptor: pid, and who asked
    used = time.monotonic()
    while path.exists() and (children or time.monotonic() - used < IDLE):
        for key, _ in waits.select(2.0):
            used = time.monotonic()
            if key.fileobj is not listener:
                pid, line = children.pop(key.fd)
                waits.unregister(key.fd)
                os.close(key.fd)
                status = os.waitpid(pid, 0)[1]
                try:
                    line.sendall(status.to_bytes(4, "big"))
                except OSError:
                    pass  # whoever started it is gone
                line.close()
                continue
            line, _ = listener.accept()
            size, fds, *_ = socket.recv_fds(line, 4, 3)
            if len(size) < 4:
                line.close()
                continue
            told = b""
            while len(told) < int.from_bytes(size, "big"):
                told += line.recv(2**20)
            pid = os.fork()
            if pid == 0:
                waits.close()
                listener.close()
                for fd, (_, other) in children.items():
                    os.close(fd)
                    other.close()
                line.close()
                return forked.Asked(**json.loads(told)), list(fds)
            for fd in fds:
                os.close(fd)
            line.sendall(pid.to_bytes(4, "big"))
            fd = os.pidfd_open(pid)
            children[fd] = pid, line
            waits.register(fd, selectors.EVENT_READ)
    path.unlink(missing_ok=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
    os._exit(0)


def _become(asked: forked.Asked, fds: list[int]) -> None:
    """In the new process: what starting it afresh would have set, and then the module."""
    if asked.session:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    for fd in fds:
        if fd > 2:
            os.close(fd)
    os.environ.clear()
    os.environ.update(asked.environment)
    os.chdir(asked.folder)
    os.sched_setaffinity(0, asked.cores)
    if asked.heeds_ctrl_c:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what Python makes of SIG_DFL
    processes.die_with = _die_with
    tempfile.tempdir = None  # it is looked for again
    _read_variables_of_the_hub()
    if asked.module == "studio.worker" and forked.UNPREPARED.items() <= asked.environment.items():
        importlib.import_module("studio.worker.prepared").SETTLED_SECONDS = math.inf
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    sys.argv = [asked.module, *asked.arguments]
    setproctitle.setproctitle(" ".join([sys.executable, "-m", asked.module, *asked.arguments]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the module was imported before
        if asked.quiet:
            warnings.simplefilter("ignore")
        runpy.run_module(asked.module, run_name="__main__", alter_sys=True)


def _read_variables_of_the_hub() -> None:
    """Read again where the Hub is, and whether it may be asked."""
    if "huggingface_hub" not in sys.modules:
        return
    hub = importlib.reload(importlib.import_module("huggingface_hub.constants"))
    if api := sys.modules.get("huggingface_hub.hf_api"):
        api.api.endpoint = hub.ENDPOINT
    if datasets := sys.modules.get("datasets.config"):
        datasets.HF_ENDPOINT, datasets.HF_HUB_OFFLINE = hub.ENDPOINT, hub.HF_HUB_OFFLINE


def _die_with(other: int) -> None:
    """End this process together with the one that asked for it, which is not its parent: the zygote is."""
    handle = os.pidfd_open(other)

    def watch() -> None:
        select.select([handle], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
