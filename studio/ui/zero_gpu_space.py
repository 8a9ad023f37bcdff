"""Starts the public demo in a ZeroGPU Space. The Space's app.py calls it; everywhere else use `studio serve --demo`."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

import studio
from studio.machine.facts import GPU_OF_RUNS
from studio.machine.processes import module_command
from studio.schema.limits import LIMITS_VARIABLE, demo_limits
from studio.services.runners import RUNNER_VARIABLE
from studio.services.runners.zero_gpu import ZeroGpuRunner, gpu_call, visitor_token
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.server import quiet_gradio, serve

LIMITS = "run_minutes=1.5"
"""With the time to load and to save, a run takes the daily GPU quota of a visitor without an account."""
TOKEN_HEADER = "x-ip-token"
"""The proxy of Hugging Face names the visitor in it. `spaces` sends it to ZeroGPU, which takes that visitor's quota."""
GPU = "NVIDIA RTX PRO 6000 Blackwell (half), 49152, 47104"
"""What ZeroGPU lends: the name, MiB of memory, and MiB that are free. The server itself has no GPU."""


def main() -> None:
    """Serve the demo as a Space's app.py does: on $GRADIO_SERVER_NAME and $GRADIO_SERVER_PORT, 0.0.0.0 and 7860.

    Unlike `studio serve --demo`, runs train inside `spaces.GPU`, and no worker is prepared.
    """
    own = str(Path(studio.__file__).parent.parent)  # not installed there, and workers run in other folders
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))
    os.environ[RUNNER_VARIABLE] = ZeroGpuRunner.name
    os.environ[LIMITS_VARIABLE] = ",".join(filter(None, (LIMITS, os.environ.get(LIMITS_VARIABLE))))
    port = ZeroGpuRunner.port = int(os.environ.get("GRADIO_SERVER_PORT") or 7860)
    quiet_gradio()
    if subprocess.run(module_command("studio.models"), check=False).returncode:  # before HF_HUB_OFFLINE is set
        raise SystemExit("The starter models were not downloaded; the lines above say why. Restart the Space.")
    gpu_call()
    if os.environ.get("SPACES_ZERO_GPU"):
        os.environ[GPU_OF_RUNS] = GPU
        ZeroGpuRunner.as_visitor = staticmethod(_as_visitor)
        _report_to_zero_gpu()
    host = os.environ.get("GRADIO_SERVER_NAME") or "0.0.0.0"
    serve(ServeOptions(host=host, port=port, demo=True, limits=demo_limits(), open_browser=False), VisitorTokens)


class VisitorTokens:
    """The outermost layer of the application. It keeps the token of each request while the request is handled."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            visitor_token.set(Headers(scope=scope).get(TOKEN_HEADER, ""))
        await self._app(scope, receive, send)


@contextmanager
def _as_visitor(token: str) -> Iterator[None]:
    """Make a token that of the request that Gradio handles in this thread, where `spaces` reads it."""
    import gradio as gr
    from gradio.context import LocalContext

    request = Request({"type": "http", "headers": [(TOKEN_HEADER.encode(), token.encode())]})
    before = LocalContext.request.set(gr.Request(request)) if token else None
    try:
        yield
    finally:
        if before:
            LocalContext.request.reset(before)


def _report_to_zero_gpu() -> None:
    """Tell ZeroGPU that this Space has a GPU function. `spaces` does this when a page of Gradio is launched.

    The studio's page is part of a larger application and is not launched by Gradio. So an empty page is, for a moment
    and on this machine only.
    """
    import gradio as gr

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with gr.Blocks() as empty:
        gr.Markdown("Starting.")
    empty.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, show_error=False)
    empty.close()
