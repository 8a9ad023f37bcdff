"""Files as people really have them: broken, packed, huge or hostile; named by line or cell, and nothing is lost."""

import csv
import json
import struct
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from studio.data.formats import FORMATS, Reading, delimited, encoding, read, read_many, read_text, sandboxed_reader
from studio.data.formats.archive import members_of
from studio.data.roles import infer
from studio.data.table import Table
from studio.schema.errors import StudioError
from studio.tasks import TASKS
from tests.workbooks import workbook


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table_of(tmp_path: Path, name: str, content: str | bytes, **how: Any) -> Table:
    return read(written(tmp_path, name, content), how=Reading(**how))


def refused(path: Path, **how: Any) -> StudioError:
    with pytest.raises(StudioError) as caught:
        read(path, how=Reading(**how))
    return caught.value


def bad(table: Table) -> list[tuple[int, int]]:
    return [(each.line, each.row) for each in table.bad_lines]


def zipped(tmp_path: Path, files: dict[str, str | bytes], name: str = "rows.zip") -> Path:
    with ZipFile(tmp_path / name, "w", ZIP_DEFLATED) as archive:
        for given, content in files.items():
            archive.writestr(given, content)
    return tmp_path / name


# --- lines ---


def test_a_line_without_an_end_is_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "LONGEST_LINE", 100_000)
    rows = "".join(f"row {number},a\n" for number in range(20))
    endless = "x" * 3_000_000
    table = table_of(tmp_path, "rows.csv", f"text,label\n{rows}{endless},b\nlast,a\n")
    assert bad(table) == [(22, 21)] and "longer than 100,000 characters" in table.bad_lines[0].why
    assert len(table) == 22 and table.row(22) == {"text": "last", "label": "a"}
    lines = [json.dumps({"text": f"row {number}"}) for number in range(20)]
    lines[7] = json.dumps({"text": endless})
    table = table_of(tmp_path, "rows.jsonl", "\n".join(lines))
    assert bad(table) == [(8, 8)] and table.row(9) == {"text": "row 8"}
    at_the_end = table_of(tmp_path, "end.jsonl", "\n".join([*lines[:3], lines[7]]))
    assert bad(at_the_end) == [(4, 4)]


def test_a_line_without_an_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(encoding, "LONGEST_LINE", 100_000)
    path = written(tmp_path, "rows.csv", "text,label\na,b\n" + "x" * 40_000_000 + "\nc,d\n")
    tracemalloc.start()
    table = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bad(table) == [(3, 2)] and peak < 12_000_000


@given(some.lists(some.text(alphabet='ab," \0', max_size=6).map(lambda line: line + "\n"), max_size=12))
def test_lines_parsed_together_give_what_they_give_one_by_one(lines: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "AT_ONCE", 3)
        together = list(delimited.records(iter(lines), ",", 5, has_undecodable=False))
    assert together == list(delimited._one_by_one(iter(lines), ",", 5, has_undecodable=False))


def test_a_bad_line_far_down_is_named_and_what_stands_below_it_is_read(tmp_path: Path) -> None:
    plain = "".join(f"question {n},answer {n}\n" for n in range(2_500))
    table = table_of(
        tmp_path, "rows.csv", f'ask,reply\n{plain}"two\nlines",yes\na"b,broken "x" y\n"c"d,broken\n{plain}'
    )
    assert bad(table) == [(2505, 2503)]
    assert len(table) == 2 * 2_500 + 3 and table.row(2501)["ask"] == "two\nlines"


def test_two_encodings_in_one_file_cost_the_lines_of_the_rarer_one(tmp_path: Path) -> None:
    lines = [f"Größe {number},ja".encode() for number in range(20)]
    lines[4], lines[9] = "Größe,nein".encode("cp1252"), "Größe,nein".encode("utf-16-le")
    table = table_of(tmp_path, "rows.csv", b"text,label\n" + b"\n".join(lines))
    assert [line for line, _ in bad(table)] == [6, 11] and table.row(4)["text"] == "Größe 3"


def test_an_encoding_can_be_chosen_and_one_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "text,label\nçédille,a\n".encode("cp850"))
    assert read(path, how=Reading(encoding="cp850")).row(1)["text"] == "çédille"
    for name in ("utf-9", "rot13", ""):
        if name:
            assert refused(path, encoding=name).field == "encoding"


