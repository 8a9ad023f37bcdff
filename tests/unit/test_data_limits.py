"""Limits while data is read: names, columns, rows, cells and decoded sizes, for every format and every other way in."""

import csv
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from studio.api import Studio
from studio.data.formats import FORMATS, Reading, ReadLimits, read, read_many, read_text
from studio.data.limits import COLUMNS, HARD, LONGEST_NAME, NAME, NESTING, SHEETS, read_limits
from studio.data.synthetic import with_synthetic
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO, OWNER
from studio.tasks import TASKS

VISITOR = f"visitor-{'0' * 32}"
TIGHT = ReadLimits(rows=50, columns=5, cell_characters=1_000, decoded_bytes=200_000, visitor=True)
Rows = Sequence[Sequence[Any]]


def _objects(names: Sequence[str], rows: Rows) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _delimited(delimiter: str) -> Callable[[Path, Sequence[str], Rows], None]:
    def write(path: Path, names: Sequence[str], rows: Rows) -> None:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([names, *rows])

    return write


def _xlsx(path: Path, names: Sequence[str], rows: Rows) -> None:
    import openpyxl
    from openpyxl.cell import cell

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    most, cell.Cell.check_string = cell.Cell.check_string, lambda _, value: value  # other programs write longer texts
    try:
        for row in (names, *rows):
            sheet.append(row)
        book.save(path)
    finally:
        cell.Cell.check_string = most


def _parquet(path: Path, names: Sequence[str], rows: Rows) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = [pyarrow.array(list(values)) for values in zip(*rows, strict=True)]
    pyarrow.parquet.write_table(pyarrow.table(columns, names=list(names)), path)


def _zip(path: Path, names: Sequence[str], rows: Rows) -> None:
    inside = path.with_suffix(".csv")
    _delimited(",")(inside, names, rows)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.write(inside, "rows.csv")


WRITERS: dict[str, Callable[[Path, Sequence[str], Rows], None]] = {
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "xlsx": _xlsx,
    "json": lambda path, names, rows: path.write_text(json.dumps(_objects(names, rows))),
    "jsonl": lambda path, names, rows: path.write_text("\n".join(map(json.dumps, _objects(names, rows)))),
    "parquet": _parquet,
    "zip": _zip,
    "txt": lambda path, names, rows: path.write_text("\n".join(str(cell) for row in (names, *rows) for cell in row)),
}
WRITERS["md"] = WRITERS["txt"]
TEXTS = ("txt", "md")
NAMED = [name for name in FORMATS if name not in TEXTS]
"""Formats with names of columns."""


def file_of(folder: Path, format: str, names: Sequence[str], rows: Rows) -> Path:
    path = folder / f"rows{FORMATS[format].extensions[0]}"
    WRITERS[format](path, names, rows)
    return path


def some_rows(count: int = 12, columns: int = 2) -> list[list[str]]:
    return [[f"text {row} of {column}" for column in range(columns)] for row in range(count)]


def seconds() -> float:
    """Processor time of this process and those that it started: other work on the machine does not lengthen it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def refused(do: Callable[[], Any]) -> StudioError:
    with pytest.raises(StudioError) as caught:
        do()
    return caught.value


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Studio]:
    """A demo's visitor, whose limits are those of `TIGHT` and 1 MB."""
    owner = Studio(tmp_path / "home")
    owner.home.keep_demo_limits(
        DEMO.model_copy(
            update={
                "rows_per_dataset": 50,
                "columns_per_dataset": 5,
                "cell_characters": 1_000,
                "upload_mb": 1,
            }
        )
    )
    owner.close()
    made = Studio(tmp_path / "home", VISITOR, demo=True)
    yield made
    made.close()


# --- every format ---


@pytest.mark.parametrize("format", FORMATS)
def test_a_column_name_of_a_megabyte_reaches_no_table(tmp_path: Path, format: str) -> None:
    path = file_of(tmp_path, format, ["x" * 1_000_000, "label"], some_rows())
    began = seconds()
    if format in TEXTS:
        assert read(path).columns == ("text",)
    else:
        error = refused(lambda: read(path))
        assert error.code == "too-large" and f"at most {LONGEST_NAME:,} characters" in str(error.valid)
        assert "1,000,000 characters" in str(error.given) and len(error.message) < 1_000 and error.hint
    assert seconds() - began < 2


