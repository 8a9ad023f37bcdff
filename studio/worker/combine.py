"""Combines adapters into the adapter of a new run. The service calls `run` in a process of its own."""

from collections.abc import Mapping
from pathlib import Path

from studio.store import Home
from studio.worker.messages import to_studio_error


def run(home: str, workspace: str, new_run: str, weights: Mapping[str, float], method: str) -> None:
    """Write the combined adapter into the folder of the new run. `weights` has the weight of each run.

    Any error becomes a `StudioError`.
    """
    from studio.inference.heads import head_of
    from studio.inference.load import load_base
    from studio.training.adapter_merge import combine

    root = Home(Path(home))
    owner = root.workspace(workspace)
    store = owner.runs
    try:
        spec = store.spec(new_run)
        info = owner.find_model(spec.config.model)
        base = load_base(info, spec.config.precision, head_of(info, spec.data), root.trusts(info))
        adapters = {store.folder(store.get(each).id).adapter: weight for each, weight in weights.items()}
        combine(base, info, adapters, method, store.folder(new_run).adapter)
    except Exception as error:
        raise to_studio_error(error) from error