def test_a_delimiter_can_be_chosen(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.csv", "text~label\na,b;c~x\n", delimiter="~")
    assert table.rows() == [{"text": "a,b;c", "label": "x"}]
    assert refused(tmp_path / "rows.csv", delimiter="~~").field == "delimiter"


def test_a_trailing_comma_in_jsonl_is_named_by_its_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, "rows.jsonl", '{"a": 1},\n{"a": 2,}\n{"a": 3}\n')
    assert bad(table) == [(1, 1), (2, 2)] and "character 9" in table.bad_lines[0].why


def test_a_file_without_column_names_keeps_its_first_row(tmp_path: Path) -> None:
    lines = "\n".join(
        f"The parcel number {number} came late,{'bad' if number % 3 else 'good'}" for number in range(1, 30)
    )
    table = table_of(tmp_path, "rows.csv", lines)
    assert table.columns == ("column 1", "column 2") and len(table) == 29
    assert "column 1" in table.notes[0]
    assert infer(table, TASKS.values()).matched.roles == {"column 1": "text", "column 2": "label"}
    named = table_of(tmp_path, "named.csv", f"text,label\n{lines}")
    assert named.columns == ("text", "label") and len(named) == 29 and not named.notes
    assert read(tmp_path / "rows.csv", how=Reading(header=True)).columns[1] == "bad"
    assert len(read(tmp_path / "named.csv", how=Reading(header=False))) == 30


def test_long_questions_of_a_survey_are_names_and_so_is_a_word_that_comes_back(tmp_path: Path) -> None:
    asked = "How satisfied are you with the way in which our people on the telephone answered your questions last time?"
    survey = table_of(tmp_path, "survey.csv", f'time,"{asked}"\n' + "2024-01-02,very satisfied with it\n" * 20)
    assert survey.columns == ("time", asked)
    same = table_of(tmp_path, "same.csv", "question,answer\n" + "".join(f"question {n},answer\n" for n in range(20)))
    assert same.columns == ("question", "answer")
    long = "a sentence that goes on for a while until it is longer than any name of a column could ever be"
    pairs = table_of(tmp_path, "pairs.csv", "".join(f"who asked question {n},{long} {n}\n" for n in range(20)))
    assert pairs.columns == ("column 1", "column 2") and len(pairs) == 20


@pytest.mark.slow
def test_five_thousand_columns_are_read_and_kept(tmp_path: Path) -> None:
    from studio.data.parquet_store import open_parquet, write_parquet

    names = ",".join(["text", "label", *(f"feature {number}" for number in range(4_998))])
    rows = "\n".join(",".join([f"text {row}", "ab"[row % 2], *["0"] * 4_998]) for row in range(20))
    table = table_of(tmp_path, "wide.csv", f"{names}\n{rows}\n")
    assert len(table.columns) == 5_000
    assert infer(table, TASKS.values()).matched.roles == {"text": "text", "label": "label"}
    write_parquet(table, tmp_path / "kept.parquet")
    assert open_parquet(tmp_path / "kept.parquet").row(20) == table.row(20)


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "txt", "xlsx"])
def test_right_to_left_text_and_pictures_come_through_whole(tmp_path: Path, ending: str) -> None:
    texts = [
        "مرحبا بالعالم، كيف الحال؟",
        "שלום עולם",
        "👩‍👩‍👧‍👦 family 👍🏽",
        "e\u0301 is é",
        "<script>alert('hi')</script>",
        "\u202eevil",
    ]
    if ending == "xlsx":
        table = read(workbook(tmp_path / "rows.xlsx", Data=[["text"], *([text] for text in texts)]))
    else:
        separator = {"csv": ",", "tsv": "\t"}.get(ending, "")
        content = {
            "json": json.dumps([{"text": text} for text in texts], ensure_ascii=False),
            "jsonl": "\n".join(json.dumps({"text": text}) for text in texts),
            "txt": "\n".join(texts),
        }.get(ending) or "\n".join([f"text{separator}n", *(f'"{text}"{separator}1' for text in texts)])
        table = table_of(tmp_path, f"rows.{ending}", content, **({"pieces": "line"} if ending == "txt" else {}))
    assert [row["text"] for row in table.rows()] == texts


# --- JSON ---


def test_lists_of_pairs_by_part_keep_their_parts(tmp_path: Path) -> None:
    parts = {
        name: [[f"{name} text {number}", f"label {number % 3}"] for number in range(count)]
        for name, count in (("train", 12), ("val", 6), ("oos_test", 6))
    }
    table = table_of(tmp_path, "clinc.json", json.dumps(parts))
    assert table.columns == ("text", "label", "split") and len(table) == 24
    assert [row["split"] for row in table.rows()[10:20:3]] == ["train", "val", "val", "test"]
    said = infer(table, TASKS.values())
    assert (said.task.name, said.matched.roles) == ("classification", {"text": "text", "label": "label"})


