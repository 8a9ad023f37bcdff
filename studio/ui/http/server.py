"""The server: our FastAPI app with Gradio mounted in it, behind the guard. Imports no torch, now or later."""

import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp

from studio.machine.descriptors import raise_descriptor_limit
from studio.machine.environment import forget_variable, remove_secrets
from studio.machine.garbage import paused_garbage_collection
from studio.machine.scheduling import interrupt_nobody
from studio.schema.errors import StudioError
from studio.store.bucket import SAVE_SECONDS, Bucket, bucket_folder
from studio.store.home import Home, default_home
from studio.ui import logs
from studio.ui.http import proxies
from studio.ui.http.rate_limits import Buckets
from studio.ui.http.security import BURST, REQUESTS, Access, Guard, host_name, is_loopback, space_hosts
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.sub_path import SubPath, root_path
from studio.ui.visitors import hf_sign_in, sign_on
from studio.ui.visitors.passwords import Account, accounts_of_environment

if TYPE_CHECKING:
    from gradio import Blocks


def quiet_gradio() -> None:
    """No statistics, no server rendering, whatever the environment says; must come before gradio is imported."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False", GRADIO_SSR_MODE="False", GRADIO_RUN_HISTORY="False", GRADIO_MCP_SERVER="False"
    )


def make_app(options: ServeOptions) -> ASGIApp:
    """The whole application as ASGI: guard, login, our routes, Gradio."""
    quiet_gradio()
    import gradio as gr
    from fastapi import FastAPI

    from studio.ui import languages
    from studio.ui.app import blocks
    from studio.ui.http import docs, poll, static, uploads
    from studio.ui.http.calls import Calls
    from studio.ui.monitor import Monitor
    from studio.ui.theme import theme
    from studio.ui.visitors.session import Sessions
    from studio.ui.visitors.workspaces import SWEEP_SECONDS, Repeated

    demo, accounts = options.demo, options.accounts
    path = root_path(options.root_path)
    sessions = Sessions(options.home, demo, options.limits)
    files = uploads.Uploads(sessions.root.home.root / "uploads", sessions.limits)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        files.sweep()
        if demo:
            sessions.workspaces.sweep()
        with ExitStack() as repeated:
            repeated.enter_context(Monitor(sessions.root, sessions.workspaces.in_use))
            repeated.enter_context(Repeated(sessions.workspaces.sweep, SWEEP_SECONDS))
            if options.bucket:
                repeated.enter_context(Repeated(options.bucket.save, SAVE_SECONDS))
            yield
        sessions.workspaces.close()
        sessions.root.close()
        if options.bucket:
            await run_in_threadpool(options.bucket.save)

    app = FastAPI(title="Fine-tune Studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.include_router(static.routes())
    app.include_router(docs.routes())
    app.include_router(languages.routes())
    app.include_router(uploads.routes(sessions, files))
    app.include_router(poll.routes(sessions))
    page = blocks(sessions, files, bool(accounts), bool(options.sign_in))
    mounted = gr.mount_gradio_app(
        app,
        page,
        path="/",
        root_path=path or None,
        theme=theme(),
        footer_links=[] if demo else ["api"],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        max_file_size="1mb",
        allowed_paths=[],
        blocked_paths=[str(sessions.root.home.root)],
        enable_monitoring=False,
        mcp_server=options.mcp and not demo,
    )
    calls = Calls(static.Preload(mounted), _function_id(page), page.fns)
    user_header = sign_on.header_name(options.user_header, options.trusted_proxies)
    on_space = bool(os.environ.get("SPACE_ID"))
    access = Access(
        on_space=on_space,
        role="editor" if demo else "viewer" if accounts or user_header else "owner",
        buckets=Buckets(REQUESTS, BURST) if demo else None,
        api=not demo,
        pages=[hf_sign_in.CALLBACK] if options.sign_in else [],
    )
    guard = Guard(_login(options, calls, sessions.root.home), options.allow_hosts, access)
    https = space_hosts() if on_space else []
    return proxies.Proxies(
        SubPath(guard, path),
        options.trusted_proxies,
        guard.allowed_host,
        lambda host: host_name(host) in https,
        user_header,
    )


def _login(options: ServeOptions, app: ASGIApp, home: Home) -> ASGIApp:
    """The app behind what tells who its visitors are."""
    from studio.ui.visitors.login import Login

    if options.sign_in:
        return hf_sign_in.SignIn(app, options.sign_in, home.account_workspace, hf_sign_in.team_roles())
    if options.user_header:
        return sign_on.SignOn(app, sign_on.roles_of_environment())
    return Login(app, options.accounts, home.secret("devices") if options.accounts else "")


def _function_id(page: "Blocks") -> int:
    """The id of the component with the page's server function (shell.py); Gradio makes it a method of the component."""
    return next(number for number, block in page.blocks.items() if callable(getattr(block, "act", None)))


