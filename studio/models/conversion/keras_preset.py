"""Presets of KerasHub: which files belong to one, what it declares, and whether KerasHub can export it.

Nothing is loaded. A preset is JSON that names classes, so only the classes that are expected are accepted.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.schema.errors import StudioError

CONFIG, TOKENIZER, WEIGHTS, INDEX = "config.json", "tokenizer.json", "model.weights.h5", "model.weights.json"
SHARD = re.compile(r"model_\d{5}\.weights\.h5")
ASSETS = ("vocabulary.json", "merges.txt", "vocabulary.spm")
"""Files in assets/tokenizer that a tokenizer reads."""
MAX_ASSET_BYTES = 100_000_000
REGISTERED = re.compile(r"keras_(?:hub|nlp)>(\w{1,60})")
ARCHITECTURES = {
    "GPT2Backbone": "GPT2LMHeadModel",
    "GemmaBackbone": "GemmaForCausalLM",
    "Gemma3Backbone": "Gemma3ForCausalLM",
    "Llama3Backbone": "LlamaForCausalLM",
    "MistralBackbone": "MistralForCausalLM",
    "QwenBackbone": "Qwen2ForCausalLM",
}
"""What KerasHub exports → its class in transformers."""
DTYPES = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "mixed_float16": "float32",
    "mixed_bfloat16": "float32",
}
"""Keras's policy → number format of the weights."""
WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Number format → bytes of a number."""
VARIANTS: dict[str, tuple[tuple[str, str], ...]] = {
    "GemmaBackbone": tuple(
        (name, "Gemma 2")
        for name in (
            "use_post_ffw_norm",
            "use_post_attention_norm",
            "use_sliding_window_attention",
            "attention_logit_soft_cap",
            "final_logit_soft_cap",
        )
    ),
    "Gemma3Backbone": (("vision_encoder", "Gemma 3 with images"), ("is_embedding_model", "EmbeddingGemma")),
    "QwenBackbone": (("use_sliding_window_attention", "Qwen 2 with a sliding window"),),
}
"""Backbone → settings which, when set, make it another model, which KerasHub can't export or the studio can't train."""


@dataclass(frozen=True)
class KerasPreset:
    """A preset that can be converted."""

    architecture: str
    """Class in transformers."""
    config: Mapping[str, Any]
    """The settings of the backbone."""
    dtype: str
    """Number format of the weights."""
    weights: tuple[str, ...]
    """Names of the files with weights."""
    files: tuple[str, ...]
    """Names of all files that the conversion needs, with `/` for folders."""
    bytes: int
    """Of the weights."""

    @property
    def parameters(self) -> int:
        """Approximate number of parameters: HDF5 files have some bytes beside them."""
        return self.bytes // WIDTHS[self.dtype]


def is_preset(config: Mapping[str, Any]) -> bool:
    """Return whether config.json is that of a preset of KerasHub."""
    return REGISTERED.fullmatch(str(config.get("registered_name"))) is not None


def read_preset(read: Callable[[str], dict[str, Any]], files: Mapping[str, int], given: str) -> KerasPreset:
    """Return the preset. `read` gives the content of a JSON file, `files` all names with their sizes.

    Raises:
        StudioError: `wrong-model` for a model that can't be converted, `broken-model` for missing or unexpected files.
    """
    config, tokenizer = read(CONFIG), read(TOKENIZER)
    backbone = _class_of(config, CONFIG, given)
    if backbone not in ARCHITECTURES:
        raise _unsupported(backbone, given)
    settings = config["config"]
    for name, title in VARIANTS.get(backbone, ()):
        if settings.get(name):
            raise _unsupported(title, given)
    _check_objects(config, CONFIG, given)
    family, tokenizer_class = backbone.removesuffix("Backbone"), _class_of(tokenizer, TOKENIZER, given)
    if not tokenizer_class.startswith(family) or not tokenizer_class.endswith("Tokenizer"):
        raise _broken(given, f"{TOKENIZER} does not describe the tokenizer of this model.")  # others can read any file
    _check_objects(tokenizer, TOKENIZER, given)
    if tokenizer["config"].get("config_file", TOKENIZER) != TOKENIZER:
        raise _broken(given, f"{TOKENIZER} names another file.")
    if any(tokenizer["config"].get(name) is not None for name in ("vocabulary", "merges", "proto")):
        raise _broken(given, f"{TOKENIZER} names a vocabulary outside of the preset.")
    weights = _weights(read, files, given)
    assets = [f"assets/tokenizer/{name}" for name in ASSETS if f"assets/tokenizer/{name}" in files]
    if not assets:
        raise _broken(given, "The preset has no vocabulary in assets/tokenizer.")
    if any(files[name] > MAX_ASSET_BYTES for name in assets):
        raise StudioError(
            "too-large",
            "The vocabulary of this preset is too large.",
            given=given,
            valid=f"at most {MAX_ASSET_BYTES // 1_000_000} MB for each file",
            field="model",
        )
    index = [INDEX] if INDEX in files and WEIGHTS not in files else []
    size = sum(files[name] for name in weights)
    _check_size(settings, size, given)
    return KerasPreset(
        architecture=ARCHITECTURES[backbone],
        config=settings,
        dtype=_dtype(settings, given),
        weights=tuple(weights),
        files=(CONFIG, TOKENIZER, *index, *weights, *assets),
        bytes=size,
    )


def size_of_preset(config: Mapping[str, Any]) -> dict[str, int]:
    """Return layers, hidden, intermediate and vocabulary sizes, and the context length. 0 for what is missing."""
    names = {
        "layers": "num_layers",
        "hidden": "hidden_dim",
        "intermediate": "intermediate_dim",
        "vocabulary": "vocabulary_size",
        "context": "max_sequence_length",
    }
    return {ours: _number(config.get(theirs)) for ours, theirs in names.items()}


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53 else 0


def _class_of(config: Mapping[str, Any], file: str, given: str) -> str:
    """Return the class that a file of the preset describes."""
    match = REGISTERED.fullmatch(str(config.get("registered_name")))
    if match is None or not isinstance(config.get("config"), dict):
        raise _broken(given, f"{file} does not describe an object of KerasHub.")
    if str(config.get("class_name")) != match[1] or not _is_own_module(config):
        raise _broken(given, f"{file} names a class outside of KerasHub.")
    if any(config.get(name) for name in ("compile_config", "build_config")):  # Keras would make what they name
        raise _broken(given, f"{file} has more than the settings of an object.")
    return match[1]


def _check_size(settings: Mapping[str, Any], size: int, given: str) -> None:
    """Raise `StudioError` if the settings declare more weights than the files hold. Keras would make all of them."""
    layers, hidden, vocabulary = (
        _number(settings.get(name)) for name in ("num_layers", "hidden_dim", "vocabulary_size")
    )
    if not (layers and hidden and vocabulary) or hidden * (vocabulary + layers) > size:
        raise _broken(given, f"{CONFIG} declares another size of the model than its weights have.")


def _check_objects(config: Mapping[str, Any], file: str, given: str) -> None:
    """Raise `StudioError` if settings have other objects than number formats, because Keras would make them."""
    for each in _objects(config["config"]):
        class_name = str(each.get("class_name"))[:60]
        is_plain = each.get("module") == "keras" and each.get("registered_name") is None
        if not is_plain or class_name not in ("DTypePolicy", "DTypePolicyMap"):
            raise _broken(given, f"{file} has an object of an unexpected class ({class_name}).")


def _is_own_module(config: Mapping[str, Any]) -> bool:
    return re.fullmatch(r"keras_(hub|nlp)(\.\w+)*", str(config.get("module"))) is not None


def _objects(value: object) -> list[dict[str, Any]]:
    """Return all serialized objects in settings, at any depth."""
    objects, waiting = [], [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if "class_name" in each or "module" in each or "registered_name" in each:
                objects.append(each)
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return objects


def _dtype(settings: Mapping[str, Any], given: str) -> str:
    """Return the number format of the weights. Raise `StudioError` for a quantized preset."""
    policy = settings.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    if name is None and not isinstance(policy, dict):
        return "float32"
    if name not in DTYPES:
        raise StudioError(
            "wrong-model",
            "The preset is quantized. KerasHub exports only presets with 32-bit or 16-bit weights.",
            given=given,
            valid=", ".join(DTYPES),
            field="model",
        )
    return DTYPES[str(name)]


def _weights(read: Callable[[str], dict[str, Any]], files: Mapping[str, int], given: str) -> list[str]:
    """Return the names of the files with weights."""
    if WEIGHTS in files:
        return [WEIGHTS]
    if INDEX not in files:
        raise _broken(given, f"The preset has no {WEIGHTS}.")
    places = read(INDEX).get("weight_map")
    names: set[str] = set()
    for place in places.values() if isinstance(places, dict) else ():
        names.update(map(str, place if isinstance(place, list) else [place]))
    if not names or any(SHARD.fullmatch(name) is None or name not in files for name in names):
        raise _broken(given, f"{INDEX} names a file that is missing, or that is not part of a preset.")
    return sorted(names)


def _unsupported(what: str, given: str) -> StudioError:
    return StudioError(
        "wrong-model",
        f"The studio can't convert this Keras model ({what[:60]}). KerasHub has no exporter for it.",
        given=given,
        valid="GPT-2, Gemma, Gemma 3 for text, Llama 3, Mistral or Qwen 2",
        hint="Choose the same model as a transformers variant, for example from the Hub.",
        field="model",
    )


def _broken(given: str, what: str) -> StudioError:
    return StudioError(
        "broken-model",
        what,
        given=given,
        valid="a preset as save_to_preset of KerasHub writes it: config.json, model.weights.h5, tokenizer.json, assets",
        hint="Download the preset again, or save it again.",
        field="model",
    )
