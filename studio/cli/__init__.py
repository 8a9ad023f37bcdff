"""The command line: parses a command, makes one call to the Python API, shows the result. It also starts the page."""

from studio.cli.main import main

__all__ = ["main"]
