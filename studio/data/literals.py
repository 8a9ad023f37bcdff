"""Lists and objects in Python's syntax, as pandas and `str` write them into cells."""

import ast
import re
from typing import Any

_WITHOUT_F_STRINGS = re.compile(
    r"""(?>[^'"\w#\\]+|[uUbBrR]{1,2}(?=['"])|\w++(?!['"])"""
    r"""|'''(?>[^'\\]+|\\.|'(?!''))*+'''|\"{3}(?>[^"\\]+|\\.|"(?!""))*+\"{3}"""
    r"""|'(?>[^'\\\n]+|\\.)*+'|"(?>[^"\\\n]+|\\.)*+")*+""",
    re.DOTALL,
)
"""Python syntax whose texts are all plain. Python parses f-strings in quadratic time, and pandas writes none."""


def literal(text: str) -> Any:
    """Return the value of Python syntax that holds plain values only. None for other text."""
    if not _WITHOUT_F_STRINGS.fullmatch(text):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
