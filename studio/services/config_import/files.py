"""Settings files of other tools: read with limits, recognized, and converted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError

MAX_BYTES = 1_000_000
"""Size limit of a settings file and of dataset definitions."""
MAX_ENTRIES = 1000


def local_file(folder: Path, name: str) -> Path | None:
    """Return a file below a folder. None if there is none, or if the name or a link leads out of the folder."""
    if leads_outside(name):
        return None
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def leads_outside(name: str) -> bool:
    """Return whether a path in a settings file is not one below the file's own folder."""
    return Path(name).is_absolute() or ".." in Path(name).parts


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        StudioError: `unreadable-file` if it is missing, too large, or no text.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise StudioError(
                "unreadable-file",
                "The file is too large for a file with settings.",
                given=f"{path.name}, {path.stat().st_size:,} bytes",
                valid=f"up to {MAX_BYTES:,} bytes",
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(
            "unreadable-file",
            "The file with the settings can't be read.",
            given=path.name,
            hint="Give a text file that exists and that you may read.",
        ) from error


def entries_of(text: str, name: str) -> Mapping[str, Any]:
    """Return the entries of a YAML or JSON text. Only plain values are read, no objects of Python.

    Raises:
        StudioError: `unreadable-file` for other texts.
    """
    import yaml

    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise StudioError(
            "unreadable-file", "The text is too large for settings.", given=name, valid=f"up to {MAX_BYTES:,} bytes"
        )
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        raise StudioError(
            "unreadable-file",
            "The file with the settings is neither YAML nor JSON.",
            given=f"{name}, line {where.line + 1}" if where else name,
            hint="Give the YAML file that you start LLaMA-Factory or Axolotl with.",
        ) from error
    if not isinstance(values, dict) or len(values) > MAX_ENTRIES:
        raise StudioError(
            "unreadable-file",
            "The file has no settings.",
            given=name,
            valid="one setting per line, such as learning_rate: 0.0002",
        )
    return {str(key): value for key, value in values.items()}
