"""Weights of other libraries that no converter here can read: which file was found, why, and what to do."""

from pathlib import Path

from studio.schema.errors import StudioError

TRANSFORMERS_FOLDER = "a folder as save_pretrained writes it: config.json, model.safetensors, tokenizer.json"
FOREIGN: tuple[tuple[str, str, str], ...] = (
    (
        "*.keras",
        "It is a whole Keras model in one archive. Only presets of KerasHub can be converted.",
        "Load it in Keras, call save_to_preset on the KerasHub model, and add that folder.",
    ),
    (
        "*.weights.h5",
        "It has weights of Keras, but the folder is not a preset of KerasHub with config.json and tokenizer.json.",
        "Call save_to_preset on the KerasHub model, and add that folder.",
    ),
    (
        "tf_model*.h5",
        "It has TensorFlow weights, but the folder has no config.json of transformers that names the model's class.",
        "Copy config.json and the tokenizer's files from the model's origin into this folder.",
    ),
    (
        "saved_model.pb",
        "It is a TensorFlow graph (SavedModel). It has no config, and no maintained tool turns it into a model of "
        "transformers.",
        "Look for the same model with model.safetensors or tf_model.h5, for example on the Hub.",
    ),
    (
        "*.ckpt*.index",
        "It is a TensorFlow 1 checkpoint. It comes without the program that computes with it, so the studio could not "
        "compare the converted model with the original.",
        "Load it once with transformers 4 and TensorFlow (from_tf=True, for BERT, ALBERT, ELECTRA, GPT-2 and T5), save "
        "it with save_pretrained, compare it with the original, and add the new folder.",
    ),
    (
        "flax_model*.msgpack",
        "It has Flax weights, which transformers 5 can't read.",
        "Load it once with transformers 4 (from_flax=True), and save it with save_pretrained.",
    ),
)
"""Pattern of the file, why it can't be used, and what to do."""


def check_foreign(folder: Path) -> None:
    """Raise `StudioError` if a folder has weights of another library. It must have no weights of PyTorch."""
    for pattern, why, hint in FOREIGN:
        file = next(iter(sorted(folder.glob(pattern))), None)
        if file is not None:
            raise StudioError(
                "broken-model",
                f"The file {file.name} can't be used. {why}",
                given=folder,
                valid=TRANSFORMERS_FOLDER,
                hint=hint,
                field="model",
            )
