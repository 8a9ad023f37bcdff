"""Workbooks of several sheets among other files or in a zip: which sheet is meant is asked, and one is read of each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from studio.api import Studio
from studio.data.formats import Reading, read
from studio.schema.errors import StudioError
from studio.ui.components.import_preview import which_sheet
from studio.ui.tabs.data import import_data, rows
from studio.ui.visitors.session import Sessions


def book(path: Path, **sheets: str) -> Path:
    import openpyxl

    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, word in sheets.items():
        sheet = made.create_sheet(title)
        for line in [("question", "answer"), *((f"{word} {n}?", f"It is {word} {n}.") for n in range(10))]:
            sheet.append(line)
    made.save(path)
    return path


def files(folder: Path) -> dict[str, Path]:
    table = folder / "more.csv"
    table.write_text("question,answer\n" + "\n".join(f"plain {n}?,It is plain {n}." for n in range(10)))
    return {
        "one.xlsx": book(folder / "one.xlsx", Orders="order", Letters="letter"),
        "two.xlsx": book(folder / "two.xlsx", Only="only"),
        "more.csv": table,
    }


def zipped(folder: Path) -> Path:
    with ZipFile(folder / "all.zip", "w") as archive:
        for name, path in files(folder).items():
            archive.write(path, name)
    return folder / "all.zip"


@pytest.mark.parametrize("packed", [False, True], ids=["files", "zip"])
@pytest.mark.slow
def test_which_sheet_of_the_workbooks_among_files_is_asked_and_can_be_chosen(tmp_path: Path, packed: bool) -> None:
    sessions = Sessions(tmp_path / "home")
    visit = sessions.visit({}, "page", {})
    studio = visit.studio
    record = studio.datasets.add_file(zipped(tmp_path)) if packed else studio.datasets.add_files(files(tmp_path))
    assert record.sheets == ("Orders", "Letters") and record.rows == 30
    visit.choose(dataset=record.id, task="chat", model="", view="rows")
    drawn = str(rows.drawn(visit)[0])
    assert "several sheets with rows. The first sheet of each is shown" in drawn and "Read the sheet Letters" in drawn
    import_data.reread(sessions.visit({}, "page", {"name": "sheet", "value": "Letters"}))
    made = studio.datasets.get(record.id)
    asked = [row["question"] for _, row in studio.datasets.rows(made.id, 1, 30).rows]
    assert (made.version, made.rows, sum(text.startswith("letter") for text in asked)) == (2, 30, 10)
    assert not any(text.startswith("order") for text in asked), "the sheet that was shown first"
    assert "No sheet Letters in two.xlsx" in made.note and which_sheet(made) == ""
    with pytest.raises(StudioError) as caught:
        studio.datasets.reread(record.id, sheet="Leters")
    assert caught.value.field == "sheet" and studio.datasets.get(record.id).version == 2
    sessions.root.close()


@pytest.mark.slow
def test_the_command_line_asks_which_sheet_of_a_workbook_in_a_zip_is_meant(
    call: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    path = zipped(tmp_path)
    status, _, said = call("check", path)
    assert status == 2 and "one.xlsx has 2 sheets" in said and "Orders, Letters" in said and "--sheet" in said
    status, report, _ = call("check", path, "--sheet", "Letters")
    assert status == 0 and report["rows"] == 30


@pytest.mark.slow
def test_a_zip_of_one_workbook_is_asked_about_as_the_workbook_is(studio: Studio, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.write(book(tmp_path / "book.xlsx", Orders="order", Letters="letter"), "book.xlsx")
    assert read(tmp_path / "one.zip").sheets == ("Orders", "Letters")
    assert len(read(tmp_path / "one.zip", how=Reading(sheet="Letters"))) == 10
    assert "Which one do you want?" in str(which_sheet(studio.datasets.add_file(tmp_path / "one.zip")))


def lines(path: Path, *rows: list[Any]) -> Path:
    import openpyxl

    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    made.save(path)
    return path


def test_a_title_above_the_names_of_the_columns_costs_no_column(tmp_path: Path) -> None:
    rows = [[f"the lamp came on day {n}", "good" if n % 2 else "bad"] for n in range(8)]
    table = read(lines(tmp_path / "title.xlsx", ["Feedback 2024"], [], ["text", "label"], *rows))
    assert table.columns == ("text", "label") and len(table) == 8
    assert table.notes == ("The first line is a title, not a row: Feedback 2024.",)


def test_cells_beside_the_named_columns_are_kept_and_named(tmp_path: Path) -> None:
    rows = [[f"the lamp came on day {n}", "good", None, f"note {n}"] for n in range(8)]
    table = read(lines(tmp_path / "more.xlsx", ["text", "label"], *rows))
    assert table.columns == ("text", "label", "column 3") and table.row(8)["column 3"] == "note 7"
    assert table.notes == ("Column 3 has no name. It is now called column 3.",)


def test_a_single_column_with_a_remark_beside_it_has_no_title(tmp_path: Path) -> None:
    rows = [[f"the lamp came on day {n}"] for n in range(8)]
    table = read(lines(tmp_path / "one.xlsx", ["text"], [*rows[0], "look at this"], *rows[1:]))
    assert len(table) == 8 and table.columns[0] == "text"
