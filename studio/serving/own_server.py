"""The process of the studio's own engine: it answers with the code of the studio's chat and of `studio predict`.

It speaks the same endpoints as the other engines, on loopback and with a key, and only as streams. One thread computes;
several replies advance one token each in turn.
"""

import asyncio
import hmac
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from studio.machine.environment import forget_variable
from studio.schema.errors import StudioError
from studio.schema.serving import ServedModel
from studio.serving.engines.own import MODEL, SECRET
from studio.tasks.completion import Completion


@dataclass
class Answering:
    """The loaded model, and the one thread that uses it."""

    pair: Any
    who: str
    pool: ThreadPoolExecutor

    async def run(self, function: Any, *arguments: Any) -> Any:
        """Call a function in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    def begin(self, body: dict[str, Any]) -> Any:
        """A reply that was begun."""
        from studio.inference.generate import Reply
        from studio.schema.report import ChatSettings

        pair, ids = self.pair, self.prompt_ids(body)
        settings = ChatSettings(
            temperature=body["temperature"], top_p=body["top_p"], seed=body.get("seed", secrets.randbelow(2**31))
        )
        # The gateway has checked the limit. --max-tokens may be higher than the chat's own maximum.
        settings = settings.model_copy(update={"max_new_tokens": body["max_tokens"]})
        return Reply(pair.model_for(self.who), pair.tokenizer, ids, settings, pair.context), len(ids)

    def prompt_ids(self, body: dict[str, Any]) -> list[int]:
        """Token ids of a conversation as in the studio's chat, or of a text to continue, without the chat template."""
        task, encoding = self.pair.task, self.pair.encoding()
        if "messages" not in body:
            task = Completion() if self.pair.variant.templated else task
            return list(task.prompt_ids(body["prompt"], encoding))
        prompt = body["messages"]
        if self.pair.head.name == "seq2seq":
            # The task takes one text, and not a conversation. The studio's chat gives it the last message, too.
            prompt = str(prompt[-1]["content"])
        return list(task.prompt_ids(prompt, encoding))

    def classify(self, texts: list[str]) -> list[list[float]]:
        """Probabilities of each text, in the order of the labels."""
        from studio.inference.classify import probabilities

        encoding = self.pair.encoding()
        ids = [self.pair.task.prompt_ids(text, encoding) for text in texts]
        return [[float(each) for each in row] for row in probabilities(self.pair, ids)]

    def predictions(self, texts: list[str]) -> dict[str, Any]:
        """The answer to a request for labels."""
        import numpy as np

        from studio.inference.classify import predicted_label

        outputs = self.classify(texts)
        predicted = [predicted_label(self.pair, np.array(row)) for row in outputs]
        return {"labels": list(self.pair.labels), "problem": self.pair.head.problem, "outputs": outputs} | {
            "predicted": predicted
        }


def load(model: ServedModel) -> Answering:
    """Load one model of a run, alone."""
    from studio.inference.base_and_tuned import ModelPair, load_tuned, precision_of
    from studio.inference.heads import head_of
    from studio.inference.load import load_base, load_tokenizer
    from studio.models import disable_hub_access

    disable_hub_access()
    # a base model has no system prompt of a run
    config = model.run.spec.config.model_copy(update={"system_prompt": model.system_prompt})
    run = model.run.model_copy(update={"spec": model.run.spec.model_copy(update={"config": config})})
    if model.who == "base":
        loaded = load_base(run.info, precision_of(run), head_of(run.info, run.spec.data), run.trusted)
    else:
        loaded = load_tuned(run)
    pair = ModelPair(run, load_tokenizer(run.info, run.trusted), loaded, loaded, one_copy=False, how="")
    return Answering(pair, model.who, ThreadPoolExecutor(1, "inference"))


def make_app(answering: Answering, secret: str) -> Starlette:
    """The application."""

    def allowed(request: Request) -> bool:
        sent = request.headers.get("authorization", "")
        return hmac.compare_digest(sent.encode(), f"Bearer {secret}".encode())

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def generate(request: Request) -> Response:
        if not allowed(request):
            return Response(status_code=401)
        body = await request.json()
        try:
            reply, prompt_tokens = await answering.run(answering.begin, body)
        except StudioError as error:
            return JSONResponse({"error": {"message": error.message, "code": error.code}}, status_code=400)
        events = _events(answering, reply, prompt_tokens, "messages" in body)
        return StreamingResponse(events, media_type="text/event-stream")

    async def classify(request: Request) -> Response:
        if not allowed(request):
            return Response(status_code=401)
        texts = (await request.json())["input"]
        return JSONResponse(await answering.run(answering.predictions, texts))

    routes = [Route("/health", health)]
    routes += [Route(f"/v1/{path}", generate, methods=["POST"]) for path in ("chat/completions", "completions")]
    return Starlette(routes=[*routes, Route("/v1/classify", classify, methods=["POST"])])


async def _events(answering: Answering, reply: Any, prompt_tokens: int, chat: bool) -> AsyncIterator[str]:
    """A reply as events, a piece of text for each token. Ends when the gateway leaves."""
    sent = 0
    more = True
    counted = {"prompt_tokens": prompt_tokens, "completion_tokens": 0}
    yield _event(chat, "", usage=counted)  # now, because a reply with a stop sequence is not read to its end
    while more:
        more = await answering.run(reply.step)
        if len(reply.text) > sent:
            piece, sent = reply.text[sent:], len(reply.text)
            yield _event(chat, piece)
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(reply.ids)}
    yield _event(chat, "", "stop" if reply.ended else "length", usage)


def _event(chat: bool, text: str, finish: str | None = None, usage: dict[str, int] | None = None) -> str:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    choice |= {"delta": {"content": text}} if chat else {"text": text}
    return f"data: {json.dumps({'choices': [choice], 'usage': usage})}\n\n"


def main() -> None:
    """Load the model of the environment, and answer on the port of the command line until a signal."""
    import uvicorn

    model, secret = ServedModel.model_validate_json(os.environ.pop(MODEL)), os.environ[SECRET]
    forget_variable(SECRET)
    app = make_app(load(model), secret)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
