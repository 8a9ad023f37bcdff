"""Projects: separate rows, runs and labels on one machine; export to one file, and import from it."""

import asyncio
import json
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.store.projects import ProjectStore
from studio.ui.components import project_menu
from studio.ui.http.uploads import Uploads
from studio.ui.jobs import JOBS, Job
from tests.unit.test_run_management import curve, linked, made, put, refusal, rewritten

TEXTS = "text\n" + "".join(f"This is comment number {n}.\n" for n in range(20))


def filled(studio: Studio) -> tuple[str, str]:
    """A labeled dataset with two versions, and a run that was trained on the first one. Their ids."""
    dataset = studio.datasets.add_text(TEXTS, "comments.csv").id
    studio.labels.set_names(dataset, ["praise", "complaint"])
    for row in range(1, 13):
        studio.labels.give(dataset, row, "praise" if row % 2 else "complaint")
    studio.labels.undo(dataset)
    studio.labels.apply(dataset)
    studio.labels.give(dataset, 20, "praise")
    return dataset, made(studio, "mood", rows=dataset)


def other(studio: Studio, title: str = "Tickets") -> Studio:
    """The same data folder, in a new project."""
    return studio.visitor(studio.projects.create(title).id)


def test_each_project_has_its_own_datasets_runs_labels_and_drafts(studio: Studio) -> None:
    filled(studio)
    project = other(studio)
    assert not project.datasets.all() and not project.runs.all()
    project.drafts.put("page", {"task": "chat"})
    assert studio.drafts.get("page") is None
    dataset, run = filled(project)
    assert [each.title for each in studio.projects.all()] == ["Default", "Tickets"]
    assert [each.id for each in project.datasets.all()] == [dataset]
    assert refusal(lambda: studio.runs.get(run)).code == "no-such-run"
    assert studio.projects.with_run(run) == project.projects.current.id
    seen = studio.projects.view(project.projects.current)
    assert (seen.datasets, seen.runs, seen.active) == (1, 1, "") and seen.bytes > 10_000
    assert Studio(studio.home, project="tickets").runs.get(run).name == "mood"


def test_a_name_that_exists_is_refused_and_a_free_one_is_proposed(studio: Studio) -> None:
    studio.projects.create("Tickets")
    for name in ("Tickets", " tickets ", "TICKETS"):
        error = refusal(lambda name=name: studio.projects.create(name))
        assert error.code == "bad-setting" and "2”" in error.hint
    assert refusal(lambda: studio.projects.create(" \x00\n")).code == "bad-setting"
    assert refusal(lambda: studio.projects.create("x" * 61)).code == "bad-setting"
    assert studio.projects.rename("tickets", "Tickets").title == "Tickets"
    assert studio.projects.rename("Default", "My work").id == "default"
    assert studio.projects.rename("default", "tickets of May").title == "tickets of May"
    assert refusal(lambda: studio.projects.find("Default")).valid == ["tickets of May", "Tickets"]


def test_a_deleted_project_can_be_restored_until_it_is_removed_for_good(studio: Studio) -> None:
    project = other(studio)
    _, run = filled(project)
    name = project.projects.current.id
    studio.projects.delete("Tickets")
    assert [each.id for each in studio.projects.all()] == ["default"]
    assert not ProjectStore(studio.home).is_usable(name) and studio.projects.with_run(run) == ""
    assert studio.projects.create("Tickets").id != name
    assert studio.projects.restore(name).title == "Tickets 2"
    assert Studio(studio.home, project="Tickets 2").runs.get(run).name == "mood"
    assert refusal(lambda: studio.projects.remove("Tickets 2")).code == "unknown-name", "it was not deleted first"
    studio.projects.delete("Tickets 2")
    assert studio.projects.remove("Tickets 2").runs == 1
    assert not (studio.home.root / "workspaces" / name).exists()
    assert refusal(lambda: studio.projects.delete("Default")).code == "not-allowed"


def test_an_id_means_its_own_project_even_if_another_one_has_it_as_its_name(studio: Studio) -> None:
    """Else a member of a team could make the owner delete another project than the one that the button names."""
    first, second = studio.projects.create("Tickets"), studio.projects.create("Mails")
    studio.projects.rename("Tickets", second.id)
    assert studio.projects.find(second.id).title == "Mails" and studio.projects.find("mails").id == second.id
    assert studio.projects.delete(second.id).title == "Mails"
    studio.projects.delete(first.id)
    assert studio.projects.remove(second.id).title == "Mails"
    assert [each.id for each in studio.projects.all(deleted=True)] == [first.id]


