"""Phrases for messages: lists, percentages and shortened texts."""

from collections.abc import Iterable


def listed(names: Iterable[object], most: int = 5) -> str:
    """Return `a, b and c`, or the first `most` names and how many more there are."""
    texts = [str(name) for name in names]
    first, rest = ", ".join(texts[:most]), len(texts) - most
    if rest > 0:
        return f"{first} and {rest:,} more"
    if len(texts) < 2:
        return first
    first, last = ", ".join(texts[:-1]), texts[-1]
    return f"{first} and {last}"


def share(part: float, whole: float) -> str:
    """Return a percentage: `12%`, with one decimal below 1%."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f}%" if 0 < percent < 1 else f"{percent:.0f}%"


def short(text: str, most: int = 40) -> str:
    """Return the start of a text on one line, at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
