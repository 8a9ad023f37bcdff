"""A dataset of the Hub as rows: which configs and splits its files make, and the first rows of each, read as they come.

Knows no network: it is told what files there are, and given a function that opens one. Only files that hold plain
values are read (Parquet, CSV, TSV, JSON, JSON Lines, text), never code and never pickles.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from studio.data import formats
from studio.data.columnar import Builder
from studio.data.columns import words_of
from studio.data.formats import delimited, json_lines
from studio.data.formats.base import AS_FOUND, HARD, ReadLimits
from studio.data.formats.encoding import lines_of
from studio.data.formats.joining import SPLIT_COLUMN
from studio.data.formats.parquet import BATCH, check_batches, plain, rows_of
from studio.data.phrases import listed
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.errors import StudioError

CONVERTED = "refs/convert/parquet"
"""Where the Hub keeps its own Parquet copy of a dataset, by config and split."""
MOST_WHOLE = 512 << 20
"""Bytes of a file that must be here as a whole before its rows can be read."""
DEFAULT = "default"
_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt")
_ABOUT = re.compile(r"(^|/)(dataset_infos?|dataset_dict|state|metadata|config|croissant)\.json$|(^|/)\.|readme", re.I)


@dataclass(frozen=True)
class HubFile:
    """A file of the repository."""

    path: str
    size: int
    revision: str = "main"

    @property
    def kind(self) -> str:
        """Its ending, without that of a compression."""
        return PurePosixPath(self.path.lower().removesuffix(".gz")).suffix


Parts = dict[str, dict[str, list[HubFile]]]
"""Config → split → its files, in order."""
Opener = Callable[[HubFile], BinaryIO]


def converted_parts(files: Iterable[HubFile]) -> Parts:
    """The parts of the Hub's own copy: `config/split/0000.parquet`."""
    parts: Parts = {}
    for file in sorted(files, key=lambda each: each.path):
        steps = file.path.split("/")
        if len(steps) == 3 and file.kind == ".parquet":
            parts.setdefault(steps[0], {}).setdefault(steps[1].removeprefix("partial-"), []).append(file)
    return parts


def own_parts(files: Iterable[HubFile], card: Mapping[str, Any]) -> Parts:
    """The parts as the dataset's card names them, else as its files' names say."""
    readable = sorted(
        (each for each in files if each.kind in _TABLES and not _ABOUT.search(each.path)), key=lambda each: each.path
    )
    told = {str(each.get("config_name") or DEFAULT): _told(each, readable) for each in _configs(card)}
    if any(told.values()):
        return {config: splits for config, splits in told.items() if splits}
    kinds = [file.kind for file in readable]
    kind = next((each for each in _TABLES if each in kinds), "")
    parts: dict[str, list[HubFile]] = {}
    for file in readable:
        if file.kind == kind:
            parts.setdefault(_part_of(file.path), []).append(file)
    return {DEFAULT: parts} if parts else {}