def test_a_run_that_began_while_its_project_was_deleted_is_not_removed_with_it(studio: Studio) -> None:
    project = other(studio)
    studio.projects.delete("Tickets")
    made(project, "late", status="queued")
    error = refusal(lambda: studio.projects.remove("Tickets"))
    assert error.code == "wrong-state" and error.given == "late"
    assert studio.projects.restore("Tickets").title == "Tickets"


def test_a_project_with_a_queued_run_is_neither_deleted_nor_exported(studio: Studio, tmp_path: Path) -> None:
    project = other(studio)
    run = made(project, "slow", status="queued")
    for act in (
        lambda: studio.projects.delete("Tickets"),
        lambda: studio.projects.export("Tickets", tmp_path / "x.zip"),
    ):
        error = refusal(act)
        assert error.code == "wrong-state" and error.given == "slow"
    project.context.workspace.runs.set_status(run, "stopped")
    studio.projects.delete("Tickets")


def test_a_member_of_a_team_does_not_remove_a_project_for_good(studio: Studio) -> None:
    studio.projects.create("Tickets")
    member = studio.visitor("default", "editor")
    member.projects.delete("Tickets")
    assert refusal(lambda: member.projects.remove("Tickets")).code == "not-allowed"


def test_a_visitor_of_a_demo_has_no_projects_and_names_none(studio: Studio, tmp_path: Path) -> None:
    studio.projects.create("Tickets")
    visitor = Studio(studio.home, studio.home.visitor_workspace(studio.home.new_secret()) or "", demo=True)
    for act in (
        lambda: visitor.projects.all(),
        lambda: visitor.projects.create("Mine"),
        lambda: visitor.projects.find("Tickets"),
        lambda: visitor.projects.delete("Tickets"),
        lambda: visitor.projects.with_run("20260101-00000000"),
        lambda: visitor.projects.export("Tickets", tmp_path / "x.zip"),
        lambda: visitor.projects.import_file(tmp_path / "x.zip"),
    ):
        error = refusal(act)
        assert error.code == "not-allowed" and "Tickets" not in error.message
    assert visitor.projects.run_elsewhere() is None


# --- one file ---


@pytest.mark.slow
def test_a_project_is_moved_to_another_machine_in_one_file(studio: Studio, tmp_path: Path) -> None:
    dataset, run = filled(studio)
    seen: list[tuple[int, int]] = []
    file = studio.projects.export("Default", tmp_path / "all.zip", lambda *done: seen.append(done))
    assert seen[-1][0] == seen[-1][1]
    there = Studio(tmp_path / "there")
    project = there.projects.import_file(file)
    assert project.title == "Default 2", "the other machine has a default project, too"
    moved = there.visitor(project.id)
    assert [each.id for each in moved.datasets.all()] == [dataset] and [each.id for each in moved.runs.all()] == [run]
    assert curve(moved, run) == curve(studio, run) and moved.runs.get(run).has_result
    assert moved.datasets.get(dataset) == studio.datasets.get(dataset)
    assert [each.version for each in moved.versions.all(dataset)] == [1, 2]
    before, after = (each.labels.rows(dataset) for each in (studio, moved))
    assert before == after
    assert moved.labels.undo(dataset).counts == studio.labels.undo(dataset).counts
    assert moved.library.find_same([studio.context.workspace.datasets.originals(dataset, 1)[0]]).id == dataset
    assert there.projects.with_run(run) == project.id
    assert not list((there.home.root / "importing").iterdir())


def test_rows_from_several_files_keep_these_files_on_the_other_machine(studio: Studio, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("first.csv", "second.csv")}
    for path in files.values():
        path.write_text("text\n" + "".join(f"This is number {n} of {path.stem}.\n" for n in range(12)))
    dataset = studio.datasets.add_files(files).id
    file = studio.projects.export("Default", tmp_path / "all.zip")
    there = Studio(tmp_path / "there")
    moved = there.visitor(there.projects.import_file(file).id)
    kept = moved.context.workspace.datasets.originals(dataset, 1)
    assert [path.read_text() for path in kept] == [path.read_text() for path in files.values()]
    assert moved.datasets.reread(dataset, header=False).rows == 26


