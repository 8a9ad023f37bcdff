"""Files in: every format, and every way in which a file can be broken, named by line and losing nothing else."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from studio.data.formats import FORMATS, ReadLimits, read, read_text
from studio.data.table import Table
from studio.schema.errors import StudioError


def table_of(tmp_path: Path, name: str, content: str | bytes) -> Table:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path)


def refused(tmp_path: Path, name: str, content: str | bytes, **limits: Any) -> StudioError:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StudioError) as caught:
        read(path, **limits)
    return caught.value


def bad(table: Table) -> list[tuple[int, int]]:
    return [(each.line, each.row) for each in table.bad_lines]


# --- delimited text ---


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_itself(tmp_path: Path, delimiter: str) -> None:
    rows = [["question", "answer"], ["Why, and how?", "Because; so."], ["Where?", "Here"]]
    lines = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    table = table_of(tmp_path, "rows.csv", lines)
    assert (table.delimiter, table.columns) == (delimiter, ("question", "answer"))
    assert table.rows()[0] == {"question": "Why, and how?", "answer": "Because; so."}


def test_a_line_that_names_the_separator_is_no_row(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", "sep=;\na;b\n1;2\n")
    assert (table.delimiter, table.rows()) == (";", [{"a": "1", "b": "2"}])


def test_a_file_of_one_column_keeps_the_commas_in_its_texts(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", 'text\nWell, yes\nNo; never\n"Quoted, too"\n')
    assert [row["text"] for row in table.rows()] == ["Well, yes", "No; never", "Quoted, too"]
    assert not table.bad_lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_the_encoding_is_found_by_itself(tmp_path: Path, encoding: str) -> None:
    text = "text,label\nUne été à la plage,bien\nDéjà vu,mal\n"
    table = table_of(tmp_path, "rows.csv", text.encode(encoding))
    assert table.columns == ("text", "label")
    assert table.rows()[0] == {"text": "Une été à la plage", "label": "bien"}
    assert not table.bad_lines
    assert bool(table.notes) == (encoding in ("cp1252", "utf-16-le"))


def test_text_in_an_old_cyrillic_encoding_is_read_and_said(tmp_path: Path) -> None:
    text = "text,label\nпривет мир как дела сегодня,x\nхорошо спасибо большое вам,y\n"
    table = table_of(tmp_path, "rows.csv", text.encode("cp1251"))
    assert table.rows()[0]["text"] == "привет мир как дела сегодня"
    assert "cp1251" in table.notes[0]


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"\xc3(", b"\x80\x81", b"\xe2\x82"])
def test_a_broken_byte_is_named_by_line_and_the_other_lines_are_kept(tmp_path: Path, broken: bytes) -> None:
    table = table_of(tmp_path, "rows.csv", b"text,label\nfine,a\nbro" + broken + b"ken,b\nalso fine,c\n")
    assert bad(table) == [(3, 2)]
    assert "byte" in table.bad_lines[0].why
    assert [row["text"] for row in table.rows()] == ["fine", None, "also fine"]


def test_one_broken_line_among_accents_does_not_make_the_file_something_else(tmp_path: Path) -> None:
    table = table_of(
        tmp_path, "rows.csv", "text,label\nété,a\n".encode() + "été,b\n".encode("cp1252") + "noël,c\n".encode()
    )
    assert bad(table) == [(3, 2)]
    assert [row["text"] for row in table.rows()] == ["été", None, "noël"]


def test_a_nul_byte_is_named_by_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", b"a,b\n1,2\n3\0,4\n5,6\n")
    assert bad(table) == [(3, 2)] and "NUL" in table.bad_lines[0].why


def test_ragged_lines_are_named_and_empty_cells_at_the_end_forgiven(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", "a,b\n1,2\n3\n4,5,6\n7,8,,\n")
    assert bad(table) == [(3, 2), (4, 3)]
    assert "3 cells" in table.bad_lines[1].why and "2" in table.bad_lines[1].why
    assert table.rows()[3] == {"a": "7", "b": "8"}


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    at_the_end = table_of(tmp_path, "end.csv", 'a,b\n1,2\n3,"open\n4,5\n6,7\n')
    assert bad(at_the_end) == [(3, 2)] and "quotation mark" in at_the_end.bad_lines[0].why
    assert [row["a"] for row in at_the_end.rows()] == ["1", None, "4", "6"]
    closed_later = table_of(tmp_path, "later.csv", 'a,b\n3,"open\n4,5\n"six","seven\nlines"\n8,9\n')
    assert bad(closed_later) == [(2, 1)]
    assert closed_later.rows()[2] == {"a": "six", "b": "seven\nlines"}


def test_a_line_counts_as_an_editor_counts_also_below_cells_with_line_ends(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", 'a,b\r\n"one\r\ntwo","three\r\nfour"\r\n5\r\n6,7\r\n')
    assert bad(table) == [(5, 2)]
    assert table.rows()[0]["a"] == "one\r\ntwo"


def test_two_columns_of_one_name_are_both_kept_and_said(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", "text,text,,text (2)\na,b,c,d\n")
    assert table.columns == ("text", "text (3)", "column 3", "text (2)")
    assert list(table.rows()[0].values()) == ["a", "b", "c", "d"]
    assert len(table.notes) == 2 and "Two columns are called text" in table.notes[0]


def test_a_cell_of_a_million_characters_is_no_trouble(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", f"a,b\n{'x' * 1_000_000},y\n")
    assert len(table.rows()[0]["a"]) == 1_000_000 and not table.bad_lines


def test_a_hundred_thousand_lines_are_read_and_paged(tmp_path: Path) -> None:
    lines = "".join(f"{number},text {number}\n" for number in range(1, 100_001))
    table = table_of(tmp_path, "rows.csv", "id,text\n" + lines + "broken\n")
    assert len(table) == 100_001
    assert table.rows(70_000, 2) == [{"id": "70000", "text": "text 70000"}, {"id": "70001", "text": "text 70001"}]
    assert table.row(100_000)["text"] == "text 100000"
    assert bad(table) == [(100_002, 100_001)]
    with pytest.raises(StudioError) as caught:
        table.row(100_002)
    assert caught.value.code == "no-such-row"


# --- JSON ---


def test_json_comes_as_a_list_of_objects(tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 1, "ok": True}, {"text": "b", "turns": [{"role": "user"}]}]
    table = table_of(tmp_path, "rows.json", json.dumps(rows))
    assert table.columns == ("text", "n", "ok", "turns")
    assert table.rows() == [
        {**rows[0], "turns": None},
        {"text": "b", "n": None, "ok": None, "turns": [{"role": "user"}]},
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"text": ["a", "b"], "label": [1, 2]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 2}},
        {"data": [{"text": "a", "label": 1}, {"text": "b", "label": 2}], "version": "1.0"},
    ],
    ids=["lists", "as pandas writes it", "one key with the rows"],
)
def test_json_comes_as_one_object_too(tmp_path: Path, document: dict[str, Any]) -> None:
    table = table_of(tmp_path, "rows.json", json.dumps(document))
    assert table.rows() == [{"text": "a", "label": 1}, {"text": "b", "label": 2}]


def test_the_parts_of_a_json_object_become_a_column(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.json", json.dumps({"train": [{"t": "a"}], "test": [{"t": "b"}]}))
    assert table.rows() == [{"t": "a", "split": "train"}, {"t": "b", "split": "test"}]


def test_json_that_is_not_right_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "rows.json", '[\n {"a": 1},\n {"a": 2,}\n]')
    assert error.code == "unreadable-file" and "Line 3" in error.what
    assert "Line 2" in refused(tmp_path, "rows.json", '[{"a": 1},\n').what
    assert "Line 1" in refused(tmp_path, "rows.json", '[{"a": 1}] x').what
    assert "without rows or columns" in refused(tmp_path, "rows.json", '{"a": [1, 2], "b": [1]}').what
    assert refused(tmp_path, "rows.json", "[" * 100_000).code == "unreadable-file"
    assert refused(tmp_path, "rows.json", "[]").code == "empty-data"


def test_an_item_of_a_json_list_that_is_no_object_is_named_by_its_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.json", '[\n{"a": 1},\n7,\n{"a":\n 2}, "x"]')
    assert bad(table) == [(3, 2), (5, 4)]
    assert [row["a"] for row in table.rows()] == [1, None, 2, None]


def test_a_jsonl_with_a_bad_line_731_names_it_and_keeps_the_others(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"p{number}", "reply": "r"}) for number in range(1, 1001)]
    lines[730] = lines[730] + ","
    table = table_of(tmp_path, "rows.jsonl", "\n".join(lines))
    assert bad(table) == [(731, 731)] and len(table) == 1000
    assert table.row(732)["prompt"] == "p732"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("[1, 2]", "list"),
        ('"x"', "text"),
        ('{"a": ', "JSON"),
        ('{"a": "\\ud83d"}', "half of a character"),
        ("9" * 5000, "number"),
    ],
)
def test_a_line_of_jsonl_that_is_no_object_says_what_it_is(tmp_path: Path, line: str, word: str) -> None:
    table = table_of(tmp_path, "rows.jsonl", '{"a": 1}\n\n' + line + "\n")
    assert bad(table) == [(3, 2)] and word in table.bad_lines[0].why


def test_json_and_jsonl_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    assert table_of(tmp_path, "rows.json", '{"a": 1}\n{"a": 2}\n').rows() == [{"a": 1}, {"a": 2}]
    assert table_of(tmp_path, "rows.jsonl", '[\n{"a": 1}\n]').rows() == [{"a": 1}]
    assert "line 1" in refused(tmp_path, "rows.jsonl", "hello\nworld\n").message


# --- workbooks and Parquet ---


def workbook(path: Path, *sheets: tuple[str, list[list[Any]]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_from_its_first_sheet_with_rows(tmp_path: Path) -> None:
    rows = [
        ["text", "label", None],
        ["a", 1],
        [],
        ["b", 2.5],
        ["c", datetime(2024, 1, 2)],
        ["d", datetime(2024, 1, 2, 3, 4)],
    ]
    path = workbook(tmp_path / "rows.xlsx", ("Cover", [["Hello"]]), ("Data", rows), ("More", rows))
    table = read(path)
    assert table.columns == ("text", "label")
    assert [row["label"] for row in table.rows()] == [1, None, 2.5, "2024-01-02", "2024-01-02T03:04:00"]
    assert "Data" in table.notes[0] and "More" in table.notes[0]


def test_formulas_without_a_stored_result_are_said(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", ("Data", [["text", "label"], ["a", "x"], ["b", '=CONCAT("y","z")']]))
    table = read(path)
    assert table.rows()[1]["label"] == '=CONCAT("y","z")'
    assert "1 cell" in table.notes[0] and "save it" in table.notes[0]


def test_a_workbook_that_would_grow_beyond_measure_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (60 << 20))
    with pytest.raises(StudioError) as caught:
        read(path)
    assert caught.value.code == "too-large" and "63 MB" in caught.value.what


def test_parquet_comes_back_with_nested_values_dates_and_decimals(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    turns = [{"role": "user", "content": "hi"}]
    columns = {
        "turns": [turns, None],
        "day": [date(2024, 1, 2), None],
        "n": [Decimal("1.5"), Decimal("2")],
        "raw": [b"x", b"y"],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet")
    table = read(tmp_path / "rows.parquet")
    assert table.rows() == [
        {"turns": turns, "day": "2024-01-02", "n": 1.5, "raw": "x"},
        {"turns": None, "day": None, "n": 2, "raw": "y"},
    ]


# --- what is refused ---


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.json", "rows.jsonl", "rows.parquet", "rows.xlsx"])
def test_an_empty_file_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path, name, b"")
    assert error.code == "empty-data" and name in error.what and error.hint


def test_a_file_with_names_and_no_row_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "rows.csv", "question,answer\n").code == "empty-data"
    assert refused(tmp_path, "rows.json", "  \n ").code == "empty-data"
    path = workbook(tmp_path / "rows.xlsx", ("Data", [["question", "answer"]]))
    with pytest.raises(StudioError) as caught:
        read(path)
    assert caught.value.code == "empty-data"


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path: Path) -> None:
    error = refused(tmp_path, "rows.pdf", b"%PDF-1.4")
    assert error.code == "unknown-format" and error.valid == list(FORMATS)
    assert refused(tmp_path, "rows.xls", b"\xd0\xcf\x11\xe0rest").code == "unknown-format"
    assert refused(tmp_path, "rows.xlsx", b"not a zip").code == "unreadable-file"
    assert refused(tmp_path, "rows.parquet", b"PAR1 and then nothing").code == "unreadable-file"


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as caught:
        read(tmp_path / "none.csv")
    assert caught.value.code == "unreadable-file" and "none.csv" in caught.value.what
    with pytest.raises(StudioError) as caught:
        read(tmp_path)
    assert "folder" in caught.value.what
    assert refused(tmp_path, "rows.csv", "a,b\n1,2\n", limits=ReadLimits(file_bytes=4)).code == "too-large"


def test_a_file_without_one_readable_line_is_refused_with_the_first(tmp_path: Path) -> None:
    error = refused(tmp_path, "rows.csv", 'a,b\n"open\n')
    assert error.code == "unreadable-file" and "line 2" in str(error.given)


def test_rows_with_different_keys_in_each_do_not_grow_a_table_without_end(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({f"key{number}": 1}) for number in range(10_002))
    assert "columns" in refused(tmp_path, "rows.jsonl", lines).what


# --- pasted ---


@pytest.mark.parametrize(
    "text",
    ["a\tb\nx, y\tz\n", 'a,b\n"x, y",z\n', '{"a": "x, y", "b": "z"}', '[{"a": "x, y", "b": "z"}]'],
    ids=["from a spreadsheet", "csv", "jsonl", "json"],
)
def test_pasted_rows_are_read_as_what_they_look_like(text: str) -> None:
    assert read_text(text).rows() == [{"a": "x, y", "b": "z"}]


def test_pasted_nothing_is_refused() -> None:
    for text in ("", "  \n ", "a,b"):
        with pytest.raises(StudioError) as caught:
            read_text(text)
        assert caught.value.code == "empty-data"


def test_columns_of_conversations_and_ids_are_columns(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps({"id": ["a", "b"], "messages": [turns, turns]}))
    assert read(file).rows() == [{"id": "a", "messages": turns}, {"id": "b", "messages": turns}]


def test_a_replacement_character_of_the_text_itself_is_not_a_broken_byte(tmp_path: Path) -> None:
    lines = b'{"text": "It was \xef\xbf\xbd once."}\n{"text": "caf\xe9"}\n{"text": "caf\xc3\xa9"}\n'
    table = table_of(tmp_path, "rows.jsonl", lines)
    assert bad(table) == [(2, 2)] and table.row(1) == {"text": "It was \ufffd once."}
    odd = "text,label\nIt was \ufffd once.,a\nbroken,b\nwhole,c\n".encode("utf-16-le")
    odd = b"\xff\xfe" + odd.replace("broken".encode("utf-16-le"), b"\x00\xd8".ljust(12, b"."))
    table = table_of(tmp_path, "rows.csv", odd)
    assert bad(table) == [(3, 2)] and table.row(1)["text"] == "It was \ufffd once."


def test_a_list_of_words_beside_a_list_of_rows_is_no_row(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "pos"}, {"text": "b", "label": "neg"}]
    content = json.dumps({"version": "1", "labels": ["pos", "neg", "mixed"], "rows": rows})
    assert table_of(tmp_path, "rows.json", content).rows() == rows


def test_files_of_folders_with_the_names_of_splits_keep_their_split(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("export/train/rows.csv", "text,label\na,x\n")
        archive.writestr("export/test/rows.csv", "text,label\nb,y\n")
    assert [(row["text"], row["split"]) for row in read(path).rows()] == [("a", "train"), ("b", "test")]


def test_a_byte_order_mark_before_pasted_rows_is_no_part_of_the_first_name() -> None:
    assert read_text("\ufefftext,label\na,x\n").columns == ("text", "label")
    assert read_text('\ufeff[{"text": "a"}]').rows() == [{"text": "a"}]
