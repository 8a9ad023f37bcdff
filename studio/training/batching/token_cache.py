"""Rows as tokens, cached on disk: a rerun, a resumed run or a trial of a search reads what was encoded before.

The key of an entry is a hash of all that its tokens depend on: the rows, the tokenizer's files, how the rows are read,
the versions of the libraries that encode, and `ENCODING_VERSION`, which stands for the code of `tasks/` and `data/`.
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

from studio.schema.models import ModelInfo
from studio.tasks import Encoding, Example, Row

ENCODING_VERSION = 1
"""Raise it by one when a change makes other tokens of the same row. A test compares the tokens of all samples with
those of the last version, and fails when they differ and this number does not."""
LIBRARIES = ("transformers", "tokenizers", "sentencepiece", "jinja2", "trl")
"""What turns texts into tokens; a new version may do it differently."""
FEWEST = 2_000
"""Rows from which it is quicker than reading them again."""
MOST_BYTES = 500_000_000
"""What is kept at most; the longest unused goes first."""
_TUPLES = ("accepted", "parts")


def remembered(
    folder: Path | None, key: Callable[[], str], rows: int, encode: Callable[[], list[Example]]
) -> list[Example]:
    """What `encode` gives, from the folder where it was kept before."""
    if folder is None or rows < FEWEST:
        return encode()
    path = folder / f"{key()}.jsonl"
    try:
        with path.open(encoding="utf-8") as file:
            count = int(file.readline())
            examples = [_read(json.loads(line)) for line in file]
        if len(examples) == count:
            os.utime(path)
            return examples
    except (OSError, ValueError, TypeError):
        pass  # not there, or not whole
    examples = encode()
    _keep(path, examples)
    return examples


def key_of(rows: Sequence[Row], encoding: Encoding, info: ModelInfo) -> str:
    """A hash of all that tokens depend on."""
    told = hashlib.sha256(json.dumps([ENCODING_VERSION, _versions(), str(info.path)]).encode())
    for pattern in ("*token*", "vocab*", "merges*", "*.jinja"):
        for file in sorted(Path(info.path or "").glob(pattern)):
            told.update(file.read_bytes())
    known = {each.name: getattr(encoding, each.name) for each in fields(encoding) if each.name != "tokenizer"}
    told.update(json.dumps(known, sort_keys=True, default=str).encode())
    for row in rows:
        told.update(json.dumps(row, sort_keys=True, default=str).encode())
    return told.hexdigest()


@cache
def _versions() -> list[str]:
    return [f"{name} {version(name)}" for name in LIBRARIES]


def _keep(path: Path, examples: Sequence[Example]) -> None:
    """Whole or not at all, their number first; without room it is simply not kept."""
    half = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("w", encoding="utf-8") as file:
            file.write(f"{len(examples)}\n")
            file.writelines(json.dumps(_told(each)) + "\n" for each in examples)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        _prune(path.parent)
    except OSError:
        half.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    left = MOST_BYTES
    for path in sorted(folder.glob("*.jsonl"), key=lambda each: -each.stat().st_mtime):
        left -= path.stat().st_size
        if left < 0:
            path.unlink(missing_ok=True)


def _told(example: Example) -> dict[str, Any]:
    told = {name: value for name, value in vars(example).items() if value != _USUAL.get(name)}
    return told | ({"other": _told(example.other)} if example.other else {})


def _read(told: dict[str, Any]) -> Example:
    for name in _TUPLES:
        if name in told:
            told[name] = tuple(told[name])
    if "other" in told:
        told["other"] = _read(told["other"])
    return Example(**told)


_ALWAYS = ("input_ids", "labels", "full_length")
_USUAL = {name: value for name, value in vars(Example([], None, 0)).items() if name not in _ALWAYS}
"""What an example is where nothing else is said; it is not written down."""
