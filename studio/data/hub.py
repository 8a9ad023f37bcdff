"""A dataset of the Hub as rows: its configs and splits, and the first rows of each split.

This module does not use the network. The caller passes the list of files and a function that opens one. Only data files
are read (Parquet, CSV, TSV, JSON, JSON Lines, text), never code or pickles.
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
from studio.data.formats.parquet import BATCH, check_batches, rows_of, to_plain
from studio.data.phrases import listed
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.errors import StudioError

CONVERTED = "refs/convert/parquet"
"""The Hub's branch with its own Parquet copy of a dataset, by config and split."""
MOST_WHOLE = 512 << 20
"""Maximum bytes of a file that must be downloaded completely before its rows can be read."""
DEFAULT = "default"
_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt")
_ABOUT = re.compile(r"(^|/)(dataset_infos?|dataset_dict|state|metadata|config|croissant)\.json$|(^|/)\.|readme", re.I)


@dataclass(frozen=True)
class HubFile:
    """A file of a Hub repository."""

    path: str
    size: int
    revision: str = "main"

    @property
    def kind(self) -> str:
        """The file's extension without the one of a compression."""
        return PurePosixPath(self.path.lower().removesuffix(".gz")).suffix


SplitFiles = dict[str, dict[str, list[HubFile]]]
"""Config → split → its files, in order."""
Opener = Callable[[HubFile], BinaryIO]


def splits_of_conversion(files: Iterable[HubFile]) -> SplitFiles:
    """Return the splits of the Hub's Parquet copy, whose paths are `config/split/0000.parquet`."""
    splits: SplitFiles = {}
    for file in sorted(files, key=lambda each: each.path):
        folders = file.path.split("/")
        if len(folders) == 3 and file.kind == ".parquet":
            splits.setdefault(folders[0], {}).setdefault(folders[1].removeprefix("partial-"), []).append(file)
    return splits


def splits_of_repository(files: Iterable[HubFile], card: Mapping[str, Any]) -> SplitFiles:
    """Return the splits of the repository's own files, from the dataset card, else from file names."""
    readable = sorted(
        (each for each in files if each.kind in _TABLES and not _ABOUT.search(each.path)), key=lambda each: each.path
    )
    declared = {str(each.get("config_name") or DEFAULT): _declared_splits(each, readable) for each in _configs(card)}
    if any(declared.values()):
        return {config: splits for config, splits in declared.items() if splits}
    kinds = [file.kind for file in readable]
    kind = next((each for each in _TABLES if each in kinds), "")
    splits: dict[str, list[HubFile]] = {}
    for file in readable:
        if file.kind == kind:
            splits.setdefault(_split_of(file.path), []).append(file)
    return {DEFAULT: splits} if splits else {}


