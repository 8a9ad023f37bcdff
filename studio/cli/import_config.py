"""Commands that read the results and the settings files of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.terminal import plain
from studio.schema.config_import import ImportedConfig
from studio.schema.numbers import plural


def import_config(
    context: Context,
    file: Annotated[Path, typer.Argument(help="A YAML file of LLaMA-Factory or Axolotl.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new file for the settings.", show_default="only shown"),
    ] = None,
) -> None:
    """Convert settings of LLaMA-Factory or Axolotl, and list what can't be converted.

    Use the result with: studio train DATA --config FILE
    """
    from studio.services.config_import.service import as_yaml, convert_file, write_settings

    imported = convert_file(file)
    if out is not None:
        write_settings(imported, out)
    document = {**imported.model_dump(), "out": str(out) if out else None}
    context.answer(document, lambda: _show(context, imported, as_yaml(imported), out))


def _show(context: Context, imported: ImportedConfig, text: str, out: Path | None) -> None:
    context.say(f"Settings of {imported.tool}:")
    context.say(text.rstrip())
    if imported.not_converted:
        context.say(
            plural(len(imported.not_converted), "{n} entry was not converted:", "{n} entries were not converted:")
        )
    for each in imported.not_converted:
        context.say(f"  {each.name}: {plain(each.value)}. {each.reason}")
    if imported.not_needed:
        context.say(f"Not needed here: {', '.join(imported.not_needed)}")
    for data in imported.data:
        mapped = "".join(f" --map {column}={role}" for column, role in data.roles.items())
        context.say(f"  studio train {plain(data.path)}{plain(mapped)} --config {out or 'settings.yaml'}")


def import_adapter(
    context: Context,
    folder: Annotated[Path, typer.Argument(help="A folder with adapter_config.json and adapter_model.safetensors.")],
    base: Annotated[
        str, typer.Option(metavar="MODEL", help="Its base model.", show_default="found among the local models")
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the run.", show_default="the folder's name")] = "",
) -> None:
    """Open an adapter of LLaMA-Factory, Unsloth, Axolotl, TRL or H2O as a run: chat, evaluate, continue.

    The last line of the output is the run's id. Continue with: studio train DATA --start-from RUN
    """
    record = context.studio.adapters.open(folder.expanduser(), base, name)
    document = {"id": record.id, "name": record.name, "model": record.model, "method": record.method}
    context.answer(document, lambda: context.say(record.id))