def test_a_list_of_lists_is_read_with_the_label_told(tmp_path: Path) -> None:
    pairs = [[["yes", "no"][number % 2], f"text {number}"] for number in range(12)] + [["odd"]]
    table = table_of(tmp_path, "rows.json", json.dumps(pairs[:-1]))
    assert table.columns == ("label", "text") and len(table) == 12


def test_questions_about_passages_become_rows(tmp_path: Path) -> None:
    answers = [{"text": "in 1889", "answer_start": 14}, {"text": "1889", "answer_start": 17}]
    asked = [
        {"id": "q1", "question": "When?", "answers": answers},
        {"id": "q2", "question": "Who?", "answers": [], "is_impossible": True},
    ]
    article = {"title": "Tower", "paragraphs": [{"context": "It was built in 1889.", "qas": asked}]}
    table = table_of(tmp_path, "squad.json", json.dumps({"version": "2.0", "data": [article]}))
    first, second = table.rows()
    assert first == {
        "id": "q1",
        "title": "Tower",
        "context": "It was built in 1889.",
        "question": "When?",
        "answer": "in 1889",
        "answers": {"text": ["in 1889", "1889"], "answer_start": [14, 17]},
    }
    assert second["answer"] is None and second["answers"] == {"text": [], "answer_start": []}


# --- text ---


def test_markdown_is_cut_at_its_headings_and_not_within_code(tmp_path: Path) -> None:
    text = "Before.\n\n# One\n\nA.\n\n```sh\n# no heading\n```\n\n## Two\n\nB.\n"
    table = table_of(tmp_path, "page.md", text)
    assert [row["text"] for row in table.rows()] == [
        "Before.",
        "# One\n\nA.\n\n```sh\n# no heading\n```",
        "## Two\n\nB.",
    ]
    assert table.notes == ("Each row is a section.",)
    assert table_of(tmp_path, "page.md", text, pieces="document").rows() == [{"text": text.strip()}]


def test_a_text_is_cut_between_sentences_and_nothing_is_lost(tmp_path: Path) -> None:
    text = "\n".join(f"This is sentence {number}, and it says little. It ends here!" for number in range(200))
    table = table_of(tmp_path, "book.txt", text)
    pieces = [row["text"] for row in table.rows()]
    assert len(pieces) > 4 and all(len(piece) <= 2_000 and piece[-1] in ".!" for piece in pieces)
    assert " ".join(" ".join(pieces).split()) == " ".join(text.split())
    long_word = table_of(tmp_path, "word.txt", "x" * 9_000 + " end")
    assert "".join(row["text"] for row in long_word.rows()).replace(" ", "") == "x" * 9_000 + "end"


def test_a_text_of_one_article_a_line_is_cut_at_its_line_ends(tmp_path: Path) -> None:
    articles = [f"Article {number}. " + "It goes on and on. " * 30 for number in range(10)]
    table = table_of(tmp_path, "wiki.txt", "\n".join(articles))
    assert [row["text"] for row in table.rows()] == [article.strip() for article in articles]
    assert refused(tmp_path / "wiki.txt", pieces="chapter").field == "pieces"


def test_a_broken_byte_in_a_text_is_named_by_its_line(tmp_path: Path) -> None:
    table = table_of(
        tmp_path, "rows.txt", "été\nnoël\n".encode() + b"bro\xffken\n" + "à la carte\n".encode(), pieces="line"
    )
    assert bad(table) == [(3, 3)] and len(table) == 4


# --- several files, zips ---

CSV_ONE, CSV_TWO = "text,label\na,x\nb,y\n", "label,text,more\nz,c,1\n"


def test_files_are_joined_by_column_and_say_where_a_row_is_from(tmp_path: Path) -> None:
    one, two = written(tmp_path, "one.csv", CSV_ONE), written(tmp_path, "two.csv", CSV_TWO + "bad\n")
    table = read_many({"one.csv": one, "two.csv": two}, name="2 files")
    assert table.columns == ("text", "label", "file", "more")
    assert table.rows()[2] == {"text": "c", "label": "z", "file": "two.csv", "more": "1"}
    assert bad(table) == [(3, 4)] and "In two.csv" in table.bad_lines[0].why
    assert "one.csv (2 rows) and two.csv (2 rows)" in table.notes[0]
    assert read_many({"one.csv": one}, name="1 file").columns == ("text", "label")


