"""The server of the API: chooses engines, prepares weights, and answers until it is told to end."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from studio.inference.load import weights_folder
from studio.schema.errors import StudioError
from studio.schema.serving import ApiKey, ServedModel, ServeRequest, ServeStatus
from studio.serving.engines import Engine, choose_engine
from studio.serving.gateway import Gate, Gateway
from studio.serving.http_server import http_server
from studio.serving.models import Directory, Served, load_tokenizer
from studio.serving.supervisor import EngineProcess
from studio.serving.turns import Turns
from studio.serving.weights import prepare
from studio.store import Home
from studio.store.api_keys import ApiKeys
from studio.ui.http.rate_limits import Buckets
from studio.ui.http.security import is_loopback
from studio.ui.http.server import listen

Say = Callable[[str], None]
Ready = Callable[[ServeStatus], None]


def check_access(home: Home, request: ServeRequest) -> None:
    """Refuse to answer everyone.

    Raises:
        StudioError: `password-needed` without a key, or with --no-key on an address that others can reach.
            `bad-setting` for web pages of all sites.
    """
    if "*" in request.allow_origins:
        raise StudioError(
            "bad-setting",
            "Web pages of all sites could call the API.",
            given="*",
            valid="the origin of a page, as in https://example.com",
            field="allow-origin",
        )
    if request.without_key:
        if not is_loopback(request.host):
            raise StudioError(
                "password-needed",
                "Without a key, everyone who can reach this address could use the API.",
                given=request.host,
                valid="127.0.0.1 with --no-key, or any address with a key",
                hint="Make a key with: studio serve-api --new-key NAME",
            )
        return
    if not request.key_hashes and not ApiKeys(home).all():
        raise StudioError(
            "password-needed",
            "The API needs a key, and there is none yet.",
            hint="Make one with: studio serve-api --new-key NAME. On this machine alone, --no-key works without.",
        )


def serve(home: Home, models: Sequence[ServedModel], request: ServeRequest, say: Say, ready: Ready) -> None:
    """Serve models until SIGINT or SIGTERM. All engines have ended when it returns.

    Args:
        home: The data folder.
        models: What is served.
        request: Address, keys, limits.
        say: Called with what is being done, in sentences.
        ready: Called once, when all engines can be used or have failed.

    Raises:
        StudioError: an engine can't serve a model, the port is taken, weights can't be written.
    """
    check_access(home, request)
    models = [each.model_copy(update={"greedy": request.limits.greedy}) for each in models]
    chosen = [(model, choose_engine(model, request.engine)) for model in models]
    listening = listen(request.host, request.port)
    try:
        request = request.model_copy(update={"port": listening.getsockname()[1]})
        served = _served(home, chosen, request, say)
        asyncio.run(_run(home, served, request, listening, ready))
    finally:
        listening.close()


def _served(home: Home, chosen: Sequence[tuple[ServedModel, Engine]], request: ServeRequest, say: Say) -> list[Served]:
    """The models with their engines, which are not started yet."""
    folders: dict[str, Path] = {}
    facts = {}
    for model, engine in chosen:
        if engine.needs_weights:
            say(f"Preparing the weights of {model.name}")
            folders[model.name], facts[model.name] = prepare(home.root / "serving", model)
    groups: dict[str, list[ServedModel]] = {}
    engines = {model.name: engine for model, engine in chosen}
    for model, engine in chosen:
        key = f"{engine.name} {model.run.info.path}" if engine.serves_together else model.name
        groups.setdefault(key, []).append(model)
    served = []
    for number, group in enumerate(groups.values()):
        engine = engines[group[0].name]
        log = home.root / "logs" / f"api-engine-{request.port}-{number}.log"
        process = EngineProcess(engine, group, folders, _reason(engine, group[0], request), log)
        turns = Turns(engine.slots(group[0]), request.limits.waiting)
        for model in group:
            say(f"{model.name}: {engine.title}. {process.reason}")
            folder = folders.get(model.name) or Path(weights_folder(model.run.info))
            tokenizer = None if engine.prepares_prompts else load_tokenizer(folder)
            served.append(Served(model, process, turns, facts.get(model.name), tokenizer))
    return served


def _reason(engine: Engine, model: ServedModel, request: ServeRequest) -> str:
    if request.engine == engine.name and not model.classifies:
        return "Chosen with --engine."
    return engine.reason(model)


async def _run(
    home: Home, served: Sequence[Served], request: ServeRequest, listening: socket.socket, ready: Ready
) -> None:
    directory, limits, keys = Directory(served), request.limits, ApiKeys(home)
    own = [ApiKey(name=f"started-{n}", hash=each, created="") for n, each in enumerate(request.key_hashes)]
    rates = Buckets(limits.requests_per_minute / 60, limits.burst)
    gate = Gate(lambda: [*own, *keys.all()], request.without_key, request.allow_origins, rates)
    gateway = Gateway(directory, gate, limits, home.root)
    server, ended = http_server(gateway.app()), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    for engine in directory.engines:
        engine.start()
    address = f"http://{_shown_host(request.host)}:{request.port}/v1"
    answering = asyncio.create_task(server.serve(sockets=[listening]))
    loading = asyncio.create_task(_load(directory, gateway, address, request, ready))
    try:
        await _first(ended.wait(), _until_failed(answering, loading))
    finally:
        loading.cancel()
        server.should_exit = True
        await asyncio.gather(*(engine.stop() for engine in directory.engines), return_exceptions=True)
        await asyncio.gather(answering, return_exceptions=True)
    if loading.done() and not loading.cancelled() and (error := loading.exception()):
        raise error


async def _load(directory: Directory, gateway: Gateway, address: str, request: ServeRequest, ready: Ready) -> None:
    """Wait until each engine can be used, and say so."""
    usable = await asyncio.gather(*(engine.wait_ready() for engine in directory.engines))
    if not any(usable):
        names = ", ".join(each.model.name for each in directory.all)
        logs = ", ".join(str(engine.log) for engine in directory.engines)
        raise StudioError(
            "host-gone", "No engine could be started.", given=names, hint=f"The reason is in the log: {logs}"
        )
    ready(ServeStatus(address=address, engines=tuple(gateway.states()), needs_key=not request.without_key))


async def _until_failed(answering: "asyncio.Task[None]", loading: "asyncio.Task[None]") -> None:
    """Return when the server can't go on."""
    done, _ = await asyncio.wait({answering, loading}, return_when=asyncio.FIRST_COMPLETED)
    if loading in done and loading.exception() is None:
        await asyncio.wait({answering})


async def _first(*awaited: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _shown_host(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
