"""The server: our FastAPI app with Gradio mounted in it, behind the guard. Imports no torch, now or later."""

import logging
import os
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.types import ASGIApp

from studio.schema.errors import StudioError
from studio.ui.security import Guard, is_loopback

LOG = logging.getLogger("studio.ui")


def quiet_gradio() -> None:
    """No statistics, no server rendering, whatever the environment says; must come before gradio is imported."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False", GRADIO_SSR_MODE="False", GRADIO_RUN_HISTORY="False", GRADIO_MCP_SERVER="False"
    )


def make_app(
    home: Path | str | None = None, demo: bool = False, allow_hosts: Sequence[str] = (), hashes: Sequence[str] = ()
) -> ASGIApp:
    """The whole application as ASGI: guard, login, our routes, Gradio."""
    quiet_gradio()
    import gradio as gr
    from fastapi import FastAPI

    from studio.ui import poll, press, static, uploads
    from studio.ui.app import blocks
    from studio.ui.head import FirstInHead
    from studio.ui.login import Login
    from studio.ui.looking import Looking
    from studio.ui.session import Sessions
    from studio.ui.theme import theme

    sessions = Sessions(home, demo)
    files = uploads.Uploads(sessions.root.home.root / "uploads", demo)
    on_space = bool(os.environ.get("SPACE_ID"))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        files.sweep()
        with Looking(sessions.root):
            yield
        sessions.root.close()

    app = FastAPI(title="Fine-tune Studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.include_router(static.routes())
    app.include_router(uploads.routes(sessions, files))
    app.include_router(poll.routes(sessions))
    page, shell = blocks(sessions, files)
    app.include_router(press.routes(shell))
    mounted = gr.mount_gradio_app(
        app, page, path="/", theme=theme(), footer_links=[], run_history=False, ssr_mode=False,
        show_error=False, max_file_size="1mb", allowed_paths=[], blocked_paths=[str(sessions.root.home.root)],
        enable_monitoring=False, mcp_server=False,
    )  # fmt: skip
    inner = FirstInHead(mounted, static.head("", demo))
    return Guard(Login(inner, list(hashes)), allow_hosts, on_space)


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    home: Path | str | None = None,
    demo: bool = False,
    allow_hosts: Sequence[str] = (),
    open_browser: bool = True,
) -> None:
    """Serve the page until the process is told to end."""
    demo = demo or bool(os.environ.get("SPACE_ID"))
    hashes = _hashes(host, demo)
    listening = _listen(host, port)
    app = make_app(home, demo, allow_hosts, hashes)
    import uvicorn

    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{listening.getsockname()[1]}"
    print(f"The studio is at {url}", flush=True)
    if open_browser and _has_screen():
        threading.Timer(0.5, lambda: _open(url)).start()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, server_header=False
    )
    with tempfile.TemporaryDirectory(prefix="studio-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)  # Gradio may show files of the folder that it runs in; there are none
        with suppress(KeyboardInterrupt):  # how a person ends it
            uvicorn.Server(config).run(sockets=[listening])


def _has_screen() -> bool:
    """Whether there is a screen: without one, a browser of letters would take the terminal."""
    return not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    )


def _hashes(host: str, demo: bool) -> list[str]:
    from studio.ui.login import password_hashes

    hashes = password_hashes()
    if not hashes and not demo and not is_loopback(host):
        raise StudioError(
            "password-needed",
            "The studio would be open to everyone who can reach this address.",
            given=host,
            hint="Set STUDIO_PASSWORD or STUDIO_PASSWORD_FILE, or use --demo, or listen on 127.0.0.1.",
        )
    return hashes


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise StudioError(
            "port-taken", f"The studio can't listen on {host}, port {port}: {error.strerror}.",
            given=port, hint=f"Another studio may be open already; else try --port {port + 1}.",
        ) from error  # fmt: skip
    return listening


def _open(url: str) -> None:
    with suppress(Exception):
        webbrowser.open(url)
