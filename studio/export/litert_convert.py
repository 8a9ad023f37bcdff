"""Converts a model folder to LiteRT (TensorFlow Lite), in the environment of the converter.

`run_in_process` calls `convert` of this file, which is never imported: it must not know the studio.
"""

import logging
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

TEXTS = ("An example with a few words.", "Another one.")


def convert(task: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """Write the encoder in `folder` as a 32-bit .tflite file, and as an 8-bit one.

    A file has one signature for each number of tokens, because the shapes of LiteRT are fixed. They share the weights.
    Inputs are int32 of shape (1, tokens). Outputs are float32: `logits` of shape (1, labels), or `start_logits` and
    `end_logits` of shape (1, tokens).

    Args:
        task: `folder` of the model and its tokenizer; `kind`, its class in transformers; `pair`, whether it reads two
            texts; `trusted`; `lengths`, the numbers of tokens; `to` and `quantized`, the files to write; `threads`.
        progress: Gets the name of each step when it begins: `trace`, `save`, `quantize`.

    Returns:
        Empty, or for a model that can't be converted `layer`, its name in the model; `type` of the layer; and `cause`.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    progress("trace")
    import transformers

    logging.disable(logging.WARNING)
    torch.set_num_threads(task["threads"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(task["folder"])
    model = getattr(transformers, task["kind"]).from_pretrained(
        task["folder"], dtype=torch.float32, trust_remote_code=task["trusted"], use_safetensors=True
    )
    model.eval()
    try:
        converted = traced(model, tokenizer, task)
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate" in str(error):
            raise  # not the fault of a layer
        return {**layer_of(error, model), "cause": next(iter(str(error).strip().splitlines()), type(error).__name__)}
    progress("save")
    converted.export(task["to"])
    del model, converted
    progress("quantize")
    quantize(Path(task["to"]), Path(task["quantized"]))
    return {}


class OnlyScores(torch.nn.Module):
    """A model without the outputs that no one needs."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> dict[str, Any]:
        """Return the scores by their names."""
        outputs = self.model(**inputs)
        return {name: outputs[name] for name in ("logits", "start_logits", "end_logits") if name in outputs}


def traced(model: Any, tokenizer: Any, task: dict[str, Any]) -> Any:
    """Return the converted model, with a signature `tokens_N` for each length."""
    from litert_torch import signature

    module, converter = OnlyScores(model).eval(), None
    texts = TEXTS if task["pair"] else TEXTS[:1]
    for length in task["lengths"]:
        read = tokenizer(*texts, return_tensors="pt", padding="max_length", max_length=length, truncation=True)
        inputs = {name: values.to(torch.int32) for name, values in read.items()}
        add = signature if converter is None else converter.signature
        converter = add(f"tokens_{length}", module, None, inputs)
    assert converter is not None
    return converter.convert()


def quantize(source: Path, to: Path) -> None:
    """Write an 8-bit copy: int8 weights, and activations quantized while it runs."""
    from ai_edge_quantizer import quantizer, recipe

    work = quantizer.Quantizer(str(source))
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    work.quantize().export_model(str(to))
    to.chmod(source.stat().st_mode)  # the quantizer makes it executable


def layer_of(error: BaseException, model: Any) -> dict[str, str]:
    """Return the name and the type of the innermost layer that an error is about, from its traceback.

    The frames hold the node of the traced graph that could not be converted, or the layer that could not be traced.
    """
    names = {id(layer): name for name, layer in model.named_modules()}
    layer, kind = "", type(model).__name__
    seen: BaseException | None = error
    while seen is not None:
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            for value in list(frame.f_locals.values()):
                if isinstance(value, torch.fx.Node) and value.meta.get("nn_module_stack"):
                    path, type_ = list(value.meta["nn_module_stack"].values())[-1]
                    place = str(path).removeprefix("L['self'].").removeprefix("model").removeprefix(".")
                    if len(place) >= len(layer):
                        layer, kind = place, str(getattr(type_, "__name__", type_)).rpartition(".")[2]
                elif isinstance(value, torch.nn.Module) and len(names.get(id(value), "")) > len(layer):
                    layer, kind = names[id(value)], type(value).__name__
        seen = seen.__cause__ or seen.__context__
    return {"layer": layer, "type": kind}
