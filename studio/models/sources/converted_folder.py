"""Folders of this machine with weights of Keras or TensorFlow. Each is converted once, to a folder in the cache."""

import json
import os
import shutil
from pathlib import Path

from studio.models.architectures import context_of, kind_of, size_of
from studio.models.conversion.converters import CONVERTERS, TITLES, Conversion, Library, convert
from studio.models.conversion.keras_preset import KerasPreset, is_preset, read_preset, size_of_preset
from studio.models.conversion.tensorflow_checkpoint import TensorFlowCheckpoint, read_checkpoint
from studio.models.downloads.fetching import Fetching
from studio.models.inspect import inspect_folder, pickled_files, read_card, read_json
from studio.models.sources.conversions import ConvertingSource, conversion_folder
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

RECORD = "converted.json"
"""In a converted folder: which folder it was made from, and how well it agrees with the original."""
ASSETS = "assets/tokenizer"


class ConvertedFolderSource(ConvertingSource):
    """Models by the path of a folder with weights of one library. A server for visitors must not use this source."""

    record, original = RECORD, "folder"

    def __init__(self, library: Library) -> None:
        self.library = library
        self.title = TITLES[library]

    @property
    def name(self) -> ModelSource:
        """The library."""
        return self.library

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the converted model, or what its files declare. None for anything but a folder of this library.

        A converted model is found after its folder was removed. A folder that has changed must be converted again.
        """
        try:
            folder = Path(name).expanduser().resolve()
            exists = bool(name) and folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            return None
        converted = conversion_folder(self.library, folder)
        record = read_json(converted / RECORD)
        if not exists:
            return _converted(self.library, folder, converted, str(record.get("note"))) if record else None
        original = _original(self.library, folder)
        if original is None:
            return None
        if record and record.get("version") == _version(folder, original.files):
            return _converted(self.library, folder, converted, str(record.get("note")))
        return _declared(self.library, folder, original)

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Convert the folder. A stopped conversion starts from its beginning."""
        folder = Path(info.name)
        original = _original(self.library, folder) if folder.is_dir() else None
        if original is None:
            raise StudioError(
                "no-such-model",
                f"The folder has no {self.title} model any more.",
                given=info.name,
                valid="a folder on this machine",
                field="model",
            )
        version = _version(folder, original.files)
        converted = conversion_folder(self.library, folder)
        converted.parent.mkdir(parents=True, exist_ok=True)
        new = converted.with_name(f"{converted.name}.new-{os.getpid()}")
        note = convert(_conversion(self.library, folder, original), new, fetching)
        if note is None:
            return info
        record = {"folder": str(folder), "version": version, "note": note}
        (new / RECORD).write_text(json.dumps(record), "utf-8")
        shutil.rmtree(converted, ignore_errors=True)
        new.rename(converted)
        return _converted(self.library, folder, converted, note)


def preset_files(folder: Path) -> dict[str, int]:
    """Return names and sizes of the files of a preset in a folder."""
    paths = [each for place in (folder, folder / ASSETS) if place.is_dir() for each in place.iterdir()]
    return {each.relative_to(folder).as_posix(): each.stat().st_size for each in paths if each.is_file()}


def describe_preset(preset: KerasPreset) -> dict[str, object]:
    """Return the fields of `ModelInfo` that a preset declares before it is converted."""
    return {
        "kind": "causal",
        "architecture": preset.architecture,
        "parameters": preset.parameters,
        "bytes": preset.bytes,
        "tools": CONVERTERS["keras"].name,
        "note": "The studio converts this Keras preset to safetensors, and compares its logits with those of Keras.",
        **size_of_preset(preset.config),
    }


def _original(library: Library, folder: Path) -> KerasPreset | TensorFlowCheckpoint | None:
    """The model of a library in a folder that has no weights of PyTorch, else None."""
    if any(folder.glob("*.safetensors")) or pickled_files(folder):
        return None
    config = read_json(folder / "config.json")
    if library == "tensorflow":
        return None if is_preset(config) else read_checkpoint(folder)
    if not is_preset(config):
        return None
    return read_preset(lambda name: read_json(folder / name), preset_files(folder), str(folder))


def _version(folder: Path, files: tuple[str, ...]) -> list[list[int]]:
    """Sizes and times of change: a folder with others has changed."""
    facts = [(folder / name).stat() for name in sorted(files)]
    return [[each.st_size, each.st_mtime_ns] for each in facts]


def _conversion(library: Library, folder: Path, original: KerasPreset | TensorFlowCheckpoint) -> Conversion:
    return Conversion(
        library=library,
        given=str(folder),
        title=folder.name,
        files={name: folder / name for name in original.files},
        architecture=original.architecture,
        parameters=original.parameters,
        dtype=original.dtype if isinstance(original, KerasPreset) else "float32",
        licence=read_card(folder / "README.md")["licence"],
    )


def _declared(library: Library, folder: Path, original: KerasPreset | TensorFlowCheckpoint) -> ModelInfo:
    """The model as its files describe it."""
    title = TITLES[library]
    facts: dict[str, object] = {
        "name": str(folder),
        "title": folder.name,
        "source": library,
        "origin": f"{folder.name}, a folder with weights of {title}",
        **read_card(folder / "README.md"),
    }
    if isinstance(original, KerasPreset):
        return ModelInfo.model_validate({**facts, **describe_preset(original)})
    config = dict(original.config)
    return ModelInfo.model_validate(
        {
            **facts,
            "kind": kind_of(config),
            "architecture": original.architecture,
            "parameters": original.parameters,
            "bytes": original.bytes,
            "context": context_of(config, read_json(folder / "tokenizer_config.json")),
            "tools": CONVERTERS["tensorflow"].name,
            "note": "The studio converts these TensorFlow weights to safetensors, and compares the outputs of both.",
            **size_of(config),
        }
    )


def _converted(library: Library, folder: Path, converted: Path, note: str) -> ModelInfo:
    """The model in a converted folder."""
    info = inspect_folder(converted, str(folder), folder.name, library)
    title = TITLES[library]
    return info.model_copy(update={"origin": f"{folder.name}, converted from {title}", "note": note})