@pytest.mark.slow
def test_a_project_that_is_here_already_comes_in_under_new_ids_and_a_new_name(studio: Studio, tmp_path: Path) -> None:
    dataset, run = filled(studio)
    later = made(studio, "second", rows=dataset, start_from=run)
    file = studio.projects.export("Default", tmp_path / "all.zip")
    copy = studio.visitor(studio.projects.import_file(file, "Copy").id)
    runs, (record,) = copy.runs.all(), copy.datasets.all()
    assert [each.name for each in runs] == ["second", "mood"], "newest first, as before"
    assert {run, later, dataset}.isdisjoint({record.id, *(each.id for each in runs)})
    assert {each.dataset for each in runs} == {record.id}
    assert copy.runs.spec(runs[0].id).config.start_from == runs[1].id
    assert copy.labels.done(record.id) == studio.labels.done(dataset)
    error = refusal(lambda: studio.projects.import_file(file, "copy"))
    assert error.code == "bad-setting" and "2”" in error.hint
    assert len(studio.projects.all()) == 2


def test_a_run_of_another_project_comes_in_under_a_new_id(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    file = studio.saved.export_archive(run, tmp_path / "run.zip")
    assert other(studio).saved.import_archive(file).id != run, "the queue knows a run by its id alone"


def test_a_file_of_a_project_names_no_folder_and_has_no_pickle(studio: Studio, tmp_path: Path) -> None:
    _, run = filled(studio)
    file = studio.projects.export("Default", tmp_path / "all.zip")
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        texts = b"".join(archive.read(name) for name in names if name.endswith((".json", ".jsonl")))
    assert str(tmp_path).encode() not in texts
    assert f"runs/{run}.zip" in names and not any(name.endswith((".db", ".pt", ".bin")) for name in names)


def deep(file: Path, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A change of the run in the file of a project."""

    def changed(members: dict[str, Any]) -> None:
        name = next(each for each in members if each.startswith("runs/"))
        inner = file.with_name("inner.zip")
        inner.write_bytes(members[name])
        members[name] = rewritten(inner, change).read_bytes()
        inner.unlink()

    return changed


def edited(suffix: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """A change of the first file with this ending, as JSON."""

    def changed(members: dict[str, Any]) -> None:
        name = next(each for each in members if each.endswith(suffix))
        members[name] = json.dumps(change(json.loads(members[name]))).encode()

    return changed


def fact(**fields: Any) -> Callable[[dict[str, Any]], None]:
    """One more label."""

    def changed(members: dict[str, Any]) -> None:
        name = next(each for each in members if each.endswith(".jsonl"))
        members[name] += json.dumps({"version": 1, "row": 1, "value": "praise", **fields}).encode()

    return changed


def link(members: dict[Any, Any]) -> None:
    """A rows file that is a link."""
    name = next(each for each in members if each.endswith("v1/rows.parquet"))
    linked(members)
    info = next(each for each in members if isinstance(each, zipfile.ZipInfo))
    members[zip_link(name, info)] = members.pop(info)
    del members[name]


def zip_link(name: str, info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    info.filename = name
    return info


def swapped(members: dict[str, Any]) -> None:
    """The rows of another file."""
    name = next(each for each in members if each.endswith("v1/rows.parquet"))
    members[name] = b"PAR1" + bytes(1000) + b"PAR1"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a project with a labeled dataset and a run."""
    folder = tmp_path_factory.mktemp("exported")
    with Studio(folder / "home") as studio:
        filled(studio)
        return studio.projects.export("Default", folder / "all.zip")


BAD: dict[str, Callable[[dict[str, Any]], None]] = {
    "a way up": put("../escaped.json"),
    "a way up inside": put("datasets/../../escaped/v1/rows.parquet"),
    "another place": put("/tmp/escaped.json"),
    "a backslash": put("labels\\..\\escaped.json"),
    "a database": put("studio.db", b"SQLite format 3\x00"),
    "a database as rows": put("datasets/data-1/v1/studio.db", b"SQLite format 3\x00"),
    "drafts": put("drafts.json", b"{}"),
    "a pickle": put("runs/20260101-00000000/checkpoints/optimizer.pt"),
    "code": put("datasets/data-1/v1/original.tar.py.exe"),
    "a link": link,
    "a dataset that is not listed": put("datasets/data-77/v1/rows.parquet"),
    "a run that is not listed": put("runs/20260101-00000000.zip"),
    "no description": lambda members: members.pop("project.json"),
    "a description of nonsense": put("project.json", b"[1]"),
    "a deep description": put("project.json", b"[" * 100_000 + b"]" * 100_000),
    "a newer format": edited("project.json", lambda it: {**it, "format": 99}),
    "a run by a path": edited("project.json", lambda it: {**it, "runs": ["../../default/runs/x"]}),
    "a dataset by a path": edited(
        "project.json", lambda it: {**it, "datasets": [{"id": "../x", "versions": [1], "current": 1}]}
    ),
    "a version it does not have": edited(
        "project.json", lambda it: {**it, "datasets": [{**it["datasets"][0], "versions": [1, 2, 3]}]}
    ),
    "a current version it does not have": edited(
        "project.json", lambda it: {**it, "datasets": [{**it["datasets"][0], "current": 9}]}
    ),
    "a run twice": edited("project.json", lambda it: {**it, "runs": it["runs"] * 2}),
    "rows of nonsense": swapped,
    "rows of another dataset": edited("v1/record.json", lambda it: {**it, "id": "data-other"}),
    "more rows than it has": edited("v1/record.json", lambda it: {**it, "rows": 9}),
    "a label of no row": fact(row=21),
    "a label of no version": fact(version=9),
    "a label of row zero": fact(row=0),
    "a name for a row": fact(what="names", row=1, value='["a"]'),
    "names of nonsense": fact(what="names", row=0, value='{"a": 1}'),
    "an unknown kind of label": fact(what="evil"),
    "a huge number for a row": fact(row=10**30),
    "a label of nonsense": lambda members: members.update(
        {name: b"\xff\xfe" for name in members if name.endswith(".jsonl")}
    ),
}
DEEP: dict[str, Callable[[dict[str, Any]], None]] = {
    "a way up": put("../escaped.json"),
    "a pickle": put("adapter/adapter_model.bin"),
    "code": put("model/modeling.py"),
    "code of a repository": put("adapter/adapter_config.json", b'{"auto_map": {"AutoModel": "evil/repo--x.X"}}'),
    "a link": linked,
    "rows of its own": put("rows/data-1-v1.parquet"),
    "YAML that makes an object": put("config.yaml", b"x: !!python/object/apply:os.system ['true']"),
    "no record": put("run.json", b"[1]"),
}


@pytest.mark.parametrize("what", [*BAD, *(f"a run with {what}" for what in DEEP)])
def test_a_file_that_is_no_project_is_refused_and_leaves_nothing(exported: Path, tmp_path: Path, what: str) -> None:
    from studio.store.project_import import import_project

    file = Path(shutil.copy(exported, tmp_path / "bad.zip"))
    change = BAD[what] if what in BAD else deep(file, DEEP[what.removeprefix("a run with ")])
    rewritten(file, change)
    there = Studio(tmp_path / "there")
    before = {path for path in tmp_path.rglob("*") if "importing" not in path.name}
    error = refusal(lambda: import_project(there.home, file, "", lambda done, total: None))
    assert error.code == "unreadable-file" and error.hint and str(tmp_path) not in error.message
    assert error.valid != "a zip file" and "complete zip" not in str(error.given)
    left = {path for path in tmp_path.rglob("*") if "importing" not in path.name}
    assert left == before and [each.id for each in there.projects.all()] == ["default"]


def with_rows(folder: Path, write: Callable[[Path], None]) -> Callable[[dict[str, Any]], None]:
    """Other rows in the first version, in a file that is written here."""

    def changed(members: dict[str, Any]) -> None:
        write(folder / "other.parquet")
        members[next(each for each in members if each.endswith("v1/rows.parquet"))] = (
            folder / "other.parquet"
        ).read_bytes()

    return changed


def stored(path: Path, column: pyarrow.Array) -> None:
    """A file as the studio writes it, with one column of JSON."""
    metadata = {b"studio": json.dumps({"as_json": [["text"]]}).encode()}
    table = pyarrow.table({"text": column}).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, path, compression="zstd")


def equal_texts(path: Path) -> None:
    """Two million rows with the same text, in a few kilobytes."""
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2_000_000), ["x" * 20])
    stored(path, texts.cast(pyarrow.string()))


