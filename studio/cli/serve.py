"""The commands that serve the page and hash a password."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.schema.limits import demo_limits
from studio.ui.http.serve_options import ServeOptions


def serve(
    context: Context,
    host: Annotated[str, typer.Option(help="Address. All but loopback need a password.")] = ServeOptions.host,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = ServeOptions.port,
    demo: Annotated[bool, typer.Option("--demo", help="Public demo: each visitor gets a workspace.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A host name that browsers may use for this page."),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", metavar="ADDRESS", help="Proxy whose X-Forwarded headers are trusted."),
    ] = None,
    user_header: Annotated[
        str, typer.Option(metavar="NAME", show_default="none", help="Header in which the proxy names the person.")
    ] = "",
    root_path: Annotated[
        str, typer.Option(metavar="PATH", show_default="none", help="Path of the page, as in /tuning.")
    ] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=N", help="Limit of the demo, as in run_minutes=20. 0: no limit."),
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Let agents use the API through the Model Context Protocol.")
    ] = False,
) -> None:
    """Serve the studio's page on http://127.0.0.1:7860 and open it in the browser."""
    _serve(
        ServeOptions(
            context.home,
            host,
            port,
            demo,
            demo_limits(limit or []),
            allow_host or [],
            trusted_proxy or [],
            user_header,
            root_path,
            not no_browser,
            mcp,
        )
    )


def hash_password(context: Context) -> None:
    """Ask for a password and print its hash, for the file that STUDIO_PASSWORD_FILE names."""
    from studio.ui.visitors.passwords import ask_for_hash

    line = ask_for_hash()
    context.answer({"hash": line}, lambda: context.say(line))


def open_studio(home: Path | None) -> None:
    """Serve the page and open it, as `studio` without a command does."""
    _serve(ServeOptions(home, limits=demo_limits()))


def _serve(options: ServeOptions) -> None:
    from studio.ui.http.server import serve

    serve(options)