def test_files_named_by_their_part_become_the_parts(tmp_path: Path) -> None:
    files = {"train-0001.csv": CSV_ONE, "validation.csv": CSV_TWO, "README.md": "# About\n\ntext\n"}
    table = read(zipped(tmp_path, files))
    assert [row["split"] for row in table.rows()] == ["train", "train", "validation"]
    assert table.format == "zip" and any("README.md" in note for note in table.notes)


def test_a_zip_of_texts_is_a_row_or_more_for_each(tmp_path: Path) -> None:
    files = {f"notes/{number}.txt": f"Note {number}. It is short." for number in range(9)}
    table = read(zipped(tmp_path, {**files, "__MACOSX/._1.txt": "junk", ".hidden.txt": "junk", "empty.txt": ""}))
    assert len(table) == 9 and table.row(3) == {"text": "Note 2. It is short.", "file": "notes/2.txt"}


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:evil.csv"])
def test_a_zip_that_leads_out_of_itself_is_refused_whole(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    error = refused(zipped(inside, {"fine.csv": CSV_ONE, name: CSV_ONE}))
    assert error.code == "unreadable-file" and "points outside" in error.what
    assert [each.name for each in tmp_path.rglob("*.csv")] == []


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    error = refused(zipped(tmp_path, {"rows.csv": b"0" * (60 << 20)}))
    assert error.code == "too-large" and "63 MB" in error.what


def test_a_zip_that_lies_about_its_sizes_is_stopped(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"rows.csv": "text,label\n" + "a,b\n" * 100_000})
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(bytes(content))
    assert members_of(path, "rows.zip", "zip archive", "")[0].file_size == 100
    assert refused(path).code in ("unreadable-file", "too-large")


def test_zips_that_are_broken_empty_or_hold_nothing_readable_are_refused(tmp_path: Path) -> None:
    assert refused(written(tmp_path, "broken.zip", b"PK\x03\x04 and then nothing")).code == "unreadable-file"
    error = refused(zipped(tmp_path, {"picture.png": b"x", "inner.zip": b"x"}, "none.zip"))
    assert error.code == "unknown-format" and "picture.png" in str(error.given)


@pytest.mark.slow
def test_what_needs_more_memory_than_it_may_ends_its_own_process_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    rows = "text,label\n" + "".join(f"text number {number} {'x' * 400},a\n" for number in range(100_000))
    path = zipped(tmp_path, {"rows.csv": rows})
    assert len(read(path)) == 100_000
    monkeypatch.setattr(sandboxed_reader, "MEMORY", 60 << 20)
    with pytest.raises(StudioError) as caught:
        sandboxed_reader.read_sandboxed(FORMATS["zip"], path, "rows.zip", Reading())
    assert caught.value.code == "too-large" and "rows.zip" in caught.value.what
    assert list((tmp_path / "temporary").iterdir()) == []


# --- workbooks and Parquet ---


def test_a_sheet_can_be_chosen_and_one_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", First=[["text"], ["a"]], Second=[["text"], ["b"]])
    assert read(path).rows() == [{"text": "a"}] and "Second" in read(path).notes[0]
    assert read(path, how=Reading(sheet="Second")).rows() == [{"text": "b"}]
    error = refused(path, sheet="Secund")
    assert error.field == "sheet" and error.valid == ["First", "Second"] and "Second" in error.hint


def test_dates_numbers_and_booleans_of_a_workbook_come_as_what_they_are(tmp_path: Path) -> None:
    rows = [
        ["day", "moment", "whole", "part", "yes", "none"],
        [date(2024, 1, 2), datetime(2024, 1, 2, 3, 4), 2.0, 2.5, True, None],
    ]
    table = read(workbook(tmp_path / "rows.xlsx", Data=rows))
    assert list(table.row(1).values()) == ["2024-01-02", "2024-01-02T03:04:00", 2, 2.5, True, None]


