"""The gateway: OpenAI's endpoints, keys, limits and errors. It computes nothing itself; engines do (supervisor.py)."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from studio.schema.serving import ApiKey, EngineState, Generation, ServeLimits
from studio.serving import answers, bodies
from studio.serving.answers import Answer
from studio.serving.bodies import Sampling
from studio.serving.errors import ApiError
from studio.serving.metrics import Metrics
from studio.serving.models import Directory, Served
from studio.store.api_keys import matching
from studio.store.failures import keep_failure
from studio.ui.http.rate_limits import Buckets
from studio.ui.http.security import LOOPBACK, host_name

LOCAL = "local"
"""The name under which requests without a key are counted."""
NO_STORE = {"Cache-Control": "no-store"}
_log = logging.getLogger("studio.serving")
Handler = Callable[["Call"], Awaitable[Response]]


@dataclass
class Gate:
    """Who may send requests."""

    keys: Callable[[], list[ApiKey]]
    """The keys that hold now."""
    without_key: bool
    origins: tuple[str, ...]
    rates: Buckets
    """Requests of each key."""

    def check(self, request: Request) -> None:
        """Let a request through, and count it.

        Raises:
            ApiError: 401 for a wrong key, 403 for a web page of another site, 429 for too many requests.
        """
        if self.without_key:
            self._check_local(request)
            self._count(LOCAL)
            return
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not sent.strip():
            message = "You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY"
            raise ApiError(401, message, "missing_api_key")
        key = matching(sent.strip(), self.keys())
        if key is None:
            raise ApiError(401, "Incorrect API key provided.", "invalid_api_key")
        self._count(key.hash)

    def _count(self, key: str) -> None:
        if wait := self.rates.take(key):
            rate = f"{self.rates.rate * 60:g} requests per minute"
            message = f"Rate limit reached: {rate}. Try again in {wait:.1f} seconds."
            raise ApiError(429, message, "rate_limit_exceeded", retry_after=wait)

    def _check_local(self, request: Request) -> None:
        """Without a key, a web page must not be able to use the API, also not by a name that it lets resolve to us."""
        if host_name(request.headers.get("host", "")) not in LOOPBACK:
            raise ApiError(403, "Without a key, this server answers to localhost only.", "host_not_allowed")
        origin = request.headers.get("origin")
        if origin is not None and origin not in self.origins:
            message = "Web pages may not call this server. To allow one, start it with --allow-origin."
            raise ApiError(403, message, "origin_not_allowed")


@dataclass
class Call:
    """A request, and what is known about it for the metrics."""

    request: Request
    endpoint: str
    began: float = field(default_factory=time.monotonic)
    model: str = ""
    """Empty until the request named a model that is served."""


class Gateway:
    """The endpoints of one server."""

    def __init__(self, directory: Directory, gate: Gate, limits: ServeLimits, home: Path) -> None:
        self.directory, self.gate, self.limits, self.home = directory, gate, limits, home
        self.metrics = Metrics()

    def app(self) -> Starlette:
        """The application."""
        posts: dict[str, Handler] = {
            "/v1/chat/completions": self.chat,
            "/v1/completions": self.complete,
            "/v1/classify": self.classify,
        }
        gets: dict[str, Handler] = {
            "/v1/models": self.models,
            "/v1/models/{name:path}": self.model,
            "/metrics": self.show_metrics,
        }
        routes = [Route(path, self._guarded(path, handler), methods=["POST"]) for path, handler in posts.items()]
        routes += [Route(path, self._guarded(path, handler), methods=["GET"]) for path, handler in gets.items()]
        routes += [Route("/health", self.health, methods=["GET"]), Route("/ready", self.ready, methods=["GET"])]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(self.gate.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's client sends some of its own
        )
        handlers: Any = {HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers, middleware=[cors] if self.gate.origins else [])

    def states(self) -> list[EngineState]:
        """The engines as they are now."""
        return [each.view() for each in self.directory.engines]

    # --- endpoints ---

    async def health(self, request: Request) -> Response:
        """Whether the server lives. With a key also its engines, which name the models, and why they were chosen."""
        states = self.states()
        document: dict[str, Any] = {"status": "ok" if all(each.state == "ready" for each in states) else "degraded"}
        with suppress(ApiError):
            self.gate.check(request)
            document["engines"] = [each.model_dump(mode="json") for each in states]
        return JSONResponse(document, headers=NO_STORE)

    async def ready(self, request: Request) -> Response:
        """Whether every engine can be used. Needs no key."""
        states = {each.state for each in self.states()}
        status = 200 if states == {"ready"} else 503
        return JSONResponse({"status": "ready" if status == 200 else "not ready"}, status, NO_STORE)

    async def show_metrics(self, call: Call) -> Response:
        """Metrics for Prometheus."""
        for each in self.directory.all:
            self.metrics.running.labels(each.model.name).set(each.turns.running)
            self.metrics.waiting.labels(each.model.name).set(each.turns.waiting)
        return Response(self.metrics.text(self.states), media_type=CONTENT_TYPE_LATEST)

    async def models(self, call: Call) -> Response:
        """All models."""
        return JSONResponse(self.directory.document())

    async def model(self, call: Call) -> Response:
        """One model."""
        return JSONResponse(self.directory.row(self.directory.named(call.request.path_params["name"])))

    async def chat(self, call: Call) -> Response:
        """Replies to a conversation."""
        body = await self._body(call.request, bodies.CHAT)
        sampling = bodies.sampling_of(body, self.limits)
        served = self._find(call, sampling.model, classifies=False)
        messages = bodies.messages_of(body, self.limits)
        generation = served.generation(sampling, self.limits, messages=messages)
        return await self._reply(call, served, [generation] * sampling.n, sampling)

    async def complete(self, call: Call) -> Response:
        """Continuations of texts."""
        body = await self._body(call.request, bodies.TEXT)
        sampling = bodies.sampling_of(body, self.limits)
        served = self._find(call, sampling.model, classifies=False)
        prompts = bodies.prompts_of(body, self.limits)
        if len(prompts) * sampling.n > self.limits.choices:
            raise bodies.bad_value("n", f"one request may have up to {self.limits.choices} replies.")
        generations = [served.generation(sampling, self.limits, prompt=each) for each in prompts]
        return await self._reply(call, served, [each for each in generations for _ in range(sampling.n)], sampling)

    async def classify(self, call: Call) -> Response:
        """Labels of texts."""
        body = await self._body(call.request, bodies.LABELS)
        served = self._find(call, bodies.model_of(body), classifies=True)
        texts = bodies.inputs_of(body, self.limits)
        document = await _unless_gone(call.request, answers.labels(served, texts, self.limits))
        return JSONResponse(document, headers=NO_STORE)

    # --- what they share ---

    def _guarded(self, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A handler behind the gate. Whatever goes wrong becomes an error in OpenAI's format."""

        async def handle(request: Request) -> Response:
            call = Call(request, path)
            try:
                self.gate.check(request)
                response = await handler(call)
            except ApiError as error:
                response = error.response()
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception as error:
                response = self._unexpected(error).response()
            if not isinstance(response, StreamingResponse):
                self._count(call, response.status_code)
            return response

        return handle

    def _count(self, call: Call, status: int) -> None:
        self.metrics.requests.labels(call.model, call.endpoint, str(status)).inc()
        self.metrics.seconds.labels(call.model, call.endpoint).observe(time.monotonic() - call.began)

    def _unexpected(self, error: Exception) -> ApiError:
        """The answer to an unexpected error. It has a number, under which the cause is saved."""
        number, _ = keep_failure(error, self.home)
        _log.error("Unexpected error %s.", number)
        message = f"An unexpected error occurred. The server's log has the cause under {number}."
        return ApiError(500, message, "unexpected")

    def _find(self, call: Call, name: str, classifies: bool) -> Served:
        served = self.directory.find(name, classifies)
        call.model = served.model.name
        answers.require_ready(served)
        served.turns.require_room()
        return served

    async def _body(self, request: Request, known: frozenset[str]) -> dict[str, Any]:
        """The checked names and the values of a body, which is read up to the limit."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "Send the body as JSON, with Content-Type: application/json.", "unsupported_media_type")
        most, raw = self.limits.body_bytes, b""
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > most:
            raise _too_large(most)
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > most:
                raise _too_large(most)
        body = bodies.parse(raw)
        bodies.check_names(body, known)
        return body

    async def _reply(
        self, call: Call, served: Served, generations: Sequence[Generation], sampling: Sampling
    ) -> Response:
        answer = Answer(served, generations, sampling, self.limits)
        if answer.sampling.stream:
            events = self._counted(call, answer)
            return StreamingResponse(events, media_type="text/event-stream", headers=NO_STORE)
        try:
            document = await _unless_gone(call.request, answer.whole())
        finally:
            self._count_reply(call, answer)
        return JSONResponse(document, headers=NO_STORE)

    async def _counted(self, call: Call, answer: Answer) -> AsyncGenerator[str, None]:
        try:
            async with aclosing(answer.events()) as events:
                async for event in events:
                    yield event
        except Exception as error:
            answer.status = 500
            yield f"data: {json.dumps(self._unexpected(error).document())}\n\n"
        finally:
            self._count(call, answer.status)
            self._count_reply(call, answer)

    def _count_reply(self, call: Call, answer: Answer) -> None:
        """Its tokens, and the time to its first text."""
        usage = answer.usage()
        for kind in ("prompt", "completion"):
            self.metrics.tokens.labels(call.model, kind).inc(usage[f"{kind}_tokens"])
        if answer.first_text_seconds is not None:
            self.metrics.first.labels(call.model).observe(answer.first_text_seconds)


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """A whole answer. When the client leaves, the engine stops writing it, or it gives up its place in the queue."""
    writing = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            raise ClientDisconnect
        return writing.result()
    finally:
        for task in (writing, leaving):
            task.cancel()
        await asyncio.gather(writing, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    """Return when the client has left."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"The body of this request is larger than the limit of {most:,} bytes.", "request_too_large")


async def _http_error(request: Request, error: HTTPException) -> Response:
    """Addresses and methods that do not exist."""
    messages = {404: "There is no endpoint at this address.", 405: "This endpoint does not accept this method."}
    message = messages.get(error.status_code, "This request is not valid.")
    codes = {404: "unknown_url", 405: "method_not_allowed"}
    return ApiError(error.status_code, message, codes.get(error.status_code)).response()