def _configs(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = card.get("configs")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _told(config: Mapping[str, Any], files: Sequence[HubFile]) -> dict[str, list[HubFile]]:
    """The splits of one config of a card."""
    told = config.get("data_files") or ([f"{config['data_dir']}/**"] if config.get("data_dir") else [])
    splits: dict[str, list[HubFile]] = {}
    for each in [told] if isinstance(told, str | Mapping) else told:
        split, patterns = ("", each) if isinstance(each, str) else (str(each.get("split", "")), each.get("path", []))
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for file in files:
                if fnmatchcase(file.path, str(pattern).removeprefix("./").replace("**/", "*")):
                    splits.setdefault(split or _part_of(file.path), []).append(file)
    return splits


def _part_of(path: str) -> str:
    """The word for a part in the name of a file, or of a folder that it lies in."""
    for step in reversed(PurePosixPath(path).with_suffix("").parts):
        if found := next((split_name(word) for word in words_of(step) if split_name(word)), None):
            return found
    return "train"


def read_splits(
    name: str, splits: Mapping[str, Sequence[HubFile]], open_file: Opener, limit: int, limits: ReadLimits = HARD
) -> tuple[Table, list[str]]:
    """The first rows of each split as one table, and the splits that have more."""
    builder, cut = Builder(name, "hub", limits), []
    for split, files in splits.items():
        left = limit
        for place, file in enumerate(files):
            with open_file(file) as stream, _whole_file(file):
                table = _table(file, stream, left + 1, limits)
            _append(builder, table, file, left, split if len(splits) > 1 else "")
            if len(table) > left or (len(table) == left and place + 1 < len(files)):
                cut.append(split)
                break
            left -= len(table)
    return builder.table(), cut


def _append(builder: Builder, table: Table, file: HubFile, count: int, split: str) -> None:
    bad = {each.row: each for each in table.bad_lines}
    mark = {SPLIT_COLUMN: split} if split and SPLIT_COLUMN not in table.columns else {}
    for number, row in table.numbered(1, count):
        if number in bad:
            builder.add_bad(bad[number].line, f"In {file.path}: {bad[number].why}")
        else:
            builder.add_object({**row, **mark})
    builder.notes += [note for note in table.notes if note not in builder.notes]


@contextmanager
def _whole_file(file: HubFile) -> Iterator[None]:
    """A packed file that breaks off is refused in words."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StudioError(
            "unreadable-file", f"{file.path} is damaged.", given=str(error)[:200], hint="Choose another split."
        ) from error


def _table(file: HubFile, stream: BinaryIO, most: int, limits: ReadLimits) -> Table:
    """The first rows of one file."""
    if file.path.lower().endswith(".gz"):
        stream = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
    builder = Builder(file.path, file.kind.removeprefix("."), limits)
    if file.kind == ".parquet":
        return _parquet(file, stream, most, limits)
    if file.kind in (".csv", ".tsv"):
        lines = _upto(builder, lines_of(_text(stream)), most)
        return delimited.read_lines(lines, builder, True, "\t" if file.kind == ".tsv" else ",")
    buffered = io.BufferedReader(stream, 1 << 20) if not isinstance(stream, io.BufferedReader) else stream  # type: ignore[type-var]
    if file.kind in (".jsonl", ".ndjson") or (file.kind == ".json" and _holds_lines(buffered)):
        return json_lines.read_lines(_upto(builder, lines_of(_text(buffered)), most), builder, True)
    return _whole(file, buffered, limits)


def _text(stream: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _upto(builder: Builder, lines: Iterator[str], most: int) -> Iterator[str]:
    """The lines until there are rows enough."""
    for line in lines:
        if builder.count >= most:
            return
        yield line


def _holds_lines(stream: Any) -> bool:
    """Whether a file called JSON holds an object a line: its first line is a whole object, and another one follows."""
    first, _, rest = stream.peek(1 << 20).partition(b"\n")
    try:
        return isinstance(json.loads(first), dict) and rest.lstrip()[:1] in (b"{", b"")
    except ValueError:
        return False


def _whole(file: HubFile, stream: BinaryIO, limits: ReadLimits) -> Table:
    """A file that is read only as a whole."""
    with TemporaryDirectory(prefix="studio-") as folder:
        path = Path(folder) / f"file{file.kind}"
        left = MOST_WHOLE
        with path.open("wb") as out:
            while chunk := stream.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise StudioError(
                        "too-large",
                        f"{file.path} is too large for the studio to fetch.",
                        valid=f"at most {MOST_WHOLE / 1e6:,.0f} MB",
                        hint="Choose another split.",
                    )
                out.write(chunk)
        return formats.read(path, name=file.path, how=AS_FOUND, limits=limits)


def _parquet(file: HubFile, stream: BinaryIO, most: int, limits: ReadLimits) -> Table:
    """Rows of a Parquet file in batches, class numbers as the names of their classes; pictures and sound are left."""
    import pyarrow
    import pyarrow.parquet

    builder = Builder(file.path, "parquet", limits)
    try:
        with pyarrow.parquet.ParquetFile(stream) as opened:
            schema = opened.schema_arrow
            named = _class_names(schema.metadata or {})
            columns = [each.name for each in schema if not _is_binary(each.type)]
            if aside := [name for name in schema.names if name not in columns]:
                builder.notes.append(f"Not read, since they hold pictures, sound or bytes: {listed(aside)}.")
            builder.set_columns(columns)
            for lists in rows_of(_batches(opened, columns, most, builder), builder):
                read = [
                    [_class(value, named.get(name)) for value in values]
                    for name, values in zip(columns, lists, strict=True)
                ]
                for row in zip(*read, strict=True):
                    builder.add(row)
                if builder.count >= most:
                    break
    except MemoryError:  # one of pyarrow's is an ArrowException too
        raise
    except (pyarrow.ArrowException, ValueError) as error:
        raise StudioError(
            "unreadable-file",
            f"{file.path} can't be read as Parquet.",
            given=str(error)[:200],
            hint="Choose another config or split.",
        ) from error
    return builder.table()


def _batches(opened: Any, columns: Sequence[str], most: int, builder: Builder) -> Iterator[Any]:
    """One row group after the other: asked for all at once, they would all be fetched."""
    for group in range(opened.num_row_groups):
        check_batches(opened.metadata.row_group(group), builder)
        yield from opened.iter_batches(min(BATCH, max(1, most)), row_groups=[group], columns=list(columns))


def _is_binary(kind: Any) -> bool:
    """Whether a column holds bytes, as pictures and sound do."""
    import pyarrow

    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    return pyarrow.types.is_struct(kind) and any(_is_binary(kind.field(place).type) for place in range(kind.num_fields))


def _class(value: Any, names: Sequence[str] | None) -> Any:
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    return plain(value)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Column → names of its classes, as the library that wrote the file keeps them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in each["names"]]
            for column, each in features.items()
            if isinstance(each, dict) and each.get("_type") == "ClassLabel" and isinstance(each.get("names"), list)
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
