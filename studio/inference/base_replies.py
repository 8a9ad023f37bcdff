"""Replies of a base model to standalone prompts: load the model, generate, and free it."""

from collections.abc import Sequence

from studio.inference.generate import BatchOptions, max_reply_tokens, replies
from studio.inference.load import load_base, load_tokenizer
from studio.machine.facts import machine_facts
from studio.schema.models import ModelInfo
from studio.tasks import Encoding, task_named

BATCH_SIZE = 8
"""Number of prompts answered at once."""


def base_model_replies(
    info: ModelInfo, prompts: Sequence[str], options: BatchOptions, trusted: bool = False
) -> list[str]:
    """Return a reply to each prompt, or fewer if the work is stopped."""
    facts, context = machine_facts(), info.context or 2**20
    precision = "bfloat16" if facts.gpus or facts.bfloat16_fast else "float32"
    model, tokenizer = load_base(info, precision, trusted=trusted), load_tokenizer(info, trusted)
    encoding, chat = Encoding(tokenizer=tokenizer, roles={}, max_length=context), task_named("chat")
    ids = [chat.prompt_ids(prompt, encoding) for prompt in prompts]
    texts: list[str] = []
    for start in range(0, len(ids), BATCH_SIZE):
        if options.stop():
            break
        batch = ids[start : start + BATCH_SIZE]
        max_tokens = min(max_reply_tokens(each, context) for each in batch)
        limited = options.limited(max_tokens, seed=options.settings.seed + start)
        texts += replies(model, tokenizer, batch, limited, lambda *_: options.stop())
        options.progress(len(texts), len(ids))
    return texts