def long_cell(path: Path) -> None:
    """A cell that an upload may not have."""
    stored(path, pyarrow.array(["x" * 10_000_001]))


def deep_cell(path: Path) -> None:
    """A list in a list, and so on, that Python can't read."""
    stored(path, pyarrow.array(["[" * 5_000 + "]" * 5_000]))


@pytest.mark.parametrize("write", [equal_texts, long_cell, deep_cell])
def test_rows_of_a_project_have_the_same_limits_as_an_upload(
    exported: Path, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    from studio.store.project_import import import_project

    file = Path(shutil.copy(exported, tmp_path / "large.zip"))
    rewritten(file, with_rows(tmp_path, write))
    there = Studio(tmp_path / "there")
    error = refusal(lambda: import_project(there.home, file, "", lambda done, total: None))
    assert error.code == "too-large" and error.what.startswith("Version 1 of data-") and error.hint
    assert [each.id for each in there.projects.all()] == ["default"]


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"hello" * 1000])
def test_a_file_that_is_no_zip_is_refused(studio: Studio, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    assert refusal(lambda: studio.projects.import_file(file)).code == "unreadable-file"
    assert refusal(lambda: studio.projects.import_file(tmp_path / "missing.zip")).code == "unreadable-file"


def bomb(file: Path, name: str, megabytes: int) -> None:
    """Add a file of zeros that are compressed."""
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(name, "w", force_zip64=True) as out:
            for _ in range(megabytes):
                out.write(bytes(2**20))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "megabytes"), [("labels/data-1.jsonl", 300), ("datasets/data-1/v1/rows.parquet", 50)])
