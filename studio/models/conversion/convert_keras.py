"""Conversion of a preset of KerasHub by its own exporter, in the environment with Keras. PyTorch computes."""

import os
from pathlib import Path
from typing import Any

from studio.models.conversion.hdf5 import check_hdf5
from studio.models.conversion.texts import TEXTS
from studio.models.conversion.verification import MAX_TOKENS
from studio.schema.errors import StudioError


def convert(original: str, raw: str, reference: str, architecture: str) -> None:
    """Write the preset in `original` to the new folder `raw` in 32 bits, and its logits to the file `reference`.

    The preset's JSON must have been checked (`read_preset`). `reference` has `N.input_ids` of shape (tokens,) and
    `N.logits` of shape (tokens, vocabulary) for each text N. Raise `StudioError` for weights that are not read.
    """
    os.environ.update(KERAS_BACKEND="torch", CUDA_VISIBLE_DEVICES="")
    for file in sorted(Path(original).glob("*.weights.h5")):
        check_hdf5(file)
    import keras
    import keras_hub
    import torch
    from safetensors.torch import save_file

    keras.config.disable_traceback_filtering()
    with torch.no_grad():
        # without a preprocessor: that of Gemma 3 needs TensorFlow
        model = keras_hub.models.CausalLM.from_preset(original, dtype="float32", preprocessor=None)
        tokenizer = keras_hub.tokenizers.Tokenizer.from_preset(original)
        model.export_to_transformers(raw)
        tokenizer.export_to_transformers(raw)
        tensors: dict[str, Any] = {}
        for number, text in enumerate(TEXTS):
            ids = torch.tensor([int(each) for each in tokenizer(text)][:MAX_TOKENS])
            _check_tokens(ids, model.backbone.vocabulary_size)
            logits = model({"token_ids": ids[None], "padding_mask": torch.ones_like(ids)[None]})
            tensors |= {f"{number}.input_ids": ids, f"{number}.logits": logits[0].float().contiguous()}
    save_file(tensors, reference)


def _check_tokens(ids: Any, vocabulary: int) -> None:
    if not len(ids) or int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        raise StudioError(
            "broken-model",
            "The tokenizer of the preset does not fit its model.",
            given=f"{vocabulary} tokens in the model",
            hint="Download the preset again.",
            field="model",
        )
