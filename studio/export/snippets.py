"""Python code that loads an export and runs it, for the model card and the page. A test runs the code unchanged.

The input is one of the run's test prompts: the user's own. A model card may be published, so it is made for a run
without test prompts and has a general input.
"""

from typing import Any

from studio.inference.base_and_tuned import encoding_of, precision_of
from studio.inference.heads import CLASSES, head_of, variant_of
from studio.schema.host import RunRef
from studio.tasks import task_named

PROBABILITIES = {
    "": "model.eval()(**inputs).logits[0].float().softmax(-1)",
    "multi_label_classification": "model.eval()(**inputs).logits[0].float().sigmoid()",
    "regression": "model.eval()(**inputs).logits[0].float()",
}
"""Problem type → code that computes probabilities or scores from logits."""
PROMPT = "Hello, can you help me?"
TEXT = "A text of your own."
PAIR = ("The shop opens at nine.", "It is closed at eight.")
NEW_TOKENS = 160
"""Longest reply in the examples."""
QUESTION = ("When do you open?", "We open at nine, every day.")


def merged(run: RunRef, place: str) -> str:
    """Return code that loads a merged model."""
    kind = _kind(run)
    return f"""# First install: pip install torch transformers
from transformers import {kind}, AutoTokenizer

folder = {place!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {kind}.from_pretrained(folder, dtype="auto")
{_inference_code(run)}"""


def adapter(run: RunRef, place: str) -> str:
    """Return code that loads a base model from the Hub and an adapter on top."""
    kind, labels = _kind(run), head_of(run.info, run.spec.data).labels
    revision = f", revision={run.info.revision!r}" if run.info.revision else ""
    heads = ""
    if labels:
        heads = f", num_labels={len(labels)}, id2label=dict(enumerate({list(labels)!r}))"
        heads += ", pad_token_id=tokenizer.pad_token_id" if run.info.kind == "causal" else ""
    base = run.info.hub_id or run.info.title
    generates = head_of(run.info, run.spec.data).generates
    also = ", GenerationConfig" if generates else ""
    settings = "\nmodel.generation_config = GenerationConfig.from_pretrained(folder)" if generates else ""
    merge = ".merge_and_unload()" if head_of(run.info, run.spec.data).name == "spans" else ""
    return f"""# First install: pip install torch transformers peft
import torch
from peft import PeftModel
from transformers import {kind}, AutoTokenizer{also}

folder, base = {place!r}, {base!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {kind}.from_pretrained(base{revision}, dtype=torch.{precision_of(run)}{heads}){settings}
model = PeftModel.from_pretrained(model, folder){merge}
{_inference_code(run)}"""


def _kind(run: RunRef) -> str:
    return CLASSES[head_of(run.info, run.spec.data).name]


def without_own_input(run: RunRef) -> RunRef:
    """Return the run without test prompts, for code that may be published."""
    config = run.spec.config.model_copy(update={"test_prompts": ()})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"config": config})})


def own_prompt(run: RunRef) -> str:
    """Return the first test prompt of the run. Empty: it has none."""
    return next((prompt for prompt in run.spec.config.test_prompts if prompt.strip()), "")


def own_pair(run: RunRef, default: tuple[str, str]) -> tuple[str, str]:
    """Return both texts of the first test prompt, which an empty line separates."""
    first, _, second = own_prompt(run).partition("\n\n")
    return (first, second) if first and second else default


def example_texts(run: RunRef) -> str:
    """Return the example input of a classifier: a text or a pair. A generative model gets an empty line in between."""
    if "second" not in run.spec.data.roles.values():
        return repr(own_prompt(run) or PROMPT)
    pair = own_pair(run, PAIR)
    return ", ".join(map(repr, pair)) if run.info.kind == "encoder" else repr("\n\n".join(pair))


def cut(run: RunRef, how: str = "True") -> str:
    """Return the arguments of a tokenizer that truncate a text as in the studio."""
    return f"truncation={how}, max_length={run.spec.config.max_length}"


def _inference_code(run: RunRef) -> str:
    variant = variant_of(run.info, run.spec.data)
    if variant.head == "text" and not variant.templated:
        return f"""
inputs = tokenizer({example_input(run)!r}, return_tensors="pt")
more = model.generate(**inputs, max_new_tokens={NEW_TOKENS}, do_sample=False)
print(tokenizer.decode(more[0], skip_special_tokens=True))
"""
    if variant.head == "seq2seq":
        return f"""
inputs = tokenizer({example_input(run)!r}, {cut(run)}, return_tensors="pt")
written = model.generate(**inputs, max_new_tokens={NEW_TOKENS}, do_sample=False)
print(tokenizer.decode(written[0], skip_special_tokens=True))
"""
    if variant.head == "spans":
        question, passage = own_pair(run, QUESTION)
        return f"""
inputs = tokenizer({question!r}, {passage!r}, {cut(run, "'only_second'")}, return_tensors="pt")
out = model.eval()(**inputs)
begin, end = int(out.start_logits.argmax()), int(out.end_logits.argmax())
print(tokenizer.decode(inputs["input_ids"][0, begin : end + 1]))
"""
    if variant.head == "labels":
        return f"""
inputs = tokenizer({example_texts(run)}, {cut(run)}, return_tensors="pt")
chances = {PROBABILITIES[head_of(run.info, run.spec.data).problem]}
print({{model.config.id2label[i]: round(float(p), 3) for i, p in enumerate(chances)}})
"""
    return f"""
messages = {example_input(run)!r}
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
reply = model.generate(**inputs, max_new_tokens={NEW_TOKENS}, do_sample=False)
print(tokenizer.decode(reply[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


def example_input(run: RunRef) -> Any:
    """Return the input of a generative model as its task formats it: messages for the chat template, or a text."""
    roles = set(run.spec.data.roles.values())
    default = TEXT if roles & {"summary", "translation"} else PROMPT
    default = "\n\n".join(QUESTION) if {"question", "context"} <= roles else default
    encoding = encoding_of(run.info, None, run.spec.data, run.spec.config, learned=False)
    return task_named(run.spec.config.task).model_input(own_prompt(run) or default, encoding)
