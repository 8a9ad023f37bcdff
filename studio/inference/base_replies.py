"""A base model's replies to prompts that stand for themselves: loaded, asked, and let go."""

from collections.abc import Callable, Sequence

from studio.inference.generate import replies, room_for_reply
from studio.inference.load import load_base, load_tokenizer
from studio.machine.facts import machine_facts
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, task_named

TOGETHER = 8
"""Prompts that are answered at once."""


def written(
    info: ModelInfo,
    prompts: Sequence[str],
    settings: ChatSettings,
    progress: Callable[[int, int], None],
    stop: Callable[[], bool],
    trusted: bool = False,
) -> list[str]:
    """A reply to each prompt."""
    facts, context = machine_facts(), info.context or 2**20
    precision = "bfloat16" if facts.gpus or facts.bfloat16_fast else "float32"
    model, tokenizer = load_base(info, precision, trusted=trusted), load_tokenizer(info, trusted)
    encoding, chat = Encoding(tokenizer=tokenizer, roles={}, max_length=context), task_named("chat")
    ids = [chat.prompt_ids(prompt, encoding) for prompt in prompts]
    texts: list[str] = []
    for at in range(0, len(ids), TOGETHER):
        if stop():
            break
        batch = ids[at : at + TOGETHER]
        room = min(room_for_reply(each, context) for each in batch)
        short = settings.model_copy(
            update={"max_new_tokens": min(settings.max_new_tokens, room), "seed": settings.seed + at}
        )
        texts += replies(model, tokenizer, batch, short, stop)
        progress(len(texts), len(ids))
    return texts