def test_a_bomb_in_the_xml_of_a_workbook_does_no_harm(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    cell = '<row><c t="str"><v>&l11;</v></c></row>'
    sheet = f"<!DOCTYPE x [<!ENTITY l0 'ha'>{laughs}]><worksheet><sheetData>{cell}</sheetData></worksheet>"
    path = workbook(tmp_path / "rows.xlsx", Data=[["text"], ["a"]])
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    bomb = zipped(tmp_path, {**parts, "xl/worksheets/sheet1.xml": sheet.encode()}, "bomb.xlsx")
    assert refused(bomb).code in ("unreadable-file", "empty-data", "too-large")


@pytest.mark.slow
@pytest.mark.parametrize("large", ["bytes", "rows"])
def test_parquet_that_would_grow_beyond_measure_is_refused_by_what_it_says_of_itself(
    tmp_path: Path, large: str
) -> None:
    import time

    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    if large == "bytes":
        same = pyarrow.table({"text": ["0" * 1_000] * 60_000})
        pyarrow.parquet.write_table(same, path, compression="zstd", use_dictionary=False)
    else:
        part = pyarrow.table({f"c{n}": pyarrow.nulls(1_000_000) for n in range(350)})
        with pyarrow.parquet.ParquetWriter(path, part.schema) as writer:
            for _ in range(3):
                writer.write_table(part)
    assert path.stat().st_size < 2 << 20
    begun = time.monotonic()
    error = refused(path)
    assert error.code == "too-large" and "row groups" in error.hint and time.monotonic() - begun < 5


def test_nested_lists_of_parquet_come_back_nested(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    nested = [[[1, 2], [3]], [], None]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b", "c"], "lists": nested}), tmp_path / "rows.parquet")
    assert [row["lists"] for row in read(tmp_path / "rows.parquet").rows()] == nested


# --- labels ---


def test_labels_as_floats_booleans_and_nulls_are_names_or_missing() -> None:
    from studio.data.checks import check
    from studio.tasks import task_named

    values = [1.0, 1, "1", True, "true", False, None, float("nan"), "", 0.0, 2.5, 2.5]
    rows = "\n".join(json.dumps({"text": f"text {n}", "label": value}) for n, value in enumerate(values))
    report = check(read_text(rows), task_named("classification"), {"text": "text", "label": "label"})
    assert report.labels == {"0": 1, "1": 3, "2.5": 2, "false": 1, "true": 2}
    assert next(each for each in report.problems if each.kind == "empty").rows == (7, 8, 9)


# --- on the way out ---


def test_formulas_are_neutral_in_a_spreadsheet_and_untouched_in_json_lines(tmp_path: Path) -> None:
    from studio.data.row_files import write_rows

    cells = ["=1+1", "+49 170", "-5", "@sum", "\t=1", "plain", "3 - 2", "", None, 7]
    rows = [{"text": cell} for cell in cells]
    table = read_text("\n".join(json.dumps(row) for row in rows))
    write_rows(table, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        shown = [row[0] if row else "" for row in csv.reader(file)][1:]
    assert shown == ["'=1+1", "'+49 170", "-5", "'@sum", "'\t=1", "plain", "3 - 2", "", "", "7"]
    write_rows(table, tmp_path / "out.jsonl")
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows


# --- any rows at all ---

CELLS = some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
ROWS = some.lists(some.tuples(CELLS, CELLS), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, kind=some.sampled_from(["csv", "tsv", "json", "jsonl", "parquet"]))
def test_whatever_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: Any, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    objects = [{"first name": f"a{one}", "other": f"b{other}"} for one, other in rows]
    path = tmp_path_factory.mktemp("any") / f"rows.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(objects), path)
    elif kind in ("json", "jsonl"):
        lines = [json.dumps(each, ensure_ascii=False) for each in objects]
        path.write_text("\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]", encoding="utf-8", newline="")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t", quoting=csv.QUOTE_ALL)
            writer.writerows([("first name", "other"), *(tuple(each.values()) for each in objects)])
    assert read(path, how=Reading(header=True)).rows() == objects


# --- through the door ---


def test_several_files_and_a_chosen_sheet_come_in_through_the_studio(tmp_path: Path) -> None:
    from studio.api import Studio

    studio = Studio(tmp_path / "home")
    one, two = written(tmp_path, "train.csv", CSV_ONE), written(tmp_path, "test.csv", CSV_TWO)
    record = studio.datasets.add_files({"train.csv": one, "test.csv": two})
    assert (record.name, record.rows, record.split_column, record.format) == ("2 files", 3, "split", "files")
    kept = {each.name: each.read_text() for each in (tmp_path / "home").rglob("original*")}
    assert kept == {"original-1.csv": CSV_ONE, "original-2.csv": CSV_TWO} and record.bytes == len(CSV_ONE + CSV_TWO)
    path = workbook(tmp_path / "rows.xlsx", First=[["text"], ["a"]], Second=[["text"], ["b"]])
    assert studio.datasets.rows(studio.datasets.add_file(path, sheet="Second").id).rows[0][1] == {"text": "b"}
    assert studio.datasets.add_file(zipped(tmp_path, {"one.csv": CSV_ONE})).rows == 2
