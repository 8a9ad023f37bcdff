"""Rows that a run learned from: taken along in its file when asked, and taken in without trusting a byte of them."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from tests.unit.test_keeping_runs import made, put, refusal, rewritten

ROWS = "question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(12))


def made_of_rows(studio: Studio) -> tuple[str, str]:
    """A run and the dataset that it learned from."""
    data, run = studio.add_text(ROWS).id, made(studio)
    runs = studio.context.workspace.runs
    runs.replace_spec(run, runs.spec(run).model_copy(update={"dataset": data}))
    return run, data


def rows_at(studio: Studio, data: str, version: int = 1) -> bytes:
    return studio.context.workspace.datasets.rows_path(data, version).read_bytes()


def test_rows_come_along_only_when_it_was_asked_for(studio: Studio, tmp_path: Path) -> None:
    run, data = made_of_rows(studio)
    with zipfile.ZipFile(studio.pack_run(run, tmp_path / "run.zip")) as archive:
        assert not [name for name in archive.namelist() if "rows" in name]
    file = studio.pack_run(run, tmp_path / "whole.zip", rows=True)
    there = Studio(tmp_path / "there")
    came = there.unpack_run(file)
    assert there.datasets() == studio.datasets() and rows_at(there, data) == rows_at(studio, data)
    assert not (there.context.workspace.runs.folder(came.id).root / "rows").exists()
    before = there.datasets()
    there.unpack_run(file)
    assert there.datasets() == before, "what is here already stays"
    assert there.pack_run(run, tmp_path / "again.zip", rows=True).stat().st_size == file.stat().st_size
    there.close()


def test_a_newer_version_of_the_rows_stays_the_current_one(studio: Studio, tmp_path: Path) -> None:
    run, data = made_of_rows(studio)
    file = studio.pack_run(run, tmp_path / "run.zip", rows=True)
    datasets = studio.context.workspace.datasets
    with datasets.filling(data, 2) as filled:
        shutil.copy(datasets.rows_path(data, 1), filled / "rows.parquet")
        datasets.add(datasets.get(data).model_copy(update={"version": 2}), filled)
    with datasets.db.write() as connection:
        connection.execute("DELETE FROM versions WHERE version = 1")
    shutil.rmtree(datasets.folder(data, 1))
    studio.unpack_run(file)
    assert [each.version for each in datasets.versions(data)] == [1, 2] and datasets.get(data).version == 2


def test_rows_that_are_gone_can_not_come_along(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    assert refusal(lambda: studio.pack_run(run, tmp_path / "x.zip", rows=True)).code == "no-such-dataset"
    assert not (tmp_path / "x.zip").exists()


def of_rows(change: Callable[[bytes], bytes], suffix: str) -> Callable[[dict[str, Any]], None]:
    def do(members: dict[str, Any]) -> None:
        (name,) = [each for each in members if each.startswith("rows/") and each.endswith(suffix)]
        members[name] = change(members[name])

    return do


BAD_ROWS: dict[str, Callable[[dict[str, Any]], None]] = {
    "noise": of_rows(lambda _: b"noise", ".parquet"),
    "cut off": of_rows(lambda whole: whole[:-30], ".parquet"),
    "a record of nonsense": of_rows(lambda _: b"[1]", ".json"),
    "a record of other rows": of_rows(lambda whole: whole.replace(b'"rows": 12', b'"rows": 13'), ".json"),
    "a record of other columns": of_rows(lambda whole: whole.replace(b'"answer"', b'"reply"'), ".json"),
    "a record of another dataset": of_rows(lambda whole: whole.replace(b'"id": "data-', b'"id": "datb-'), ".json"),
    "rows of nobody": put("rows/data-0000-v1.parquet"),
    "a way up": put("rows/../escaped.parquet"),
    "a folder in it": put("rows/a/b.parquet"),
    "a pickle": put("rows/a.pkl"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_rows_that_are_not_what_they_say_are_refused_and_leave_nothing(
    studio: Studio, tmp_path: Path, what: str
) -> None:
    run, _ = made_of_rows(studio)
    file = rewritten(studio.pack_run(run, tmp_path / "bad.zip", rows=True), BAD_ROWS[what])
    there = Studio(tmp_path / "there")
    assert refusal(lambda: there.unpack_run(file)).code == "unreadable-file"
    assert there.datasets() == [] and there.runs() == []
    folders = [there.context.workspace.runs.root, there.context.workspace.datasets.root]
    assert not [path for folder in folders for path in folder.rglob("*")]
    there.close()
