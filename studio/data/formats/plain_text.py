"""Plain text and Markdown as one column of texts, split at headings, at line ends, by length, or not at all.

By default, Markdown is split at its headings, and text with long lines at its line ends (one document per line). Other
text is split between sentences into pieces of about `PIECE` characters.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from studio.data.columnar import Builder
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.formats.encoding import TooLong, encoding_of, line_too_long, lines_of, open_text
from studio.data.table import Table
from studio.schema.dataset import PIECES
from studio.schema.errors import StudioError

COLUMN = "text"
PIECE = 2_000
"""Approximate number of characters in a piece."""
LONG_LINE = 300
"""Minimum median length in characters of lines that are documents of their own."""
_HEADING = re.compile(r"(#{1,6})[ \t]+\S")
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+|(?<=[。！？])")
_WORDS = {"document": "the file", "heading": "a section", "line": "a line", "length": f"about {PIECE:,} characters"}


def _by_heading(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield sections with their headings. Headings within code blocks do not count."""
    start, fence = 0, ""
    for index, line in enumerate(lines):
        fence_line = _FENCE.match(line)
        if fence_line and fence in ("", fence_line[1]):
            fence = "" if fence else fence_line[1]
        elif not fence and _HEADING.match(line) and index > start:
            yield start + 1, "".join(lines[start:index])
            start = index
    yield start + 1, "".join(lines[start:])


def _by_length(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield pieces that end with a sentence, or with a word if a sentence is too long."""
    start, piece = 1, ""
    for number, line in enumerate(lines, 1):
        for sentence in _sentences(line):
            if piece and len(piece) + len(sentence) > PIECE:
                yield start, piece
                start, piece = number, ""
            piece += sentence
    yield start, piece


def _sentences(line: str) -> Iterator[str]:
    position = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(line)), len(line)]:
        sentence, position = line[position:end], end
        start = 0
        while len(sentence) - start > PIECE:
            stop = sentence.rfind(" ", start + PIECE // 2, start + PIECE) + 1 or start + PIECE
            yield sentence[start:stop]
            start = stop
        yield sentence[start:]


def _split(lines: list[str], pieces: str) -> Iterator[tuple[int, str]]:
    """Return (number of the first line, text) of each piece."""
    if pieces == "heading":
        return _by_heading(lines)
    if pieces == "line":
        return iter(enumerate(lines, 1))
    return _by_length(lines) if pieces == "length" else iter([(1, "".join(lines))])


def _default_pieces(lines: list[str], markdown: bool) -> str:
    if markdown and sum(bool(_HEADING.match(line)) for line in lines) > 1:
        return "heading"
    lengths = sorted(len(line) for line in lines if line.strip())
    return "line" if len(lengths) > 1 and lengths[len(lengths) // 2] >= LONG_LINE else "length"


def _read(path: Path, name: str, how: Reading, limits: ReadLimits, format: str) -> Table:
    if how.pieces and how.pieces not in PIECES:
        raise StudioError("bad-setting", f"A text can't be split by {how.pieces}.", valid=list(PIECES), field="pieces")
    encoding_ = encoding_of(path, how.encoding)
    builder = Builder(name, format, limits, encoding=encoding_.name)
    builder.notes += [encoding_.note] if encoding_.note else []
    with open_text(path, encoding_) as file:
        lines = list(lines_of(file))
    pieces = how.pieces or _default_pieces(lines, format == "md")
    builder.notes.append(f"Each row is {_WORDS[pieces]}.")
    builder.detected["pieces"] = pieces
    builder.set_columns([COLUMN])
    for line, text in _split(lines, pieces):
        damaged = next(
            (
                position
                for position, each in enumerate(text.splitlines())
                if encoding_.is_undecodable(each) or "\0" in each
            ),
            -1,
        )
        if isinstance(text, TooLong):
            builder.add_bad(line, line_too_long())
        elif damaged >= 0:
            builder.add_bad(line + damaged, "It has a byte that is not valid in the file's encoding, or a NUL byte.")
        elif text.strip():
            builder.add([text.strip()])
    return builder.table()


def _read_text(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, how, limits, "txt")


def _read_markdown(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    return _read(path, name, how, limits, "md")


TXT = Format("txt", "Text", (".txt", ".text"), _read_text)
MARKDOWN = Format("md", "Markdown", (".md", ".markdown"), _read_markdown)
