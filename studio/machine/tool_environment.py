"""Virtual environments for packages that can't be installed beside the studio's own, because they replace some of them.

An environment is a folder below HOME/tools. It sees the studio's packages, but its own come first. It is made only on
request, from a requirements file of the studio with exact versions, and needs no network after that.
"""

import hashlib
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from studio.machine.environment import child_environment
from studio.machine.locks import alone
from studio.machine.processes import end_group, module_command
from studio.schema.errors import StudioError

MARK = "installed"
"""The file that says that an environment is complete: it holds the hash of its requirements."""
POLL = 0.2
"""Seconds between two looks at the process that installs."""
LOG_LINES = 3
"""Last lines of pip's output in an error."""
GRACE = 3.0
"""Seconds that it may take to end after SIGTERM."""


@dataclass(frozen=True)
class ToolEnvironment:
    """Packages with exact versions, in an environment of their own."""

    name: str
    """Name of its folder."""
    title: str
    """Name for people."""
    sentence: str
    """What is installed, from where, and how large it is."""
    requirements: Path
    """A requirements file with exact versions."""
    hint: str
    """What to do when the packages can't be installed."""
    install_hint: str = "Install it first. The Export tab has a button, and `studio export` the flag --install-tools."
    """How to install it, for the error of someone who needs it first."""
    sees_studio: bool = True
    """Whether it can import the studio's packages, such as torch."""

    def folder(self, tools: Path) -> Path:
        """Return the folder of the environment."""
        return tools / self.name

    def python(self, tools: Path) -> Path:
        """Return its Python."""
        scripts = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
        return self.folder(tools).joinpath(*scripts)

    def is_ready(self, tools: Path) -> bool:
        """Return whether it is installed with the present requirements, for this Python."""
        mark = self.folder(tools) / MARK
        return mark.is_file() and mark.read_text(encoding="utf-8") == self._mark() and self.python(tools).exists()

    def require(self, tools: Path) -> Path:
        """Return its Python. Raise `StudioError` if it is not installed."""
        if not self.is_ready(tools):
            raise StudioError(
                "format-unavailable",
                f"The {self.title} is not installed yet.",
                hint=self.install_hint,
            )
        return self.python(tools)

    def install(self, tools: Path, progress: Callable[[int, int, str], None], cancel: Event) -> None:
        """Make the environment, if it is not ready. An unfinished one is removed first.

        If another process or thread makes it, this waits until that has ended.

        Raises:
            StudioError: `format-unavailable` if a package can't be downloaded or built; the message has the cause.
                `wrong-state` if it was cancelled.
        """
        if self.is_ready(tools):
            return

        def wait() -> None:
            progress(0, 3, "Waiting for another installation to end")
            _stop_if(cancel.is_set())

        tools.mkdir(parents=True, exist_ok=True)
        with alone(self.folder(tools), wait):
            if not self.is_ready(tools):
                self._install(tools, progress, cancel)

    def _install(self, tools: Path, progress: Callable[[int, int, str], None], cancel: Event) -> None:
        folder = self.folder(tools)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            progress(0, 3, "Making the environment")
            self._run(module_command("venv", str(folder)), cancel)
            if self.sees_studio:
                self._show_studio_packages(tools)
            progress(1, 3, f"Installing the {self.title}")
            pip = module_command("pip", "install", "--disable-pip-version-check", python=str(self.python(tools)))
            # what they need is the studio's own; installing it again would take gigabytes
            pip += ["--no-input", *(["--no-deps"] if self.sees_studio else [])]
            self._run([*pip, "--requirement", str(self.requirements)], cancel)
            (folder / MARK).write_text(self._mark(), encoding="utf-8")
            progress(3, 3, "Done")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _mark(self) -> str:
        requirements = hashlib.sha256(self.requirements.read_bytes()).hexdigest()
        return f"{requirements} Python {sys.version_info.major}.{sys.version_info.minor}"

    def _show_studio_packages(self, tools: Path) -> None:
        """A .pth file adds the studio's packages, and what their .pth files add, after those of the environment."""
        base = str(self.folder(tools))
        own = sysconfig.get_path("purelib", "venv", vars={"base": base, "platbase": base})
        places = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        lines = [f"import site; site.addsitedir({place!r})\n" for place in places]
        (Path(own) / "packages_of_the_studio.pth").write_text("".join(lines), "utf-8")

    def _run(self, command: list[str], cancel: Event) -> None:
        lines: deque[str] = deque(maxlen=LOG_LINES)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=child_environment(visitors=False),
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(str(error)) from error
        reader = Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                _stop_if(cancel.wait(POLL))
        finally:
            _end(process)
            reader.join()
        if process.returncode:
            raise self._failed(" ".join(lines))

    def _failed(self, output: str) -> StudioError:
        return StudioError(
            "format-unavailable",
            f"The {self.title} can't be installed.",
            given=f"pip says: {output}" if output else "pip gave no reason",
            hint=self.hint,
        )


def _stop_if(cancelled: bool) -> None:
    if cancelled:
        raise StudioError("wrong-state", "The installation was cancelled.", hint="Start it again.")


def _read(process: "subprocess.Popen[str]", lines: deque[str]) -> None:
    """Keep the last lines of the output that are not empty."""
    assert process.stdout is not None
    with process.stdout as output:
        lines.extend(line.strip() for line in output if line.strip())


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process and the compilers that it started."""
    if process.poll() is not None:
        return
    end_group(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        end_group(process.pid, signal.SIGKILL)
        process.wait()
