"""Input and output texts as tokens, for encoder–decoder and generative models."""

from collections.abc import Sequence
from typing import Any

from studio.tasks import rendering
from studio.tasks.base import IGNORE_INDEX, Encoding, Example


def as_messages(text: str, encoding: Encoding) -> list[dict[str, Any]]:
    """Return the input as a conversation, with the run's system prompt."""
    input_ = [{"role": "user", "content": text}]
    return [{"role": "system", "content": encoding.system_prompt}, *input_] if encoding.system_prompt else input_


def split_pair(text: str) -> tuple[str, str]:
    """Split two texts that were entered as one: at the first empty line, else at the first line end. The second text is
    empty if there is no line end."""
    for sign in ("\n\n", "\n"):
        first, separator, second = text.strip().partition(sign)
        if separator:
            return first.strip(), second.strip()
    return text.strip(), ""


def prompt_ids(input_: Any, encoding: Encoding) -> list[int]:
    """Return the token ids of the input: a text for an encoder–decoder, messages for the chat template."""
    if isinstance(input_, str):
        ids: list[int] = encoding.tokenizer(input_, truncation=True, max_length=encoding.max_length)["input_ids"]
        return ids
    return rendering.prompt_ids(encoding.tokenizer, input_)


def example(input_: Any, output: str, encoding: Encoding) -> Example:
    """Return an example with input and output. Only the output is learned."""
    if isinstance(input_, str):
        return _encoder_decoder_example(input_, output, encoding)
    return conversation_example([*input_, {"role": "assistant", "content": output}], encoding)


def conversation_example(turns: Sequence[dict[str, Any]], encoding: Encoding) -> Example:
    """Return the token ids of messages, truncated. Their replies are learned, except those with weight 0."""
    ids, learned = rendering.encode_conversation(encoding.tokenizer, turns, encoding.training_template)
    cut, marks = ids[: encoding.max_length], learned[: encoding.max_length]
    labels = [token if marked else IGNORE_INDEX for token, marked in zip(cut, marks, strict=True)]
    return Example(cut, labels, len(ids), marks)


def template(input_: Any, output_role: str, encoding: Encoding) -> str:
    """Return how a row is formatted, for the preview, from its input with placeholders."""
    if isinstance(input_, str):
        return f"{input_} → {{{output_role}}}"
    reply = {"role": "assistant", "content": f"{{{output_role}}}"}
    return rendering.render(encoding.tokenizer, [*input_, reply], encoding.training_template)


def _encoder_decoder_example(input_: str, output: str, encoding: Encoding) -> Example:
    """Return an example with two sequences, each truncated: the encoder's input and the decoder's output."""
    tokenizer = encoding.tokenizer
    whole = tokenizer(input_, verbose=False)["input_ids"]
    ids = prompt_ids(input_, encoding) if len(whole) > encoding.max_length else whole
    target = tokenizer(text_target=output, truncation=True, max_length=encoding.answer_length)["input_ids"]
    end = tokenizer.eos_token_id
    if end is not None and target[-1:] != [end]:
        target = [*target[: encoding.answer_length - 1], end]  # the decoder must learn to stop
    return Example(ids, target, len(whole), [False] * len(ids), target=target)
