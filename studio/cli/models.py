"""Commands about base models: list, download, Hub token, and trust in custom code."""

import sys
from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.options import Task
from studio.cli.terminal import plain
from studio.schema.errors import StudioError
from studio.schema.numbers import count, memory, memory_of, size
from studio.schema.views import ModelView

Name = Annotated[str, typer.Argument(help="owner/name, modelscope:…, kaggle:…, a starter, a GGUF file or a folder.")]


def models(
    context: Context,
    name: Annotated[str | None, typer.Argument(help="Show one model in detail.")] = None,
    task: Task = None,
    search: Annotated[str | None, typer.Option(help="Search the Hub, ModelScope and Kaggle.")] = None,
    add: Annotated[str | None, typer.Option(metavar="DIR", help="Add a folder or a GGUF file to the list.")] = None,
) -> None:
    """List base models: starter models, downloaded models, and with --search models of other sources. Or show one."""
    if add:
        name = context.studio.models.use_folder(add).info.name
    if name:
        view = context.studio.models.get(name, task)
        context.answer([model_row(view)], lambda: _show_model(context, view))
        return
    if search:
        results = context.studio.models.search(search, task)
        failures = list(dict.fromkeys(results.failures.values()))
        if failures and not results.models:
            raise StudioError(
                "no-network",
                " ".join(failures),
                given=search,
                hint="Starter models, downloaded models and folders work without a network.",
            )
        for failure in failures:
            context.note(failure)
        views = list(results.models)
    else:
        views = context.studio.models.all(task)
    context.answer([model_row(view) for view in views], lambda: _show_models(context, views))


def download(
    context: Context,
    model: Name,
    install_tools: Annotated[
        bool, typer.Option("--install-tools", help="Install the packages that convert the model, if they are missing.")
    ] = False,
) -> None:
    """Download a model, or convert a GGUF file or a Keras or TensorFlow folder once. Ctrl-C stops it. The same command
    resumes a download."""
    is_converted = context.studio.models.find(model).is_converted
    if install_tools:
        with context.progress("Installing") as progress:
            installed = context.studio.models.install_tools(model, progress)
        for name in installed:
            context.note(f"Installed: {name}")
    try:
        with context.progress(f"{'Converting' if is_converted else 'Downloading'} {model}") as move:
            info = context.studio.models.download(
                model, lambda done, total: move(done, total, f"{model}: {size(done)} of {size(total)}")
            )
    except KeyboardInterrupt:
        if not is_converted:
            context.note("The downloaded part is saved. Run the same command to resume.")
        raise
    document = {"name": info.name, "path": info.path, "bytes": info.bytes, "revision": info.revision, "note": info.note}
    done = "converted" if is_converted else "downloaded"
    words = f"{info.name} is {done}: {info.path} ({size(info.bytes)})"
    words = f"{words} {info.note}" if is_converted else words
    context.answer(document, lambda: context.say(words))


def token(
    context: Context,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the saved token.")] = False,
) -> None:
    """Save a Hub token for gated models. It is read from the terminal or stdin, and never shown again."""
    context.studio.models.set_hub_token("" if remove else _typed_token())
    words = "The token is removed." if remove else "The token is saved in a file that only you can read."
    if context.studio.models.has_hub_token() and remove:
        words += " The environment variable HF_TOKEN is still used."
    context.answer({"kept": context.studio.models.has_hub_token()}, lambda: context.say(words))


def trust(
    context: Context,
    model: Annotated[str, typer.Argument(help="A Hub name or a folder.")],
    yes: Annotated[bool, typer.Option("--yes", help="I know who made this model and trust them.")] = False,
    take_back: Annotated[bool, typer.Option("--take-back", help="Withdraw the permission.")] = False,
) -> None:
    """Allow a model to run its own code or to load pickled weights. The command explains the risk first."""
    view = context.studio.models.get(model)
    if not take_back:
        _ask_for_trust(context, view, yes)
    after = context.studio.models.trust(view.info.name, not take_back, view.info.fingerprint)
    words = f"{view.info.name} may {'now' if after.trusted else 'no longer'} be loaded."
    if not view.info.needs_trust:
        words = f"{view.info.name} has no code and no pickled weights. There is nothing to allow."
    document = {"name": view.info.name, "trusted": after.trusted, "why": view.info.needs_trust}
    context.answer(document, lambda: context.say(words))


