"""Loads ONNX, OpenVINO and LiteRT files without the studio, and asks them with their runtime and a tokenizer.

`run_in_process` calls `answer` of this file, which is never imported: it must not know the studio.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Feeds = dict[str, Any]
Run = Callable[[Feeds], dict[str, Any]]


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Ask each file all prompts.

    Args:
        task: `folder` of the export; `files`, paths in it; `head` and `problem` of the model; `prompts`; `tokens`, the
            length of a reply; `ends`, tokens that end one; `longest`, tokens of a text; `threads`.

    Returns:
        For each file its `answers` (probabilities, scores, or the tokens of a reply), and how many texts or tokens it
        processed in a second (`speed`).
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(task["folder"])
    inputs = [encoded(tokenizer, prompt, task) for prompt in task["prompts"]]
    results = {}
    for name in task["files"]:
        run, shapes = opened(Path(task["folder"]) / name, task["threads"])
        ask = (
            (lambda each, run=run, shapes=shapes: reply(run, shapes, each, task))
            if task["head"] == "text"
            else (lambda each, run=run, shapes=shapes: scores(run, shapes, each, task))
        )
        ask(inputs[0])  # the first call also reserves memory
        began = time.perf_counter()
        answers = [ask(each) for each in inputs]
        seconds = time.perf_counter() - began
        done = sum(map(len, answers)) if task["head"] == "text" else len(answers)
        results[name] = {"answers": answers, "speed": done / seconds}
    return results


def encoded(tokenizer: Any, prompt: Any, task: dict[str, Any]) -> Feeds:
    """Return the inputs for a text, a pair of texts, or a conversation, as arrays with one row."""
    if task["head"] != "text":
        texts = prompt if isinstance(prompt, list) else [prompt]
        cut = "only_second" if task["head"] == "spans" else True
        return dict(tokenizer(*texts, return_tensors="np", truncation=cut, max_length=task["longest"]))
    if isinstance(prompt, list):
        return dict(
            tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_tensors="np", return_dict=True)
        )
    return dict(tokenizer(prompt, return_tensors="np", truncation=True, max_length=task["longest"]))


def opened(file: Path, threads: int) -> tuple[Run, dict[str, list[Any]]]:
    """Load a file. Return a function from inputs to outputs, and each input's shape, with None where it varies."""
    if file.suffix == ".xml":
        import openvino

        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(core.read_model(file), "CPU", settings)
        shapes = {
            port.get_any_name(): [axis.get_length() if axis.is_static else None for axis in port.partial_shape]
            for port in compiled.inputs
        }
        names = [port.get_any_name() for port in compiled.outputs]
        return lambda feeds: dict(zip(names, compiled(feeds).to_tuple(), strict=True)), shapes
    if file.suffix == ".tflite":
        return opened_litert(file, threads)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    shapes = {
        each.name: [axis if isinstance(axis, int) else None for axis in each.shape] for each in session.get_inputs()
    }
    names = [each.name for each in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, feeds), strict=True)), shapes


def opened_litert(file: Path, threads: int) -> tuple[Run, dict[str, list[Any]]]:
    """Load a .tflite file. Each text runs in the signature with the fewest tokens that it fits in, and is padded."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=threads)
    signatures = interpreter.get_signature_list()
    lengths = sorted(int(name.rpartition("_")[2]) for name in signatures)
    names = signatures[f"tokens_{lengths[-1]}"]["inputs"]

    def run(feeds: Feeds) -> dict[str, Any]:
        tokens = feeds["input_ids"].shape[1]
        length = next(each for each in lengths if each >= tokens)
        padded = {name: np.zeros((1, length), np.int32) for name in names}
        for name in names:
            padded[name][:, :tokens] = feeds[name]
        outputs = interpreter.get_signature_runner(f"tokens_{length}")(**padded)
        return {name: value[:, :tokens] if name != "logits" else value for name, value in outputs.items()}

    return run, {name: [1, None] for name in names}


def scores(run: Run, shapes: dict[str, list[Any]], inputs: Feeds, task: dict[str, Any]) -> list[float]:
    """Return the probability of each label, the score, or for each token how likely an answer begins and ends there."""
    outputs = run({name: inputs[name] for name in shapes})
    if task["head"] == "spans":
        both = [softmax(outputs[name][0]) for name in ("start_logits", "end_logits")]
        return [float(value) for each in both for value in each]
    logits = outputs["logits"][0]
    if task["problem"] == "regression":
        return [float(value) for value in logits]
    return [float(value) for value in (sigmoid(logits) if task["problem"] else softmax(logits))]


def reply(run: Run, shapes: dict[str, list[Any]], inputs: Feeds, task: dict[str, Any]) -> list[int]:
    """Return the tokens of the likeliest reply, without the one that ends it."""
    import numpy as np

    new = inputs["input_ids"].astype(np.int64)
    cache = {
        name: np.zeros([1 if place == 0 else size or 0 for place, size in enumerate(shape)], np.float32)
        for name, shape in shapes.items()
        if name.startswith("past_key_values.")
    }
    tokens: list[int] = []
    length = 0
    while len(tokens) < task["tokens"]:
        begin, length = length, length + new.shape[1]
        feeds = {
            "input_ids": new,
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(begin, length, dtype=np.int64)[None],
            **cache,
        }
        outputs = run({name: feeds[name] for name in shapes})
        token = int(outputs["logits"][0, -1].argmax())
        if token in task["ends"]:
            break
        tokens.append(token)
        new = np.array([[token]], np.int64)
        cache = {name: outputs[name.replace("past_key_values", "present")] for name in cache}
    return tokens


def softmax(logits: Any) -> Any:
    """Return shares that sum to 1."""
    import numpy as np

    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def sigmoid(logits: Any) -> Any:
    """Return a probability for each logit."""
    import numpy as np

    return 1 / (1 + np.exp(-logits.astype(np.float64)))
