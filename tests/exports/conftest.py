"""The tools that exports are tested with. They are installed once, below build/, and stay there."""

import sys
from pathlib import Path
from threading import Event

import pytest

from studio.export.gguf import CONVERTER, QUANTIZER
from studio.export.litert import CONVERTER as LITERT
from studio.machine.tool_environment import ToolEnvironment

sys.path.append(str(Path(__file__).parents[1] / "real"))  # the runs that are exported are made there
TOOLS = Path(__file__).parents[2] / "build" / "export-tools"
GO = ToolEnvironment(
    name="go",
    title="Go",
    sentence="The language of Ollama's templates.",
    requirements=Path(__file__).with_name("go.txt"),
    hint="Connect this machine to the internet.",
    sees_studio=False,
)


def silent(*_: object) -> None: ...


def installed(environment: ToolEnvironment) -> Path:
    environment.install(TOOLS, silent, Event())
    return TOOLS


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the tools, with the converters to GGUF and LiteRT in it."""
    installed(LITERT)
    return installed(CONVERTER)


@pytest.fixture(scope="session")
def quantizer(tools: Path) -> Path:
    """The same folder, with the quantizer, which takes long to compile."""
    return installed(QUANTIZER)


@pytest.fixture(scope="session")
def go() -> Path:
    """The command go."""
    installed(GO)
    return GO.python(TOOLS).with_name("go")
