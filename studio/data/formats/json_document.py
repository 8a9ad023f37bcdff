"""JSON: a list of objects or of lists, or one object in a known shape. Items are parsed one by one."""

import io
import json
import re
from pathlib import Path
from typing import Any, NoReturn

from studio.data.columnar import Builder
from studio.data.formats import json_lines, pandas_json
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.formats.encoding import UNDECODABLE, encoding_of, open_text
from studio.data.formats.json_lines import broken_text, kind_of
from studio.data.formats.json_shapes import columns_of_lists, rows_of
from studio.data.table import Table
from studio.schema.errors import StudioError

_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()
MOST_BYTES = 512 << 20


def read_text(text: str, builder: Builder, has_undecodable: bool) -> Table:
    """Return a table from the text of one JSON document. Raise `StudioError` if it is malformed."""
    start = _skip(text, 0)
    if start == len(text):
        return builder.table()
    if text[start] == "[":
        _read_list(text, start, builder, has_undecodable)
        return builder.table()
    item, end = _parse(text, start, builder)
    next_position = _skip(text, end)
    if isinstance(item, dict) and text[next_position : next_position + 1] == "{" and "\n" in text[end:next_position]:
        lines = Builder(builder.name, "jsonl", builder.limits, encoding=builder.encoding)
        lines.notes = [*builder.notes, "The file has one object per line, so it is read as JSON Lines."]
        return json_lines.read_lines(io.StringIO(text, newline=""), lines, has_undecodable)
    if next_position < len(text):
        _refuse(text, next_position, "Extra data", builder)
    if has_undecodable and (match := UNDECODABLE.search(text)):
        _refuse(text, match.start(), "A byte is not valid in the file's encoding", builder)
    if not isinstance(item, dict):
        _refuse(text, start, f"It is {kind_of(item)}, not a list of objects", builder)
    if pandas_json.is_split(item):
        pandas_json.add_split(item, builder)
        return builder.table()
    for row in rows_of(item, builder.name):
        if why := broken_text("\\u", row):
            builder.add_bad(1, why)
        else:
            builder.add_object(row)
    return builder.table()


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _parse(text: str, position: int, builder: Builder) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        _refuse(text, error.pos, error.msg, builder)
    except (ValueError, RecursionError):
        _refuse(text, position, "A number is too long, or it is nested too deeply", builder)


def _refuse(text: str, position: int, why: str, builder: Builder) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    raise StudioError(
        "unreadable-file",
        f"{builder.name} can't be read as JSON. Line {line} is not valid.",
        given=f"{why} at character {column} of line {line}",
        hint="Fix that line, or save the rows again as JSON, JSONL or CSV.",
    )


def _read_list(text: str, start: int, builder: Builder, has_undecodable: bool) -> None:
    """Add the items of a list. Each is parsed alone, so that an item of another type is one bad line."""
    position, line, counted = _skip(text, start + 1), 1, 0
    if text[position : position + 1] == "]":
        _end(text, position, builder)
        return
    columns = _columns_of_lists(text, start, builder) if text[position : position + 1] == "[" else []
    while True:
        item, end = _parse(text, position, builder)
        line += text.count("\n", counted, position)
        counted = position
        raw = text[position:end]
        if has_undecodable and UNDECODABLE.search(raw):
            builder.add_bad(line, "It has a byte that is not valid in the file's encoding.")
        elif isinstance(item, list) and columns and len(item) == len(columns):
            builder.add_object(dict(zip(columns, item, strict=True)))
        elif not isinstance(item, dict):
            builder.add_bad(line, f"It is not a JSON object but {kind_of(item)}.")
        elif why := broken_text(raw, item):
            builder.add_bad(line, why)
        else:
            builder.add_object(item)
        position = _skip(text, end)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        elif text[position : position + 1] == "]":
            _end(text, position, builder)
            return
        else:
            _refuse(text, min(position, len(text) - 1), "Expecting a comma or the end of the list", builder)


def _columns_of_lists(text: str, start: int, builder: Builder) -> list[str]:
    items, _ = _parse(text, start, builder)
    return columns_of_lists([item for item in items if isinstance(item, list)])


def _end(text: str, position: int, builder: Builder) -> None:
    next_position = _skip(text, position + 1)
    if next_position < len(text):
        _refuse(text, next_position, "Extra data", builder)


def _read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    if path.stat().st_size > MOST_BYTES:
        raise StudioError(
            "too-large",
            f"{name} is too large for one JSON document.",
            given=f"{path.stat().st_size / 1e6:,.0f} MB",
            valid=f"at most {MOST_BYTES / 1e6:,.0f} MB",
            hint="Save the rows as JSON Lines, with one object per line.",
        )
    encoding = encoding_of(path, how.encoding)
    builder = Builder(name, "json", limits, encoding=encoding.name)
    if encoding.note:
        builder.notes.append(encoding.note)
    with open_text(path, encoding) as file:
        return read_text(file.read(), builder, encoding.has_undecodable)


JSON = Format("json", "JSON", (".json",), _read)
