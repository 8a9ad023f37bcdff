"""A disk cache of tokenized rows, used by reruns, resumed runs and the trials of a search.

The key is a hash of everything that the tokens depend on: the rows, the tokenizer's files, the encoding settings, the
versions of the libraries, and `ENCODING_VERSION`, which represents the code of `tasks/` and `data/`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from studio.machine.plugins import packages_with
from studio.schema.models import ModelInfo
from studio.tasks import Encoding, Example, Row

ENCODING_VERSION = 1
"""Increase it by one when a change gives other tokens for the same row. A test compares the tokens of all samples
with those of the last version. It fails when they differ and this number does not."""
LIBRARIES = ("transformers", "tokenizers", "sentencepiece", "jinja2", "trl")
"""Libraries that affect the tokens."""
MIN_ROWS = 2_000
"""Number of rows from which the cache is faster than encoding."""
MOST_BYTES = 500_000_000
"""Maximum size of the cache. The least recently used files are deleted first."""
_TUPLES = ("accepted", "parts")


def cached_examples(
    folder: Path | None, key: Callable[[], str], rows: int, encode: Callable[[], list[Example]]
) -> list[Example]:
    """The result of `encode`, or the cached one."""
    if folder is None or rows < MIN_ROWS:
        return encode()
    path = folder / f"{key()}.jsonl"
    try:
        with path.open(encoding="utf-8") as file:
            count = int(file.readline())
            examples = [_from_json(json.loads(line)) for line in file]
        if len(examples) == count:
            os.utime(path)
            return examples
    except (OSError, ValueError, TypeError):
        pass  # missing or incomplete
    examples = encode()
    _save(path, examples)
    return examples


def cache_key(rows: Sequence[Row], encoding: Encoding, info: ModelInfo, task: str) -> str:
    """A hash of everything that the tokens depend on."""
    digest = hashlib.sha256(json.dumps([ENCODING_VERSION, library_versions(), str(info.path), task]).encode())
    for pattern in ("*token*", "vocab*", "merges*", "*.jinja", "*.model", "*.spm"):
        for file in sorted(Path(info.path or "").glob(pattern)):
            digest.update(file.read_bytes())
    settings = {each.name: getattr(encoding, each.name) for each in fields(encoding) if each.name != "tokenizer"}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()


@cache
def library_versions() -> list[str]:
    return [*(f"{name} {version(name)}" for name in LIBRARIES), *packages_with("tasks")]


def _save(path: Path, examples: Sequence[Example]) -> None:
    """Write the number of examples and the examples, atomically. Without disk space, nothing is cached."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(f"{len(examples)}\n")
            file.writelines(json.dumps(_to_json(each)) + "\n" for each in examples)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _prune(path.parent)
    except OSError:
        temporary.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    left = MOST_BYTES
    for path in sorted(folder.glob("*.jsonl"), key=lambda each: -each.stat().st_mtime):
        left -= path.stat().st_size
        if left < 0:
            path.unlink(missing_ok=True)


def _to_json(example: Example) -> dict[str, Any]:
    values = {name: value for name, value in vars(example).items() if value != _DEFAULTS.get(name)}
    return values | ({"other": _to_json(example.other)} if example.other else {})


def _from_json(values: dict[str, Any]) -> Example:
    for name in _TUPLES:
        if name in values:
            values[name] = tuple(values[name])
    if "other" in values:
        values["other"] = _from_json(values["other"])
    return Example(**values)


_REQUIRED = ("input_ids", "labels", "full_length")
_DEFAULTS = {name: value for name, value in vars(Example([], None, 0)).items() if name not in _REQUIRED}
"""Default values of an example, which are not written."""
