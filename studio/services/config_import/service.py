"""Conversion of a settings file of another tool into settings of a run."""

from pathlib import Path

from studio.schema.config_import import ImportedConfig
from studio.schema.errors import StudioError
from studio.services.config_import import axolotl, llama_factory
from studio.services.config_import.files import entries_of, read_text
from studio.store.files import require_folder

TOOLS = (llama_factory, axolotl)


def convert_file(path: Path) -> ImportedConfig:
    """Convert a settings file. Dataset definitions beside it are read, too. Raise `StudioError` for other files."""
    return convert_text(read_text(path), path.name, path.parent)


def convert_text(text: str, name: str = "the text", folder: Path | None = None) -> ImportedConfig:
    """Convert the text of a settings file. `folder`: where its dataset definitions are. None: nowhere.

    Raises:
        StudioError: `unreadable-file` if it is not of LLaMA-Factory or Axolotl.
    """
    entries = entries_of(text, name)
    tool = max(TOOLS, key=lambda each: len(each.MARKS & entries.keys()))
    if not tool.MARKS & entries.keys():
        raise StudioError(
            "unreadable-file",
            "These are not the settings of LLaMA-Factory or Axolotl.",
            given=", ".join(list(entries)[:8]),
            valid="a file with model_name_or_path (LLaMA-Factory) or base_model (Axolotl)",
            hint="Settings of the studio itself are used with: studio train DATA --config FILE",
        )
    return tool.convert(entries, folder)


def as_yaml(imported: ImportedConfig) -> str:
    """Return the settings as YAML, as `studio train --config` reads them."""
    import yaml

    text: str = yaml.safe_dump(imported.settings, sort_keys=False, allow_unicode=True)
    return text


def write_settings(imported: ImportedConfig, to: Path) -> None:
    """Write the settings to a new file. Raise `StudioError` if there is one already."""
    require_folder(to.parent, "out")
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(as_yaml(imported))
    except FileExistsError as error:
        raise StudioError(
            "not-allowed",
            "A file already exists at this path.",
            given=to.name,
            hint="Choose a new name.",
            field="out",
        ) from error
