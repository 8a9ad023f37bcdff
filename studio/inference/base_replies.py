"""Replies of a base model to standalone prompts: load the model, generate, and free it."""

from collections.abc import Callable, Sequence

from studio.inference.generate import max_reply_tokens, replies
from studio.inference.load import load_base, load_tokenizer
from studio.machine.facts import machine_facts
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, task_named

BATCH_SIZE = 8
"""Number of prompts answered at once."""


def base_model_replies(
    info: ModelInfo,
    prompts: Sequence[str],
    settings: ChatSettings,
    progress: Callable[[int, int], None],
    stop: Callable[[], bool],
    trusted: bool = False,
) -> list[str]:
    """Return a reply to each prompt, or fewer if `stop` returned true."""
    facts, context = machine_facts(), info.context or 2**20
    precision = "bfloat16" if facts.gpus or facts.bfloat16_fast else "float32"
    model, tokenizer = load_base(info, precision, trusted=trusted), load_tokenizer(info, trusted)
    encoding, chat = Encoding(tokenizer=tokenizer, roles={}, max_length=context), task_named("chat")
    ids = [chat.prompt_ids(prompt, encoding) for prompt in prompts]
    texts: list[str] = []
    for start in range(0, len(ids), BATCH_SIZE):
        if stop():
            break
        batch = ids[start : start + BATCH_SIZE]
        max_tokens = min(max_reply_tokens(each, context) for each in batch)
        limited = settings.model_copy(
            update={"max_new_tokens": min(settings.max_new_tokens, max_tokens), "seed": settings.seed + start}
        )
        texts += replies(model, tokenizer, batch, limited, stop)
        progress(len(texts), len(ids))
    return texts
