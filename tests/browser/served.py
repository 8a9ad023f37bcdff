"""A real studio for the browser tests: a process and a home of its own, that can be killed and started again."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def free_port() -> int:
    """A port that nobody listens on.

    It is below the range that systems take the ports of outgoing connections from (32768 on Linux, 49152 elsewhere):
    there, another process may take it before the server does, and again while the server is restarted.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("0.0.0.0", port))
            return port
    raise RuntimeError("No port between 20000 and 32000 is free.")


_left_ports: list[int] = []
"""Ports of servers that were stopped. The browser has in its cache what came from there, compiled scripts included."""


def _left_port() -> int | None:
    """A port of a server that was stopped, if nobody has taken it since."""
    while _left_ports:
        port = _left_ports.pop()
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: closed connections may linger
            trial.bind(("0.0.0.0", port))
            return port
    return None


class Served:
    """`studio serve` on a free port of this machine, without the Hub unless `environment` says otherwise."""

    def __init__(
        self, home: Path, *flags: str, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        self.home, self.flags, self.prefix = home, flags, prefix
        self.environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})}
        self.port = _left_port() or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / "server.log"
        self.start()

    def start(self) -> None:
        """Start it, and wait until the page answers."""
        asked = ["serve", "--home", str(self.home), "--port", str(self.port), "--no-browser", *self.flags]
        with self.log.open("ab") as log:
            command = [*self.prefix, sys.executable, "-m", "studio", *asked]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        for _ in range(400):
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return
            except urllib.error.HTTPError:  # it answers, and refuses a client without a name
                return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"The studio did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """End it without a chance to say anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it as a person would. Its port is for the next one."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.port not in _left_ports:
            _left_ports.append(self.port)


@cache
def chromium() -> str | None:
    """The system's Chromium; None for the one that Playwright brought."""
    for name in (
        os.environ.get("CHROMIUM", ""),
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ):
        found = shutil.which(name) if name else None
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return found
    return None
