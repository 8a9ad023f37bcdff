"""Combines adapters in a process of its own.

python -m studio.worker.combine --home DIR --workspace W RUN      what to combine as JSON on stdin
"""

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from studio.machine.paths import without_places
from studio.store import Home
from studio.worker.messages import in_plain_words


def main() -> int:
    """The exit status: 0 made, 1 not, with a plain sentence on stdout."""
    parser = argparse.ArgumentParser(prog="studio.worker.combine", description="Combines adapters.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("run")
    given = parser.parse_args()
    asked = json.loads(sys.stdin.read())
    try:
        with redirect_stdout(sys.stderr):
            make(Home(given.home), given.workspace, given.run, asked["runs"], asked["weights"], asked["how"])
    except Exception as error:
        said = in_plain_words(error)
        visitors = Home(given.home).workspace(given.workspace).is_visitors
        print(json.dumps({"code": said.code, "what": without_places(said.message) if visitors else said.message}))
        return 1
    return 0


def make(home: Home, workspace: str, run: str, runs: list[str], weights: list[float], how: str) -> None:
    """The combined adapter in the new run's folder."""
    from studio.training.adapter_merge import combine

    owner = home.workspace(workspace)
    store = owner.runs
    spec = store.spec(run)
    info = owner.find_model(spec.config.model)
    combine(
        info,
        spec.data,
        spec.config.precision,
        [store.folder(store.get(each).id).adapter for each in runs],
        weights,
        how,
        store.folder(run).adapter,
        home.trusts(info),
    )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
