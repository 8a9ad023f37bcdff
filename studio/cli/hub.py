"""Commands for the Hugging Face Hub: upload an export, and write a Space of the studio."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.schema.errors import StudioError
from studio.schema.hub import PushRequest, PushState, PushView
from studio.schema.numbers import size

SHOWN_FILES = 12
"""Files that are listed before an upload."""


def push(
    context: Context,
    run: Run,
    repo: Annotated[str | None, typer.Argument(metavar="OWNER/NAME", help="Repository. Made if missing.")] = None,
    repo_flag: Annotated[str | None, typer.Option("--repo", metavar="OWNER/NAME", help="The same as a flag.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="What to upload. Exported first if needed.")
    ] = "adapter",
    public: Annotated[bool, typer.Option("--public", help="Everybody can see it.", show_default="private")] = False,
    confirm_license: Annotated[
        bool, typer.Option("--confirm-license", help="You may share this model, though its license does not say so.")
    ] = False,
) -> None:
    """Upload an exported model to the Hugging Face Hub, private by default. Run it again to continue after a break."""
    name = repo or repo_flag
    if not name or (repo and repo_flag and repo != repo_flag):
        raise StudioError(
            "bad-setting",
            "The upload needs one repository.",
            valid="OWNER/NAME, for example ann/support-tone",
            hint="studio push last ann/support-tone",
            field="repo",
        )
    record = context.studio.runs.get(run)
    if not any(view.done for view in context.studio.exports.all(record.id) if view.format == form):
        with context.progress("Exporting") as progress:
            context.studio.exports.create(record.id, form, progress=progress)
    _show_plan(context, context.studio.hub.view(record.id, form))
    request = PushRequest(repo=name, private=not public, license_confirmed=confirm_license)
    with context.progress("Uploading") as progress:
        state = context.studio.hub.push(record.id, form, request, progress=progress)
    context.answer(state, lambda: _show_state(context, state))


def space(
    context: Context,
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write to.")],
    zero_gpu: Annotated[
        bool,
        typer.Option("--zero-gpu", help="For ZeroGPU, with the Gradio SDK. A run gets a GPU for up to two minutes."),
    ] = False,
) -> None:
    """Write a Hugging Face Space of the studio itself, with the Docker SDK or for ZeroGPU."""
    files = context.studio.hub.write_space(to, zero_gpu)
    document = {"to": str(to), "sdk": "gradio" if zero_gpu else "docker", "files": len(files)}
    context.answer(document, lambda: _show_space(context, to, zero_gpu, len(files)))


def _show_space(context: Context, to: Path, zero_gpu: bool, files: int) -> None:
    kind = "Gradio Space with ZeroGPU" if zero_gpu else "Docker Space"
    context.say(f"{files} files in {to}")
    context.say(f"Make a {kind} on https://huggingface.co/new-space, then upload the folder:")
    context.say(f"hf upload OWNER/NAME {to} . --repo-type space")


def _show_plan(context: Context, view: PushView) -> None:
    for file in view.files[:SHOWN_FILES]:
        context.note(f"{size(file.bytes):>8}  {file.path}")
    if len(view.files) > SHOWN_FILES:
        context.note(f"          and {len(view.files) - SHOWN_FILES} more files")
    context.note(view.license.sentence)


def _show_state(context: Context, state: PushState) -> None:
    visibility = "private" if state.private else "public"
    context.say(f"{state.url} ({visibility}, {state.files} files, {size(state.bytes)})")
