"""Base and tuned answer the same prompt, a token each in turn, so that both panes move."""

import time
from collections.abc import Callable, Iterator, Sequence

from studio.inference.base_and_tuned import Pair
from studio.inference.generate import Reply
from studio.schema.report import ChatSettings
from studio.schema.views import ChatChunk

PAUSE = 0.04
"""Seconds between two chunks of one pane: more often is not seen, and each carries the whole text."""
WHO = ("base", "tuned")


def side_by_side(
    pair: Pair,
    prompt_ids: Sequence[int],
    settings: ChatSettings,
    stop: Callable[[], bool] = lambda: False,
    base_prompt_ids: Sequence[int] | None = None,
) -> Iterator[ChatChunk]:
    """Both replies as they grow; the last chunk of each is `done` and carries its answer, also after a stop."""
    steps = step_by_step(pair, prompt_ids, settings, stop, base_prompt_ids)
    return (chunk for chunk in steps if chunk is not None)


def step_by_step(
    pair: Pair,
    prompt_ids: Sequence[int],
    settings: ChatSettings,
    stop: Callable[[], bool] = lambda: False,
    base_prompt_ids: Sequence[int] | None = None,
) -> Iterator[ChatChunk | None]:
    """The same, one token of one model at a time: None after a token that nothing is shown of yet.

    Several conversations can be advanced in turn. Each reply has its own cache and random numbers.
    In a conversation of several turns each model continues from its own replies: `base_prompt_ids` is the base's.
    """
    prompts = {"base": prompt_ids if base_prompt_ids is None else base_prompt_ids, "tuned": prompt_ids}
    replies = {}
    for who in WHO:
        with pair.speaking(who) as model:
            replies[who] = Reply(model, pair.tokenizer, prompts[who], settings, pair.context)
    said, when = dict.fromkeys(WHO, ""), dict.fromkeys(WHO, 0.0)
    open_ = list(WHO)
    while open_:
        for who in tuple(open_):
            reply = replies[who]
            if stop() or not reply.step():
                open_.remove(who)
                how = pair.how if who == "tuned" else ""
                yield ChatChunk(who=who, text=reply.text, done=True, answer=reply.answer(how))
            elif reply.text != said[who] and time.monotonic() - when[who] >= PAUSE:
                said[who], when[who] = reply.text, time.monotonic()
                yield ChatChunk(who=who, text=reply.text)
            else:
                yield None
