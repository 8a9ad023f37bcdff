"""Two versions side by side: what was added, removed and changed, on the command line too; and the way back."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from studio.api import Studio
from studio.cli.main import run
from studio.data.formats import read_text
from studio.data.table import Table, changed
from studio.data.table_diff import changed_cells, compare, kind_of
from studio.schema.errors import StudioError
from studio.schema.views import Page


def table_of(rows: list[dict[str, Any]]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


ROWS = [{"text": f"text {n}", "label": "ab"[n % 2], "n": n} for n in range(1, 41)]


def differences(before: Table, after: Table) -> list[tuple[str, int, int]]:
    return [(kind_of(*pair), *pair) for pair in compare(before, after).pairs()]


def test_rows_that_were_removed_and_cells_that_were_set_are_found_where_they_are() -> None:
    before = table_of(ROWS)
    after = changed(before, remove=[3, 17], values={10: {"text": "other words"}, 30: {"label": "c", "n": 0}})
    assert differences(before, after) == [
        ("removed", 3, 0),
        ("changed", 10, 9),
        ("removed", 17, 0),
        ("changed", 30, 28),
    ]
    assert compare(before, after).same == 36
    assert changed_cells(before.row(30), after.row(28)) == {"label": ("a", "c"), "n": (30, 0)}


def test_rows_beside_each_other_are_paired_with_the_one_they_are_like() -> None:
    after = [*ROWS[:4], {**ROWS[5], "label": "z"}, *ROWS[6:]]
    assert differences(table_of(ROWS), table_of(after)) == [("removed", 5, 0), ("changed", 6, 5)]
    added = [*ROWS[:10], {"text": "a new one", "label": "new", "n": 99}, *ROWS[10:]]
    assert differences(table_of(ROWS), table_of(added)) == [("added", 0, 11)]


def test_the_later_of_two_equal_rows_is_the_one_that_is_gone() -> None:
    twice = [*ROWS[:8], ROWS[1], *ROWS[8:]]
    assert differences(table_of(twice), table_of(ROWS)) == [("removed", 9, 0)]


def test_a_new_column_changes_only_the_rows_that_have_something_in_it() -> None:
    plain = table_of([{"text": row["text"]} for row in ROWS])
    labelled = changed(plain, values={4: {"label": "a"}, 9: {"label": "b"}}, remove=[1])
    found = compare(plain, labelled)
    assert found.columns_added == ("label",) and found.same == 37
    assert differences(plain, labelled) == [("removed", 1, 0), ("changed", 4, 3), ("changed", 9, 8)]
    every = changed(plain, values={n: {"label": "a"} for n in range(1, 41)})
    assert compare(plain, every).count("changed") == 40


def test_tables_without_a_common_column_share_no_row_and_moved_rows_are_the_same() -> None:
    found = compare(table_of([{"a": 1}, {"a": 2}]), table_of([{"b": 1}]))
    assert (found.count("removed"), found.count("added"), found.same) == (2, 1, 0)
    assert differences(table_of(ROWS), table_of(Random(1).sample(ROWS, 40))) == []


def test_nothing_is_nothing_however_it_is_written_and_lists_are_compared_by_what_they_hold() -> None:
    turns = [{"role": "user", "content": "hi"}]
    one = table_of([{"a": "", "m": turns}, {"a": None, "m": turns}, {"a": "x", "m": turns}])
    else_ = [{**turns[0], "content": "ho"}]
    other = table_of([{"a": None, "m": turns}, {"a": " ", "m": turns}, {"a": "x", "m": else_}])
    assert differences(one, other) == [("changed", 3, 3)]


EDITS = some.lists(some.tuples(some.sampled_from(["drop", "set", "add"]), some.integers(1, 40)), max_size=12)


@settings(max_examples=80, deadline=None)
@given(edits=EDITS)
def test_before_and_what_differs_give_after(edits: list[tuple[str, int]]) -> None:
    gone = {at for what, at in edits if what == "drop"}
    cells = {at: {"text": f"set {at}"} for what, at in edits if what == "set" and at not in gone}
    new = [{"text": f"new {i}", "label": "n", "n": 100 + i} for i, (what, _) in enumerate(edits) if what == "add"]
    before = table_of(ROWS)
    after = table_of([*changed(before, remove=gone, values=cells).rows(), *new])
    found = compare(before, after)
    rows = {("before", n): before.row(n) for n, _ in found.pairs() if n}
    rows |= {("after", n): after.row(n) for _, n in found.pairs() if n}
    removed = [rows["before", one] for one, other in found.pairs() if not other]
    added = [rows["after", other] for one, other in found.pairs() if not one]
    swapped = [(rows["before", one], rows["after", other]) for one, other in found.pairs("changed")]
    left = [row for row in before.rows() if row not in removed and row not in [one for one, _ in swapped]]
    made = [*left, *added, *(other for _, other in swapped)]
    key = json.dumps
    assert sorted(map(key, made)) == sorted(map(key, after.rows()))
    assert len(removed) + len(swapped) + len(added) <= len(gone) + len(cells) + len(new)


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_compared_in_seconds() -> None:
    before = table_of([{"text": f"row number {n}", "label": n % 7} for n in range(100_000)])
    after = changed(before, remove=range(1, 100_000, 50), values={n: {"label": 9} for n in range(2, 90_000, 40)})
    start = time.process_time()  # of this process alone, since others may keep the machine busy
    found = compare(before, after)
    assert (found.count("removed"), found.count("changed")) == (2000, 2250)
    assert time.process_time() - start < 8


# --- through the doors ---


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def calling(*arguments: str | Path) -> tuple[int, str, str]:
        status = run([*map(str, arguments), "--home", str(tmp_path / "home")])
        sys.stdout.flush()
        said = capfd.readouterr()
        return status, said.out, said.err

    return calling


def test_versions_are_compared_a_page_at_a_time_with_cells_marked(studio: Studio) -> None:
    first = studio.datasets.add_text("\n".join(json.dumps(row) for row in [*ROWS, ROWS[0], ROWS[1]]))
    studio.checks.fix(first.id, "duplicate")
    found = studio.versions.compare(first.id, 1, 2)
    assert (found.added, found.removed, found.changed, found.same) == (0, 2, 0, 40)
    rows = [(each.kind, each.before, each.after) for each in found.rows]
    assert rows == [("removed", 41, None), ("removed", 42, None)]
    assert found.note.startswith("2 rows removed") and found.rows[0].cells["text"] == "text 1"
    back = studio.versions.compare(first.id, 2, 1, Page(2, 1), only="added")
    assert back.total == 2 and [each.after for each in back.rows] == [42]
    with pytest.raises(StudioError) as caught:
        studio.versions.compare(first.id, 1, 7)
    assert caught.value.code == "no-such-dataset" and "version 7" in caught.value.what
    with pytest.raises(StudioError):
        studio.versions.compare(first.id, 1, 2, only="moved")


def test_the_command_line_lists_fixes_compares_and_goes_back(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in [*range(30), 3, 4]))
    status, out, _ = call("data", "add", path)
    dataset = out.strip().splitlines()[-1]
    assert status == 0 and dataset.startswith("data-")
    assert "rows.csv" in call("data", "list")[1]
    status, out, _ = call("data", "fix", "last", "duplicate")
    assert status == 0 and out.startswith("version 2: 30 rows. 2 rows removed")
    out = call("data", "versions", "rows.csv")[1]
    assert "version 1: 32 rows. As imported." in out and "version 2 (current)" in out
    status, out, said = call("data", "compare", dataset, "1", "2", "--count", "1")
    assert status == 0 and "0 rows added, 2 rows removed, 0 rows changed, 30 rows unchanged" in out
    assert "- row 31  text: “text 3”; label: “b”" in out and "--start 2" in said
    assert "version 1" in call("data", "back", dataset, "1")[1]
    assert "version 1 (current)" in call("data", "versions", dataset)[1]
    status, _, said = call("data", "back", dataset, "9")
    assert status == 2 and "version 9" in said
    status, out, _ = call("data", "read", dataset, "--no-header")
    assert status == 0 and "version 3: 33 rows. Read again: no column names in the first line." in out
    assert call("data", "delete", dataset)[0] == 0 and call("data", "versions", dataset)[0] == 2


@pytest.mark.slow
def test_the_command_line_divides_by_a_column_from_then_on(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label,customer\n" + "".join(f"text {n},{'ab'[n % 2]},c{n % 9}\n" for n in range(60)))
    dataset = call("data", "add", path)[1].strip().splitlines()[-1]
    status, out, _ = call("data", "split", dataset, "--group-column", "customer")
    assert status == 0 and "same customer stay together: 9 groups" in out
    status, out, _ = call("estimate", dataset, "--model", "starter-classify", "--json")
    if status == 0:  # the starter is here
        assert "customer" in json.loads(out)["splits"]["because"]
    status, _, said = call("data", "split", dataset, "--time-column", "custome")
    assert status == 2 and "Did you mean customer?" in said
