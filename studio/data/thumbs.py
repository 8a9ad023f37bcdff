"""Thumbs up and down, in the words and signs that people and programs use."""

from typing import Any

from studio.data.values import label_name

UP = frozenset(
    "true 1 +1 yes y up thumbs-up thumbs_up thumb_up thumbsup liked like good positive desirable chosen "
    "accepted 👍 ✓ ✔".split()
)
DOWN = frozenset(
    "false 0 -1 no n down thumbs-down thumbs_down thumb_down thumbsdown disliked dislike bad negative undesirable "
    "rejected 👎 ✗ ✘".split()
)


def thumb_of(value: Any) -> bool | None:
    """Return True for up, False for down, None for other values."""
    word = label_name(value).strip().lower().replace(" ", "-")
    word = word.replace("\ufe0f", "").rstrip("🏻🏼🏽🏾🏿")
    return True if word in UP else False if word in DOWN else None
