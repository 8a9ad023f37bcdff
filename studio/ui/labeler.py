"""Who labels, as this browser says: a name in a cookie, so that two browsers on one dataset are two people."""

from collections.abc import Mapping
from urllib.parse import unquote

COOKIE = "studio-labeller"


def labeller_of(headers: Mapping[str, str]) -> str:
    """The name that the page's script has kept; empty when nobody gave one."""
    for part in (headers.get("cookie") or "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return unquote(value, errors="replace")[:200]
    return ""
