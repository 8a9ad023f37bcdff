"""Cell values: whether a cell is blank, its text, its label."""

import json
import re
from typing import Any

_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""Characters that begin a formula, also in full width for Japanese spreadsheets."""
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_WHOLE = re.compile(r"[+-]?\d+\.0+")


def is_blank(value: Any) -> bool:
    """Return whether a cell is empty."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, float):
        return value != value
    return isinstance(value, list | dict) and not value


def text_of(value: Any) -> str | None:
    """Return the text of a cell without surrounding space. None if it is blank or not a text."""
    if isinstance(value, str):
        return value.strip() or None
    if value is None or isinstance(value, list | dict) or value != value:
        return None
    return label_name(value)


def full_text(value: Any) -> str:
    """Return any cell as text: nested values as JSON, an empty cell as an empty text."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def label_name(value: Any) -> str:
    """Return a label's name: 1, 1.0 and "1.0" are "1", True is "true". Empty if there is none."""
    if isinstance(value, str):
        name = value.strip()
        return name.split(".")[0].removeprefix("+") if name and name[-1] == "0" and _WHOLE.fullmatch(name) else name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and len(value) == 1:
        return label_name(value[0])
    if value is None or isinstance(value, list | dict) or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def for_spreadsheet(value: Any) -> Any:
    """Return a cell that a spreadsheet shows as text. A formula gets an apostrophe before it."""
    if isinstance(value, str) and value[:1] in _FORMULA and value[:1] and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def label_order(names: Any) -> list[str]:
    """Return labels in the order of their class numbers: numbers by value, names alphabetically."""
    names = list(names)
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)
