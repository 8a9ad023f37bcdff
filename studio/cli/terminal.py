"""Removes control characters from texts that are printed to a terminal."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """A text without the characters that would move the cursor, color the text or set the title."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
