"""Rows that a run learned from: they lie in its folder, are taken along in its file when asked, and are taken in from
either without trusting a byte of them."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.events import AdviceEvent
from studio.schema.runs import Replay
from studio.store.files import folder_size
from tests.unit.test_run_management import made, put, refusal, rewritten

ROWS = "question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(12))


def made_of_rows(studio: Studio, status: str = "finished") -> tuple[str, str]:
    """A run and the dataset that it learned from."""
    data = studio.datasets.add_text(ROWS).id
    return made(studio, status=status, rows=data), data


def rows_in(studio: Studio, run: str) -> list[str]:
    return sorted(path.name for path in studio.context.workspace.runs.folder(run).rows.glob("*"))


def linked(studio: Studio, run: str, data: str) -> bool:
    """Whether the rows in a run's folder are the dataset's own file."""
    space = studio.context.workspace
    return (space.runs.folder(run).rows / f"{data}-v1.parquet").samefile(space.datasets.rows_path(data, 1))


def copied(studio: Studio, run: str, there: Studio) -> Path:
    """A run's folder as a person copies it to another home."""
    place = there.context.workspace.runs.root / run
    return Path(shutil.copytree(studio.context.workspace.runs.folder(run).root, place))


def rows_at(studio: Studio, data: str, version: int = 1) -> bytes:
    return studio.context.workspace.datasets.rows_path(data, version).read_bytes()


def test_rows_come_along_only_when_it_was_asked_for(studio: Studio, tmp_path: Path) -> None:
    run, data = made_of_rows(studio)
    assert rows_in(studio, run), "they lie in its folder"
    with zipfile.ZipFile(studio.saved.export_archive(run, tmp_path / "run.zip")) as archive:
        assert not [name for name in archive.namelist() if "rows" in name]
    file = studio.saved.export_archive(run, tmp_path / "whole.zip", rows=True)
    there = Studio(tmp_path / "there")
    came = there.saved.import_archive(file)
    assert there.datasets.all() == studio.datasets.all() and rows_at(there, data) == rows_at(studio, data)
    assert linked(there, came.id, data)
    before = there.datasets.all()
    there.saved.import_archive(file)
    assert there.datasets.all() == before, "what is here already stays"
    assert there.saved.export_archive(run, tmp_path / "again.zip", rows=True).stat().st_size == file.stat().st_size
    there.close()


def test_a_newer_version_of_the_rows_stays_the_current_one(studio: Studio, tmp_path: Path) -> None:
    run, data = made_of_rows(studio)
    file = studio.saved.export_archive(run, tmp_path / "run.zip", rows=True)
    datasets = studio.context.workspace.datasets
    with datasets.filling(data, 2) as filled:
        shutil.copy(datasets.rows_path(data, 1), filled / "rows.parquet")
        datasets.add(datasets.get(data).model_copy(update={"version": 2}), filled)
    with datasets.db.write() as connection:
        connection.execute("DELETE FROM versions WHERE version = 1")
    shutil.rmtree(datasets.folder(data, 1))
    studio.saved.import_archive(file)
    assert [each.version for each in datasets.versions(data)] == [1, 2] and datasets.get(data).version == 2


def test_a_run_is_refused_whose_version_of_the_dataset_has_other_rows_here(studio: Studio, tmp_path: Path) -> None:
    run, data = made_of_rows(studio)
    file, datasets = (
        studio.saved.export_archive(run, tmp_path / "run.zip", rows=True),
        studio.context.workspace.datasets,
    )
    there = Studio(tmp_path / "there")
    there.saved.import_archive(file)
    studio.editing.edit(data, 1, {"answer": "It was changed on this machine."})
    there.editing.edit(data, 1, {"answer": "It was changed there."})
    later = made(there, rows=data, more={"dataset_version": 2})
    later_file = there.saved.export_archive(later, tmp_path / "later.zip", rows=True)
    before, known = datasets.rows_path(data, 2).read_bytes(), len(studio.runs.all())
    assert "has other rows on this machine" in str(refusal(lambda: studio.saved.import_archive(later_file)))
    assert datasets.rows_path(data, 2).read_bytes() == before and len(studio.runs.all()) == known
    there.close()