@pytest.mark.parametrize("format", NAMED)
def test_long_names_are_shortened_with_a_note_and_stay_different(tmp_path: Path, format: str) -> None:
    long = "How satisfied are you? " * 100
    table = read(file_of(tmp_path, format, [f"{long} a", f"{long} b", "label"], some_rows(columns=3)))
    assert len(set(table.columns)) == 3 and table.columns[2] == "label"
    assert all(len(name) <= NAME and name.startswith("How satisfied") for name in table.columns[:2])
    assert table.row(1)[table.columns[1]] == "text 0 of 1"
    assert any("2 column names" in note and "500" in note for note in table.notes)


@pytest.mark.parametrize("format", FORMATS)
def test_rows_over_a_visitors_limit_are_refused_with_the_number_that_is_allowed(tmp_path: Path, format: str) -> None:
    path = file_of(tmp_path, format, ["text", "label"], some_rows(60))
    how = Reading(pieces="line") if format in TEXTS else Reading()
    error = refused(lambda: read(path, limits=TIGHT, how=how))
    assert (error.code, error.valid) == ("limit-reached", "at most 50 rows") and "install" in str(error.hint)
    assert len(read(path, how=how)) >= 60


@pytest.mark.parametrize("format", NAMED)
def test_columns_over_a_visitors_limit_are_refused_with_the_number_that_is_allowed(tmp_path: Path, format: str) -> None:
    path = file_of(tmp_path, format, [f"c{number}" for number in range(6)], some_rows(columns=6))
    error = refused(lambda: read(path, limits=TIGHT))
    assert (error.code, error.valid) == ("limit-reached", "at most 5 columns")
    assert len(read(path).columns) == 6


@pytest.mark.parametrize("format", FORMATS)
def test_a_cell_over_a_visitors_limit_is_refused_with_its_place(tmp_path: Path, format: str) -> None:
    path = file_of(tmp_path, format, ["text", "label"], [*some_rows(), ["y" * 1_001, "a"]])
    how = Reading(pieces="line") if format in TEXTS else Reading()
    error = refused(lambda: read(path, limits=TIGHT, how=how))
    assert (error.code, error.valid) == ("limit-reached", "at most 1,000 characters in a cell")
    assert "1,001 characters in row " in str(error.given) and "column text" in str(error.given)
    assert len(read(path, how=how)) >= 13


@pytest.mark.parametrize("format", FORMATS)
def test_rows_that_take_more_than_a_visitors_memory_are_refused(tmp_path: Path, format: str) -> None:
    chance = random.Random(1)
    path = file_of(tmp_path, format, ["text", "label"], [[chance.randbytes(300).hex(), "a"] for _ in range(400)])
    roomy = TIGHT.model_copy(update={"rows": 0})
    error = refused(lambda: read(path, limits=roomy, how=Reading(pieces="line") if format in TEXTS else Reading()))
    assert (error.code, error.valid) == ("limit-reached", "at most 0 MB")


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_values_that_are_nested_too_deeply_are_refused_and_sane_ones_are_read(tmp_path: Path, format: str) -> None:
    def nested(levels: int) -> Any:
        value: Any = "end"
        for level in range(levels):
            value = [value] if level % 2 else {"below": value}
        return value

    rows = [["a text", nested(20)], *some_rows()]
    assert len(read(file_of(tmp_path, format, ["text", "tools"], rows))) == 13
    error = refused(lambda: read(file_of(tmp_path, format, ["text", "tools"], [*rows, ["a", nested(NESTING + 1)]])))
    assert (error.code, error.valid, error.given) == ("too-large", f"at most {NESTING} levels", "row 14")


@pytest.mark.parametrize("format", ["json", "jsonl", "parquet"])
def test_lists_over_a_visitors_cell_limit_are_refused(tmp_path: Path, format: str) -> None:
    path = file_of(tmp_path, format, ["text", "turns"], [["a", ["short"]], ["b", ["long"] * 500]])
    error = refused(lambda: read(path, limits=TIGHT))
    assert error.code == "limit-reached" and "row 2, column turns" in str(error.given)