def _typed_token() -> str:
    """Read a token without echo. As an argument it would stay in the shell's history."""
    if sys.stdin.isatty():
        import getpass

        try:
            given = getpass.getpass("Hub token: ", sys.stderr).strip()
        except EOFError:  # Ctrl-D
            given = ""
    else:
        given = sys.stdin.readline(1000).strip()
    if not given:
        raise StudioError(
            "bad-setting",
            "No token was given.",
            valid="a token with read access, hf_…",
            hint="Create one on https://huggingface.co/settings/tokens. Type it here, or send it to stdin.",
        )
    return given


def _ask_for_trust(context: Context, view: ModelView, yes: bool) -> None:
    """Ask for trust in a model. Accepted answers are yes on a terminal, and the flag."""
    if not view.info.needs_trust or yes:
        return
    context.note(
        f"This model could run a program on this machine. {view.info.needs_trust} Its author could read "
        "your files and your data."
    )
    if sys.stdin.isatty() and typer.confirm("Do you know who made this model and trust them?", err=True):
        return
    raise StudioError(
        "unsafe-model",
        f"{view.info.name} was not allowed.",
        given=view.info.name,
        hint=f"If you know who made it and trust them: studio trust {view.info.name} --yes",
    )


def model_row(view: ModelView) -> dict[str, Any]:
    """A base model as a JSON document."""
    keys = ("name", "source", "path", "parameters", "bytes", "licence", "context", "tasks", "here")
    more = ("title", "kind", "architecture", "languages", "has_chat_template", "gated", "downloads", "revision", "note")
    own = {"fits", "memory_bytes", "unavailable_reason", "trusted"}
    info = view.info.model_dump()
    return {
        **{key: info[key] for key in keys},
        **view.model_dump(include=own),
        **{key: info[key] for key in (*more, "needs_trust", "fingerprint")},
    }


def _words(view: ModelView) -> str:
    """Why the model can't be chosen, else remarks about it."""
    if view.unavailable_reason:
        return view.unavailable_reason
    remarks = [{"tight": "tight", "too-large": "too large for this machine"}.get(view.fits, "")]
    remarks += ["gated" if view.info.gated and not view.info.here else ""]
    remarks += ["not trusted yet" if view.info.needs_trust and not view.trusted else ""]
    return ", ".join(filter(None, remarks))


def _show_models(context: Context, views: list[ModelView]) -> None:
    numbers = ("Parameters", "Size", "Memory", "Context", "Downloads")
    table = context.table(
        "Model", "Parameters", "Size", "Local", "Memory", "Context", "Downloads", "License", "Tasks", "", right=numbers
    )
    for view in views:
        info = view.info
        table.add_row(
            plain(info.name),
            count(info.parameters) if info.parameters else "",
            size(info.bytes) if info.bytes else "",
            "yes" if info.here else "no",
            memory(view.memory_bytes) if view.memory_bytes else "",
            f"{info.context:,}" if info.context else "",
            f"{info.downloads:,}" if info.downloads else "",
            plain(info.licence),
            ", ".join(info.tasks),
            plain(_words(view)),
        )
    context.out.print(table)


def _show_model(context: Context, view: ModelView) -> None:
    info = view.info
    get = f"studio download {info.name}"
    pairs = {
        "Model": f"{info.title} ({info.name})",
        "From": info.origin,
        "Kind": info.architecture,
        "Parameters": count(info.parameters) if info.parameters else "",
        "Size": size(info.bytes) if info.bytes else "",
        "Local": "yes" if info.here else f"no. {'Convert' if info.is_converted else 'Download'} it with: {get}",
        "Context length": f"{info.context:,} tokens" if info.context else "",
        "Chat template": "yes" if info.has_chat_template else "no",
        "Tasks": ", ".join(info.tasks),
        "Memory to train": " of ".join(memory_of(view.memory_bytes, view.available_bytes)) if view.memory_bytes else "",
        "License": info.licence or "not stated",
        "Languages": ", ".join(info.languages),
        "Gated": "yes" if info.gated else "no",
        "Downloads": f"{info.downloads:,} a month on the Hub" if info.downloads else "",
        "Revision": info.revision or "",
        "Trusted": "" if not info.needs_trust else "yes" if view.trusted else f"no. {info.needs_trust}",
        "Notes": ", ".join(filter(None, [_words(view), info.note])),
    }
    table = context.table("", "")
    table.show_header = False
    for name, value in pairs.items():
        if value:
            table.add_row(name, plain(value))
    context.out.print(table)
