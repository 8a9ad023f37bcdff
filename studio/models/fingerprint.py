"""What a model's own code and pickles are known by: they were allowed as they were, and not as they may become."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

CONFIGS = ("config.json", "tokenizer_config.json")
"""They say which code is run."""


def fingerprint_of(folder: Path, pickles: Iterable[Path]) -> str:
    """A sum over the code in a folder, what names it, and the weights that are pickled."""
    whole = hashlib.sha256()
    files = {*folder.rglob("*.py"), *(folder / name for name in CONFIGS), *pickles}
    for file in sorted(file for file in files if file.is_file()):
        at = file.stat()
        whole.update(f"{file.relative_to(folder)}\0{_sum(file, at.st_size, at.st_mtime_ns, at.st_ino)}\0".encode())
    return whole.hexdigest()


@lru_cache(maxsize=1000)
def _sum(file: Path, size: int, changed: int, inode: int) -> str:
    """Of a file's content; read again when the file was written since."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
