"""Environments with extra packages, as they are shown."""

from pathlib import Path

from studio.machine.tool_environment import ToolEnvironment
from studio.schema.tools import ExtraTools


def extra_tools(environment: ToolEnvironment, tools: Path) -> ExtraTools:
    """An environment in the folder of the tools, and whether it is installed."""
    ready = environment.is_ready(tools)
    return ExtraTools(name=environment.name, title=environment.title, sentence=environment.sentence, ready=ready)