def test_a_bomb_is_refused_before_a_byte_of_it_is_written(
    studio: Studio, tmp_path: Path, name: str, megabytes: int
) -> None:
    file = studio.projects.export("Default", tmp_path / "bomb.zip")
    bomb(file, name, megabytes)
    assert file.stat().st_size < 2e6
    error = refusal(lambda: studio.projects.import_file(file))
    assert error.code == "unreadable-file" and name in str(error.given)
    assert not list((studio.home.root / "importing").iterdir())


@pytest.mark.slow
def test_a_file_with_very_many_members_is_refused(studio: Studio, tmp_path: Path) -> None:
    file = studio.projects.export("Default", tmp_path / "many.zip")
    with zipfile.ZipFile(file, "a") as archive:
        for number in range(20_001):
            archive.writestr(f"labels/data-{number}.json", "{}")
    assert refusal(lambda: studio.projects.import_file(file)).code == "too-large"


def test_a_canceled_import_leaves_nothing(studio: Studio, tmp_path: Path) -> None:
    from threading import Event

    filled(studio)
    file, cancel = studio.projects.export("Default", tmp_path / "all.zip"), Event()
    cancel.set()
    error: StudioError = refusal(lambda: studio.projects.import_file(file, cancel=cancel))
    assert error.code == "wrong-state" and not list((studio.home.root / "importing").glob("*"))
    assert len(studio.projects.all()) == 1
    assert refusal(lambda: studio.projects.export("Default", tmp_path / "two.zip", cancel=cancel)).code == "wrong-state"
    assert not list(tmp_path.glob("*two.zip*")) and not list(tmp_path.glob(".runs-*"))


# --- the command line ---


@pytest.mark.slow
def test_commands_create_use_export_import_delete_and_restore_a_project(
    tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "comments.csv"
    file.write_text(TEXTS)
    made = call("project", "new", "Support bot")[1]
    assert call("project", "new", "support bot")[0] == 2
    dataset = call("data", "add", file, "--project", "support bot")[1]["id"]
    assert [each["id"] for each in call("data", "list", "--project", made["id"])[1]] == [dataset]
    assert call("data", "list")[1] == []
    monkeypatch.setenv("STUDIO_PROJECT", "Support bot")
    assert [each["id"] for each in call("data", "list")[1]] == [dataset]
    assert call("runs", "--project", "nothing")[0] == 2
    assert call("doctor")[0] == 0
    exported = call("project", "export", "Support bot", "--to", tmp_path / "bot.zip")[1]
    assert exported["bytes"] == (tmp_path / "bot.zip").stat().st_size
    imported = call("project", "import", tmp_path / "bot.zip")[1]
    assert imported["title"] == "Support bot 2"
    assert [each["datasets"] for each in call("project", "list")[1]] == [0, 1, 1]
    assert call("project", "rename", "Support bot 2", "Other")[1]["id"] == imported["id"]
    assert call("project", "delete", "Other", "--for-good")[0] == 2, "it is deleted first, and can be restored"
    assert call("project", "delete", "Other")[1]["datasets"] == 1
    assert [each["title"] for each in call("project", "list", "--deleted")[1]] == ["Other"]
    assert call("project", "restore", "Other")[0] == 0
    assert call("project", "delete", "other")[0] == 0 and call("project", "delete", "other", "--for-good")[0] == 0
    assert len(call("project", "list")[1]) == 2


def test_a_second_import_is_refused_in_words_while_one_is_running(visit: Callable[..., Any], tmp_path: Path) -> None:
    files, ended, key = Uploads(tmp_path / "uploads"), threading.Event(), (visit().workspace, project_menu.IMPORT)

    async def chunks() -> Any:
        yield b"second"

    JOBS.begin(key, Job("first.zip"), lambda job: ended.wait(60))
    ticket = asyncio.run(files.keep(visit().workspace, "second.zip", chunks()))
    with pytest.raises(StudioError, match="Another import is running"):
        project_menu.import_file(visit(tickets=ticket), files)
    assert not list(files.root.rglob("second.zip"))
    ended.set()
    JOBS.cancel(key)