def serve(options: ServeOptions, wrap: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
    """Serve the page until the process gets a signal to end. `wrap` puts a layer around the whole application."""
    if options.mcp:
        _require_mcp(options.demo)
    demo = options.demo or bool(os.environ.get("SPACE_ID"))
    trusted = proxies.trusted_proxies(options.trusted_proxies)
    if options.user_header:
        _require_no_other_login(demo)
    accounts = _accounts(options.host, demo or bool(options.user_header))
    sign_in = None if accounts else hf_sign_in.space_oauth()
    listening = listen(options.host, options.port)
    forget_variable("STUDIO_PASSWORD")  # no child process needs it
    if demo:
        remove_secrets(os.environ)
        os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    home = Path(options.home or default_home()).expanduser().resolve()
    options = replace(options, home=home, demo=demo, trusted_proxies=trusted, accounts=accounts, sign_in=sign_in)
    saved = bucket_folder()
    with _ended_by_signals(), logs.writing(home / "logs"), _empty_folder():
        if saved:
            bucket = Bucket(home, saved)
            bucket.restore()
            options = replace(options, bucket=bucket)
        with paused_garbage_collection():
            app = make_app(options)
        interrupt_nobody()
        gc.freeze()  # modules and the page live as long as the server, so no collection has to look at them
        host = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
        url = f"http://{host}:{listening.getsockname()[1]}{root_path(options.root_path)}"
        print(f"The studio is at {url}", flush=True)
        if options.open_browser and _has_screen():
            threading.Timer(0.5, lambda: _open(url)).start()
        _run(wrap(app) if wrap else app, listening, trusted)


def _run(app: ASGIApp, listening: socket.socket, trusted: Sequence[str]) -> None:
    import uvicorn

    from studio.ui.http.connections import OneLength, limits_for, protocol

    connections = protocol(limits_for(raise_descriptor_limit()), trusted, bool(os.environ.get("SPACE_ID")))
    config = uvicorn.Config(
        OneLength(app),
        http=connections,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End cleanly by SIGTERM and by Ctrl+C. uvicorn raises the signal once more when it has shut down."""

    def end(number: int, _: object) -> None:
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, end) if in_main else None
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _empty_folder() -> Iterator[None]:
    """Run in an empty folder: Gradio may show files of the folder that it runs in."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="studio-", ignore_cleanup_errors=True) as empty:
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(before if os.path.isdir(before) else tempfile.gettempdir())


def _has_screen() -> bool:
    """Whether there is a screen. Without one, a text browser would take over the terminal."""
    return not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    )


def _require_mcp(demo: bool) -> None:
    if demo:
        raise StudioError(
            "not-allowed", "A public demo can't offer MCP.", given="--mcp", hint="Leave out --demo or --mcp."
        )
    if find_spec("mcp") is None:
        raise StudioError(
            "not-allowed",
            "MCP needs a Python package that is not installed.",
            given="--mcp",
            hint="Install it: pip install 'finetune-studio[mcp]'",
        )


def _require_no_other_login(demo: bool) -> None:
    if demo or accounts_of_environment():
        raise StudioError(
            "bad-setting",
            "The studio can't take the sign-on of a proxy and be a demo or have passwords at the same time.",
            given="--user-header",
            hint="Leave out --user-header, or --demo and STUDIO_PASSWORD and STUDIO_PASSWORD_FILE.",
        )


def _accounts(host: str, is_open: bool) -> list[Account]:
    """Accounts of the environment. `is_open`: the page needs no password, as a demo or behind a proxy's sign-on."""
    accounts = accounts_of_environment()
    if not accounts and not is_open and not is_loopback(host):
        raise StudioError(
            "password-needed",
            "Without a password, everyone who can reach this address could use the studio.",
            given=host,
            hint="Set STUDIO_PASSWORD or STUDIO_PASSWORD_FILE, or use --demo, or listen on 127.0.0.1.",
        )
    return accounts


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raise `StudioError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends each piece at once (TCP_NODELAY). Else an answer waits for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise StudioError(
            "port-taken",
            f"The studio can't listen on {host}, port {port}: {error.strerror}.",
            given=port,
            hint=f"Another studio may already use this port. Close it, or try --port {port + 1}.",
        ) from error
    return listening


def _open(url: str) -> None:
    with suppress(Exception):
        webbrowser.open(url)