def test_an_owners_wide_survey_with_long_questions_loads_whole(tmp_path: Path) -> None:
    names = [f"Question {number}: " + "how much do you agree with this statement? " * 7 for number in range(400)]
    names = [name.strip() for name in names]
    path = file_of(
        tmp_path,
        "csv",
        ["text", "label", *names],
        [[f"what I think of number {row}", "ab"[row % 2], *["4"] * 400] for row in range(60)],
    )
    studio = Studio(tmp_path / "home")
    record = studio.datasets.add_file(path)
    assert record.columns == ("text", "label", *names) and min(map(len, names)) > 300 and record.rows == 60
    assert studio.datasets.spec(record.id).roles == {"text": "text", "label": "label"}
    studio.close()


def test_thousands_of_columns_without_a_name_or_with_the_same_take_little_time(tmp_path: Path) -> None:
    began = seconds()
    for name in ("same", ""):
        table = read(file_of(tmp_path, "csv", ["text", *[name] * 8_000, "end"], some_rows(3, 8_002)))
        assert len(set(table.columns)) == 8_002 and len(table.notes) < 15
    assert seconds() - began < 4


def test_more_columns_than_anybody_may_have_are_refused(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(COLUMNS + 1)]
    error = refused(lambda: read(file_of(tmp_path, "csv", names, some_rows(1, COLUMNS + 1))))
    assert (error.code, error.valid) == ("too-large", f"at most {COLUMNS:,} columns")


# --- packed files ---


def bomb(path: Path, rows: int, value: str, **columns: Any) -> Path:
    """Equal values, of which the file has one."""
    import numpy
    import pyarrow
    import pyarrow.parquet

    places = pyarrow.array(numpy.zeros(rows, dtype="int32"))
    equal = pyarrow.DictionaryArray.from_arrays(places, pyarrow.array([value]))
    table = pyarrow.table({"text": equal, **columns})
    pyarrow.parquet.write_table(table, path, compression="zstd", row_group_size=rows, store_schema=False)
    return path


@pytest.mark.slow
def test_a_parquet_file_of_millions_of_equal_rows_is_refused_at_once(tmp_path: Path, visitor: Studio) -> None:
    path = bomb(tmp_path / "rows.parquet", 3_000_000, "the same text")
    assert path.stat().st_size < 100_000
    began = seconds()
    error = refused(lambda: visitor.datasets.add_file(path))
    assert (error.code, error.valid) == ("limit-reached", "at most 50 rows") and seconds() - began < 2
    code = (
        "import sys, pyarrow; from pathlib import Path; from studio.data.formats import read\n"
        "try: read(Path(sys.argv[1]))\n"
        "except Exception as error: print(error.code, pyarrow.default_memory_pool().max_memory())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert answer[0] == "too-large" and int(answer[1]) < 5_000_000, "refused for its owner too, and nothing was decoded"


@pytest.mark.slow
def test_equal_long_values_are_counted_while_they_are_read(tmp_path: Path) -> None:
    path = bomb(tmp_path / "rows.parquet", 15_000, "y" * 50_000)
    limits = read_limits(DEMO, visitor=True, memory=8 << 30)
    began, before = seconds(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = refused(lambda: read(path, limits=limits))
    assert (error.code, error.valid) == ("limit-reached", "at most 100 MB") and seconds() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "another process has the memory"
    owner = read_limits(OWNER, visitor=False, memory=400_000_000)
    error = refused(lambda: read(path, limits=owner))
    assert error.code == "too-large" and "memory than this machine has free" in error.what
    assert error.valid == "at most 200 MB, half of the free memory"


@pytest.mark.slow
def test_long_lists_of_equal_values_are_refused_by_the_footer(tmp_path: Path) -> None:
    import numpy
    import pyarrow

    values = pyarrow.array(numpy.zeros(30_000_000, dtype="int8"))
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, 10_000_000, 20_000_000, 30_000_000], "int32"), values)
    path = bomb(tmp_path / "rows.parquet", 3, "a text", numbers=lists)
    began = seconds()
    error = refused(lambda: read(path, limits=read_limits(DEMO, visitor=True, memory=8 << 30)))
    assert (error.code, error.valid) == ("limit-reached", "at most 100 MB") and seconds() - began < 2


