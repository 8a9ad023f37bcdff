"""What is slow the first time is done before a person waits for it."""

from studio.inference.base_and_tuned import Pair
from studio.inference.classify import classify
from studio.inference.generate import Reply
from studio.schema.report import ChatSettings

WORDS = "Hello"


def warm_up(pair: Pair) -> None:
    """A first token of each model, or a first guess of a classifier's two."""
    if pair.head.at_once:
        if pair.run.learned_from is not None:
            classify(pair, WORDS)
        return
    prompt = pair.task.prompt_ids([{"role": "user", "content": WORDS}], pair.encoding())
    for who in ("base", "tuned"):
        with pair.speaking(who) as model:
            Reply(model, pair.tokenizer, prompt, ChatSettings(max_new_tokens=1)).step()
