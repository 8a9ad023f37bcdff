"""Opens an adapter of another tool as a run: to chat with it, to evaluate it, and to continue its training."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from studio.models import STARTERS, cached_models
from studio.models.adapters import CONFIG, WEIGHTS, AdapterFolder, read_adapter
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.runs import RunRecord, RunSpec
from studio.services.context import Context
from studio.services.models.service import FOLDERS, Models
from studio.store.db import now
from studio.store.files import require_room, write_whole
from studio.store.quota import Quota

NO_DATASET = "none"
"""Id of the dataset of such a run. There is none."""
LONGEST_NAME = 120


class AdapterImport:
    """Adapters of LLaMA-Factory, Unsloth, Axolotl, TRL, H2O and other tools that save them with PEFT."""

    def __init__(self, context: Context, models: Models) -> None:
        self.context, self.models = context, models

    def open(self, folder: Path, base: str = "", name: str = "") -> RunRecord:
        """Copy an adapter into a new run. `base` is the base model; by default it is looked up among the local models.

        Raises:
            StudioError: for a folder that is no adapter, and for a base model that is missing or does not fit.
        """
        self.context.owner_only("A folder of this machine")
        adapter = read_adapter(folder)
        info = self._given_base(adapter, base) if base else self._found_base(adapter)
        store, size = self.context.workspace.runs, (folder / WEIGHTS).stat().st_size
        require_room(store.root, size)
        Quota(self.context.workspace).require(size, "This adapter")
        run = store.create(_spec(adapter, info, name or folder.resolve().name))
        store.set_status(run.id, "stopped", "The adapter is being copied.")  # a queued run would be submitted
        to = store.folder(run.id).adapter
        try:
            to.mkdir()
            shutil.copyfile(folder / WEIGHTS, to / WEIGHTS)
            config = {**adapter.config, "base_model_name_or_path": info.hub_id or info.path}
            write_whole(to / CONFIG, json.dumps(config, indent=2))
        except BaseException:
            store.delete(run.id)
            raise
        done = "Opened from an adapter folder. It was trained with another tool."
        store.set_status(run.id, "finished", done, started=now(), ended=now(), has_result=True, reason=done)
        return store.get(run.id)

    def _given_base(self, adapter: AdapterFolder, base: str) -> ModelInfo:
        info = self.models.ready(base)
        if why := _misfit(adapter, info):
            raise StudioError(
                "wrong-model",
                f"The adapter does not fit the base model {info.title}.",
                given=why,
                hint=f"It was trained on {adapter.base}." if adapter.base else "",
                field="base",
            )
        return info

    def _found_base(self, adapter: AdapterFolder) -> ModelInfo:
        """The local model with the adapter's Hub id. Without an id, the only local model that it fits."""
        local = list(self._local_models())
        same = [info for info in local if adapter.base and adapter.base in (info.name, info.hub_id)]
        if same:
            return self._given_base(adapter, same[0].name)
        fitting = [info for info in local if not _misfit(adapter, info)]
        if adapter.base:
            hint = f"Download it with: studio download {adapter.base}"
            if fitting:
                hint += f". Or choose a copy of it with --base, for example {fitting[0].name}"
            raise StudioError(
                "no-such-model",
                f"The adapter's base model {adapter.base} is not on this machine.",
                given=adapter.base,
                valid=[info.name for info in fitting] or None,
                hint=f"{hint}.",
                field="base",
            )
        if len(fitting) == 1:
            return self._given_base(adapter, fitting[0].name)
        raise StudioError(
            "no-such-model",
            "The adapter names no base model of the Hub, only a folder of the machine that it was trained on.",
            valid=[info.name for info in fitting] or "a base model with layers of the same sizes",
            hint="Name its base model with --base.",
            field="base",
        )

    def _local_models(self) -> Iterator[ModelInfo]:
        folders = self.context.workspace.drafts.get(FOLDERS, [])
        for name in (*STARTERS, *folders):
            with suppress(StudioError):  # a folder that was deleted
                yield self.models.find(name)
        yield from cached_models()


def _misfit(adapter: AdapterFolder, info: ModelInfo) -> str:
    """Why an adapter can't be used with a local model, or ""."""
    if not info.here or info.path is None:
        return "it is not on this machine"
    if info.kind != "causal":
        return "it is not a generative model"
    return "" if info.quantized else adapter.misfit(Path(info.path))


def _spec(adapter: AdapterFolder, info: ModelInfo, name: str) -> RunSpec:
    modules = " ".join(adapter.config["target_modules"])
    config = TrainingConfig(
        task="chat",
        model=info.name,
        method=adapter.method,
        name=name[:LONGEST_NAME],
        lora_rank=adapter.rank,
        lora_alpha=adapter.config["lora_alpha"],
        lora_dropout=min(adapter.config["lora_dropout"], 0.9),
        lora_targets="all-linear" if "mlp" in modules or "fc" in modules else "attention",
    )
    return RunSpec(
        config=config,
        dataset=NO_DATASET,
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"prompt": "prompt", "reply": "reply"}),
        splits=SplitSpec(),
        because=("Its adapter was trained with another tool.",),
    )
