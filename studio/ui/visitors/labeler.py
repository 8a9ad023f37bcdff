"""The labeler's name, from a cookie of the browser, so that two browsers on one dataset are two people."""

from collections.abc import Mapping
from urllib.parse import unquote

COOKIE = "studio-labeller"


def labeller_of(headers: Mapping[str, str]) -> str:
    """The name that the page's script has saved. Empty when there is none."""
    for part in (headers.get("cookie") or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return unquote(value, errors="replace")[:200]
    return ""
