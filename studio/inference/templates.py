"""Chat templates are programs. Those that come with a model run in a process with limits (template_process.py).

Templates of the starter models, of TRL and the plain one run here: they are known by their text. A template that went
over a limit is refused at once from then on, by every process of this home: `remember_in` names the file.
"""

import builtins
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from studio.inference.template_process import SECONDS
from studio.machine.environment import child_environment
from studio.machine.processes import module_command
from studio.models.starters import STARTERS, starter_folder
from studio.schema.errors import StudioError
from studio.tasks.rendering import PLAIN_TEMPLATE

WALL_SECONDS = 60.0
"""Time on the clock after which a render is given up, on a machine that is too busy to spend the CPU time on it."""
REFUSED_FILE, VARIABLE = "refused-templates.json", "STUDIO_REFUSED_TEMPLATES"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Refused:
    """Templates that went over a limit, by the hash of their text, with the reason. Kept in a file when it has one."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._read = ("", 0.0)

    @property
    def path(self) -> Path | None:
        """The file that this process, or the one that started it, named with `remember_in`; else None."""
        return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None

    def reason(self, key: str) -> str:
        """Why a template is refused; empty when it is not."""
        self._refresh()
        return self._reasons.get(key, "")

    def add(self, key: str, reason: str) -> None:
        """Refuse a template from now on."""
        self._refresh()
        self._reasons[key] = reason
        if (path := self.path) is not None:
            new = path.with_name(f".{path.name}.{os.getpid()}.new")
            with suppress(OSError):  # a full disk; it is remembered until this process ends
                new.write_text(json.dumps(self._reasons, indent=1, sort_keys=True), encoding="utf-8")
                new.replace(path)

    def _refresh(self) -> None:
        """Read the reasons that other processes added."""
        with suppress(OSError, ValueError):
            path = self.path
            if path is not None and (changed := (str(path), path.stat().st_mtime)) != self._read:
                self._reasons.update(json.loads(path.read_text(encoding="utf-8")))
                self._read = changed


class Renderer:
    """The process that renders, started when it is first needed and again after it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer of the process: `refused` when the template ended it."""
        line = json.dumps(arguments, default=lambda value: f"<{type(value).__name__}>").encode() + b"\n"
        with self._lock:
            answer = self._ask(line) or self._ask(line)  # once more: the system may have ended it for another reason
        return answer or {"refused": "it ended the process that renders templates"}

    def _ask(self, line: bytes) -> dict[str, Any]:
        """The answer to one line. Empty when the process ended before it for an unknown reason."""
        process, late = self._running(), threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(WALL_SECONDS, give_up)
        clock.daemon = True
        clock.start()
        answer = _exchange(process, line)
        clock.cancel()
        if answer and "refused" not in answer:
            return answer
        self.close()
        if process.returncode == -getattr(signal, "SIGPROF", 0):
            return {"refused": f"it ran for longer than {SECONDS:g} seconds on one conversation"}
        if late.is_set() and hasattr(signal, "setitimer"):
            raise StudioError(
                "unexpected",
                f"The chat template of this model was not rendered within {WALL_SECONDS:g} seconds.",
                hint="Wait until the machine is less busy, then try again.",
            )
        return {"refused": f"it ran for longer than {WALL_SECONDS:g} seconds"} if late.is_set() else answer

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was written last can't be flushed any more
                    assert pipe is not None
                    pipe.close()

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                module_command("studio.inference.template_process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment(visitors=True) | _ONE_THREAD,
            )
        return self._process


refused, _renderer = Refused(), Renderer()


def _begin_again() -> None:
    """A forked process must not share the pipes of the other one."""
    global _renderer
    _renderer = Renderer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)


def remember_in(home: Path) -> None:
    """Keep refused templates in a file of this home, and have the processes that this one starts do so."""
    os.environ[VARIABLE] = str(home / REFUSED_FILE)


def guard() -> None:
    """Have every chat template that transformers renders in this process go through `render`, those of TRL included."""
    from transformers import tokenization_utils_base as library

    if library.render_jinja_template is not render:
        library.render_jinja_template = render  # type: ignore[assignment]


def render(**arguments: Any) -> tuple[list[str], list[Any]]:
    """The place of transformers' `render_jinja_template`: texts of conversations, and where their replies are.

    Raises:
        StudioError `unsafe-model`: when the template went over a limit, now or before.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    template = arguments.get("chat_template") or ""
    if _hash(template) in _known():
        return render_jinja_template(**arguments)  # type: ignore[return-value]
    key = _hash(template)
    if reason := refused.reason(key):
        raise _refusal(reason)
    answer = _renderer.render(arguments)
    if reason := answer.get("refused", ""):
        refused.add(key, reason)
        raise _refusal(reason)
    if "error" in answer:
        raise _error(answer["error"], answer["message"])
    return answer["texts"], [[tuple(place) for place in places] for places in answer["places"]]


def _exchange(process: "subprocess.Popen[bytes]", line: bytes) -> dict[str, Any]:
    """Send one line and return its answer. Empty when the process ended."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(OSError, ValueError):
        process.stdin.write(line)
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer
    return {}


def _error(name: str, message: str) -> Exception:
    """The error of a template, as it would have been raised here."""
    from jinja2 import TemplateError

    kind = getattr(builtins, name, None)
    usual = isinstance(kind, type) and issubclass(kind, ArithmeticError | LookupError | TypeError | ValueError)
    return kind(message) if usual and kind is not None else TemplateError(message)


def _refusal(reason: str) -> StudioError:
    return StudioError(
        "unsafe-model",
        f"The chat template of this model was stopped, because {reason}.",
        hint="Choose another model, or correct the template in the model's folder. A changed template is tried again.",
        field="model",
    )


def _hash(template: str) -> str:
    return hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def _known() -> frozenset[str]:
    """Hashes of templates from sources that the studio trusts."""
    templates = [PLAIN_TEMPLATE]
    for name in STARTERS:
        folder = starter_folder(name)
        with suppress(OSError, ValueError):
            settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            templates.append(settings.get("chat_template"))
        with suppress(OSError):
            templates.append((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    trl = importlib.util.find_spec("trl")
    for place in trl.submodule_search_locations or () if trl else ():
        templates += [file.read_text(encoding="utf-8") for file in Path(place, "chat_templates").glob("*.jinja")]
    return frozenset(_hash(template) for template in templates if isinstance(template, str))
