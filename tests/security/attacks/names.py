"""Names and addresses that a person enters, or that a server redirects to, and that lead into the internal network."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor

OWN = ("huggingface.co", "hf.co", "modelscope.cn", "kaggle.com", "github.com", "githubusercontent.com")
"""Servers of the sources."""
ADDRESSES = [
    "http://127.0.0.1:9/x",
    "https://169.254.169.254/latest/meta-data",
    "http://[::1]:9/x",
    "http://2130706433/x",
    "http://0x7f.1/x.gguf",
    "http://user:secret@10.0.0.1/x",
    "//192.168.0.1/x",
    "localhost:8080/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/x",
    "owner/name@127.0.0.1",
    "owner/..//127.0.0.1",
    "owner/name?x=@127.0.0.1",
    "owner/name#@127.0.0.1/",
    "owner\\@127.0.0.1/x",
    "owner/name\r\nHost: 127.0.0.1",
]
PLACES = {
    "the name of a model": ("model", ""),
    "the name of a model on Kaggle": ("model", "kaggle:"),
    "the name of a model on ModelScope": ("model", "modelscope:"),
    "the name of an entry point of PyTorch Hub": ("model", "torchhub:"),
    "the folder of a model": ("folder", ""),
    "the search for models": ("search", ""),
    "the name of a dataset on the Hub": ("data", "hf:"),
    "the name of a repository to push to": ("repository", ""),
}
Payload = tuple[str, str, str]
NAMES: list[Payload] = [
    (f"{place} is {address!a}", kind, prefix + address)
    for place, (kind, prefix) in PLACES.items()
    for address in ADDRESSES
]


class Probe:
    """The process that gives names to the real sources (name_probe.py)."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.name_probe"],
            env={**os.environ, "HF_HUB_OFFLINE": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, kind: str, name: str) -> dict[str, Any]:
        """Servers that would be asked, files that were opened, and the refusal."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, name]) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def probe(stage: Stage) -> Probe:
    """One for the stage. It ends when the stage does."""
    if "probe" not in stage.__dict__:
        stage.__dict__["probe"] = started = Probe()
        stage.at_end.callback(started.close)
    return stage.__dict__["probe"]  # type: ignore[no-any-return]


@attack("names", "An internal address is asked, or a file is opened: {0}", NAMES, quick=1)
def internal_names(stage: Stage, payload: Payload) -> Outcome:
    _, kind, name = payload
    found = probe(stage).ask(kind, name)
    foreign = [host for host in found["hosts"] if not host.endswith(OWN)]
    return outcome(bool(foreign or found["files"]), f"asked {foreign}, opened {found['files']}; {found['error'][:120]}")


class _Server:
    """A server on loopback that counts connections, and redirects to an address."""

    def __init__(self) -> None:
        self.connections = 0
        self.to = ""
        server = self

        class Counting(ThreadingHTTPServer):
            def get_request(self) -> Any:
                server.connections += 1
                return super().get_request()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302 if server.to else 200)
                self.send_header("Location", server.to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = Counting(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


INSIDE = [
    "http://127.0.0.1:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
    "http://2130706433:{port}/x",
    "http://0x7f.1:{port}/x.gguf",
    "http://user:secret@127.0.0.1:{port}/x",
    "//127.0.0.1:{port}/x",
    "localhost:{port}/x",
]


@attack("names", "A visitor of a demo has the server ask an address: {0}", INSIDE)
def visitors_names(stage: Stage, address: str) -> Outcome:
    """The demo may use the Hub, so nothing but the address is wrong."""
    who, inside = stage.visitor(stage.online_demo), _Server()
    address = address.format(port=inside.port)
    shown = who.acted("model-body", "model", value=address) + who.acted("model-body", "hub", value=address)
    shown += who.acted("data-body", "hub-look", value=address) + who.acted("data-body", "hub-fetch")
    inside.close()
    return outcome(bool(inside.connections or who.datasets()), f"{inside.connections} connections; {shown[:120]}")


REDIRECTS = [
    "http://127.0.0.1:{port}/x",
    "https://127.0.0.1:{port}/x",
    "https://localhost:{port}/x",
    "https://localhost.:{port}/x",
    "https://LOCALHOST:{port}/x",
    "https://127.1:{port}/x",
    "https://0x7f.1:{port}/x",
    "https://0177.0.0.1:{port}/x",
    "https://2130706433:{port}/x",
    "https://[::1]:{port}/x",
    "https://[::ffff:127.0.0.1]:{port}/x",
    "https://0.0.0.0:{port}/x",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/x",
    "https://intranet/x",
    "https://printer.local/x",
    "https://metadata.google.internal./x",
    "ftp://127.0.0.1:{port}/x",
    "file:///etc/passwd",
]


@attack("names", "The server of a source redirects a download to {0}", REDIRECTS, quick=3)
def redirects(stage: Stage, to: str) -> Outcome:
    """No connection but the first one, to the source, may be made."""
    from studio.models.downloads.guarded_client import guarded_client

    source, inside = _Server(), _Server()
    source.to = to.format(port=inside.port)
    reached: list[Any] = []
    hook = partial(_note_connections, reached, source.port)
    _HOOKS.append(hook)
    try:
        with guarded_client(f"http://127.0.0.1:{source.port}", 3) as client:
            try:
                came = f"{client.get(f'http://127.0.0.1:{source.port}/start').status_code}"
            except Exception as error:
                came = f"{type(error).__name__}: {error}"
    finally:
        _HOOKS.remove(hook)
        source.close()
        inside.close()
    return outcome(bool(inside.connections or reached), f"connected to {reached}; {came[:100]}")


_HOOKS: list[Any] = []


def _note_connections(reached: list[Any], own: int, event: str, given: tuple[Any, ...]) -> None:
    if event == "socket.connect" and given[1][1] != own:
        reached.append(given[1])


def _audit(event: str, given: tuple[Any, ...]) -> None:
    for hook in list(_HOOKS):
        hook(event, given)


sys.addaudithook(_audit)


HEADERS = ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "//localhost:{port}/"]


@attack("names", "A request names {0} as the page's own address, and the server asks it", HEADERS)
def callbacks(stage: Stage, address: str) -> Outcome:
    who, inside = Visitor(stage.demo), _Server()
    address = address.format(port=inside.port)
    answer = who.get(f"/?__sign={quote(address)}&url={quote(address)}", referer=address)
    inside.close()
    return outcome(
        answer.status >= 500 or bool(inside.connections), f"{answer.status}; {inside.connections} connections"
    )
