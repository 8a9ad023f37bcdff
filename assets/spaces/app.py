"""The page of this Space: a fine-tuned model, beside its base model where both write texts.

space.json says what the model is and how it is asked. MODEL and BASE_MODEL choose other folders or repositories.
"""

try:
    import spaces  # ZeroGPU needs it before torch
except ImportError:
    spaces = None

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from threading import Thread
from typing import Any

import gradio as gr
import torch
import transformers

try:
    import peft  # an adapter needs it, and only then it is in requirements.txt
except ImportError:
    peft = None

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = json.loads((HERE / "space.json").read_text(encoding="utf-8"))
MODEL = os.environ.get("MODEL") or str(HERE / "model")
BASE = os.environ.get("BASE_MODEL") or SETTINGS["base"]
GENERATES = SETTINGS["head"] in ("text", "seq2seq")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAX_NEW_TOKENS = 512


def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """On ZeroGPU, give the function a GPU while it runs. Elsewhere it stays as it is."""
    return spaces.GPU(function) if spaces else function


def load() -> tuple[Any, Any]:
    """Return the fine-tuned model and its base model. An adapter is on the base: both are the same object then."""
    kind = getattr(transformers, SETTINGS["class"])
    precision = getattr(torch, SETTINGS["precision"])
    of_base = {"revision": SETTINGS["revision"], "dtype": precision, "use_safetensors": True}
    if not SETTINGS["adapter"]:
        tuned = kind.from_pretrained(MODEL, dtype="auto", use_safetensors=True).to(DEVICE).eval()
        base = kind.from_pretrained(BASE, **of_base).to(DEVICE).eval() if GENERATES and BASE else None
        return tuned, base
    labels = SETTINGS["labels"]
    heads = {"num_labels": len(labels), "pad_token_id": SETTINGS["pad"]} if labels else {}
    model = peft.PeftModel.from_pretrained(kind.from_pretrained(BASE, **of_base, **heads), MODEL)
    if SETTINGS["head"] == "spans":
        model = model.merge_and_unload()
    model = model.to(DEVICE).eval()
    return model, model if GENERATES else None


tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
tuned_model, base_model = load()


def filled(values: Sequence[str], template: Any = SETTINGS["template"]) -> Any:
    """Return the model's input: the template of the training, with these texts in it."""
    if isinstance(template, str):
        for mark, value in zip(SETTINGS["marks"], values, strict=True):
            template = template.replace(mark, value)
        return template
    if isinstance(template, dict):
        return {name: filled(values, value) for name, value in template.items()}
    return [filled(values, each) for each in template]


def written(who: str, prompt: Any, tokens: int) -> Iterator[str]:
    """Yield the reply of `base` or `tuned` while it is written: always the most likely token."""
    model = tuned_model if who == "tuned" else base_model
    if isinstance(prompt, str):
        inputs = tokenizer(prompt, return_tensors="pt", truncation=True, max_length=SETTINGS["max_length"])
    else:
        inputs = tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    ends_of_prompt = SETTINGS["head"] == "text"
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=ends_of_prompt, skip_special_tokens=True)

    def generate() -> None:
        without_adapter = SETTINGS["adapter"] and who == "base"
        try:
            with torch.no_grad(), model.disable_adapter() if without_adapter else nullcontext():
                model.generate(
                    **inputs.to(DEVICE),
                    streamer=streamer,
                    max_new_tokens=tokens,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    repetition_penalty=1.0,
                    no_repeat_ngram_size=0,
                    num_beams=1,
                    min_length=0,
                    pad_token_id=SETTINGS["pad"],
                    eos_token_id=SETTINGS["ends"],
                )
        finally:
            streamer.end()

    thread = Thread(target=generate)
    thread.start()
    text = ""
    for piece in streamer:
        text += piece
        yield text
    thread.join()
    yield text


@on_gpu
def reply(message: str, history: list[dict[str, Any]], tokens: int) -> Iterator[tuple[str, str]]:
    """Yield the replies of both models to the conversation: of the fine-tuned one, and of the base model."""
    prompt = filled([message])
    if isinstance(prompt, list) and SETTINGS["turns"]:
        earlier = [{"role": turn["role"], "content": text_of(turn["content"])} for turn in history]
        prompt = [*prompt[:-1], *earlier, prompt[-1]]
    tuned = ""
    for tuned in written("tuned", prompt, int(tokens)):
        yield tuned, ""
    for base in written("base", prompt, int(tokens)) if base_model is not None else ():
        yield tuned, base


def text_of(content: Any) -> str:
    """Return the text of a message. Gradio sends a text or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


@on_gpu
def answer(*values: str) -> Any:
    """Return the probability of each label, a score, or a text."""
    given = filled([value.strip() for value in values])
    if GENERATES:
        return list(written("tuned", given, MAX_NEW_TOKENS))[-1]
    texts = given if isinstance(given, list) else [given]
    cut = "only_second" if SETTINGS["head"] == "spans" else True
    inputs = tokenizer(*texts, return_tensors="pt", truncation=cut, max_length=SETTINGS["max_length"]).to(DEVICE)
    with torch.no_grad():
        out = tuned_model(**inputs)
    if SETTINGS["head"] == "spans":
        begin, end = int(out.start_logits.argmax()), int(out.end_logits.argmax())
        return tokenizer.decode(inputs["input_ids"][0, begin : end + 1], skip_special_tokens=True)
    logits = out.logits[0].float().cpu()
    if SETTINGS["problem"] == "regression":
        return float(logits[0])
    shares = logits.sigmoid() if SETTINGS["problem"] else logits.softmax(-1)
    return dict(zip(SETTINGS["labels"], map(float, shares), strict=True))


def chat_page() -> gr.Blocks:
    """A conversation with the fine-tuned model, and the base model's reply beside it."""
    with gr.Blocks(title=SETTINGS["title"]) as page:
        gr.Markdown(SETTINGS["heading"])
        beside = gr.Textbox(label="The base model's reply to the last message", lines=8, render=False)
        with gr.Row():
            with gr.Column(scale=3):
                gr.ChatInterface(
                    reply,
                    chatbot=gr.Chatbot(label="Fine-tuned model", height=420),
                    additional_inputs=[gr.Slider(8, MAX_NEW_TOKENS, 160, step=8, label="Maximum tokens of a reply")],
                    additional_outputs=[beside],
                    api_name="chat",
                )
            with gr.Column(scale=2, visible=base_model is not None):
                beside.render()
    return page


def form_page() -> gr.Blocks:
    """One field for each text, and the answer."""
    labels = SETTINGS["labels"]
    output = gr.Label(label="Answer") if labels and SETTINGS["problem"] != "regression" else gr.Textbox(label="Answer")
    return gr.Interface(
        answer,
        [gr.Textbox(label=label, lines=3) for label in SETTINGS["fields"]],
        output,
        title=SETTINGS["title"],
        description=SETTINGS["heading"],
        api_name="predict",
        flagging_mode="never",
    )


demo = chat_page() if GENERATES and len(SETTINGS["fields"]) == 1 else form_page()
if __name__ == "__main__":
    demo.queue(max_size=20).launch()
