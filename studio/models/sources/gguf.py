"""GGUF files of this machine. Each is converted once, to a folder of bfloat16 safetensors in the cache."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from studio.machine.run_in_process import ProcessCancelled, ProcessCrashed, ProcessLimits, run_in_process
from studio.models.conversion.gguf_header import ARCHITECTURES, GgufHeader, read_gguf_header
from studio.models.downloads.fetching import Fetching
from studio.models.inspect import inspect_folder, read_json
from studio.models.sources.conversions import ConvertingSource, conversion_folder
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource
from studio.schema.numbers import memory, size

RECORD = "gguf.json"
"""In a converted folder: which file it was made from."""
BYTES_PER_WEIGHT = 2
"""Of bfloat16."""
MEMORY_PER_WEIGHT = 10
"""Bytes of memory that the conversion takes for each weight: two 16-bit copies, and room for the largest tensor."""
MEMORY_BESIDE = 6_000_000_000
"""Bytes of address space that Python and torch take."""
MIN_FREE_BYTES = 200_000_000
SECONDS = 3600.0
"""Maximum duration of a conversion."""


class GgufSource(ConvertingSource):
    """Models by the path of a `.gguf` file. A server for visitors must not use this source."""

    name: ModelSource = "gguf"
    title = "GGUF file"
    record, original = RECORD, "file"

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the converted model, or what the file declares. None for a name that is not a path of a GGUF file.

        A converted model is found after its file was removed. A file that has changed must be converted again.
        """
        if not name.lower().endswith(".gguf"):
            return None
        try:
            file = Path(name).expanduser().resolve()
            facts = file.stat() if file.is_file() else None
        except (OSError, ValueError, RuntimeError):
            return None
        folder = conversion_folder("gguf", file)
        record = read_json(folder / RECORD)
        if record and (facts is None or _version(facts) == record.get("version")):
            return _converted(file, folder, record)
        if facts is None:
            raise _missing(name)
        return _declared(file, _header(file, *_version(facts)))

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Convert the file. A stopped conversion starts from its beginning."""
        return convert_gguf(info, fetching)


def convert_gguf(info: ModelInfo, fetching: Fetching) -> ModelInfo:
    """Convert a GGUF file in a process with limits of memory and time, and return the model.

    If `should_stop` returns true, remove what was written and return `info` unchanged. Raise `StudioError` when memory
    or disk space is too small, or when the file can't be converted.
    """
    file = Path(info.name)
    folder = conversion_folder("gguf", file)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        version = _version(file.stat())
    except OSError as error:
        raise _missing(info.name) from error
    header = _header(file, *version)
    _check_space(file, folder.parent, header.parameters)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
        new = Path(work) / "model"
        limits = ProcessLimits(
            memory=header.parameters * MEMORY_PER_WEIGHT + version[0] + MEMORY_BESIDE,
            seconds=SECONDS,
            environment={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        )
        arguments = {"file": str(file), "folder": str(new), "license_name": header.license}
        try:
            with fetching.watching(new, info.bytes) as cancel:
                run_in_process("studio.models.conversion.gguf:convert_base", arguments, limits, cancel=cancel)
        except ProcessCancelled:
            return info
        except ProcessCrashed as error:
            raise StudioError(
                "broken-model",
                "The GGUF file can't be converted.",
                given=f"{file}: {error.last_line[:300] or error.message}",
                hint="Choose the original model in place of the GGUF file.",
                field="model",
            ) from error
        record = {"file": str(file), "version": version, "quantization": header.quantization}
        (new / RECORD).write_text(json.dumps(record), "utf-8")
        if folder.exists():
            folder.rename(Path(work) / "old")
        new.rename(folder)
    return _converted(file, folder, record)


def _missing(name: str) -> StudioError:
    return StudioError(
        "no-such-model",
        "The GGUF file does not exist on this machine.",
        given=name,
        valid="a path such as /models/smollm2.Q8_0.gguf",
        field="model",
    )


def _version(facts: os.stat_result) -> list[int]:
    """Size and time of change: a file with others has changed."""
    return [facts.st_size, facts.st_mtime_ns]


@lru_cache(maxsize=64)
def _header(file: Path, _bytes: int, _changed: int) -> GgufHeader:
    return read_gguf_header(file)


def _declared(file: Path, header: GgufHeader) -> ModelInfo:
    """The model as the file's header describes it."""
    return ModelInfo(
        name=str(file),
        title=file.stem,
        source="gguf",
        kind="causal",
        architecture=ARCHITECTURES[header.architecture],
        origin=f"{file.name}, a GGUF file",
        parameters=header.parameters,
        bytes=header.parameters * BYTES_PER_WEIGHT,
        licence=header.license,
        context=header.size("context_length"),
        has_chat_template="tokenizer.chat_template" in header.values,
        layers=header.size("block_count"),
        hidden=header.size("embedding_length"),
        intermediate=header.size("feed_forward_length"),
        vocabulary=int(header.values["tokenizer.ggml.tokens"]),
        note=_note(header.quantization),
    )


def _converted(file: Path, folder: Path, record: Mapping[str, object]) -> ModelInfo:
    """The model in a converted folder."""
    info = inspect_folder(folder, str(file), file.stem, "gguf")
    quantization = str(record.get("quantization", ""))
    return info.model_copy(
        update={"origin": f"{file.name}, dequantized from {quantization}", "note": _note(quantization)}
    )


def _note(quantization: str) -> str:
    """What the conversion costs."""
    if quantization in ("F32", "F16", "BF16"):
        return f"The studio converts this GGUF file ({quantization}) to bfloat16 safetensors."
    return (
        f"The studio converts this GGUF file ({quantization}) to bfloat16 safetensors. "
        "The file becomes larger, but what quantization lost stays lost. The original model trains better."
    )


def _check_space(file: Path, cache: Path, parameters: int) -> None:
    """Raise `StudioError` if the disk or the memory is too small for the conversion."""
    import psutil

    on_disk, in_memory = parameters * BYTES_PER_WEIGHT + MIN_FREE_BYTES, parameters * 6
    if shutil.disk_usage(cache).free < on_disk:
        raise StudioError(
            "disk-full",
            f"Converting the GGUF file needs {size(on_disk)} of disk space.",
            given=file,
            hint="Free disk space, or set STUDIO_CACHE to a folder on a larger disk.",
        )
    if psutil.virtual_memory().available < in_memory:
        raise StudioError(
            "out-of-memory",
            f"Converting the GGUF file needs about {memory(in_memory)} of memory.",
            given=file,
            hint="Close other programs, or choose the original model.",
        )
