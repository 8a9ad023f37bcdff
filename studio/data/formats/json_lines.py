"""JSONL: one JSON object per line. Other lines become bad rows."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studio.data.columnar import Builder
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.formats.encoding import UNDECODABLE, TooLong, encoding_of, line_too_long, lines_of, open_text
from studio.data.table import Table


def read_lines(lines: Iterable[str], builder: Builder, has_undecodable: bool) -> Table:
    """Return a table from lines of JSON."""
    for number, line in enumerate(lines, 1):
        if isinstance(line, TooLong):
            builder.add_bad(number, line_too_long())
            continue
        if not line.strip():
            continue
        item, why = _parse(line, has_undecodable)
        if item is None:
            builder.add_bad(number, why)
        else:
            builder.add_object(item)
    return builder.table()


def _parse(line: str, has_undecodable: bool) -> tuple[dict[str, Any] | None, str]:
    if has_undecodable and UNDECODABLE.search(line):
        return None, "It has a byte that is not valid in the file's encoding."
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        return None, f"It is not valid JSON: {error.msg} at character {error.colno}."
    except (ValueError, RecursionError):
        return None, "It is not valid JSON: a number is too long, or it is nested too deeply."
    if not isinstance(item, dict):
        return None, f"It is not a JSON object but {kind_of(item)}."
    why = broken_text(line, item)
    return (None, why) if why else (item, "")


def broken_text(raw: str, item: Any) -> str:
    """Return why the text of an item can't be stored, or "". For example, `\\ud83d` alone is half a character."""
    if "\\u" not in raw:
        return ""
    try:
        json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return "It has half of a character (an unpaired surrogate)."
    return ""


def kind_of(value: Any) -> str:
    """Return the name of a JSON value's type."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    encoding_ = encoding_of(path, how.encoding)
    builder = Builder(name, "jsonl", limits, encoding=encoding_.name)
    if encoding_.note:
        builder.notes.append(encoding_.note)
    with open_text(path, encoding_) as file:
        return read_lines(lines_of(file), builder, encoding_.has_undecodable)


JSONL = Format("jsonl", "JSON Lines", (".jsonl", ".ndjson", ".jsonlines"), _read)
