"""Rows come back as they were: through every format, through the store's own file, and through changes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from studio.data.formats import read
from studio.data.parquet_store import open_parquet, write_parquet
from studio.data.table import Row, Table, changed
from studio.schema.errors import StudioError

NAMES = ("text", "label", "more")
# "\0" can't be in a text file that is read; lone surrogates are no text
TEXT = some.text(some.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)
PLAIN = some.none() | some.booleans() | some.integers(-(2**60), 2**60) | some.floats(allow_nan=False) | TEXT
NESTED = some.recursive(PLAIN, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXT, inner, max_size=3))


def written_as_csv(rows: list[Row], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(NAMES)
        writer.writerows([row[name] for name in NAMES] for row in rows)


def written_as_jsonl(rows: list[Row], path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def written_as_json(rows: list[Row], path: Path) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8", newline="")


def written_as_parquet(rows: list[Row], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {name: pyarrow.array([row[name] for row in rows], pyarrow.string()) for name in NAMES}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def rows_of(values: some.SearchStrategy[Any]) -> some.SearchStrategy[list[Row]]:
    return some.lists(some.fixed_dictionaries(dict.fromkeys(NAMES, values)), min_size=1, max_size=12)


def comes_back(rows: list[Row], write: Callable[[list[Row], Path], None], ending: str) -> None:
    """Rows written by others are read as they were, and again from the store's file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{ending}"
        write(rows, path)
        table = read(path)
        assert set(table.columns) == set(NAMES) and not table.bad_lines
        assert table.rows() == rows
        write_parquet(table, Path(folder) / "kept.parquet")
        kept = open_parquet(Path(folder) / "kept.parquet")
        assert kept.rows() == rows
        assert kept.rows(2, 3) == rows[1:4]
        assert len(kept) == len(rows)


@pytest.mark.parametrize(("write", "ending"), [(written_as_csv, "csv"), (written_as_parquet, "parquet")])
@given(rows=rows_of(TEXT))
@settings(max_examples=60, deadline=None)
def test_generated_texts_come_back_equal(write: Callable[..., None], ending: str, rows: list[Row]) -> None:
    comes_back(rows, write, ending)


@pytest.mark.slow
@pytest.mark.parametrize(("write", "ending"), [(written_as_jsonl, "jsonl"), (written_as_json, "json")])
@given(rows=rows_of(NESTED))
@settings(max_examples=60, deadline=None)
def test_generated_values_of_any_kind_come_back_equal(write: Callable[..., None], ending: str, rows: list[Row]) -> None:
    comes_back(rows, write, ending)


def mixed(tmp_path: Path, rows: int = 25_000) -> Table:
    """More rows than fit one block, where only a late block has numbers and one line is bad."""
    lines = [
        json.dumps({"n": "text" if number < 20_000 else number, "t": f"t{number}"}) for number in range(1, rows + 1)
    ]
    lines[4] = "broken"
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return read(tmp_path / "rows.jsonl")


def test_a_column_that_turns_from_text_to_numbers_keeps_both(tmp_path: Path) -> None:
    table = mixed(tmp_path)
    write_parquet(table, tmp_path / "kept.parquet")
    kept = open_parquet(tmp_path / "kept.parquet")
    for each in (table, kept):
        assert each.row(19_999) == {"n": "text", "t": "t19999"}
        assert each.row(20_000) == {"n": 20_000, "t": "t20000"}
        assert each.row(5) == {"n": None, "t": None}
        assert [number for number, _ in each.numbered(9_999, 4)] == [9_999, 10_000, 10_001, 10_002]
        assert len(each.sample(40)) == 39 and {row["n"] for row in each.sample(40)} > {"text"}


def test_what_was_noticed_in_reading_is_kept_with_the_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("a;a\nété;x\nbad\n".encode("cp1252"))
    table = read(tmp_path / "rows.csv")
    write_parquet(table, tmp_path / "kept.parquet")
    kept = open_parquet(tmp_path / "kept.parquet")
    for name in ("columns", "format", "encoding", "delimiter", "notes", "bad_lines", "bad_rows"):
        assert getattr(kept, name) == getattr(table, name)
    assert kept.bad_rows == {2} and len(kept.notes) == 2


def test_a_kept_file_that_is_damaged_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "kept.parquet").write_bytes(b"PAR1 no more")
    for path in (tmp_path / "kept.parquet", tmp_path / "none.parquet"):
        with pytest.raises(StudioError) as caught:
            open_parquet(path)
        assert caught.value.code == "unreadable-file"


def test_a_change_removes_rows_sets_cells_and_moves_bad_lines(tmp_path: Path) -> None:
    table = mixed(tmp_path, 30)
    new = changed(table, remove=[1, 3, 30, 99], values={2: {"t": "new"}, 4: {"label": "x"}}, note="Two removed.")
    assert new.columns == ("n", "t", "label") and len(new) == 27
    assert [row["t"] for row in new.rows(1, 4)] == ["new", "t4", None, "t6"]
    assert [row["label"] for row in new.rows(1, 3)] == [None, "x", None]
    assert new.bad_rows == {3} and new.bad_lines[0].line == 5
    assert new.notes[-1] == "Two removed."
    for start in range(1, 28):
        assert new.rows(start) == new.rows()[start - 1 :]
    assert not changed(table, remove=[5]).bad_lines
    assert not changed(table, values={5: {"t": "mended"}}).bad_lines
    assert len(table) == 30 and table.row(2)["t"] == "t2"
