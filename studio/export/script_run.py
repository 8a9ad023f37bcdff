"""Runs an exported script for some steps, in a process of its own without the studio.

`run_in_process` calls `first_losses` of this file, which is never imported: it must not know the studio.
"""

import contextlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def first_losses(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Run the script, and return its losses by kind and step. What it prints goes to stderr."""
    import torch

    torch.set_num_threads(task["threads"])
    os.environ.update(BASE_MODEL=task["base"], OUTPUT=task["output"], STOP_AFTER=str(task["steps"]))
    with contextlib.redirect_stdout(sys.stderr):
        runpy.run_path(task["script"], run_name="__main__")
    losses: dict[str, dict[str, float]] = json.loads((Path(task["output"]) / "losses.json").read_text())
    return losses
