"""Small words for sentences: plurals, lists and shares, written one way everywhere in data."""

from collections.abc import Iterable


def many(count: int, one: str, more: str = "") -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def listed(names: Iterable[object], most: int = 5) -> str:
    """`a, b and c`, or the first few and how many more."""
    texts = [str(name) for name in names]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most:,} more"
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def share(part: float, whole: float) -> str:
    """`12 %`; below one in a hundred with a decimal."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f} %" if 0 < percent < 1 else f"{percent:.0f} %"


def short(text: str, most: int = 40) -> str:
    """The start of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
