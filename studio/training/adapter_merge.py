"""Merges several adapters of one base model into one, with PEFT's methods."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.inference.load import adapter_kind
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.training.loop.checkpoints import replace_folder
from studio.training.loop.loading import set_base_model

DENSITY = 0.5
"""Share of the largest changes that the methods "ties" and "dare" keep."""
MADE = "made"


def combine(base: Any, info: ModelInfo, adapters: Mapping[Path, float], how: str, target: Path) -> None:
    """Write the weighted sum of several adapters to `target`.

    `base` is the loaded base model, with its head. `adapters` has the weight of each folder. `how` is PEFT's
    combination type, which only LoRA adapters have.
    """
    from peft import PeftModel

    folders, weights = list(adapters), list(adapters.values())
    names = [f"a{number}" for number in range(len(folders))]
    model: Any = PeftModel.from_pretrained(base, str(folders[0]), adapter_name=names[0])
    for name, folder in zip(names[1:], folders[1:], strict=True):
        model.load_adapter(str(folder), adapter_name=name)
    more: dict[str, Any] = {}
    if adapter_kind(folders[0]) == "LORA":
        more["combination_type"] = how
        # The scale of each adapter is part of the merged weights, so the merged adapter must not scale again. As an
        # rsLoRA it would be scaled by the root of its rank once more.
        model.peft_config[names[0]].use_rslora = False
        if how in ("ties", "dare_linear"):
            more["density"] = DENSITY
    try:
        model.add_weighted_adapter(adapters=names, weights=weights, adapter_name=MADE, **more)
    except ValueError as error:
        raise StudioError(
            "bad-setting",
            "These adapters can't be combined with this method.",
            given=how,
            hint=str(error).splitlines()[0],
            field="how",
        ) from error
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        model.save_pretrained(temporary, selected_adapters=[MADE], save_embedding_layers=False)
        shutil.move(str(Path(temporary) / MADE), str(new))
    set_base_model(new, info)
    (new / "README.md").unlink(missing_ok=True)
    replace_folder(new, target)
