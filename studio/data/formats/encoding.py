"""How the bytes of a text file become text: by BOM, as UTF-8, or as an older encoding when that reads better.

A byte that fits no encoding is kept as a lone surrogate, so that the reader can name the line it stands in.
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
"""Characters of a line that are read; a longer one is bad, and passed over without being kept."""
LINE_TOO_LONG = "It is longer than {most:,} characters."
UNDECODABLE = re.compile("[\udc80-\udcff\ufffd]")
_CHUNK = 1 << 20
_SAMPLE = 1 << 18
_MARKS = "‘’“”„‚«»‹›–—…•·€£©®™°§´×½¼¾²³µ¿¡ªº"
_BETWEEN = "’‘–—·"
"""Those of the marks that may stand between two letters."""
_ALONE = "àÀáÁèÈéÉíÍòÒóÓôÔöÖåÅäÄøØæÆ"
"""Accented letters that are words."""
_RARE = "ÿþÞðÐÝýÃÂƒˆ˜¬¦¨¯¸¤¥¢"
"""Letters and signs that text in Western Europe hardly uses, and damaged text often shows."""


@dataclass(frozen=True)
class Encoding:
    """How a file is to be decoded."""

    name: str
    dirty: bool = False
    """Some bytes can't be decoded; they come out as characters that match `UNDECODABLE`."""
    note: str = ""

    @property
    def errors(self) -> str:
        if not self.dirty:
            return "strict"
        return "surrogateescape" if self.name.startswith("utf-8") else "replace"

    def spoils(self, text: str) -> bool:
        """Whether a text holds what could not be decoded."""
        return self.dirty and UNDECODABLE.search(text) is not None


def encoding_of(path: Path, chosen: str = "") -> Encoding:
    """The encoding that a text file is in, unless a person chose one."""
    if chosen:
        return _chosen(path, chosen)
    with open(path, "rb") as file:
        head = file.read(4096)
    for bom, name in BOMS:
        if head.startswith(bom):
            return Encoding(name, dirty=not _decodes(path, name))
    wide = _wide(head)
    if wide:
        return Encoding(wide, dirty=not _decodes(path, wide), note=f"Read as {wide.upper()}, which it does not say.")
    if _decodes(path, "utf-8"):
        return Encoding("utf-8")
    return _legacy(path)


def open_text(path: Path, encoding: Encoding) -> TextIO:
    """The file as text, line ends as they are."""
    return open(path, encoding=encoding.name, errors=encoding.errors, newline="")


class TooLong(str):
    """Stands for a line that is longer than `LONGEST_LINE`: its content was passed over."""


def lines_of(file: TextIO) -> Iterator[str]:
    """The lines of a file, of which none takes more memory than the longest that is allowed."""
    place = 0
    while chunk := file.read(min(_CHUNK, LONGEST_LINE)):
        begun = len(chunk) - chunk.rfind("\n") - 1
        rest = file.readline(LONGEST_LINE - begun) if begun else ""
        # the file is read ahead in chunks, so this is a little more than what was taken
        at = file.buffer.tell() if isinstance(file, TextIOWrapper) else place + len(chunk) + len(rest)
        progress.tell(size=at - place)
        place = at
        if begun + len(rest) < LONGEST_LINE or rest.endswith("\n"):
            yield from StringIO(chunk + rest, newline="")
            continue
        yield from StringIO(chunk[: len(chunk) - begun], newline="")
        line = rest or chunk
        while line and not line.endswith("\n"):
            line = file.readline(_CHUNK)
        yield TooLong("\n")


def _chosen(path: Path, name: str) -> Encoding:
    try:
        known = codecs.lookup(name)
        "".encode(known.name)
    except (LookupError, UnicodeError, TypeError) as error:
        raise StudioError(
            "bad-setting",
            f"There is no encoding {name}.",
            valid="the name of an encoding, utf-8, cp1252 or shift_jis say",
            field="encoding",
        ) from error
    return Encoding(known.name, dirty=not _decodes(path, known.name))


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


def _wide(head: bytes) -> str:
    """UTF-16 without a BOM shows as a NUL in nearly every second byte."""
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


def _legacy(path: Path) -> Encoding:
    """UTF-8 with a few broken bytes, or a file in an older encoding: whichever the lines speak for."""
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
        return Encoding("utf-8", dirty=True)
    text = b"".join(sample)
    name = _guess(text)
    if not name:
        return Encoding("utf-8", dirty=True)
    note = f"Read as {name}: it is not UTF-8. Look whether accents are right."
    return Encoding(name, dirty=not _decodes(path, name), note=note)


def _guess(sample: bytes) -> str:
    """A name when the sample makes sense in an older encoding, else an empty string."""
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
    """Whether every byte beyond ASCII is an accented letter within a word, or a typographic mark."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    beyond = accented = 0
    for before, here, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if here.isascii() or here == "\xa0":
            continue
        beyond += 1
        neighbours = (before.isascii() and before.isalpha()) + (after.isascii() and after.isalpha())
        if here in _MARKS and (here in _BETWEEN or not (before.isalpha() and after.isalpha())):
            continue
        if here in _RARE or not here.isalpha() or not (neighbours or here in _ALONE):
            return False
        accented += 1
    # Cyrillic or Greek read as Western is nearly all accents; real Western text is mostly plain letters
    letters = sum(character.isascii() and character.isalpha() for character in text)
    return beyond > 0 and accented <= letters
