"""A command of the studio in this very process: how it ended, and what it printed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.cli.main import run


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def last_line(self) -> str:
        return self.out.strip().splitlines()[-1]


Call = Callable[..., Said]


def caller(capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs a command to its end; no traceback is shown."""

    def call(*arguments: str | Path) -> Said:
        capfd.readouterr()
        status = run([str(each) for each in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(status, out, err)

    return call
