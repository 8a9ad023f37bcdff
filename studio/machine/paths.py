"""Absolute paths of this machine in texts: for visitors only their last part is shown, and archives hold none."""

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

    def last(found: re.Match[str]) -> str:
        return found["last"] or "…"

    text = _QUOTED.sub(lambda found: f"{found['quote']}{last(found)}{found['quote']}", text)
    return _DRIVE.sub(last, _PLAIN.sub(last, text))


def places(more: Iterable[Path | str] = ()) -> list[str]:
    """Folders of this machine that no text that leaves it may name: home, caches, temporary files, Python; `more` too.

    The longest first, each as it is written and with links followed.
    """
    found: list[Path | str] = [Path.home(), tempfile.gettempdir(), sys.prefix, sys.base_prefix, *site.getsitepackages()]
    found += [
        os.environ[name]
        for name in ("HF_HOME", "HF_HUB_CACHE", "STUDIO_CACHE", "XDG_CACHE_HOME", "STUDIO_HOME")
        if os.environ.get(name)
    ]
    found += list(more)
    names = {str(each).rstrip("/") for place in found for each in (Path(place), Path(place).resolve())}
    return sorted((name for name in names if name.count("/") and name not in ("", "/", "/usr")), key=len, reverse=True)


def without(text: str, folders: Iterable[str], names: Mapping[str, str] | None = None) -> str:
    """A text in which no path below one of the folders is left: of each its last part stays.

    A folder at the root (`/tmp`) by itself tells nothing of a machine, and stays.
    `names`: a path → what is written in its place, for a model's folder its Hub id.
    """
    for path, name in sorted((names or {}).items(), key=lambda each: -len(each[0])):
        text = text.replace(path, name)
    for folder in folders:
        if folder not in text:
            continue
        inner = r"/+(?P<inner>[^\s\"'\\<>|`]*)"
        pattern = rf"(?<![\w.~-]){re.escape(folder)}(?![\w-])" + (inner if folder.count("/") == 1 else f"(?:{inner})?")
        text = re.sub(pattern, lambda found: (found["inner"] or "").rstrip("/").rsplit("/", 1)[-1] or "…", text)
    return text
