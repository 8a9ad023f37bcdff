"""Any rows at all: written in every format, read, kept, mapped to the roles of a task, and there again as they were."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from studio.data.formats import Reading, read
from studio.data.parquet_store import open_parquet, write_parquet
from studio.data.roles import match
from studio.tasks import task_named

HOSTILE = (
    "=1+1",
    "<script>alert(1)</script>",
    "مرحبا",
    "שלום",
    "👩‍👩‍👧‍👦",
    'a "quote"',
    "two\nlines",
    "a;b,c\td|e",
    "{{name}}",
    "é",
    "null",
)
TEXT = some.one_of(some.sampled_from(HOSTILE), some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
ROWS = some.lists(some.tuples(TEXT, TEXT), min_size=1, max_size=10)
FORMATS = ("csv", "tsv", "csv;", "json", "jsonl", "parquet", "xlsx", "zip")
COLUMNS = ("Customer Question", "Our Answer")


def write(folder: Path, kind: str, rows: Sequence[tuple[str, str]], quoting: Any = csv.QUOTE_ALL) -> Path:
    """The rows as a program would write them; `quoting` is that of delimited text."""
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    path = folder / f"rows.{kind.rstrip(';')}"
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(objects), path)
    elif kind == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for line in (COLUMNS, *rows):
            book.active.append(line)
            for cell in book.active[book.active.max_row]:
                cell.data_type = "s"
        book.save(path)
    elif kind == "zip":
        with ZipFile(path, "w") as archive:
            archive.write(write(folder, "csv", rows, quoting), "inner/rows.csv")
    elif kind in ("json", "jsonl"):
        lines = [json.dumps(each, ensure_ascii=False) for each in objects]
        path.write_text("\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8", newline="")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            signs = {"csv": ",", "tsv": "\t", "csv;": ";"}
            csv.writer(file, delimiter=signs[kind], quoting=quoting).writerows([COLUMNS, *rows])
    return path


def same(kind: str, text: str) -> str:
    """A workbook has no empty text, only empty cells, and ends its lines in its own way."""
    return text.replace("\r\n", "\n") if kind == "xlsx" else text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, kind=some.sampled_from(FORMATS))
@pytest.mark.slow
def test_rows_are_written_read_kept_and_mapped_and_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], kind: str
) -> None:
    rows = [(f"a{one}", f"b{other}") for one, other in rows]
    folder = tmp_path_factory.mktemp("trip")
    table = read(write(folder, kind, rows), how=Reading(header=True, delimiter=kind[3:]))
    assert not table.bad_lines
    write_parquet(table, folder / "kept")
    kept = open_parquet(folder / "kept")
    task = task_named("chat")
    roles = match(kept, task, {}).roles
    assert roles == {"Customer Question": "prompt", "Our Answer": "reply"}
    values: list[dict[str, Any]] = [task.values(row, roles) for row in kept.rows()]
    assert [(each["prompt"], each["reply"]) for each in values] == [
        (same(kind, one).strip(), same(kind, other).strip()) for one, other in rows
    ]


SNIFFABLE = (
    *HOSTILE,
    '"',
    '""',
    "'",
    "sep=;",
    "N/A",
    "1,5",
    "1.0",
    "TRUE",
    "2024-01-02",
    "  spaces ",
    ",",
    ";;",
    "|",
    "\t",
    "a,b\nc,d",
    '"open',
    "#",
    "[1, 2]",
    '{"a": 1}',
    "ü" * 30,
    "÷×",
    "0x1F",
    "-",
    "one. two. three",
)
ANY = some.one_of(
    some.sampled_from(SNIFFABLE), some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
)
FILLED = some.tuples(ANY, ANY).filter(lambda row: all(cell.strip() for cell in row))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=some.lists(FILLED, min_size=1, max_size=12),
    kind=some.sampled_from(FORMATS),
    quoting=some.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
@pytest.mark.slow
def test_with_everything_left_to_the_studio_hostile_cells_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], kind: str, quoting: Any
) -> None:
    """Delimiter, encoding and header are sniffed; cells begin and end as they like."""
    folder = tmp_path_factory.mktemp("sniffed")
    table = read(write(folder, kind, rows, quoting))
    write_parquet(table, folder / "kept")
    kept = open_parquet(folder / "kept")
    assert not kept.bad_lines and kept.columns == COLUMNS
    found = [tuple(row.values()) for row in kept.rows()]
    assert [tuple(map(str, row)) for row in found] == [tuple(same(kind, cell) for cell in row) for row in rows]
