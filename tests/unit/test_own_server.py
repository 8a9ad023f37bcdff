"""The server of the studio's own engine, with a starter model."""

from pathlib import Path

from studio.models import find_model
from studio.serving.own_server import load
from tests.scripted_engine import lora_run


def test_the_limit_of_a_reply_is_that_of_the_request_also_above_the_maximum_of_the_chat(tmp_path: Path) -> None:
    model = lora_run(tmp_path, "base")
    info = find_model("starter-chat").model_copy(update={"context": 10_000})
    answering = load(model.model_copy(update={"run": model.run.model_copy(update={"info": info})}))
    body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.0, "top_p": 1.0}
    reply, prompt_tokens = answering.begin({**body, "max_tokens": 6_000})
    assert reply.limit == 6_000 and prompt_tokens > 0
    reply, prompt_tokens = answering.begin({**body, "max_tokens": 100_000})
    assert 6_000 < reply.limit <= 10_000 - prompt_tokens, "the context of the model is still the limit"
