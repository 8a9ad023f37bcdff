"""Lists and objects in the text of a cell: JSON, or Python's syntax as pandas and `str` write it."""

import ast
import json
import re
from contextlib import suppress
from typing import Any

_WITHOUT_F_STRINGS = re.compile(
    r"""(?>[^'"\w#\\]+|[uUbBrR]{1,2}(?=['"])|\w++(?!['"])"""
    r"""|'''(?>[^'\\]+|\\.|'(?!''))*+'''|\"{3}(?>[^"\\]+|\\.|"(?!""))*+\"{3}"""
    r"""|'(?>[^'\\\n]+|\\.)*+'|"(?>[^"\\\n]+|\\.)*+")*+""",
    re.DOTALL,
)
"""Python syntax whose texts are all plain. Python parses f-strings in quadratic time, and pandas writes none."""
_ARRAY = re.compile(r"\barray\((\[[^\[\]]*\]), dtype=\w+\)")
"""How NumPy prints a list, which pandas writes into CSV files."""


def _literal(text: str) -> Any:
    """Return the value of Python syntax that holds plain values only. None for other text."""
    if not _WITHOUT_F_STRINGS.fullmatch(text):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def parsed(text: str) -> Any:
    """Return the list or object that a text holds as JSON or in Python's syntax. None for other text."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    value = _literal(text)
    if value is None and (plain := _ARRAY.sub(r"\1", text)) != text:
        return _literal(plain)
    return value
