"""The command that serves fine-tuned models through an API, and its keys."""

import sys
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.schema.errors import StudioError
from studio.schema.serving import ServeLimits, ServeRequest, ServeStatus


def serve_api(
    context: Context,
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN…", help="Ids of runs, or last.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on. 0: any free port.", min=0, max=65535)] = 8000,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="vllm, transformers, llama.cpp or studio.", show_default="chosen")
    ] = "",
    no_base: Annotated[bool, typer.Option("--no-base", help="Do not serve the base models.")] = False,
    greedy: Annotated[
        bool,
        typer.Option("--greedy", help="All replies have temperature 0. Then requests are batched: faster for many."),
    ] = False,
    new_key: Annotated[
        str, typer.Option("--new-key", metavar="NAME", help="Make an API key and print it once.", show_default="none")
    ] = "",
    keys: Annotated[bool, typer.Option("--keys", help="List the names of the API keys.")] = False,
    remove_key: Annotated[
        str, typer.Option("--remove-key", metavar="NAME", help="Delete an API key.", show_default="none")
    ] = "",
    no_key: Annotated[bool, typer.Option("--no-key", help="Need no key. Only on 127.0.0.1.")] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="URL", help="Origin of web pages that may call the API."),
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests per minute of one key.", min=1)] = 600,
    max_tokens: Annotated[int, typer.Option(help="Maximum tokens of a reply.", min=1)] = 4096,
) -> None:
    """Serve fine-tuned models and their base models through an API like OpenAI's."""
    if new_key or keys or remove_key:
        _manage_keys(context, new_key, remove_key, keys)
        return
    from studio.serving.server import check_access, serve

    models = context.studio.served_models.of(runs or [], base=not no_base)
    limits = ServeLimits(
        greedy=greedy,
        requests_per_minute=rate,
        burst=max(1, min(100, int(rate))),
        new_tokens=max_tokens,
        default_new_tokens=min(1024, max_tokens),
    )
    request = ServeRequest(
        runs=tuple(model.name for model in models if model.who == "tuned"),
        host=host,
        port=port,
        engine=engine,
        base=not no_base,
        without_key=no_key,
        allow_origins=tuple(allow_origin or ()),
        limits=limits,
    )
    check_access(context.studio.home, request)
    serve(
        context.studio.home,
        models,
        request,
        context.note,
        lambda status: context.answer(status, lambda: _show(context, status)),
    )


def _show(context: Context, status: ServeStatus) -> None:
    context.say(f"The API is at {status.address}")
    for each in status.engines:
        for model in each.models:
            context.say(f"  {model} ({each.engine}, {each.state})")
    context.note("Stop it with Ctrl-C.")
    sys.stdout.flush()


def _manage_keys(context: Context, new_key: str, remove_key: str, listed: bool) -> None:
    """Delete a key, make one, or list all."""
    flags = {"--remove-key": remove_key, "--new-key": new_key, "--keys": listed}
    if context.as_json and sum(map(bool, flags.values())) > 1:
        raise StudioError(
            "bad-setting",
            "With --json, a command about keys does one thing.",
            given=" ".join(flag for flag, is_asked in flags.items() if is_asked),
            hint="Run the command once for each.",
        )
    stored = context.studio.api_keys
    if remove_key:
        stored.remove(remove_key)
        context.answer({"removed": remove_key}, lambda: context.say(f"The key {remove_key} no longer works."))
    if new_key:
        key = stored.add(new_key)
        context.note(f"This is the key {new_key}. It is not shown again.")
        context.answer({"name": new_key, "key": key}, lambda: context.say(key))
    if listed:
        rows = [{"name": each.name, "created": each.created} for each in stored.all()]
        context.answer(rows, lambda: _show_keys(context, rows))


def _show_keys(context: Context, rows: list[dict[str, str]]) -> None:
    table = context.table("Name", "Created")
    for row in rows:
        table.add_row(row["name"], row["created"])
    context.out.print(table)
