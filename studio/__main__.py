"""`python -m studio` is `studio`."""

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from studio.cli import main

if __name__ == "__main__":
    if PathFinder.find_spec("studio", sys.path[1:]) is None:  # not installed: its processes do not look in this folder
        own = str(Path(__file__).resolve().parents[1])
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))
    main()