def test_rows_that_are_gone_can_not_come_along(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    assert refusal(lambda: studio.saved.export_archive(run, tmp_path / "x.zip", rows=True)).code == "no-such-dataset"
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
    file = rewritten(studio.saved.export_archive(run, tmp_path / "bad.zip", rows=True), BAD_ROWS[what])
    there = Studio(tmp_path / "there")
    assert refusal(lambda: there.saved.import_archive(file)).code == "unreadable-file"
    assert there.datasets.all() == [] and there.runs.all() == []
    folders = [there.context.workspace.runs.root, there.context.workspace.datasets.root]
    assert not [path for folder in folders for path in folder.rglob("*")]
    there.close()


# --- in the run's folder ---


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Studio]:
    elsewhere = Studio(tmp_path / "there")
    yield elsewhere
    elsewhere.close()


def test_a_run_folder_that_is_copied_to_another_home_brings_all_its_rows_along(studio: Studio, there: Studio) -> None:
    data, held, general = (studio.datasets.add_text(ROWS, name).id for name in ("rows", "held", "general"))
    replay = Replay(dataset=general, version=1, roles={"question": "prompt", "answer": "reply"})
    more = {"validation_dataset": held, "validation_version": 1, "replay": replay}
    run = made(studio, status="stopped", rows=data, more=more)
    copied(studio, run, there)
    there.reconcile()
    assert [each.id for each in there.runs.all()] == [run]
    assert {each.id: each for each in there.datasets.all()} == {each.id: each for each in studio.datasets.all()}
    there.runs.require_rows(there.runs.spec(run))
    for each in (data, held, general):
        assert rows_at(there, each) == rows_at(studio, each) and linked(there, run, each)
    assert not [event for event in there.runs.events(run) if isinstance(event.event, AdviceEvent)]


def test_a_copied_folder_changes_no_rows_that_are_here(studio: Studio, there: Studio) -> None:
    run, data = made_of_rows(studio)
    there.saved.import_archive(
        studio.saved.export_archive(made(studio, rows=data), there.home.root / "run.zip", rows=True)
    )
    before = there.datasets.all()
    there.context.workspace.datasets.rows_path(data, 1).touch()
    inode = there.context.workspace.datasets.rows_path(data, 1).stat().st_ino
    copied(studio, run, there)
    there.reconcile()
    assert run in {each.id for each in there.runs.all()} and there.datasets.all() == before
    assert there.context.workspace.datasets.rows_path(data, 1).stat().st_ino == inode and linked(there, run, data)


def test_of_several_that_find_a_copied_folder_at_once_none_loses_its_rows(studio: Studio, there: Studio) -> None:
    run, data = made_of_rows(studio)
    copied(studio, run, there)

    def reconciled(_: int) -> list[str]:
        studio = Studio(there.home.root)
        studio.reconcile()
        return [each.id for each in studio.runs.all()]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reconciled, range(4)))
    assert found == [[run]] * 4
    assert rows_at(there, data) == rows_at(studio, data) and linked(there, run, data)
    assert len(there.datasets.all()) == 1


def by_a_path(folder: Path, data: str) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace(f"dataset: {data}", "dataset: ../../stolen"))
    for path in (folder / "rows").iterdir():
        path.unlink()


def a_link(folder: Path, data: str) -> None:
    (rows,) = (folder / "rows").glob("*.parquet")
    rows.rename(folder / "elsewhere")
    rows.symlink_to(folder / "elsewhere")


BAD_FOLDER: dict[str, Callable[[Path, str], Any]] = {
    "cut off": lambda folder, data: (folder / "rows" / f"{data}-v1.parquet").write_bytes(b"PAR1"),
    "nothing known of them": lambda folder, data: (folder / "rows" / f"{data}-v1.json").unlink(),
    "rows of nobody": lambda folder, data: (folder / "rows" / "data-0000-v1.parquet").write_bytes(b"x"),
    "named by a path": by_a_path,
    "a link": a_link,
}


