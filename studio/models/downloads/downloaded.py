"""Models in the studio's own cache that are from another source than the Hub: a folder for each, and a record in it.

The record is written last, so a folder with a record is complete.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from studio.models.downloads.file_download import unusable
from studio.models.inspect import inspect_folder, read_json
from studio.models.starters import cache_folder
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

RECORD = "downloaded.json"
CACHE_VARIABLE = "STUDIO_CACHE"
"""The environment variable that moves the cache to another disk."""
FIELDS = ("title", "origin", "revision", "licence", "downloads", "note")
"""What the record says about a model in place of its folder."""


def folder_of(source: ModelSource, name: str) -> Path:
    """Return the folder for a model of a source. It may not exist yet."""
    return cache_folder() / source / hashlib.sha256(name.encode()).hexdigest()[:24]


def complete_folder(folder: Path, info: ModelInfo) -> None:
    """Mark the model in a folder as complete. Raise `StudioError` if it can't be used."""
    try:
        inspect_folder(folder, info.name)
    except StudioError as error:
        raise unusable(info.name) from error
    record = {"name": info.name, **{field: getattr(info, field) for field in FIELDS}}
    new = folder / f"{RECORD}.new"
    new.write_text(json.dumps(record), "utf-8")
    os.replace(new, folder / RECORD)


def downloaded_model(source: ModelSource, name: str) -> ModelInfo | None:
    """Return the complete model of that name, or None."""
    folder = folder_of(source, name)
    record = read_json(folder / RECORD)
    if record.get("name") != name:
        return None
    try:
        info = inspect_folder(folder, name, source=source)
    except StudioError:
        return None
    return info.model_copy(update=_described(info, record))


def downloaded_models(source: ModelSource) -> list[ModelInfo]:
    """Return the complete models of a source."""
    records = sorted((cache_folder() / source).glob(f"*/{RECORD}"))
    names = [str(read_json(record).get("name", "")) for record in records]
    return [info for name in names if (info := downloaded_model(source, name))]


def _described(info: ModelInfo, record: dict[str, Any]) -> dict[str, Any]:
    """The fields of the record that say something. The folder's own note (quantized weights) is kept."""
    fields = {field: record[field] for field in FIELDS if record.get(field)}
    return fields | ({"note": info.note} if info.note else {})