def test_a_parquet_file_of_the_hub_is_measured_too(tmp_path: Path) -> None:
    from studio.data.hub import HubFile, read_splits

    path = bomb(tmp_path / "rows.parquet", 20_000, "y" * 50_000)
    file, limits = HubFile("rows.parquet", path.stat().st_size), read_limits(OWNER, visitor=False, memory=200_000_000)
    error = refused(lambda: read_splits("a/b", {"train": [file]}, lambda _: path.open("rb"), 20_000, limits))
    assert error.code == "too-large" and "at most 100 MB" in str(error.valid)


def test_a_zip_that_unpacks_to_more_than_a_visitor_may_have_is_refused(tmp_path: Path) -> None:
    chance = random.Random(1)
    path = file_of(tmp_path, "zip", ["text", "label"], [[chance.randbytes(200).hex(), "a"] for _ in range(900)])
    error = refused(lambda: read(path, limits=TIGHT.model_copy(update={"rows": 0})))
    assert error.code == "limit-reached" and "after decoding" in error.what


def test_a_workbook_of_very_many_sheets_is_refused(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    for number in range(SHEETS + 1):
        book.create_sheet(f"s{number}").append(["text"])
    book.save(tmp_path / "rows.xlsx")
    error = refused(lambda: read(tmp_path / "rows.xlsx"))
    assert (error.code, error.valid) == ("too-large", f"at most {SHEETS} sheets")


# --- the other ways in ---


def test_pasted_text_and_joined_files_have_the_same_limits(tmp_path: Path) -> None:
    text = "text,label\n" + "a text,b\n" * 60
    assert refused(lambda: read_text(text, limits=TIGHT)).valid == "at most 50 rows"
    tight = ReadLimits(file_bytes=100, visitor=True)
    assert refused(lambda: read_text(text, limits=tight)).code == "limit-reached"
    lines = "\n".join(json.dumps({"text": "y" * 1_001}) for _ in range(3))
    assert refused(lambda: read_text(lines, limits=TIGHT)).valid == "at most 1,000 characters in a cell"
    paths = {f"{number}.csv": tmp_path / f"{number}.csv" for number in range(2)}
    for path in paths.values():
        _delimited(",")(path, ["text", "label"], some_rows(30))
    assert len(read_many(paths, name="2 files")) == 60
    assert refused(lambda: read_many(paths, name="2 files", limits=TIGHT)).valid == "at most 50 rows"
    assert refused(lambda: read_many(paths, name="2 files", limits=tight)).code == "limit-reached"


def test_a_visitors_uploads_versions_edits_and_made_rows_have_limits(tmp_path: Path, visitor: Studio) -> None:
    path = file_of(tmp_path, "csv", ["text", "label"], some_rows(45))
    record = visitor.datasets.add_file(path)
    datasets = visitor.datasets
    for do, valid in (
        (lambda: visitor.datasets.add_text("text,label\n" + "a,b\n" * 51), "at most 50 rows"),
        (lambda: visitor.datasets.add_text("text,label\n" + "a,b\n" * 300_000), "at most 1 MB"),
        (lambda: visitor.editing.edit(record.id, 1, {"text": "z" * 1_001}), "at most 1,000"),
        (lambda: datasets.with_values(record.id, {1: {"x" * (NAME + 1): "a"}}, "note"), f"at most {NAME} characters"),
        (
            lambda: datasets.with_values(record.id, {1: {f"c{number}": "a" for number in range(4)}}, "note"),
            "at most 5 columns",
        ),
        (
            lambda: datasets.with_values(record.id, {1: {"label": "z" * 1_001}}, "note"),
            "at most 1,000 characters in a cell",
        ),
        (
            lambda: datasets.write(
                with_synthetic(datasets.table(record.id), [{"text": "a", "label": "b"}] * 6), record, "rows added"
            ),
            "at most 50 rows",
        ),
    ):
        error = refused(do)
        assert error.code in ("limit-reached", "too-large") and error.valid == valid, error
    assert len(visitor.versions.all(record.id)) == 1, "nothing of what was refused is kept"
    assert visitor.editing.edit(record.id, 1, {"text": "short"}).version == 2


def test_the_owner_has_the_hard_limits_and_the_memory_of_the_machine(tmp_path: Path) -> None:
    assert read_limits(OWNER, visitor=False, memory=10).model_dump() == {**HARD.model_dump(), "decoded_bytes": 5}
    demo = read_limits(DEMO, visitor=True, memory=10)
    assert (demo.rows, demo.columns, demo.cell_characters) == (20_000, 100, 100_000)
    assert (demo.file_bytes, demo.decoded_bytes) == (5_000_000, 100_000_000)
    studio = Studio(tmp_path / "home")
    assert len(studio.datasets.get(studio.datasets.add_text("text,label\n" + "a,b\n" * 20_001).id).columns) == 2
    studio.close()


# --- pages of wide tables ---


def test_a_page_of_the_widest_table_of_a_visitor_takes_little_time(tmp_path: Path) -> None:
    chance = random.Random(1)
    words = [f"word{number}" for number in range(300)]
    names = [f"{number} {' '.join(chance.choices(words, k=80))}"[:NAME].strip() for number in range(98)]
    rows = [[f"this is text {n} {chance.random()}", "ab"[n % 2], *["yes"] * 98] for n in range(1_000)]
    studio = Studio(tmp_path / "home", VISITOR, demo=True)
    record = studio.datasets.add_file(file_of(tmp_path, "csv", ["text", "label", *names], rows))
    assert len(record.columns) == 100 and max(map(len, record.columns)) > NAME - 10

    def draw() -> float:
        began = seconds()
        for task in (None, "classification"):
            studio.datasets.spec(record.id, task, labels_too=False)
        refused(lambda: studio.datasets.spec(record.id, "chat", labels_too=False))
        studio.checks.check(record.id, "classification")
        studio.datasets.checked_rows(record.id, "classification")
        studio.datasets.splits(record.id)
        return seconds() - began

    assert draw() < 1.5, "columns are looked at once"
    assert min(draw(), draw()) < 0.3
    studio.close()


def test_what_a_task_lacks_is_told_of_thousands_of_columns_in_little_time(tmp_path: Path) -> None:
    from studio.data.roles import describe_columns
    from studio.data.task_fit import unfit_reason

    names = [f"feature number {number}" for number in range(5_000)]
    columns = describe_columns(
        read(file_of(tmp_path, "csv", names, [[("red", "blue")[n % 2]] * 5_000 for n in range(30)]))
    )
    began = seconds()
    told = [unfit_reason(columns, [], task) for task in TASKS.values()]
    assert any(told) and seconds() - began < 2
    assert max(map(len, told)) < 1_000


def test_a_header_of_empty_names_takes_time_in_proportion_to_its_length(tmp_path: Path) -> None:
    path = tmp_path / "commas.csv"
    path.write_bytes(b"," * 1_000_000)
    began = time.process_time()
    with pytest.raises(StudioError):
        read(path, name=path.name)
    assert time.process_time() - began < 10, "the time grows with the square of the length"


@pytest.mark.slow
def test_long_work_on_rows_of_a_visitor_ends_after_some_minutes_and_that_of_an_owner_does_not(
    visitor: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, afresh: None
) -> None:
    from studio.services.datasets import subprocess_jobs

    monkeypatch.setattr(subprocess_jobs, "VISITORS_SECONDS", 0.05)
    rows = "question,answer\n" + "\n".join(f"q{number},a{number}" for number in range(20))
    asked = {"dataset": visitor.datasets.add_text(rows, "rows").id, "task": "chat"}
    with pytest.raises(StudioError, match="longer than") as refused:
        subprocess_jobs.check_and_split(visitor.context, asked)
    assert refused.value.code == "limit-reached"
    owner = Studio(tmp_path / "another")
    report, _ = subprocess_jobs.check_and_split(
        owner.context, {**asked, "dataset": owner.datasets.add_text(rows, "rows").id}
    )
    assert report.rows == 20
    owner.close()
