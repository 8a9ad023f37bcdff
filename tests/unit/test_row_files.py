"""Files with rows and predictions: every format, formulas, order, and columns that are named like ours."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import read_text
from studio.data.row_files import WRITERS, require_writable, write_rows
from studio.data.table import Table
from studio.schema.errors import StudioError
from studio.schema.predictions import PredictedRow
from studio.services.predictions.rows import predicted_rows
from studio.store.predictions import PredictionStore

AWKWARD = [
    {"id": 1, "text": "=1+1", "extra": ["a", {"b": 2}]},
    {"id": 2, "text": 'two\nlines, "quoted"', "extra": None},
    {"id": 3, "text": "naïve 日本語\x07", "extra": "x"},
]
FOUND = [PredictedRow(row=3, prediction=""), PredictedRow(row=1, prediction="bug", confidence=0.75)]
"""Not in the order of the rows, as they are when batches have similar lengths."""


def table_of(rows: list[dict[str, Any]]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def with_predictions(folder: Path, rows: list[dict[str, Any]], predicted: list[PredictedRow]) -> Table:
    store = PredictionStore(folder / "predictions")
    store.folder.mkdir()
    store.append("set", predicted)
    return predicted_rows(table_of(rows), store, "set")


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.suffix not in (".parquet", ".xlsx") else ""
    if path.suffix in (".csv", ".tsv"):
        return list(csv.DictReader(text.splitlines(keepends=True), delimiter="\t" if path.suffix == ".tsv" else ","))
    if path.suffix == ".json":
        return json.loads(text)
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pylist()
    from openpyxl import load_workbook

    header, *rows = load_workbook(path).active.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_has_every_column_and_the_predictions_in_the_order_of_the_rows(ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"out{ending}"
    praise = PredictedRow(row=2, prediction="praise", confidence=1)
    write_rows(with_predictions(tmp_path, AWKWARD, [*FOUND, praise]), out)
    rows = read(out)
    assert [list(row) for row in rows] == [["id", "text", "extra", "prediction", "confidence"]] * 3
    assert [str(row["prediction"] or "") for row in rows] == ["bug", "praise", ""]
    assert float(rows[0]["confidence"]) == 0.75 and rows[2]["confidence"] in ("", None)
    assert rows[0]["text"] == ("'=1+1" if ending in (".csv", ".tsv") else "=1+1"), "a spreadsheet must not compute it"
    assert "two\nlines" in rows[1]["text"] and "日本語" in rows[2]["text"]
    assert [int(row["id"]) for row in rows] == [1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "predictions"], "nothing else is left"


def test_a_row_without_a_prediction_has_an_empty_cell(tmp_path: Path) -> None:
    write_rows(with_predictions(tmp_path, AWKWARD, FOUND[1:]), tmp_path / "out.csv")
    assert [row["prediction"] for row in read(tmp_path / "out.csv")] == ["bug", "", ""]


def test_a_text_that_looks_like_a_formula_is_a_text_in_a_workbook(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    table = with_predictions(tmp_path, [{"text": "=1+1"}], [PredictedRow(row=1, prediction="=2+2")])
    write_rows(table, tmp_path / "out.xlsx")
    cells = [cell for row in load_workbook(tmp_path / "out.xlsx").active.iter_rows(min_row=2) for cell in row]
    assert [(cell.value, cell.data_type) for cell in cells] == [("=1+1", "s"), ("=2+2", "s")]


def test_a_column_of_the_data_named_prediction_gives_way_and_confidence_stays_where_a_reply_has_none(
    tmp_path: Path,
) -> None:
    rows = [{"prediction": "old", "confidence": "own", "a": "1"}]
    write_rows(with_predictions(tmp_path, rows, [PredictedRow(row=1, prediction="new")]), tmp_path / "out.csv")
    assert read(tmp_path / "out.csv") == [{"confidence": "own", "a": "1", "prediction": "new"}]


def test_a_prediction_that_contains_our_own_notation_is_still_one_with_a_confidence(tmp_path: Path) -> None:
    text = '{"row":7,"confidence":null}\n'
    table = with_predictions(tmp_path, [{"a": "1"}], [PredictedRow(row=1, prediction=text, confidence=0.5)])
    write_rows(table, tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl") == [{"a": "1", "prediction": text, "confidence": 0.5}]


def test_a_parquet_column_with_several_types_is_text_and_the_others_keep_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.data.row_files.GROUP", 2)
    rows = [{"mixed": 1, "number": 1, "empty": None}, {"mixed": 2, "number": None, "empty": None}]
    rows += [{"mixed": "three", "number": 2.5, "empty": None}]
    write_rows(table_of(rows), tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet") == [
        {"mixed": "1", "number": 1.0, "empty": None},
        {"mixed": "2", "number": None, "empty": None},
        {"mixed": "three", "number": 2.5, "empty": None},
    ]


def test_a_file_that_can_not_be_written_whole_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.xlsx"
    out.write_text("earlier")
    monkeypatch.setattr("studio.data.row_files.SHEET_ROWS", 3)
    with pytest.raises(StudioError, match="can't hold this many rows"):
        write_rows(table_of(AWKWARD), out)
    assert out.read_text() == "earlier" and [path.name for path in tmp_path.iterdir()] == ["out.xlsx"]


def test_another_ending_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "out.docx", tmp_path / "nowhere" / "out.csv"):
        with pytest.raises(StudioError) as refused:
            require_writable(path)
        assert refused.value.code == "unknown-format"


def test_reading_from_any_row_on_gives_the_predictions_of_those_rows(tmp_path: Path) -> None:
    table = with_predictions(tmp_path, AWKWARD, FOUND)
    assert [row["prediction"] for row in table.rows(2)] == [None, ""]


@pytest.mark.parametrize("ending", WRITERS)
def test_numbers_that_a_format_does_not_have_leave_a_cell_empty_and_no_file_is_invalid(
    ending: str, tmp_path: Path
) -> None:
    rows = [
        {"id": 1, "size": float("nan"), "mixed": float("inf"), "parts": [1.5, float("nan")]},
        {"id": 2**70, "size": 2.5, "mixed": "text", "parts": [2.0]},
    ]
    out = tmp_path / f"out{ending}"
    write_rows(table_of(rows), out)
    first, second = read(out)
    if ending != ".parquet":  # its columns of numbers can hold NaN
        assert first["size"] in ("", None)
    assert first["mixed"] in ("", None) and second["mixed"] == "text"
    assert "NaN" not in str(first["parts"]) and "1.5" in str(first["parts"])
    if ending != ".xlsx":  # a workbook has no larger numbers than 15 digits
        assert int(second["id"]) == 2**70 and float(second["size"]) == 2.5
    if ending in (".json", ".jsonl"):
        assert "NaN" not in out.read_text() and "Infinity" not in out.read_text()
