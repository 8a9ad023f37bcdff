"""The command line: reads what was asked, makes one call to api.py, shows the result. It also starts the page."""

from studio.cli.main import main

__all__ = ["main"]
