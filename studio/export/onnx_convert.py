"""Converts a model folder to ONNX, with the exporter of transformers and the quantizer of ONNX Runtime.

`run_in_process` calls `convert` of this file, which is never imported: it must not know the studio.
"""

import logging
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLES = ("An example with a few words.", "Short.")
"""Two texts of different length, so that no length becomes a constant."""
PAIR = ("A question about it?", "The passage with an answer.")
CACHE = re.compile(r"(?:input\.|output\.)?past_key_values\.layers\.(\d+)\.(key|value)s")
"""Name of a layer's keys or values in the graph of transformers."""


def convert(task: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """Write the model in `folder` as a 32-bit ONNX file, and as an 8-bit one.

    Args:
        task: `folder` of the model and its tokenizer; `kind`, its class in transformers; `head`; `pair`, whether it
            reads two texts; `trusted`; `to`, the file to write; `quantized`, the 8-bit file to write, or empty;
            `threads`.
        progress: Gets the name of each step when it begins: `trace`, `save`, `quantize`.

    Returns:
        The names of the inputs and outputs of the graph.
    """
    import torch
    import transformers

    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable(logging.WARNING)
    torch.set_num_threads(task["threads"])
    progress("trace")
    tokenizer = transformers.AutoTokenizer.from_pretrained(task["folder"])
    model = getattr(transformers, task["kind"]).from_pretrained(
        task["folder"], dtype=torch.float32, trust_remote_code=task["trusted"], use_safetensors=True
    )
    graph = trace(model.eval(), tokenizer, task["head"], task["pair"])
    progress("save")
    Path(task["to"]).parent.mkdir(exist_ok=True)
    save(graph, Path(task["to"]))
    names = {
        "inputs": [each.name for each in graph.graph.inputs],
        "outputs": [each.name for each in graph.graph.outputs],
    }
    del model, graph
    if task["quantized"]:
        progress("quantize")
        quantize(Path(task["to"]), Path(task["quantized"]))
    return names


def convert_to_openvino(task: dict[str, Any]) -> None:
    """Write the ONNX file `source` in OpenVINO's format: the file `to`, and its weights in 16 bits beside it."""
    import openvino

    # not `openvino.convert_model`, which can send statistics
    openvino.save_model(openvino.Core().read_model(task["source"]), task["to"], compress_to_fp16=True)


def trace(model: Any, tokenizer: Any, head: str, pair: bool) -> Any:
    """Return the graph of a model, with the names that Optimum and Transformers.js give to inputs and outputs."""
    from transformers.exporters import OnnxConfig, OnnxExporter
    from transformers.exporters.utils import decompose_for_generation

    tokenizer.padding_side = "left" if head == "text" else "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    texts = [list(EXAMPLES), list(reversed(EXAMPLES))] if pair else [list(EXAMPLES)]
    inputs = dict(tokenizer(*texts, return_tensors="pt", padding=True))
    if head == "text":
        # one graph reads the prompt and continues it: with an empty cache it reads the prompt
        inputs.pop("token_type_ids", None)
        model, inputs = decompose_for_generation(model, inputs, multi_token_decode=True)["decode"]
        inputs = {name: value for name, value in inputs.items() if hasattr(value, "shape") or hasattr(value, "layers")}
    else:
        model.config.use_cache = False
    config = OnnxConfig(dynamic=True, dynamic_shapes={name: varying(value) for name, value in inputs.items()})
    program = OnnxExporter().export(model, inputs, config).program
    for value in [*program.graph.inputs, *program.graph.outputs]:
        if match := CACHE.fullmatch(value.name):
            prefix = "past_key_values" if value in program.graph.inputs else "present"
            value.name = f"{prefix}.{match[1]}.{match[2]}"
    return program


def varying(value: Any) -> Any:
    """Return which axes of an input vary: rows and tokens, in a cache too. Constant axes make it faster."""
    import torch

    auto = torch.export.Dim.AUTO
    if isinstance(value, torch.Tensor):
        return {0: auto, 1: auto} if value.dim() == 2 else {0: auto}
    return [{0: auto, 2: auto} for _ in value.layers for _ in range(2)]


def save(graph: Any, to: Path) -> None:
    """Write a graph as one file, without the names of source files and other notes of the exporter."""
    import onnx
    import onnx_ir

    proto = onnx_ir.to_proto(graph)
    proto.doc_string = ""
    proto.graph.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for value in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    onnx.save(proto, to)


def quantize(source: Path, to: Path) -> None:
    """Write an 8-bit copy: int8 weights, one scale for each column, and activations quantized while it runs.

    Weights use 7 of the 8 bits. On CPUs without the newest instructions (VNNI), sums of 8-bit weights would overflow.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        plain = Path(folder) / "plain.onnx"
        proto = onnx.load(source)
        # the quantizer transposes weights, and then finds that their known shapes are wrong
        weights = {weight.name for weight in proto.graph.initializer}
        known = [value for value in proto.graph.value_info if value.name not in weights]
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(known)
        onnx.save(proto, plain)
        quantize_dynamic(plain, to, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