def _configs(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    configs = card.get("configs")
    return [each for each in configs if isinstance(each, Mapping)] if isinstance(configs, list) else []


def _declared_splits(config: Mapping[str, Any], files: Sequence[HubFile]) -> dict[str, list[HubFile]]:
    """Return the splits of one config of a dataset card."""
    data_files = config.get("data_files") or ([f"{config['data_dir']}/**"] if config.get("data_dir") else [])
    splits: dict[str, list[HubFile]] = {}
    for each in [data_files] if isinstance(data_files, str | Mapping) else data_files:
        split, patterns = ("", each) if isinstance(each, str) else (str(each.get("split", "")), each.get("path", []))
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            for file in files:
                if fnmatchcase(file.path, str(pattern).removeprefix("./").replace("**/", "*")):
                    splits.setdefault(split or _split_of(file.path), []).append(file)
    return splits


def _split_of(path: str) -> str:
    """Return the split word in the name of a file or of its folders. Default: train."""
    for step in reversed(PurePosixPath(path).with_suffix("").parts):
        if split := next((split_name(word) for word in words_of(step) if split_name(word)), None):
            return split
    return "train"


def read_splits(
    name: str, splits: Mapping[str, Sequence[HubFile]], open_file: Opener, limit: int, limits: ReadLimits = HARD
) -> tuple[Table, list[str]]:
    """Return the first `limit` rows of each split as one table, and the names of truncated splits."""
    builder, truncated = Builder(name, "hub", limits), []
    for split, files in splits.items():
        remaining = limit
        for index, file in enumerate(files):
            with open_file(file) as stream, _whole_file(file):
                table = _table(file, stream, remaining + 1, limits)
            _append(builder, table, file, remaining, split if len(splits) > 1 else "")
            if len(table) > remaining or (len(table) == remaining and index + 1 < len(files)):
                truncated.append(split)
                break
            remaining -= len(table)
    return builder.table(), truncated


def _append(builder: Builder, table: Table, file: HubFile, count: int, split: str) -> None:
    bad = {each.row: each for each in table.bad_lines}
    split_cell = {SPLIT_COLUMN: split} if split and SPLIT_COLUMN not in table.columns else {}
    for number, row in table.numbered(1, count):
        if number in bad:
            builder.add_bad(bad[number].line, f"In {file.path}: {bad[number].why}")
        else:
            builder.add_object({**row, **split_cell})
    builder.notes += [note for note in table.notes if note not in builder.notes]


@contextmanager
def _whole_file(file: HubFile) -> Iterator[None]:
    """Raise `StudioError` for a compressed file that ends early."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StudioError(
            "unreadable-file", f"{file.path} is damaged.", given=str(error)[:200], hint="Choose another split."
        ) from error


def _table(file: HubFile, stream: BinaryIO, most: int, limits: ReadLimits) -> Table:
    """Return the first rows of one file."""
    if file.path.lower().endswith(".gz"):
        stream = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
    builder = Builder(file.path, file.kind.removeprefix("."), limits)
    if file.kind == ".parquet":
        return _parquet(file, stream, most, limits)
    if file.kind in (".csv", ".tsv"):
        lines = _take(builder, lines_of(_text(stream)), most)
        return delimited.read_lines(lines, builder, True, "\t" if file.kind == ".tsv" else ",")
    buffered = io.BufferedReader(stream, 1 << 20) if not isinstance(stream, io.BufferedReader) else stream  # type: ignore[type-var]
    if file.kind in (".jsonl", ".ndjson") or (file.kind == ".json" and _holds_lines(buffered)):
        return json_lines.read_lines(_take(builder, lines_of(_text(buffered)), most), builder, True)
    return _whole(file, buffered, limits)


def _text(stream: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _take(builder: Builder, lines: Iterator[str], most: int) -> Iterator[str]:
    """Yield lines until the table has enough rows."""
    for line in lines:
        if builder.count >= most:
            return
        yield line


def _holds_lines(stream: Any) -> bool:
    """Return whether a JSON file holds one object per line: its first line is an object, and another one follows."""
    first, _, rest = stream.peek(1 << 20).partition(b"\n")
    try:
        return isinstance(json.loads(first), dict) and rest.lstrip()[:1] in (b"{", b"")
    except ValueError:
        return False


def _whole(file: HubFile, stream: BinaryIO, limits: ReadLimits) -> Table:
    """Read a file that must be downloaded completely."""
    with TemporaryDirectory(prefix="studio-") as folder:
        path = Path(folder) / f"file{file.kind}"
        remaining = MOST_WHOLE
        with path.open("wb") as out:
            while chunk := stream.read(1 << 20):
                remaining -= len(chunk)
                if remaining < 0:
                    raise StudioError(
                        "too-large",
                        f"{file.path} is too large to download.",
                        valid=f"at most {MOST_WHOLE / 1e6:,.0f} MB",
                        hint="Choose another split.",
                    )
                out.write(chunk)
        return formats.read(path, name=file.path, how=AS_FOUND, limits=limits)


def _parquet(file: HubFile, stream: BinaryIO, most: int, limits: ReadLimits) -> Table:
    """Read a Parquet file in batches. Class numbers become class names. Image, audio and byte columns are skipped."""
    import pyarrow
    import pyarrow.parquet

    builder = Builder(file.path, "parquet", limits)
    try:
        with pyarrow.parquet.ParquetFile(stream) as parquet_file:
            schema = parquet_file.schema_arrow
            named = _class_names(schema.metadata or {})
            columns = [each.name for each in schema if not _is_binary(each.type)]
            if skipped := [name for name in schema.names if name not in columns]:
                builder.notes.append(f"Columns with images, audio or bytes were skipped: {listed(skipped)}.")
            builder.set_columns(columns)
            for lists in rows_of(_batches(parquet_file, columns, most, builder), builder):
                read = [
                    [_class_name(value, named.get(name)) for value in values]
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


def _batches(parquet_file: Any, columns: Sequence[str], most: int, builder: Builder) -> Iterator[Any]:
    """Yield batches, one row group at a time. Otherwise all row groups would be downloaded at once."""
    for group in range(parquet_file.num_row_groups):
        check_batches(parquet_file.metadata.row_group(group), builder)
        yield from parquet_file.iter_batches(min(BATCH, max(1, most)), row_groups=[group], columns=list(columns))


def _is_binary(kind: Any) -> bool:
    """Return whether a column holds bytes, as images and audio do."""
    import pyarrow

    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    return pyarrow.types.is_struct(kind) and any(_is_binary(kind.field(index).type) for index in range(kind.num_fields))


def _class_name(value: Any, names: Sequence[str] | None) -> Any:
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    return to_plain(value)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return column → class names, as the `datasets` library stores them in the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in each["names"]]
            for column, each in features.items()
            if isinstance(each, dict) and each.get("_type") == "ClassLabel" and isinstance(each.get("names"), list)
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