@pytest.mark.parametrize("what", BAD_FOLDER)
def test_a_copied_run_whose_rows_are_refused_is_listed_and_says_so(studio: Studio, there: Studio, what: str) -> None:
    run, data = made_of_rows(studio)
    BAD_FOLDER[what](copied(studio, run, there), data)
    there.reconcile()
    assert [each.id for each in there.runs.all()] == [run] and there.datasets.all() == []
    (said,) = [event.event for event in there.runs.events(run) if isinstance(event.event, AdviceEvent)]
    assert said.title == "The rows of this run were not imported" and said.action
    assert not list(there.context.workspace.datasets.root.glob("**/*.parquet"))
    there.runs.delete(run)
    copied(studio, run, there)
    there.reconcile()
    assert there.runs.all() and linked(there, run, data), "as it advised"


def test_deleting_a_dataset_removes_its_rows_from_all_runs_and_none_goes_on(studio: Studio) -> None:
    run, data = made_of_rows(studio, status="stopped")
    kept, runs = studio.datasets.add_text(ROWS, "kept").id, studio.context.workspace.runs
    both = made(studio, rows=kept, more={"validation_dataset": data, "validation_version": 1})
    unseen = Path(shutil.copytree(runs.folder(run).root, runs.root / "20200101-unseen"))
    packed = studio.saved.export_archive(run, rows=True)
    unrelated = studio.saved.export_archive(made(studio, rows=kept), rows=True)
    studio.datasets.delete(data)
    assert unrelated.exists()
    assert not packed.exists() and rows_in(studio, run) == [] and list((unseen / "rows").iterdir()) == []
    assert rows_in(studio, both) == [f"{kept}-v1.json", f"{kept}-v1.parquet"]
    assert not list(studio.home.root.glob(f"**/{data}*"))
    assert refusal(lambda: studio.runs.resume(run)).code == "no-such-dataset"
    studio.reconcile()
    assert len(studio.runs.all()) == 4 and [each.id for each in studio.datasets.all()] == [kept], (
        "it does not come back"
    )


def test_rows_of_two_runs_outlive_one_of_them_and_what_it_had_learned(studio: Studio) -> None:
    run, data = made_of_rows(studio)
    other = made(studio, rows=data)
    studio.context.workspace.runs.discard_output(other)
    studio.runs.delete(run)
    assert linked(studio, other, data) and rows_at(studio, data)


def test_rows_in_a_run_are_counted_once_with_their_dataset(studio: Studio) -> None:
    run, data = made_of_rows(studio)
    folder = studio.context.workspace.runs.folder(run)
    rows = folder_size(folder.rows)
    assert rows and studio.runs.size(run) == folder_size(folder.root) - rows
    things = {each.id: each.bytes for each in studio.storage.view().things}
    assert things[run] == studio.runs.size(run) == sum(studio.saved.size_by_part(run).values())
    assert things[data] == folder_size(studio.context.workspace.datasets.root / data) >= rows
    shutil.copytree(folder.rows, folder.root / "copy")
    shutil.rmtree(folder.rows)
    (folder.root / "copy").rename(folder.rows)
    assert studio.runs.size(run) == folder_size(folder.root), "files of its own are its own"


def test_where_a_file_can_have_no_second_name_a_run_is_made_without_its_rows(studio: Studio) -> None:
    run, _ = made_of_rows(studio)
    runs = studio.context.workspace.runs
    (runs.root / "20200101-first").mkdir()
    (runs.root / "20200101-first" / "rows").write_text("in the way")
    made_so = runs.create(runs.spec(run), run="20200101-first")
    assert made_so.status == "queued" and rows_in(studio, made_so.id) == []
    studio.runs.require_rows(studio.runs.spec(made_so.id))
