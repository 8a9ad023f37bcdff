"""Absolute paths of this machine in texts. Visitors see only their last part, and archives contain none."""

import os
import re
import site
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_NAME = r"[^\s/\\:*?\"'<>|()\[\]{},;=]+"
_QUOTED = re.compile(r"(?P<quote>[\"'`])(?P<path>(?:file://)?/[^\"'`\n]*/(?P<last>[^\"'`/\n]*))(?P=quote)")
_PLAIN = re.compile(rf"(?<![\w/.:~-])(?:file://)?/(?:{_NAME}/)+(?P<last>{_NAME})?")
_DRIVE = re.compile(rf"(?<!\w)[A-Za-z]:[\\/](?:{_NAME}[\\/])*(?P<last>{_NAME})?")


def without_places(text: str) -> str:
    """A text in which each absolute path is shortened to its last part."""

    def last_part(match: re.Match[str]) -> str:
        return match["last"] or "…"

    text = _QUOTED.sub(lambda match: f"{match['quote']}{last_part(match)}{match['quote']}", text)
    return _DRIVE.sub(last_part, _PLAIN.sub(last_part, text))


def places(more: Iterable[Path | str] = ()) -> list[str]:
    """Folders of this machine that no exported text may name: home, caches, temporary files, Python, and those in
    `more`.

    Sorted by length, longest first. Each appears as written and with links resolved.
    """
    paths: list[Path | str] = [Path.home(), tempfile.gettempdir(), sys.prefix, sys.base_prefix, *site.getsitepackages()]
    paths += [
        os.environ[name]
        for name in ("HF_HOME", "HF_HUB_CACHE", "STUDIO_CACHE", "XDG_CACHE_HOME", "STUDIO_HOME")
        if os.environ.get(name)
    ]
    paths += list(more)
    names = {str(each).rstrip("/") for place in paths for each in (Path(place), Path(place).resolve())}
    return sorted((name for name in names if name.count("/") and name not in ("", "/", "/usr")), key=len, reverse=True)


def without(text: str, folders: Iterable[str], names: Mapping[str, str] | None = None) -> str:
    """A text in which paths below the given folders are shortened to their last part.

    A folder at the root (`/tmp`) by itself reveals nothing about the machine and stays. `names` maps a path to its
    replacement, for example the folder of a model to its Hub id.
    """
    for path, name in sorted((names or {}).items(), key=lambda each: -len(each[0])):
        text = text.replace(path, name)
    for folder in folders:
        if folder not in text:
            continue
        inner = r"/+(?P<inner>[^\s\"'\\<>|`]*)"
        pattern = rf"(?<![\w.~-]){re.escape(folder)}(?![\w-])" + (inner if folder.count("/") == 1 else f"(?:{inner})?")
        text = re.sub(pattern, lambda match: (match["inner"] or "").rstrip("/").rsplit("/", 1)[-1] or "…", text)
    return text
