"""Conversion of TensorFlow weights by transformers 4, in the environment with TensorFlow."""

import os
from pathlib import Path
from typing import Any

from studio.models.conversion.hdf5 import check_hdf5
from studio.models.conversion.texts import TEXTS
from studio.models.conversion.verification import MAX_TOKENS, OUTPUTS
from studio.schema.errors import StudioError

VARIABLES = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "USE_FLAX": "0"}


def convert(original: str, raw: str, reference: str, architecture: str) -> None:
    """Write the TensorFlow model in `original` to the new folder `raw`, and its outputs to the file `reference`.

    `reference` has `N.input_ids` of shape (tokens,), and each output of the model by its name, for each text N. Raise
    `StudioError` for weights that are not read, an architecture without TensorFlow code, or missing weights.
    """
    os.environ.update(VARIABLES)
    for file in sorted(Path(original).glob("tf_model*.h5")):
        check_hdf5(file)
    import transformers
    from safetensors.numpy import save_file
    from transformers.modeling_tf_pytorch_utils import load_tf2_model_in_pytorch_model

    transformers.utils.logging.set_verbosity_error()
    source: dict[str, Any] = {"pretrained_model_name_or_path": original, "local_files_only": True}
    original_class = getattr(transformers, f"TF{architecture}", None)
    new_class = getattr(transformers, architecture, None)
    if original_class is None or new_class is None:
        raise StudioError(
            "wrong-model",
            f"transformers 4 has no TensorFlow code for {architecture}, so its weights can't be converted.",
            given=architecture,
            valid="for example BERT, DistilBERT, RoBERTa, GPT-2, T5 or BART",
            hint="Choose the same model with model.safetensors, for example from the Hub.",
            field="model",
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    model, loading = original_class.from_pretrained(**source, use_safetensors=False, output_loading_info=True)
    missing = sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
    if missing:
        raise StudioError(
            "broken-model",
            "The TensorFlow file lacks weights of the model.",
            given=", ".join(missing[:3])[:300],
            hint="Download the model again.",
            field="model",
        )
    tensors: dict[str, Any] = {}
    for number, text in enumerate(TEXTS):
        inputs = tokenizer(text, return_tensors="np", truncation=True, max_length=MAX_TOKENS)
        given = {"input_ids": inputs["input_ids"]}
        if model.config.is_encoder_decoder:
            given["decoder_input_ids"] = inputs["input_ids"]
        outputs = model(given, training=False)
        tensors[f"{number}.input_ids"] = inputs["input_ids"][0].astype("int64")
        tensors |= {f"{number}.{name}": outputs[name][0].numpy() for name in OUTPUTS if name in outputs}
    save_file(tensors, reference)
    load_tf2_model_in_pytorch_model(new_class(model.config), model).save_pretrained(raw)
    tokenizer.save_pretrained(raw)
