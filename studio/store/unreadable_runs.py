"""Folders of runs that can't be listed. The user sees a notice for each until it is confirmed or the folder is
repaired."""

import json
from collections.abc import Collection
from pathlib import Path

from studio.store.files import read_json, write_whole

NOTICE = "passed-over.json"
"""Folder name → its notice, empty after the user has seen it."""


def pass_over(root: Path, runs: Collection[str]) -> None:
    """Record which folders can't be listed now. `root` is the folder of the workspace."""
    known = _known(root)
    now = {run: known.get(run, _sentence(run)) for run in runs}
    if now != known:
        write_whole(root / NOTICE, json.dumps(now))


def read_notices(root: Path) -> list[str]:
    """The notices that the user has not seen."""
    return [sentence for sentence in _known(root).values() if sentence]


def forget(root: Path) -> None:
    """The user has seen the notices."""
    if read_notices(root):
        write_whole(root / NOTICE, json.dumps(dict.fromkeys(_known(root), "")))


def _sentence(run: str) -> str:
    return (
        f"The run folder {run} is not listed, because its config.yaml can't be read. It was edited, or another "
        "program wrote it. Restore the original file, or remove the folder."
    )


def _known(root: Path) -> dict[str, str]:
    return {run: str(sentence) for run, sentence in read_json(root / NOTICE).items()}
