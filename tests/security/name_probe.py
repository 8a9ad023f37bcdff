"""Gives names to the studio's real sources, and tells which servers they would have asked and which files they opened.

python -m tests.security.name_probe     reads [kind, name] as a line of JSON each, writes {"hosts", "files", "error"}

Nothing leaves the machine: each look-up of a host's name and each connection ends with an error, and is noted. So does
the start of a process, such as the one for Kaggle, in which nothing would be noted.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PRIVATE = ("/etc/", "/proc/self/environ", "/root/.ssh")
hosts: list[str] = []
files: list[str] = []
watching = False


class BlockedError(OSError):
    """No network here."""


def watch(event: str, given: tuple[Any, ...]) -> None:
    """Note what would be asked, and end it."""
    if not watching:
        return
    if event == "socket.getaddrinfo":
        hosts.append(str(given[0]))
        raise BlockedError("no network here")
    if event == "socket.connect":
        hosts.append(str(given[1]))
        raise BlockedError("no network here")
    if event == "subprocess.Popen":
        raise BlockedError("no process here")
    if event == "open" and str(given[0]).startswith(PRIVATE) and not str(given[0]).startswith("/etc/ssl"):
        files.append(str(given[0]))


def kinds(folder: Path) -> dict[str, Callable[[str], object]]:
    """Kind of a name → what the studio does with it."""
    from studio.api import Studio
    from studio.export.hub import check_repo_name
    from studio.models import find_model
    from studio.models.search import searched_sources

    studio = Studio(folder / "home")

    def search(text: str) -> object:
        return [source.search(text, 3) for source in searched_sources()]

    def model_folder(path: str) -> object:
        return studio.models.use_folder(path)

    return {
        "model": find_model,
        "search": search,
        "folder": model_folder,
        "data": studio.datasets.open,
        "repository": check_repo_name,
    }


def main() -> int:
    """Answer one name after the other."""
    global watching
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            del os.environ[name]
    sys.addaudithook(watch)
    with TemporaryDirectory() as folder:
        do = kinds(Path(folder))
        for line in sys.stdin:
            kind, name = json.loads(line)
            hosts.clear()
            files.clear()
            error, watching = "", True
            try:
                do[kind](name)
            except Exception as refusal:
                error = f"{type(refusal).__name__}: {refusal}"
            finally:
                watching = False
            print(json.dumps({"hosts": hosts, "files": files, "error": error[:500]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
