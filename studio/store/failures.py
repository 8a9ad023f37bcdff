"""Unexpected errors: saved in full in a numbered file, with tokens removed. The user sees the number."""

import os
import re
import secrets
import traceback
from pathlib import Path

from studio.store.db import now
from studio.store.home import default_home

KEPT = 200
"""Files to keep. The oldest are deleted first."""
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")


def keep_failure(error: BaseException, home: Path | None = None) -> tuple[str, Path | None]:
    """Write an error with its traceback to HOME/logs. Returns its number and the file, or None if it could not be
    written."""
    mark = secrets.token_hex(4)
    text = _TOKEN.sub("hf_…", "".join(traceback.format_exception(error)))
    folder = (home or default_home()) / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"error-{mark}.log"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"{now()}\n{text}")
        for old in sorted(folder.glob("error-*.log"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return mark, None
    return mark, path
