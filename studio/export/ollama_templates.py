"""Chat templates for Ollama. It does not read the Jinja template of a model: its Modelfile has a template in Go.

Each known template is a pair of a Go template and the text that it writes, as a Python function. A template of a model
counts as known only if it writes exactly the same text for all conversations of `CONVERSATIONS`. That the Go template
writes this text as well is tested with Go's own engine (tests/exports/test_ollama_go.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.tasks.rendering import prompt_text

Message = dict[str, str]

HELLO, REPLY, MORE = "Hello, who are you?", "I am a model.\nAsk me.", 'Why {{ so }} "short"?'
CONVERSATIONS: tuple[tuple[Message, ...], ...] = (
    ({"role": "user", "content": HELLO},),
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": HELLO}),
    (
        {"role": "user", "content": HELLO},
        {"role": "assistant", "content": REPLY},
        {"role": "user", "content": MORE},
    ),
    (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": HELLO},
        {"role": "assistant", "content": REPLY},
        {"role": "user", "content": MORE},
    ),
)
"""A template must write all of them as the model's own: with and without a system prompt, and with earlier replies."""


@dataclass(frozen=True)
class OllamaTemplate:
    """A chat template as Ollama has it."""

    name: str
    template: str
    """In Go's template language."""
    stop: tuple[str, ...]
    """Texts that end a reply."""
    written: Callable[[Sequence[Message]], str]
    """The text that the template writes, up to the place where the reply begins."""


def _chatml(messages: Sequence[Message]) -> str:
    turns = "".join(f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in messages)
    return f"{turns}<|im_start|>assistant\n"


def _with_system(default: str, write: Callable[[Sequence[Message]], str]) -> Callable[[Sequence[Message]], str]:
    """`write`, with a system prompt if a conversation has none."""

    def written(messages: Sequence[Message]) -> str:
        given = messages[0]["role"] == "system"
        return write(messages if given else [{"role": "system", "content": default}, *messages])

    return written


def _llama3(messages: Sequence[Message]) -> str:
    turns = "".join(
        f"<|start_header_id|>{each['role']}<|end_header_id|>\n\n{each['content']}<|eot_id|>" for each in messages
    )
    return f"{turns}<|start_header_id|>assistant<|end_header_id|>\n\n"


def _gemma(messages: Sequence[Message]) -> str:
    names = {"assistant": "model"}
    system = messages[0]["content"] + "\n\n" if messages[0]["role"] == "system" else ""
    rest = messages[1:] if system else messages
    turns = [f"{names.get(each['role'], each['role'])}\n{each['content']}" for each in rest]
    turns[0] = turns[0].replace("\n", f"\n{system}", 1)
    return "".join(f"<start_of_turn>{turn}<end_of_turn>\n" for turn in turns) + "<start_of_turn>model\n"


def _zephyr(messages: Sequence[Message]) -> str:
    return "".join(f"<|{each['role']}|>\n{each['content']}</s>\n" for each in messages) + "<|assistant|>\n"


def _phi3(messages: Sequence[Message]) -> str:
    return "".join(f"<|{each['role']}|>\n{each['content']}<|end|>\n" for each in messages) + "<|assistant|>\n"


def _plain(end: str) -> Callable[[Sequence[Message]], str]:
    names = {"system": "", "user": "### Prompt:\n", "assistant": "### Reply:\n"}

    def written(messages: Sequence[Message]) -> str:
        ends = {"assistant": end}
        turns = [f"{names[each['role']]}{each['content']}{ends.get(each['role'], '')}\n\n" for each in messages]
        return "".join(turns) + "### Reply:\n"

    return written


