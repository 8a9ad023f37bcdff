"""Python code that loads an export and runs it, for the model card and the page. A test runs the code unchanged."""

from studio.inference.base_and_tuned import precision_of
from studio.inference.heads import CLASSES, head_of, variant_of
from studio.schema.host import RunRef

PROBABILITIES = {
    "": "model.eval()(**inputs).logits[0].float().softmax(-1)",
    "multi_label_classification": "model.eval()(**inputs).logits[0].float().sigmoid()",
    "regression": "model.eval()(**inputs).logits[0].float()",
}
"""Problem type → code that computes probabilities or scores from logits."""
PROMPT = "Hello, can you help me?"
PAIR = ("The shop opens at nine.", "It is closed at eight.")


def merged(run: RunRef, place: str) -> str:
    """Return code that loads a merged model."""
    kind = _kind(run)
    return f"""from transformers import {kind}, AutoTokenizer

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
    merge = ".merge_and_unload()" if head_of(run.info, run.spec.data).name == "spans" else ""
    return f"""import torch
from peft import PeftModel
from transformers import {kind}, AutoTokenizer

folder, base = {place!r}, {base!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {kind}.from_pretrained(base{revision}, dtype=torch.{precision_of(run)}{heads})
model = PeftModel.from_pretrained(model, folder){merge}
{_inference_code(run)}"""


def _kind(run: RunRef) -> str:
    return CLASSES[head_of(run.info, run.spec.data).name]


def _texts(run: RunRef) -> str:
    """Return the example input of a classifier: a text or a pair. A generative model gets an empty line in between."""
    if "second" not in run.spec.data.roles.values():
        return repr(PROMPT)
    return ", ".join(map(repr, PAIR)) if run.info.kind == "encoder" else repr("\n\n".join(PAIR))


def _inference_code(run: RunRef) -> str:
    variant = variant_of(run.info, run.spec.data)
    if variant.head == "text" and not variant.templated:
        return f"""
inputs = tokenizer({PROMPT!r}, return_tensors="pt")
more = model.generate(**inputs, max_new_tokens=160, do_sample=False)
print(tokenizer.decode(more[0], skip_special_tokens=True))
"""
    if variant.head == "seq2seq":
        return """
inputs = tokenizer("A text of your own.", return_tensors="pt")
written = model.generate(**inputs, max_new_tokens=160)
print(tokenizer.decode(written[0], skip_special_tokens=True))
"""
    if variant.head == "spans":
        return """
inputs = tokenizer("When do you open?", "We open at nine, every day.", return_tensors="pt")
out = model.eval()(**inputs)
begin, end = int(out.start_logits.argmax()), int(out.end_logits.argmax())
print(tokenizer.decode(inputs["input_ids"][0, begin : end + 1]))
"""
    if variant.head == "labels":
        return f"""
inputs = tokenizer({_texts(run)}, return_tensors="pt")
chances = {PROBABILITIES[head_of(run.info, run.spec.data).problem]}
print({{model.config.id2label[i]: round(float(p), 3) for i, p in enumerate(chances)}})
"""
    system = run.spec.config.system_prompt
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": PROMPT})
    return f"""
messages = {messages!r}
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
reply = model.generate(**inputs, max_new_tokens=160, do_sample=False)
print(tokenizer.decode(reply[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""
