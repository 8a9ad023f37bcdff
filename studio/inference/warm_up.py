"""Warm-up of loaded models, so that the first answer is not slow."""

from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import classify
from studio.inference.generate import Reply
from studio.schema.report import ChatSettings

TEXT = "Hello"


def warm_up(pair: ModelPair) -> None:
    """Generate a first token with each model, or a first prediction of a classifier."""
    if pair.head.single_pass:
        if pair.run.learned_from is not None:
            classify(pair, TEXT)
        return
    prompt = pair.task.prompt_ids([{"role": "user", "content": TEXT}], pair.encoding())
    for who in ("base", "tuned"):
        Reply(pair.model_for(who), pair.tokenizer, prompt, ChatSettings(max_new_tokens=1)).step()
