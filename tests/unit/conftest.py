"""A studio in a home of its own, and its commands; a test file that needs others makes its own."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.cli.main import run


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A visit of one open page of that home, with what was just done on it."""
    from studio.ui.visitors.session import Sessions

    sessions = Sessions(tmp_path / "home")
    yield lambda **event: sessions.visit({}, "page", event)
    sessions.root.close()


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """A command with --json: its status, document and words."""

    def calling(*arguments: str | Path) -> tuple[int, Any, str]:
        status = run([*map(str, arguments), "--home", str(tmp_path / "home"), "--json"])
        sys.stdout.flush()
        said = capfd.readouterr()
        return status, json.loads(said.out) if said.out.strip() else None, said.err

    return calling
