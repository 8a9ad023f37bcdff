"""A cell written anew by hand is a version: on the page, on the command line, and undone like every other."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.services.datasets import editing
from studio.ui.tabs.data import row_editor, rows
from studio.ui.tabs.data import tab as data_tab
from studio.ui.visitors.session import Sessions, Visit

EVIL = "</textarea><img src=x onerror=alert(1)>"
ROWS: list[dict[str, Any]] = [
    {"text": f"text number {n}", "label": "ab"[n % 2], "price": n + 0.5, "tags": ["x", n], "note": None}
    for n in range(30)
]


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[..., Visit]]:
    sessions = Sessions(tmp_path / "pages")
    yield lambda **event: sessions.visit({}, "page", event)
    sessions.root.close()


def brought(studio: Studio, count: int = 30) -> str:
    dataset = studio.datasets.add_text("\n".join(map(json.dumps, ROWS[:count]))).id
    studio.datasets.set_roles(dataset, "classification", {"text": "text", "label": "label"})
    return dataset


def test_an_edited_cell_makes_a_version_that_says_so_and_can_be_taken_back(studio: Studio) -> None:
    dataset = brought(studio)
    made = studio.editing.edit(dataset, 4, {"label": "c", "text": "another\ntext"})
    assert (made.version, made.rows, made.note) == (2, 30, "Row 4 edited: label and text.")
    assert studio.datasets.table(dataset).row(4) == {**ROWS[3], "label": "c", "text": "another\ntext"}
    assert (
        studio.datasets.spec(dataset).label_names == ("a", "b", "c")
        and studio.datasets.spec(dataset).roles["text"] == "text"
    )
    found = studio.versions.compare(dataset, 1, 2)
    assert (found.changed, found.rows[0].changed["label"]) == (1, ("b", "c"))
    studio.versions.restore(dataset, 1)
    assert studio.datasets.table(dataset).row(4) == ROWS[3]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [("price", "7", 7), ("price", "cheap", "cheap"), ("tags", '["y"]', ["y"]), ("note", "so", "so"), ("text", "", "")],
)
def test_a_cell_keeps_what_it_is(studio: Studio, column: str, text: str, value: Any) -> None:
    dataset = brought(studio)
    studio.editing.edit(dataset, 4, {column: text})
    assert studio.datasets.table(dataset).row(4) == {**ROWS[3], column: value}


def test_what_can_not_be_put_into_a_cell_is_refused_and_no_version_is_made(studio: Studio) -> None:
    dataset = brought(studio)
    for row, given, words in (
        (4, {"tags": "no list"}, "has a list"),
        (4, {"tags": '{"a": 1}'}, "has a list"),
        (4, {"lable": "c"}, "Did you mean label"),
        (31, {"label": "c"}, "There is no row 31"),
        (4, {"label": "b"}, "Nothing was changed"),
        (4, {"note": ""}, "Nothing was changed"),
        (4, {"text": "x" * (editing.LONGEST + 1)}, "is too long"),
    ):
        with pytest.raises(StudioError, match=words):
            studio.editing.edit(dataset, row, given)
    assert studio.datasets.get(dataset).version == 1


def test_of_edits_at_the_same_time_none_is_lost_without_a_word(studio: Studio) -> None:
    dataset = brought(studio)

    def edit(row: int) -> str:
        try:
            return studio.editing.edit(dataset, row, {"text": f"edited {row}"}).note
        except StudioError as error:
            return error.code

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(edit, range(1, 17)))
    made = [each.note for each in studio.versions.all(dataset)[1:]]
    assert sorted(made) == sorted(each for each in told if each != "wrong-state") and made
    edited = [row for row in range(1, 17) if studio.datasets.table(dataset).row(row)["text"] == f"edited {row}"]
    assert [f"Row {row} edited: text." for row in edited] == sorted(made, key=lambda note: int(note.split()[1]))


def test_a_version_that_is_not_the_current_one_is_not_continued(studio: Studio) -> None:
    dataset = brought(studio)
    first, rows_of_first = studio.datasets.get(dataset), studio.datasets.table(dataset)
    studio.editing.edit(dataset, 1, {"text": "edited"})
    with pytest.raises(StudioError, match="changed by someone else") as refused:
        studio.datasets.write(rows_of_first, first, "All rows read again.")
    assert refused.value.code == "wrong-state"
    assert [each.version for each in studio.versions.all(dataset)] == [1, 2]
    assert studio.datasets.table(dataset).row(1)["text"] == "edited"


def test_a_bad_line_that_was_written_anew_is_none_any_more(studio: Studio) -> None:
    lines = [*(f"text {n},a{n % 2}" for n in range(20)), 'broken,"']
    dataset = studio.datasets.add_text("text,label\n" + "\n".join(lines)).id
    assert studio.datasets.get(dataset).bad_line_count == 1 and studio.checks.check(dataset, "classification").blocked
    studio.editing.edit(dataset, 21, {"text": "whole again", "label": "a1"})
    report = studio.checks.check(dataset, "classification")
    assert (report.usable, report.blocked, studio.datasets.get(dataset).bad_line_count) == (21, "", 0)


def test_on_the_page_a_row_is_opened_and_a_cell_saved(visit: Callable[..., Visit]) -> None:
    made = visit()
    dataset = brought(made.studio)
    made.studio.editing.edit(dataset, 14, {"text": EVIL})
    made.choose(dataset=dataset, task="classification", model="", view="rows", page=13)
    assert 'aria-label="Edit row 14"' in str(rows.drawn(visit())[0])
    row_editor.open_row(visit(row=14))
    drawn = str(rows.drawn(visit())[0])
    assert "Row 14" in drawn and 'name="cell-0"' in drawn and "<img" not in drawn
    row_editor.save_cell(visit(row=14, column=1, **{"cell-1": "b2"}))
    record = made.studio.datasets.get(dataset)
    assert (record.version, record.note) == (3, "Row 14 edited: label.")
    drawn = str(rows.drawn(visit())[0])
    assert "Rows 13 to 24" in drawn and "Row 14" in drawn, "the row and the page stay open"
    with pytest.raises(StudioError, match="Nothing was changed"):
        row_editor.save_cell(visit(row=14, column=1, **{"cell-1": "b2"}))
    row_editor.save_cell(visit(row=14, column=99, **{"cell-99": "x"}))
    row_editor.close_row(visit())
    data_tab.go_back(visit(version=2))
    assert 'name="cell-0"' not in str(rows.drawn(visit())[0]) and made.studio.datasets.get(dataset).version == 2


@pytest.mark.slow
def test_another_process_edits_as_well(studio: Studio) -> None:
    dataset = brought(studio)
    assert studio.jobs.edit_row(dataset, 2, {"label": "a"}).note == "Row 2 edited: label."
    assert studio.datasets.rows(dataset, 2, 1).rows[0][1]["label"] == "a"


def test_the_command_line_edits_cells(call: Callable[..., tuple[int, Any, str]], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    call("data", "add", path)
    status, made, _ = call("data", "edit", "rows.jsonl", "4", "--set", "text=one = two", "--set", "label=c")
    assert (status, made["version"], made["note"]) == (0, 2, "Row 4 edited: text and label.")
    _, found, _ = call("data", "compare", "rows.jsonl", "1", "2")
    assert found["rows"][0]["changed"]["text"] == ["text number 3", "one = two"]
    assert call("data", "back", "rows.jsonl", "1")[1]["version"] == 1
    status, _, said = call("data", "edit", "rows.jsonl", "4", "--set", "text")
    assert status == 2 and "COLUMN=TEXT" in said
