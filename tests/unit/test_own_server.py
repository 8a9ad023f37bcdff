"""The server of the studio's own engine, with a starter model."""

from pathlib import Path
from typing import Any

from studio.models import find_model
from studio.schema.serving import ServedModel
from studio.serving.own_server import load
from tests.scripted_engine import lora_run


def served(folder: Path, who: str = "base", **config: Any) -> ServedModel:
    """A starter model, or a run of it, with settings of the run."""
    model = lora_run(folder, who)
    spec = model.run.spec.model_copy(update={"config": model.run.spec.config.model_copy(update=config)})
    info = find_model("starter-chat").model_copy(update={"context": 10_000})
    return model.model_copy(update={"run": model.run.model_copy(update={"info": info, "spec": spec})})


def test_a_base_model_gets_no_system_prompt_of_a_run_and_a_text_no_chat_template(tmp_path: Path) -> None:
    answering = load(served(tmp_path, system_prompt="Be brief."))
    tokenizer = answering.pair.tokenizer
    written = tokenizer.decode(answering.prompt_ids({"messages": [{"role": "user", "content": "Hi"}]}))
    assert "Hi" in written and "<|im_start|>assistant" in written and "Be brief." not in written
    assert answering.prompt_ids({"prompt": "Once upon a"}) == tokenizer("Once upon a")["input_ids"]


def test_the_limit_of_a_reply_is_that_of_the_request_also_above_the_maximum_of_the_chat(tmp_path: Path) -> None:
    answering = load(served(tmp_path))
    body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.0, "top_p": 1.0}
    reply, prompt_tokens = answering.begin({**body, "max_tokens": 6_000})
    assert reply.limit == 6_000 and prompt_tokens > 0
    reply, prompt_tokens = answering.begin({**body, "max_tokens": 100_000})
    assert 6_000 < reply.limit <= 10_000 - prompt_tokens, "the context of the model is still the limit"
