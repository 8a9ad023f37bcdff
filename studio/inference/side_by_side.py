"""Chat with the base and the fine-tuned model side by side, one token of each in turn."""

import time
from collections.abc import Callable, Iterator, Sequence

from studio.inference.base_and_tuned import ModelPair
from studio.inference.generate import Reply
from studio.schema.report import ChatSettings
from studio.schema.views import ChatChunk

MIN_INTERVAL = 0.04
"""Minimum seconds between two chunks of one model. Each chunk has the whole text."""
MODELS = ("base", "tuned")


def step_by_step(
    pair: ModelPair,
    prompt_ids: Sequence[int],
    settings: ChatSettings,
    stop: Callable[[], bool] = lambda: False,
    base_prompt_ids: Sequence[int] | None = None,
) -> Iterator[ChatChunk | None]:
    """Yield both replies as they grow, one token of one model at a time, and None after a token without new output.

    So several conversations can advance in turn. The last chunk of each model is `done` and has the answer, also after
    a stop. Each reply has its own cache and random generator. In a conversation
    each model continues from its own replies: `base_prompt_ids` is the base's prompt.
    """
    prompts = {"base": prompt_ids if base_prompt_ids is None else base_prompt_ids, "tuned": prompt_ids}
    replies = {who: Reply(pair.model_for(who), pair.tokenizer, prompts[who], settings, pair.context) for who in MODELS}
    sent_text, sent_time = dict.fromkeys(MODELS, ""), dict.fromkeys(MODELS, 0.0)
    open_models = list(MODELS)
    while open_models:
        for who in tuple(open_models):
            reply = replies[who]
            if stop() or not reply.step():
                open_models.remove(who)
                how = pair.how if who == "tuned" else ""
                yield ChatChunk(who=who, text=reply.text, done=True, answer=reply.answer(how))
            elif reply.text != sent_text[who] and time.monotonic() - sent_time[who] >= MIN_INTERVAL:
                sent_text[who], sent_time[who] = reply.text, time.monotonic()
                yield ChatChunk(who=who, text=reply.text)
            else:
                yield None