SMOLLM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CHATML_GO = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
LLAMA3_GO = (
    "{{- range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ end }}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
GEMMA_GO = (
    '{{- $system := "" }}{{ range $i, $_ := .Messages }}{{ if eq .Role "system" }}{{ $system = .Content }}'
    '{{ else if eq .Role "user" }}<start_of_turn>user\n{{ if $system }}{{ $system }}\n\n{{ $system = "" }}{{ end }}'
    "{{ .Content }}<end_of_turn>\n{{ else }}<start_of_turn>model\n{{ .Content }}<end_of_turn>\n{{ end }}{{ end }}"
    "<start_of_turn>model\n"
)
ZEPHYR_GO = "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}</s>\n{{ end }}<|assistant|>\n"
PHI3_GO = "{{- range .Messages }}<|{{ .Role }}|>\n{{ .Content }}<|end|>\n{{ end }}<|assistant|>\n"


def _default_system(text: str, template: str) -> str:
    """A template of Go that writes a system prompt of its own if a conversation has none."""
    begin = '{{- $first := index .Messages 0 }}{{ if ne $first.Role "system" }}'
    return f"{begin}<|im_start|>system\n{text}<|im_end|>\n{{{{ end }}}}{template.replace('{{-', '{{', 1)}"


def _plain_go(end: str) -> str:
    return (
        '{{- range .Messages }}{{ if eq .Role "user" }}### Prompt:\n{{ else if eq .Role "assistant" }}### Reply:\n'
        '{{ end }}{{ .Content }}{{ if eq .Role "assistant" }}' + end + "{{ end }}\n\n{{ end }}### Reply:\n"
    )


IM_END = ("<|im_end|>",)
KNOWN = (
    OllamaTemplate("ChatML", CHATML_GO, IM_END, _chatml),
    OllamaTemplate("SmolLM2", _default_system(SMOLLM, CHATML_GO), IM_END, _with_system(SMOLLM, _chatml)),
    OllamaTemplate("Qwen2.5", _default_system(QWEN, CHATML_GO), IM_END, _with_system(QWEN, _chatml)),
    OllamaTemplate("Llama 3", LLAMA3_GO, ("<|eot_id|>",), _llama3),
    OllamaTemplate("Gemma", GEMMA_GO, ("<end_of_turn>",), _gemma),
    OllamaTemplate("Zephyr, TinyLlama", ZEPHYR_GO, ("</s>",), _zephyr),
    OllamaTemplate("Phi-3", PHI3_GO, ("<|end|>",), _phi3),
)
"""The known templates. A begin token is not part of them: Ollama adds it."""


def plain_template(end: str) -> OllamaTemplate:
    """Return the studio's own template, for base models without one. `end` is the token that ends a reply, or ""."""
    return OllamaTemplate("the studio's own", _plain_go(end), (end,) if end else (), _plain(end))


def matching(tokenizer: Any, template: str) -> OllamaTemplate | None:
    """Return the known template that writes all conversations as the Jinja template of a model does, or None."""
    texts = [prompt_text(tokenizer, [dict(turn) for turn in each], template) for each in CONVERSATIONS]
    begin = tokenizer.bos_token or ""
    for known in (*KNOWN, plain_template(tokenizer.eos_token or "")):
        written = [known.written(each) for each in CONVERSATIONS]
        if texts in (written, [begin + text for text in written]):
            return known
    return None


def modelfile(file: str, template: str, stop: Sequence[str], system: str = "") -> str:
    """Return a Modelfile for the GGUF file beside it."""
    lines = [f"FROM ./{file}", f"TEMPLATE {_quoted(template)}", *(f"PARAMETER stop {_quoted(text)}" for text in stop)]
    lines += ["PARAMETER temperature 0", "PARAMETER repeat_penalty 1"]  # Ollama's default penalty changes replies
    lines += [f"SYSTEM {_quoted(system)}"] if system else []
    return "\n".join(lines) + "\n"


def can_hold(text: str) -> bool:
    """Return whether a Modelfile can hold a text: not if it has three quotes in a row, which end a text there."""
    return '"""' not in text


def _quoted(text: str) -> str:
    """Text as a Modelfile has it: in three quotes if it has several lines or quotes."""
    return f'"""{text}"""' if set(text) & set('"\n') else f'"{text}"'
