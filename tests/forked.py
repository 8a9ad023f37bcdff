"""Processes of the studio, forked from one that has imported what they need: the imports take most of a test's time.

Where tests are run, `Popen([python, "-m", "studio…", …])` has a process that has imported, a zygote, fork one that goes
on as that module: with the arguments, environment, descriptors, session and cores that it would have had, and with a
way to wait for it. Its own processes are forked likewise. A zygote is started when it is first asked for, and there is
one for each environment that imports read. Whatever is started in another way, or with AFRESH in its environment, is
started afresh, and so are its own processes: tests about imports, memory or kinship of processes do that.
"""

import atexit
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.signals import heed_ctrl_c

AFRESH = {"STUDIO_TEST_AFRESH": "1"}
UNPREPARED = {"STUDIO_TEST_UNPREPARED": "1"}
"""The environment in which a forked worker that waits for a run does its imports alone. Otherwise it also loads model
and rows of the run that may be next, answers its test prompts and validates."""
PLACE = "STUDIO_TEST_ZYGOTES"
"""The folder with the sockets of all zygotes of one process of tests."""
TRAINING, LIBRARIES = "training", "libraries"
ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "studio.worker": TRAINING,
    "studio.host": TRAINING,
    "studio.worker.torchrun": TRAINING,
    "studio.worker.rank": TRAINING,
    "studio": "page",
    "studio.machine.process_main studio.services.datasets.subprocess_jobs:run_job": "page",
    "studio.machine.process_main studio.serving.weights:write": TRAINING,
    f"studio.machine.process_main {ROOT}/studio/export/reload_check.py:answer": LIBRARIES,
    f"studio.machine.process_main {ROOT}/studio/export/script_run.py:first_losses": LIBRARIES,
    f"studio.machine.process_main {ROOT}/studio/export/onnx_convert.py:convert": LIBRARIES,
    f"studio.machine.process_main {ROOT}/studio/export/onnx_convert.py:convert_to_openvino": LIBRARIES,
    f"studio.machine.process_main {ROOT}/studio/export/onnx_reload.py:answer": LIBRARIES,
    "tests.run_file": LIBRARIES,
    "studio.machine.process_main studio.worker.probe:run": TRAINING,
    "studio.machine.process_main studio.worker.combine:run": TRAINING,
    "studio.machine.process_main studio.models.downloads.torch_hub:save_entry": LIBRARIES,
    "tests.faults.killed": TRAINING,
    "tests.killed_training": TRAINING,
    "tests.hurried_host": TRAINING,
    "tests.hurried_worker": TRAINING,
    "tests.shared_out": TRAINING,
}
"""Which zygote is asked for a module, of the studio or a program of the tests. Of the functions that `run_in_process`
calls, only those named here are forked: others have a limit of memory, or run seldom. The zygote with libraries has not
imported the studio's own code, because what is forked from it must run without the studio."""
PYTHON_FLAGS = ("-P", "-W", "ignore", "-u")
"""Flags of Python before the module. torchrun sets -u; what a forked process writes is buffered by lines."""
READ_BY_IMPORTS = (
    "hf_",
    "hugging",
    "transformers_",
    "cuda",
    "ds_",
    "python",
    "gradio_",
    "home",
    "xdg_",
    "omp_",
    "mkl_",
)
"""How names of variables begin, in lower case, that are looked at when something is imported."""
NOT_READ_BY_IMPORTS = ("HF_TOKEN", "PYTHONSAFEPATH", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT")
"""Variables that a forked process reads by itself, or does without (the first two), and those of the Hub, which a
zygote has the libraries read again after the fork. Proxies are read when a request is made."""
SET_BY_THE_STUDIO = {
    "CUDA_VISIBLE_DEVICES": "0",
    "DS_ACCELERATOR": "cpu",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_MCP_SERVER": "False",
}
"""What `import_heavy` and `quiet_gradio` set. Processes that a worker or a server starts inherit it, and it changes
nothing that they import: they need no zygote of their own."""
BEGINS_WITHIN = 180.0
"""Seconds that a zygote has for its imports."""


@dataclass(frozen=True)
class Asked:
    """A process, as it is asked for."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    session: bool = False
    quiet: bool = False
    heeds_ctrl_c: bool = False
    kind: str = ""
    cores: list[int] = field(default_factory=list)

    @property
    def zygote(self) -> str:
        """The name of the one to ask."""
        read = sorted(
            (name, value)
            for name, value in self.environment.items()
            if name.lower().startswith(READ_BY_IMPORTS)
            and name not in NOT_READ_BY_IMPORTS
            and SET_BY_THE_STUDIO.get(name) != value
        )
        return f"{self.kind}-{hashlib.sha256(repr(read).encode()).hexdigest()[:12]}"


def asked_for(command: Any, environment: Mapping[str, str] | None, folder: Any) -> Asked | None:
    """What a command asks for when it can be forked."""
    env = dict(os.environ if environment is None else environment)
    if not isinstance(command, Sequence) or isinstance(command, str | bytes) or not hasattr(os, "pidfd_open"):
        return None
    words = [os.fspath(each) for each in command]
    at = 1
    while words[at : at + 1] and words[at] in PYTHON_FLAGS:
        at += 1
    quiet = "-W" in words[1:at]
    named = words[at + 1] if words[:1] == [sys.executable] and words[at : at + 1] == ["-m"] else ""
    place = os.environ.get(PLACE)
    kind = KINDS.get(named) or KINDS.get(" ".join([named, *words[at + 2 : at + 3]]))
    if kind is None or not place or AFRESH.items() <= env.items():
        return None
    env[PLACE] = place
    return Asked(
        named,
        words[at + 2 :],
        env,
        os.fspath(folder or os.getcwd()),
        quiet=quiet,
        kind=kind,
        cores=sorted(os.sched_getaffinity(0)),
    )


class Forking(subprocess.Popen):  # type: ignore[type-arg]
    """Popen that has processes of the studio forked."""

    _line: socket.socket | None = None
    """On which the zygote tells how the process ended."""

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: Any,
        *more: Any,
    ) -> None:
        pipes, (session, group) = more[:6], more[-2:]
        asked = None
        heeds = preexec_fn is heed_ctrl_c
        if (heeds or not preexec_fn) and not (executable or pass_fds or shell) and close_fds and group == -1:
            asked = asked_for(args, env, cwd)
        if asked is None:
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell, *more
            )
            return
        read, _, _, write, _, complain = pipes
        taken = [each if each != -1 else usual for usual, each in enumerate((read, write, complain))]
        self._line = line = _line_to(asked)
        told = json.dumps({**asked.__dict__, "session": bool(session), "heeds_ctrl_c": heeds}).encode()
        socket.send_fds(line, [len(told).to_bytes(4, "big")], taken)
        line.sendall(told)
        self.pid = int.from_bytes(_exactly(line, 4), "big")
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._line is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        if wait_flags and not select.select([self._line], [], [], 0)[0]:
            return 0, 0
        told = _exactly(self._line, 4)
        self._line.close()
        return self.pid, int.from_bytes(told, "big")

    def _internal_poll(self, *args: Any, **named: Any) -> int | None:
        if self._line is None:
            return super()._internal_poll(*args, **named)  # type: ignore[misc, no-any-return]
        lock = self._waitpid_lock  # type: ignore[attr-defined]
        if self.returncode is None and lock.acquire(False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                lock.release()
        return self.returncode


def install() -> None:
    """Have this process fork what it starts of the studio."""
    subprocess.Popen = Forking  # type: ignore[misc]
    if PLACE not in os.environ:
        place = mkdtemp(prefix="zygotes-")
        os.environ[PLACE] = place
        atexit.register(shutil.rmtree, place, ignore_errors=True)  # without it, each of them ends


def _line_to(asked: Asked) -> socket.socket:
    """A connection to the zygote, which is started when there is none."""
    path = Path(asked.environment[PLACE]) / asked.zygote
    deadline = time.monotonic() + BEGINS_WITHIN
    while time.monotonic() < deadline:
        line = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            line.connect(str(path))
            return line
        line.close()
        with suppress(FileExistsError):
            os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_EXCL))
            _start(asked.kind, path, asked.environment)
        time.sleep(0.02)
    raise RuntimeError(f"no zygote came up: {path.with_suffix('.log').read_text()}")


def _start(kind: str, path: Path, environment: Mapping[str, str]) -> None:
    with path.with_suffix(".log").open("ab") as log:
        command = [sys.executable, "-m", "tests.zygote", kind, str(path)]
        env = {name: value for name, value in environment.items() if name not in NOT_READ_BY_IMPORTS}
        with _PLAIN(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT):
            pass  # it goes on by itself


def _exactly(line: socket.socket, size: int) -> bytes:
    """So many bytes; of one who is gone, those of a process that was killed."""
    read = b""
    while len(read) < size:
        more = line.recv(size - len(read))
        if not more:
            return (9).to_bytes(size, "big")
        read += more
    return read


_PLAIN = subprocess.Popen
