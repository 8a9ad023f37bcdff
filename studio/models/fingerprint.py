"""Fingerprint of a model's own code and pickles, so that trust applies only to the files that were approved."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

CONFIGS = ("config.json", "tokenizer_config.json")
"""These files determine which code runs."""


def fingerprint_of(folder: Path, pickles: Iterable[Path]) -> str:
    """Return a hash of the code in a folder, the files that refer to it, and the pickled weights."""
    sums = {}
    files = {*folder.rglob("*.py"), *(folder / name for name in CONFIGS), *pickles}
    for file in files:
        if file.is_file():
            stat = file.stat()
            sums[str(file.relative_to(folder))] = sum_of(file, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return fingerprint_of_sums(sums)


def fingerprint_of_sums(sums: Mapping[str, str]) -> str:
    """Return that hash, from the sha256 of each file by its path in the folder."""
    digest = hashlib.sha256()
    for name in sorted(sums, key=Path):
        digest.update(f"{name}\0{sums[name]}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=1000)
def sum_of(file: Path, size: int, modified: int, inode: int) -> str:
    """Return the hash of a file's content, cached until the file changes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
