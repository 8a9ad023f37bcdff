"""Workers that need not import anything: forked, as tests/forked.py tells."""

import os
from dataclasses import replace
from pathlib import Path

from studio.api import Studio
from studio.api.base import Shared
from studio.services.runners.local import LocalRunner
from studio.store import Home
from tests.forked import Forked

IMPORTED = ("studio.training.run", "studio.training.trainers.classification", "studio.training.trainers.sft", "peft",
            "trl.chat_template_utils", "datasets", "deepspeed")  # fmt: skip


def forked_worker(arguments: list[str], log: Path) -> Forked:
    """`python -m studio.worker` with these arguments."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return Forked("studio.worker.__main__:main", arguments, log, environment, IMPORTED)


class ForkingRunner(LocalRunner):
    """Starts workers as the studio does, but for the import."""

    def start(self, workspace: str, run: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        worker = forked_worker(["--home", str(self.home), "--workspace", workspace, run], log)
        self._attend(worker, workspace, run)


def studio_in(home: Home | Path) -> Studio:
    """The studio of a home, whose workers are forked."""
    home = home if isinstance(home, Home) else Home(home)
    return Studio(home, shared=replace(Shared.of(home), runner=ForkingRunner(home.root)))
