"""Some checks are made in a second process: what is found is the same, whatever becomes of that process."""

import random
from pathlib import Path
from typing import Any

import psutil
import pytest

from studio.api import Studio
from studio.data.checks import check, parallel
from studio.data.columnar import Builder
from studio.data.parquet_store import open_parquet, write_parquet
from studio.data.table import Table
from studio.machine.run_in_process import run_in_process
from studio.schema.dataset import CheckReport
from studio.schema.errors import StudioError
from studio.tasks import task_named

CLASSIFY, ROLES = task_named("classification"), {"text": "text", "label": "label"}
WORDS = (
    "harbour lantern meadow copper whistle orchard velvet thunder marble compass saddle willow pepper canyon".split()
)


def some_rows() -> list[tuple[str, str]]:
    """Rows with near and exact copies, private data, another language, conflicts, rare and empty labels."""
    chance = random.Random(3)
    rows = [(" ".join(chance.choices(WORDS, k=14)) + f" {number}", chance.choice("ab")) for number in range(240)]
    rows += [(f"{text.replace(' ', ', ', 1)}.", label) for text, label in rows[:12]]
    rows += [rows[20], (rows[30][0], "a" if rows[30][1] == "b" else "b"), ("", "a"), ("write to jo.doe@acme.org", "b")]
    rows += [("Das Wetter ist heute sehr schön, und wir gehen mit den Kindern an den See.", "a")] * 2
    rows += [("TODO", "a"), ("what a fine lantern this is", "C")]
    return rows


def on_disk(folder: Path) -> Table:
    builder = Builder("rows.csv", "csv")
    builder.set_columns(["text", "label"])
    for row in some_rows():
        builder.add(row)
    write_parquet(builder.table(), folder / "rows.parquet")
    return open_parquet(folder / "rows.parquet")


def looked(table: Table) -> CheckReport:
    parts: dict[int, str] = dict.fromkeys(range(1, len(table) + 1), "train") | dict.fromkeys(range(1, 6), "test")
    return check(table, CLASSIFY, ROLES, get_splits=lambda: parts, rows_left_out=((2, 3),))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MANY", 100)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.mark.slow
def test_a_second_process_finds_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = on_disk(tmp_path)
    alone = looked(table)
    kinds = {problem.kind for problem in alone.problems}
    assert {"near-duplicate", "duplicate", "leakage", "personal-data", "wrong-language", "rare-label"} <= kinds
    monkeypatch.setattr(parallel, "MANY", 100)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    results: list[str] = []
    monkeypatch.setattr(
        parallel, "run_in_process", lambda *a, **k: results.append(run_in_process(*a, **k)) or results[-1]
    )
    together = looked(table)
    assert len(results) == 1
    assert together == alone
    assert [problem.every for problem in together.problems] == [problem.every for problem in alone.problems]


def test_a_process_that_is_killed_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: None
) -> None:
    table = on_disk(tmp_path)
    monkeypatch.setattr(parallel, "MANY", 10**9)
    alone = looked(table)
    monkeypatch.setattr(parallel, "MANY", 100)
    killed: list[StudioError] = []

    def kill(*_: Any, **__: Any) -> Any:
        try:
            return run_in_process("tests.unit.process_functions:kill_self")
        except StudioError as error:
            killed.append(error)
            raise

    monkeypatch.setattr(parallel, "run_in_process", kill)
    assert looked(table) == alone
    assert [error.code for error in killed] == ["out-of-memory"]


def test_no_process_is_left_when_the_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: None
) -> None:
    builder = Builder("rows.csv", "csv")
    builder.set_columns(["text", "label"])
    for number in range(3_000):
        builder.add((f"text {number}", f"label {number}"))
    write_parquet(builder.table(), tmp_path / "rows.parquet")
    errors: list[StudioError] = []

    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return run_in_process(*arguments, **options)
        except StudioError as error:
            errors.append(error)
            raise

    monkeypatch.setattr(parallel, "run_in_process", run)
    with pytest.raises(StudioError, match="too many different values"):
        check(open_parquet(tmp_path / "rows.parquet"), CLASSIFY, ROLES)
    assert len(errors) == 1, "the process was ended, or has refused the rows too"
    assert not [each for each in psutil.Process().children() if "process_main" in " ".join(each.cmdline())]


def test_rows_in_memory_and_a_single_core_need_no_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: None
) -> None:
    def none(*_: Any, **__: Any) -> Any:
        raise AssertionError("a process was started")

    table = on_disk(tmp_path)
    monkeypatch.setattr(parallel, "run_in_process", none)
    builder = Builder("rows.csv", "csv")
    builder.set_columns(["text", "label"])
    for row in some_rows():
        builder.add(row)
    assert looked(builder.table()).usable == 257
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert looked(table).usable == 257


def test_rows_that_are_shown_to_the_divider_fall_in_the_same_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "\n".join(f'"{text}",{label}' for text, label in some_rows()), encoding="utf-8")
    told = []
    for most in (10**9, 100):
        monkeypatch.setattr(parallel, "MANY", most)
        monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
        studio = Studio(tmp_path / str(most))
        record = studio.datasets.add_file(path)
        report = studio.checks.check(record.id)
        told.append((report, studio.datasets.splits(record.id), [each.every for each in report.problems]))
        studio.close()
    assert told[0] == told[1]
