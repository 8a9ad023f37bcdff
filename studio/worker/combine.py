"""Combines adapters into the adapter of a new run. The service calls `run` in a process of its own."""

from collections.abc import Sequence
from pathlib import Path

from studio.store import Home
from studio.worker.messages import to_studio_error


def run(home: str, workspace: str, new_run: str, runs: Sequence[str], weights: Sequence[float], method: str) -> None:
    """Write the combined adapter into the folder of the new run. Any error becomes a `StudioError`."""
    from studio.training.adapter_merge import combine

    root = Home(Path(home))
    owner = root.workspace(workspace)
    store = owner.runs
    try:
        spec = store.spec(new_run)
        info = owner.find_model(spec.config.model)
        combine(
            info,
            spec.data,
            spec.config.precision,
            [store.folder(store.get(each).id).adapter for each in runs],
            weights,
            method,
            store.folder(new_run).adapter,
            root.trusts(info),
        )
    except Exception as error:
        raise to_studio_error(error) from error
