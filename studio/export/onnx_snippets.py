"""Python code that loads an ONNX, OpenVINO or LiteRT export and runs it with numpy. A test runs the code unchanged."""

import json
from pathlib import Path

from studio.export import snippets
from studio.inference.heads import head_of, variant_of
from studio.schema.host import RunRef

SHARES = {
    "": "shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()",
    "multi_label_classification": "shares = 1 / (1 + np.exp(-logits))",
    "regression": "shares = logits",
}
"""Problem type → code that computes probabilities or scores from logits."""


JAVASCRIPT_SHARES = {
    "": "const powers = logits.map((logit) => Math.exp(logit - Math.max(...logits)));\n"
    "const shares = powers.map((power) => power / powers.reduce((a, b) => a + b));",
    "multi_label_classification": "const shares = logits.map((logit) => 1 / (1 + Math.exp(-logit)));",
    "regression": "const shares = logits;",
}
"""The same in JavaScript."""


def onnxruntime(run: RunRef, place: str, file: str) -> str:
    """Return code for ONNX Runtime."""
    return f"""# First install: pip install onnxruntime transformers
import json

import numpy as np
import onnxruntime
from transformers import AutoTokenizer

folder = {place!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
session = onnxruntime.InferenceSession(f"{{folder}}/{file}")
shapes = {{each.name: each.shape for each in session.get_inputs()}}


def run(inputs):
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {{name: inputs[name] for name in shapes}})))

{_inference_code(run)}"""


def openvino(run: RunRef, place: str, file: str) -> str:
    """Return code for OpenVINO."""
    return f"""# First install: pip install openvino transformers
import json

import numpy as np
import openvino
from transformers import AutoTokenizer

folder = {place!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = openvino.Core().compile_model(f"{{folder}}/{file}")
shapes = {{each.get_any_name(): [axis.get_max_length() for axis in each.partial_shape] for each in model.inputs}}


def run(inputs):
    names = [each.get_any_name() for each in model.outputs]
    return dict(zip(names, model({{name: inputs[name] for name in shapes}}).to_tuple()))

{_inference_code(run)}"""


def litert(run: RunRef, place: str, file: str) -> str:
    """Return code for LiteRT."""
    return f"""# First install: pip install ai-edge-litert transformers
import json

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from transformers import AutoTokenizer

folder = {place!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = Interpreter(f"{{folder}}/{file}")
lengths = sorted(int(name.removeprefix("tokens_")) for name in model.get_signature_list())


def run(inputs):
    tokens = inputs["input_ids"].shape[1]
    length = next(each for each in lengths if each >= tokens)  # each signature has one length: pad with zeros
    signature = model.get_signature_runner(f"tokens_{{length}}")
    padded = {{name: np.pad(values, ((0, 0), (0, length - tokens))) for name, values in inputs.items()}}
    return signature(**{{name: padded[name].astype(np.int32) for name in signature.get_input_details()}})

{_inference_code(run)}"""


def javascript(run: RunRef, place: str, dtype: str, pair: bool) -> str:
    """Return code for Transformers.js. `dtype` is its name of the file, `pair` whether the model reads two texts."""
    folder = json.dumps(Path(place).name)
    first, second = json.dumps(snippets.PROMPT), ""
    if pair:
        first, second = json.dumps(snippets.PAIR[0]), f"text_pair: [{json.dumps(snippets.PAIR[1])}], "
    return f"""// First install: npm install @huggingface/transformers
import {{ AutoModelForSequenceClassification, AutoTokenizer, env }} from "@huggingface/transformers";

env.localModelPath = {json.dumps(str(Path(place).parent))};
env.allowRemoteModels = false;
const tokenizer = await AutoTokenizer.from_pretrained({folder});
const model = await AutoModelForSequenceClassification.from_pretrained({folder}, {{ dtype: "{dtype}" }});
const inputs = tokenizer([{first}], {{ {second}truncation: true, max_length: {run.spec.config.max_length} }});
const logits = Array.from((await model(inputs)).logits.data);
{JAVASCRIPT_SHARES[head_of(run.info, run.spec.data).problem]}
console.log(shares.map((share, place) => [model.config.id2label[place], share]));
"""


def _inference_code(run: RunRef) -> str:
    head = head_of(run.info, run.spec.data)
    if head.name == "labels":
        return f"""
logits = run(tokenizer({snippets.example_texts(run)}, {snippets.cut(run)}, return_tensors="np"))["logits"][0]
{SHARES[head.problem]}
labels = json.load(open(f"{{folder}}/config.json"))["id2label"]
print({{labels[str(i)]: round(float(share), 3) for i, share in enumerate(shares)}})
"""
    if head.name == "spans":
        question, passage = snippets.own_pair(run, snippets.QUESTION)
        return f"""
inputs = tokenizer({question!r}, {passage!r}, {snippets.cut(run, "'only_second'")}, return_tensors="np")
outputs = run(inputs)
begin, end = outputs["start_logits"][0].argmax(), outputs["end_logits"][0].argmax()
print(tokenizer.decode(inputs["input_ids"][0, begin : end + 1]))
"""
    return f"""
{_prompt(run)}
new, length, reply = prompt.astype(np.int64), 0, []
ends = json.load(open(f"{{folder}}/generation_config.json"))["eos_token_id"]
cache = {{name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in shapes.items() if "past" in name}}
while len(reply) < {snippets.NEW_TOKENS}:
    begin, length = length, length + new.shape[1]
    inputs = {{"input_ids": new, "attention_mask": np.ones((1, length), np.int64)}}
    outputs = run(inputs | {{"position_ids": np.arange(begin, length)[None]}} | cache)
    token = int(outputs["logits"][0, -1].argmax())
    if token in ends:
        break
    reply.append(token)
    new = np.array([[token]])
    cache = {{name: outputs[name.replace("past_key_values", "present")] for name in cache}}
print(tokenizer.decode(reply, skip_special_tokens=True))
"""


def _prompt(run: RunRef) -> str:
    if not variant_of(run.info, run.spec.data).templated:
        return f'prompt = tokenizer({snippets.example_input(run)!r}, return_tensors="np")["input_ids"]'
    return f"""messages = {snippets.example_input(run)!r}
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="np", return_dict=True)
prompt = prompt["input_ids"]"""
