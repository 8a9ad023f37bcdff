"""Text encoding of files: by BOM, as UTF-8, or as a legacy encoding if that fits better.

An undecodable byte becomes a lone surrogate, so that the reader can report its line.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

from studio.data import progress
from studio.schema.errors import StudioError

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LONGEST_LINE = 64_000_000
"""Maximum number of characters in a line. A longer line is bad; its content is skipped."""
UNDECODABLE = re.compile("[\udc80-\udcff]")
"""The surrogates that stand for bytes. A text can hold the character U+FFFD itself."""
_ERRORS = "studio-undecodable"
codecs.register_error(_ERRORS, lambda error: ("\udcff", error.end))  # type: ignore[attr-defined]
_CHUNK = 1 << 20
_SAMPLE = 1 << 18
_MARKS = "‘’“”„‚«»‹›–—…•·€£©®™°§´×½¼¾²³µ¿¡ªº"
_BETWEEN = "’‘–—·"
"""Marks that can be between two letters."""
_ALONE = "àÀáÁèÈéÉíÍòÒóÓôÔöÖåÅäÄøØæÆ"
"""Accented letters that are words."""
_RARE = "ÿþÞðÐÝýÃÂƒˆ˜¬¦¨¯¸¤¥¢"
"""Letters and signs that Western European text rarely has, but wrongly decoded text often does."""


@dataclass(frozen=True)
class Encoding:
    """How to decode a file."""

    name: str
    has_undecodable: bool = False
    """Some bytes can't be decoded. They become characters that match `UNDECODABLE`."""
    note: str = ""

    @property
    def errors(self) -> str:
        if not self.has_undecodable:
            return "strict"
        return "surrogateescape" if self.name.startswith("utf-8") else _ERRORS

    def is_undecodable(self, text: str) -> bool:
        """Return whether a text contains characters that could not be decoded."""
        return self.has_undecodable and UNDECODABLE.search(text) is not None


def encoding_of(path: Path, chosen: str = "") -> Encoding:
    """Detect the encoding of a text file, or use the chosen one. Raise `StudioError` for an unknown name."""
    if chosen:
        return _named_encoding(path, chosen)
    with open(path, "rb") as file:
        head = file.read(4096)
    for bom, name in BOMS:
        if head.startswith(bom):
            return Encoding(name, has_undecodable=not _decodes(path, name))
    utf16 = _detect_utf16(head)
    if utf16:
        return Encoding(
            utf16, has_undecodable=not _decodes(path, utf16), note=f"Read as {utf16.upper()}, detected from its bytes."
        )
    if _decodes(path, "utf-8"):
        return Encoding("utf-8")
    return _legacy(path)


def open_text(path: Path, encoding: Encoding) -> TextIO:
    """Open the file as text, with line ends unchanged."""
    return open(path, encoding=encoding.name, errors=encoding.errors, newline="")


class TooLong(str):
    """Placeholder for a line that is longer than `LONGEST_LINE`. Its content was skipped."""


def lines_of(file: TextIO) -> Iterator[str]:
    """Yield the lines of a file. No line takes more memory than the maximum length."""
    last_position = 0
    while chunk := file.read(min(_CHUNK, LONGEST_LINE)):
        partial = len(chunk) - chunk.rfind("\n") - 1
        rest = file.readline(LONGEST_LINE - partial) if partial else ""
        # the file is read ahead in chunks, so the position is a little beyond the lines returned
        position = file.buffer.tell() if isinstance(file, TextIOWrapper) else last_position + len(chunk) + len(rest)
        progress.advance(size=position - last_position)
        last_position = position
        if partial + len(rest) < LONGEST_LINE or rest.endswith("\n"):
            yield from StringIO(chunk + rest, newline="")
            continue
        yield from StringIO(chunk[: len(chunk) - partial], newline="")
        line = rest or chunk
        while line and not line.endswith("\n"):
            line = file.readline(_CHUNK)
        yield TooLong("\n")


def _named_encoding(path: Path, name: str) -> Encoding:
    try:
        known = codecs.lookup(name)
        "".encode(known.name)
    except (LookupError, UnicodeError, TypeError) as error:
        raise StudioError(
            "bad-setting",
            f"There is no encoding {name}.",
            valid="the name of an encoding, for example utf-8, cp1252 or shift_jis",
            field="encoding",
        ) from error
    return Encoding(known.name, has_undecodable=not _decodes(path, known.name))


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _detect_utf16(head: bytes) -> str:
    """Return the byte order of UTF-16 without a BOM, which has NUL in nearly every second byte. Else return ""."""
    pairs = len(head) // 2
    if pairs < 8:
        return ""
    if head[1 : pairs * 2 : 2].count(0) > 0.7 * pairs and head[0 : pairs * 2 : 2].count(0) < 0.1 * pairs:
        return "utf-16-le"
    if head[0 : pairs * 2 : 2].count(0) > 0.7 * pairs and head[1 : pairs * 2 : 2].count(0) < 0.1 * pairs:
        return "utf-16-be"
    return ""


def _lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while line := file.readline(_CHUNK):
            if not line.isascii():
                yield line


def line_too_long() -> str:
    """Return why a `TooLong` line is a bad line."""
    return f"It is longer than {LONGEST_LINE:,} characters."


def _legacy(path: Path) -> Encoding:
    """Return UTF-8 with a few broken bytes, or a legacy encoding, whichever fits more lines."""
    valid, sample, size = 0, [], 0
    broken = 0
    for line in _lines(path):
        try:
            line.decode("utf-8")
            valid += 1
        except UnicodeDecodeError:
            broken += 1
            if size < _SAMPLE:
                sample.append(line)
                size += len(line)
    if valid >= broken:
        return Encoding("utf-8", has_undecodable=True)
    text = b"".join(sample)
    name = _guess(text)
    if not name:
        return Encoding("utf-8", has_undecodable=True)
    note = f"Read as {name}, because it is not UTF-8. Check that accents are correct."
    return Encoding(name, has_undecodable=not _decodes(path, name), note=note)


def _guess(sample: bytes) -> str:
    """Return the name of the legacy encoding of a sample, or "" if none fits."""
    if _western(sample):
        return "cp1252"
    if sum(byte > 127 for byte in sample) < 16:
        return ""
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None or best.encoding in ("ascii", "utf_8") or best.chaos > 0.2:
        return ""
    return codecs.lookup(best.encoding).name


def _western(sample: bytes) -> bool:
    """Return whether every non-ASCII byte is an accented letter within a word, or a typographic mark."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    non_ascii = accented = 0
    for before, character, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if character.isascii() or character == "\xa0":
            continue
        non_ascii += 1
        neighbors = (before.isascii() and before.isalpha()) + (after.isascii() and after.isalpha())
        if character in _MARKS and (character in _BETWEEN or not (before.isalpha() and after.isalpha())):
            continue
        if character in _RARE or not character.isalpha() or not (neighbors or character in _ALONE):
            return False
        accented += 1
    # Cyrillic or Greek decoded as Western is nearly all accents; real Western text is mostly plain letters
    letters = sum(character.isascii() and character.isalpha() for character in text)
    return non_ascii > 0 and accented <= letters
