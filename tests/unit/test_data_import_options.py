"""How files are read can be said; read another way they become a new version, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from studio.api import Studio
from studio.data.formats import read
from studio.schema.dataset import Reading
from studio.schema.errors import StudioError
from tests.workbooks import workbook

LINES = [f"The parcel number {n} came;{'late' if n % 2 else 'early'}" for n in range(20)]


def test_the_studio_says_how_it_read_a_file(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(("text;label\n" + "\n".join(LINES) + "\nCafé, très tard;late\n").encode("cp1252"))
    record = studio.datasets.add_file(path)
    assert record.found.chosen == {"delimiter": ";", "encoding": "cp1252", "header": True}
    assert record.asked.chosen == {} and record.files == ("rows.csv",)
    book = studio.datasets.add_file(
        workbook(tmp_path / "b.xlsx", Cover=[["x"]], One=[["a"], ["b"]], Two=[["a"], ["c"]])
    )
    assert book.found.sheet == "One" and book.sheets == ("One", "Two")
    (tmp_path / "page.md").write_text("# One\n\nText.\n\n# Two\n\nMore.\n")
    assert studio.datasets.add_file(tmp_path / "page.md").found.pieces == "heading"


def test_reading_another_way_makes_a_version_with_a_sentence_and_loses_nothing(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\n" + "\n".join(LINES))
    first = studio.datasets.add_file(path)
    path.unlink()
    second = studio.datasets.reread(first.id, header=False)
    assert second.version == 2 and second.rows == 21 and second.columns == ("column 1", "column 2")
    assert second.note.startswith("Read again: no column names in the first line.")
    third = studio.datasets.reread(first.id, delimiter=",")
    assert third.version == 3 and third.asked.chosen == {"delimiter": ",", "header": False}
    assert "delimiter comma and no column names in the first line" in third.note and len(third.columns) == 1
    assert studio.datasets.reread(first.id, delimiter=",").version == 3, "nothing new was asked for"
    assert (
        studio.datasets.get(first.id, 1).rows == 20
        and studio.datasets.rows(first.id, version=1).rows[0][1]["label"] == "early"
    )


def test_a_fixed_dataset_can_still_be_read_another_way(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\n" + "\n".join([*LINES, LINES[0]]))
    first = studio.datasets.add_file(path)
    fixed = studio.checks.fix(first.id, "duplicate")
    assert fixed.rows == 20 and fixed.found == first.found
    again = studio.datasets.reread(first.id, encoding="latin-1")
    assert again.version == 3 and again.rows == 21 and again.found.encoding == "iso8859-1"
    assert again.spec and again.spec.roles == {"text": "text", "label": "label"}


def test_several_files_and_pasted_rows_are_read_another_way_too(studio: Studio, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("text;label\n" + "\n".join(LINES))
    record = studio.datasets.add_files({f"{name}.csv": tmp_path / f"{name}.csv" for name in ("train", "test")})
    again = studio.datasets.reread(record.id, header=False)
    assert again.rows == 42 and again.split_column == "split"
    pasted = studio.datasets.add_text("a;b\n" + "\n".join(LINES))
    assert pasted.found.delimiter == ";"
    assert studio.datasets.reread(pasted.id, header=False).rows == 21


def test_rows_without_a_file_can_not_be_read_another_way(studio: Studio, tmp_path: Path) -> None:
    record = studio.datasets.add_text("text;label\n" + "\n".join(LINES))
    for path in (tmp_path / "home").rglob("original*"):
        path.unlink()
    with pytest.raises(StudioError) as caught:
        studio.datasets.reread(record.id, header=False)
    assert caught.value.code == "wrong-state" and "Import the file again" in caught.value.hint


def test_a_way_of_reading_that_does_not_exist_is_refused(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text;label\n" + "\n".join(LINES))
    record = studio.datasets.add_file(path)
    for field, value in (("delimiter", ";;"), ("encoding", "utf-9"), ("quote", "'")):
        with pytest.raises(StudioError) as caught:
            studio.datasets.reread(record.id, **{field: value})
        assert caught.value.field == field
    for how in ({"row_limit": -5}, {"header": "maybe"}):
        with pytest.raises(StudioError) as caught:
            studio.datasets.reread(record.id, **how)
        assert caught.value.code == "bad-setting" and caught.value.field == next(iter(how))
    assert studio.datasets.get(record.id).version == 1


@pytest.mark.parametrize("command", ["check", "preview", "estimate", "train", "predict", "evaluate"])
@pytest.mark.slow
def test_every_command_that_reads_data_takes_the_same_flags(command: str) -> None:
    import typer

    from studio.cli.app import build

    group: Any = typer.main.get_command(build())
    flags = {flag for each in group.commands[command].params for flag in (*each.opts, *each.secondary_opts)}
    assert {"--delimiter", "--encoding", "--header", "--no-header", "--sheet", "--split-text"} <= flags


def test_the_flags_of_the_command_line_say_how_a_file_is_read(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(line.replace(";", "\t") for line in LINES))
    status, report, _ = call("check", path, "--delimiter", "tab", "--no-header")
    assert status == 0 and report["rows"] == 20 and set(report["columns"]) == {"column 1", "column 2"}
    status, _, said = call("check", path, "--delimiter", "~~", "--no-header")
    assert status == 2 and "The delimiter is not a single character." in said
    text = tmp_path / "book.txt"
    text.write_text("\n".join(f"Line {n} of a book that says little." for n in range(30)))
    status, report, _ = call("check", text, "--split-text", "line", "--map", "text=prompt", "--task", "chat")
    assert status == 2  # no reply: nothing to learn for chat, but the lines were read
    studio = Studio(tmp_path / "home")
    assert [each.rows for each in studio.datasets.all() if each.name == "book.txt"] == [30]


@pytest.mark.slow
def test_a_workbook_with_several_sheets_asks_which(call: Callable[..., Any], tmp_path: Path) -> None:
    rows = [["text", "label"], *([line.split(";")[0], line.split(";")[1]] for line in LINES)]
    path = workbook(tmp_path / "b.xlsx", Cover=[["Hello"]], Orders=rows, Letters=rows[:15])
    status, _, said = call("check", path)
    assert status == 2 and "Orders, Letters" in said and "--sheet" in said and "Cover" not in said
    with pytest.raises(StudioError) as caught:
        read(path, how=Reading(ask=True))
    assert (caught.value.code, caught.value.valid) == ("sheet-unclear", ["Orders", "Letters"])
    with pytest.raises(StudioError) as caught:
        Studio(tmp_path / "home").datasets.open(str(path), ask=True)
    assert caught.value.code == "sheet-unclear" and caught.value.field == "sheet"
    status, report, _ = call("check", path, "--sheet", "Letters")
    assert status == 0 and report["rows"] == 14
    status, report, _ = call("check", workbook(tmp_path / "one.xlsx", Cover=[["Hello"]], Orders=rows))
    assert status == 0 and report["rows"] == 20, "with one sheet of rows there is nothing to ask"


def test_a_folder_and_a_zip_are_read_whole_and_their_parts_kept(call: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / "more").mkdir(parents=True)
    for name in ("train-1.csv", "more/train-2.csv", "validation.csv", "test.csv"):
        (folder / name).write_text("text;label\n" + "\n".join(f"{name} {line}" for line in LINES))
    (folder / "README.md").write_text("# About\n\nRows.\n")
    (folder / ".hidden.csv").write_text("text;label\nx;y\n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    with ZipFile(tmp_path / "shop.zip", "w") as archive:
        for path in folder.rglob("*.csv"):
            archive.write(path, path.relative_to(folder))
    for data in (folder, tmp_path / "shop.zip"):
        status, report, _ = call("check", data)
        assert status == 0 and report["rows"] == 80 and report["columns"]["split"] is None
    studio = Studio(tmp_path / "home")
    zipped, joined = sorted(studio.datasets.all(), key=lambda each: each.name, reverse=True)
    assert joined.name == "shop" and joined.split_column == zipped.split_column == "split"
    assert "picture.png" in joined.note and "README.md" in joined.note and ".hidden" not in joined.note
    assert studio.datasets.splits(joined.id).model_dump(include={"train", "validation", "test"}) == {
        "train": 40,
        "validation": 20,
        "test": 20,
    }


def test_a_folder_without_a_readable_file_is_refused_with_what_it_holds(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "cat.png").write_bytes(b"\x89PNG")
    status, _, said = call("check", tmp_path / "pictures")
    assert status == 2 and "cat.png" in said and "no file that the studio can read" in said
    for name in range(9):
        (tmp_path / "pictures" / f"{name}.png").write_bytes(b"\x89PNG")
    (tmp_path / "pictures" / "names.csv").write_text("text;label\n" + "\n".join(LINES))
    status, _, said = call("check", tmp_path / "pictures")
    assert status == 2 and "1 of 11 files" in said, "a folder of other things is no dataset"


def test_what_a_killed_process_left_half_written_is_removed_a_day_later(studio: Studio, tmp_path: Path) -> None:
    import os
    import time

    root = studio.context.workspace.datasets.root
    kept = studio.datasets.add_text("text;label\n" + "\n".join(LINES))
    for dataset, age in (("data-old", 90_000), (kept.id, 90_000), ("data-new", 60)):
        folder = root / dataset / ".v9.new"
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"half")
        os.utime(folder, (time.time() - age,) * 2)
    studio.datasets.add_text("text;label\n" + "\n".join(LINES))
    assert not (root / "data-old").exists() and not (root / kept.id / ".v9.new").exists()
    assert (root / "data-new" / ".v9.new").exists() and studio.datasets.rows(kept.id).total == 20


def test_the_cache_of_a_deleted_dataset_is_removed_a_day_later(studio: Studio) -> None:
    """Suggestions that were being computed when it was deleted create its folder again."""
    import os
    import time

    store = studio.context.workspace.datasets
    kept = studio.datasets.add_text("text;label\n" + "\n".join(LINES)).id
    for dataset, age in (("data-old", 90_000), (kept, 90_000), ("data-new", 60)):
        store.labelling_folder(dataset).mkdir(parents=True)
        os.utime(store.root / dataset, (time.time() - age,) * 2)
    store.sweep()
    assert [store.labelling_folder(each).exists() for each in ("data-old", kept, "data-new")] == [False, True, True]
