"""Folders of runs that were copied here and can't be listed: the person is told of each, until it is seen or mended."""

import json
from collections.abc import Collection
from pathlib import Path

from studio.store.files import write_whole

NOTICE = "passed-over.json"
"""Name of a folder → what is told of it, empty once the person has seen it."""


def pass_over(root: Path, runs: Collection[str]) -> None:
    """Note which folders can't be listed now. `root` is the workspace's."""
    known = _known(root)
    now = {run: known.get(run, _sentence(run)) for run in runs}
    if now != known:
        write_whole(root / NOTICE, json.dumps(now))


def told(root: Path) -> list[str]:
    """What a person should know of them."""
    return [sentence for sentence in _known(root).values() if sentence]


def forget(root: Path) -> None:
    """The person has seen it."""
    if told(root):
        write_whole(root / NOTICE, json.dumps(dict.fromkeys(_known(root), "")))


def _sentence(run: str) -> str:
    return (
        f"The run folder {run} is not listed, since its config.yaml can't be read: it was changed by hand, or is of "
        "another program. Put back the file as the studio wrote it, or take the folder away."
    )


def _known(root: Path) -> dict[str, str]:
    try:
        kept = json.loads((root / NOTICE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(run): str(sentence) for run, sentence in kept.items()} if isinstance(kept, dict) else {}
