"""Verification of a converted model: the studio's transformers must compute what the original library computed.

Runs as a separate process, through `run_in_process`. The files of the original library are not read here.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from studio.models.conversion.texts import CARD, TEXTS
from studio.models.inspect import read_json
from studio.schema.errors import StudioError

MAX_TOKENS = 64
MAX_DIFFERENCE = 1e-3
"""Largest difference of an output, as a share of the largest output. 32-bit libraries differ by about 1e-6."""
OUTPUTS = (
    "logits",
    "prediction_logits",
    "seq_relationship_logits",
    "start_logits",
    "end_logits",
    "last_hidden_state",
    "pooler_output",
)
"""Outputs that are compared, if both libraries have them."""


def check(raw: str, reference: str, to: str, architecture: str, dtype: str, **facts: str) -> dict[str, Any]:
    """Compare the model in `raw` with the outputs of the original, and save it to the new folder `to`.

    Args:
        raw: Folder with the converted model in 32 bits, and its tokenizer.
        reference: Safetensors with `N.input_ids` and outputs for each text N.
        to: Folder to write.
        architecture: Class in transformers.
        dtype: Number format of the saved weights, for example `bfloat16`.
        facts: `library`, `title` and `licence` for the model card; `original`, which is not used.

    Returns:
        `difference`, the largest one as a share of the largest output, and `texts`, their number.

    Raises:
        StudioError: `broken-model` if weights are missing, tokens differ, or outputs differ.
    """
    import torch
    import transformers
    from safetensors.torch import load_file

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    source: dict[str, Any] = {"pretrained_model_name_or_path": raw, "trust_remote_code": False}
    model, loading = getattr(transformers, architecture).from_pretrained(
        **source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(map(str, [*loading["missing_keys"], *loading["mismatched_keys"]]))
    if missing:
        raise _refused("The converted model lacks weights.", ", ".join(missing[:3]))
    expected, library = load_file(reference), facts["library"]
    model.eval()
    worst = max(_difference(model, _of_text(expected, number)) for number in range(len(TEXTS)))
    if worst > MAX_DIFFERENCE:
        raise _refused(
            f"The converted model computes something else than {library}.",
            f"the largest difference of an output is {worst:.2g} of the largest output",
        )
    tokenizer = _tokenizer(raw, library)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        number = getattr(tokenizer, name)
        if number is not None and library == "Keras":  # KerasHub writes those of the original model's tokenizer
            setattr(model.config, name, number)
            setattr(model.generation_config, name, number)
    model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    model.save_pretrained(to)
    tokenizer.save_pretrained(to)
    _remove_paths(Path(to) / "tokenizer_config.json", raw)
    _check_tokens(to, expected, library)
    licence = facts["licence"] if re.fullmatch(r"[\w. -]{1,60}", facts["licence"], re.ASCII) else "unknown"
    title = re.sub(r"[^\w. -]", "_", facts["title"])
    card = CARD.format(licence=licence.lower().replace(" ", "-"), title=title, library=library)
    (Path(to) / "README.md").write_text(card, "utf-8")
    return {"difference": worst, "texts": len(TEXTS)}


def _tokenizer(raw: str, library: str) -> Any:
    """Return the tokenizer. KerasHub names its class, in place of which `AutoTokenizer` would take one without a prefix
    space for Mistral."""
    import transformers

    name = read_json(Path(raw) / "tokenizer_config.json").get("tokenizer_class") if library == "Keras" else ""
    return getattr(transformers, str(name or "AutoTokenizer")).from_pretrained(raw)


def _remove_paths(file: Path, raw: str) -> None:
    """Remove from the tokenizer's settings where it was loaded from."""
    settings = {key: value for key, value in read_json(file).items() if raw not in str(value)}
    for name in ("is_local", "local_files_only"):
        settings.pop(name, None)
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _check_tokens(folder: str, expected: dict[str, Any], library: str) -> None:
    """Raise `StudioError` if the saved tokenizer, as the studio loads it, splits a text in another way."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    for number, text in enumerate(TEXTS):
        read = tokenizer(text, add_special_tokens=library != "Keras", truncation=True, max_length=MAX_TOKENS)
        if list(read["input_ids"]) != expected[f"{number}.input_ids"].tolist():
            raise _refused("The converted tokenizer splits a text in another way.", text)


def _of_text(expected: dict[str, Any], number: int) -> dict[str, Any]:
    """Return what was computed for a text, by its name."""
    prefix = f"{number}."
    return {key.removeprefix(prefix): value for key, value in expected.items() if key.startswith(prefix)}


def _difference(model: Any, expected: dict[str, Any]) -> float:
    """Return the largest difference of an output for a text, as a share of the largest output."""
    import torch

    ids = expected["input_ids"]
    inputs = {"input_ids": ids[None]}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[None]
    with torch.no_grad():
        outputs = model(**inputs)
    compared = [(outputs[name][0].float(), value) for name, value in expected.items() if name in outputs]
    if not compared:
        raise _refused("The converted model has none of the outputs of the original.", ", ".join(expected))
    shares = []
    for ours, theirs in compared:
        if ours.shape != theirs.shape:
            raise _refused("An output of the converted model has another shape.", f"{tuple(ours.shape)}")
        shares.append(float((ours - theirs).abs().max() / theirs.abs().max()))
    return max(shares) if all(map(math.isfinite, shares)) else math.inf


def _refused(what: str, given: str) -> StudioError:
    return StudioError(
        "broken-model",
        what,
        given=given[:300],
        hint="Choose the same model with model.safetensors, for example from the Hub.",
        field="model",
    )
