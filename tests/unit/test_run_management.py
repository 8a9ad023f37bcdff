"""Runs that lie about: found, noted, put aside; packed and taken in without trusting a byte; folders from elsewhere."""

import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent, StepEvent
from studio.schema.runs import RunSpec
from studio.services.runs import storage
from studio.services.runs.lifecycle import RunLifecycle
from studio.ui.tabs import train
from studio.ui.tabs.runs import tab as runs_tab

EVIL = "<img src=x onerror=alert(1)>"


def made(
    studio: Studio,
    name: str = "tone",
    status: str = "finished",
    rows: str = "data-1",
    more: dict[str, Any] | None = None,
    **settings: Any,
) -> str:
    """A run that was never trained, with a curve and a result."""
    config = TrainingConfig(task="chat", model="starter-chat", name=name, **settings)
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    runs = studio.context.workspace.runs
    spec = RunSpec(config=config, dataset=rows, **{"dataset_version": 1, **(more or {})}, data=data, splits=SplitSpec())
    run = runs.create(spec).id
    for step in range(1, 6):
        studio.context.workspace.events.append(
            run, StepEvent(step=step, loss=3.0 - step / 10, learning_rate=1e-3, rows_per_second=5, memory_bytes=10**9)
        )
    studio.context.workspace.events.append(run, EvaluationEvent(step=5, eval_loss=2.5, best=True))
    folder = runs.folder(run)
    (folder.adapter).mkdir()
    (folder.adapter / "adapter_config.json").write_text('{"r": 8}')
    (folder.adapter / "adapter_model.safetensors").write_bytes(bytes(5000))
    checkpoint = folder.checkpoints / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "complete.json").write_text("{}")
    (checkpoint / "optimizer.pt").write_bytes(b"a pickle")
    runs.set_status(
        run,
        status,
        has_result=status == "finished",
        metrics={"eval_loss": 2.5},
        seconds=60.0,  # type: ignore[arg-type]
    )
    runs.describe(run, {"model": {"name": "starter-chat"}})
    return run


def refusal(act: Callable[[], Any]) -> StudioError:
    with pytest.raises(StudioError) as caught:
        act()
    return caught.value


def curve(studio: Studio, run: str) -> list[dict[str, Any]]:
    return [each.event.model_dump() for each in studio.runs.events(run)]


# --- found, noted, put aside ---


def test_a_run_is_found_by_the_words_of_its_name_note_tags_and_settings(studio: Studio) -> None:
    one, two = made(studio, "support-tone"), made(studio, "mood", method="ia3")
    studio.saved.annotate(one, note="Too formal, try fewer passes", tags=["Keep", "tone, v2"])
    assert studio.runs.get(one).tags == ("Keep", "tone", "v2")
    for text in ("formal passes", "TONE", "v2", one[-6:]):
        assert [each.id for each in studio.runs.find(text)] == [one], text
    assert [each.id for each in studio.runs.find("ia3")] == [two]
    assert [each.id for each in studio.runs.find(tag="Keep")] == [one]
    assert studio.runs.find("formal mood") == []


def test_runs_are_listed_in_every_order_there_is(studio: Studio) -> None:
    runs = [made(studio, name) for name in ("b", "a", "c")]
    store = studio.context.workspace.runs
    for run, loss, seconds in zip(runs, (2.0, 3.0, 1.0), (10, 30, 20), strict=True):
        store.update(run, metrics={"eval_loss": loss}, seconds=seconds)
    (store.folder(runs[1]).root / "large").write_bytes(bytes(100_000))
    names = {order: "".join(each.name for each in studio.runs.find(sort=order)) for order in studio.runs.orders()}
    assert names["newest"] == "cab" and names["oldest"] == "bac" and names["name"] == "abc"
    assert names["loss"] == "cba" and names["time"] == "acb" and names["size"][0] == "a"
    assert refusal(lambda: studio.runs.find(sort="sideways")).code == "bad-setting"


def test_watching_an_ended_run_gives_all_of_its_events_however_many_are_read_at_once(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(studio)
    whole, read = studio.runs.events(run), RunLifecycle.events
    assert len(whole) > 4
    monkeypatch.setattr(RunLifecycle, "events", partialmethod(read, limit=2))
    assert list(studio.runs.watch(run)) == whole


def test_a_run_that_is_put_aside_is_listed_only_when_asked_for(studio: Studio) -> None:
    one, two = made(studio), made(studio)
    studio.saved.annotate(one, archived=True)
    assert [each.id for each in studio.runs.find()] == [two]
    assert [each.id for each in studio.runs.find(archived=True)] == [one]
    studio.saved.annotate(one, archived=False)
    assert len(studio.runs.find()) == 2


def test_a_name_that_another_run_has_gets_a_number_and_ones_own_stays(studio: Studio) -> None:
    one, two = made(studio, "tone"), made(studio, "other")
    assert studio.saved.annotate(two, "tone").name == "tone 2"
    assert studio.saved.annotate(one, " tone ").name == "tone"


def test_a_note_of_a_megabyte_is_refused_and_html_in_one_is_kept_as_it_is(studio: Studio) -> None:
    run = made(studio)
    error = refusal(lambda: studio.saved.annotate(run, note=EVIL * 40_000, name="", tags=["x" * 50]))
    assert {each.field for each in error.all()} == {"note", "name", "tags"}
    assert len(error.message) < 1000
    assert studio.runs.get(run).note == ""
    assert studio.saved.annotate(run, note=f" {EVIL} ").note == EVIL


def test_what_is_said_of_a_run_is_written_into_its_folder(studio: Studio) -> None:
    run = made(studio)
    studio.saved.annotate(run, name="new", note="a note", tags=["x"])
    told = json.loads(studio.context.workspace.runs.folder(run).record.read_text())
    assert (told["run"]["name"], told["run"]["note"], told["run"]["tags"]) == ("new", "a note", ["x"])
    assert told["model"] == {"name": "starter-chat"}


def test_the_disk_used_by_each_part_is_told_and_checkpoints_go_alone(studio: Studio) -> None:
    run = made(studio)
    parts = studio.saved.size_by_part(run)
    assert parts["fine-tuned model"] == 5008 and parts["checkpoints"] == 10
    assert sum(parts.values()) == studio.runs.size(run)
    studio.saved.remove_checkpoints(run)
    assert studio.saved.size_by_part(run)["checkpoints"] == 0 and studio.runs.checkpoints(run) == []
    assert studio.runs.get(run).has_result and curve(studio, run)


def test_storage_lists_what_takes_room_and_says_what_goes_with_it(studio: Studio) -> None:
    run = made(studio)
    data = studio.datasets.add_text("question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(12)))
    view = studio.storage.view()
    things = {(each.kind, each.id): each for each in view.things}
    assert things["run", run].bytes == studio.runs.size(run) and "checkpoints" in things["run", run].lost
    assert things["dataset", data.id].bytes > 0 and "all versions" in things["dataset", data.id].lost
    assert all(each.kept_by for each in view.things if each.id.startswith("starter-"))
    assert [each.bytes for each in view.things] == sorted((each.bytes for each in view.things), reverse=True)
    assert view.free_bytes > 0
    assert refusal(lambda: studio.storage.delete_model("starter-chat")).code == "no-such-model"
    visitor = Studio(studio.home, "visitor", demo=True)
    assert all(each.kind != "model" for each in visitor.storage.view().things)
    assert refusal(lambda: visitor.storage.delete_model("any/model")).code == "not-allowed"


def test_a_model_that_a_run_of_another_project_needs_is_not_deleted(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(studio)
    model = tmp_path / "model"
    model.mkdir()
    spec = studio.runs.spec(run)
    other = studio.visitor(studio.projects.create("Other").id)
    store = other.context.workspace.runs
    config = spec.config.model_copy(update={"model": "owner/model", "name": "of the other project"})
    waiting = store.create(spec.model_copy(update={"config": config})).id
    studio.home.queue.enqueue(other.context.workspace.name, waiting)
    monkeypatch.setattr(storage, "cached_folder", lambda name: model)
    assert "of the other project" in str(refusal(lambda: studio.storage.delete_model("owner/model")).given)
    assert model.exists()
    studio.home.queue.remove(waiting)
    studio.storage.delete_model("owner/model")
    assert not model.exists()


def test_rows_kept_as_tokens_are_listed_and_can_go(studio: Studio) -> None:
    folder = studio.context.workspace.encoded
    assert all(each.kind != "tokens" for each in studio.storage.view().things)
    folder.mkdir(parents=True)
    (folder / "key.jsonl").write_bytes(bytes(7000))
    (kept,) = [each for each in studio.storage.view().things if each.kind == "tokens"]
    assert kept.bytes == 7000 and kept.lost and not kept.kept_by
    assert studio.storage.delete_tokens() == 7000 and not folder.exists()
    assert all(each.kind != "tokens" for each in studio.storage.view().things)


# --- folders from elsewhere ---


def test_a_folder_that_was_copied_to_another_home_is_listed_there_with_its_curve(
    studio: Studio, tmp_path: Path
) -> None:
    run = made(studio)
    studio.saved.annotate(run, note="a note", tags=["x"])
    there = Studio(tmp_path / "there")
    there.reconcile()
    assert there.runs.all() == []
    shutil.copytree(studio.context.workspace.runs.folder(run).root, there.context.workspace.runs.root / run)
    assert there.runs.all() == [], "a read imports nothing"
    there.reconcile()
    found = there.runs.all()
    assert found == [studio.runs.get(run)]
    assert curve(there, run) == curve(studio, run)
    assert there.runs.spec(run) == studio.runs.spec(run)
    there.reconcile()
    assert there.runs.get(run).has_result and there.runs.all() == found, "once"


@pytest.mark.slow
def test_a_folder_that_is_still_being_copied_is_listed_when_all_of_it_is_there(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    there = Studio(tmp_path / "there")
    source, place = studio.context.workspace.runs.folder(run).root, there.context.workspace.runs.root / run
    place.mkdir(parents=True)
    slow = """
import pathlib, shutil, sys, time
source, place = map(pathlib.Path, sys.argv[1:])
for name in ("config.yaml", "run.json"):
    shutil.copy(source / name, place / name)
print(flush=True)
for _ in range(8):  # a large file
    time.sleep(0.1)
    with (place / "large").open("ab") as out:
        out.write(b"x")
shutil.copytree(source, place, dirs_exist_ok=True)
"""
    copying = subprocess.Popen([sys.executable, "-c", slow, str(source), str(place)], stdout=subprocess.PIPE)
    assert copying.stdout and copying.stdout.readline()
    there.reconcile()
    assert there.runs.all() == []
    copying.communicate()
    there.reconcile()
    assert [record.has_result for record in there.runs.all()] == [True]
    assert curve(there, run) == curve(studio, run)


def test_a_folder_is_found_by_its_id_too_and_one_that_was_at_work_is_interrupted(
    studio: Studio, tmp_path: Path
) -> None:
    run = made(studio, status="training")
    there = Studio(tmp_path / "there")
    shutil.copytree(studio.context.workspace.runs.folder(run).root, there.context.workspace.runs.root / run)
    there.reconcile()
    found = there.runs.get(run)
    assert found.status == "interrupted" and "Resume" in found.reason
    assert curve(there, run)[:-1] == curve(studio, run)


def test_a_folder_that_is_copied_here_under_a_name_that_is_taken_gets_a_number(studio: Studio, tmp_path: Path) -> None:
    there = Studio(tmp_path / "there")
    runs, mine = [made(studio), made(studio)], made(there)
    for run in runs:
        shutil.copytree(studio.context.workspace.runs.folder(run).root, there.context.workspace.runs.root / run)
    there.reconcile()
    assert {each.id: each.name for each in there.runs.all()}[mine] == "tone"
    assert sorted(each.name for each in there.runs.all()) == ["tone", "tone 2", "tone 3"]
    for run in runs:
        told = json.loads(there.context.workspace.runs.folder(run).record.read_text())
        assert told["run"]["name"] == there.runs.get(run).name


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["", "a: [", "just words", "config: 7", "config:\n  task: 3\n  epochs: many", "&a [*a]"]
)
def test_a_folder_whose_settings_are_nonsense_is_left_alone_and_hurts_nobody(studio: Studio, text: str) -> None:
    run, kept = made(studio, "gone"), made(studio, "kept")
    folder = studio.context.workspace.runs.folder(run)
    with studio.context.workspace.db.write() as connection:
        connection.execute("DELETE FROM runs WHERE id = ?", (run,))
    folder.config.write_text(text)
    studio.reconcile()
    assert [each.id for each in studio.runs.all()] == [kept]
    assert refusal(lambda: studio.runs.get(run)).code == "no-such-run"
    assert folder.config.exists()
    (told,) = studio.storage.recovery_notices()
    assert run in told and "config.yaml" in told
    studio.storage.dismiss_recovery_notices()
    studio.reconcile()
    assert studio.storage.recovery_notices() == [], "once"
    shutil.copy(studio.context.workspace.runs.folder(kept).config, folder.config)
    studio.reconcile()
    assert {each.id for each in studio.runs.all()} == {run, kept} and studio.storage.recovery_notices() == []


def test_settings_of_an_older_or_newer_studio_are_read_as_far_as_they_go(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    folder = studio.context.workspace.runs.folder(run)
    text = folder.config.read_text().replace("  max_minutes: 0.0\n", "  warp_speed: 9\n")
    assert "warp_speed" in text
    there = Studio(tmp_path / "there")
    shutil.copytree(folder.root, there.context.workspace.runs.root / run)
    (there.context.workspace.runs.folder(run).config).write_text(text + "invented: 1\n")
    there.reconcile()
    assert there.runs.get(run).id == run and there.runs.spec(run).config == studio.runs.spec(run).config


def test_a_deleted_run_does_not_come_back(studio: Studio) -> None:
    run = made(studio)
    studio.runs.delete(run)
    studio.reconcile()
    assert studio.runs.all() == []


def test_what_was_left_half_made_goes_after_a_day_and_nothing_else_does(studio: Studio, tmp_path: Path) -> None:
    import os

    kept, runs = made(studio), studio.context.workspace.runs
    for name, age in (("20260101-0000aaaa", 9e5), (".import-0000", 9e5), ("20260101-0000bbbb", 60.0)):
        (runs.root / name).mkdir()
        (runs.root / name / "config.yaml").write_text("half")
        os.utime(runs.root / name, (0, os.stat(runs.root / name).st_mtime - age))
    os.utime(runs.root / kept, (0, 0))
    studio.saved.import_archive(studio.saved.export_archive(kept, tmp_path / "run.zip"))
    left = {each.name for each in runs.root.iterdir()}
    assert kept in left and "20260101-0000bbbb" in left and len(left) == 3


# --- one file ---


def test_a_run_is_taken_along_in_one_file_without_rows_pickles_or_the_log(studio: Studio, tmp_path: Path) -> None:
    run, file = made(studio), tmp_path / "run.zip"
    studio.context.workspace.runs.folder(run).log.write_text("/home/secret")
    studio.saved.export_archive(run, file)
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) == {
            "config.yaml",
            "run.json",
            "events.jsonl",
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
        }
    there = Studio(tmp_path / "there")
    found = there.saved.import_archive(file)
    assert (found.id, found.name, found.has_result) == (run, "tone", True)
    assert curve(there, run) == curve(studio, run)
    assert there.saved.size_by_part(run)["fine-tuned model"] == 5008


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_run_in_one_file_is_on_the_disk_before_it_has_its_name(
    studio: Studio, tmp_path: Path, on_disk: list[tuple[str, str]]
) -> None:
    run, file = made(studio), tmp_path / "run.zip"
    on_disk.clear()
    studio.saved.export_archive(run, file)
    renamed = on_disk.index(("rename", "run.zip"))
    assert on_disk[renamed - 1][0] == "sync" and on_disk[renamed - 1][1].startswith(".run.zip.")
    assert on_disk[renamed + 1] == ("sync", tmp_path.name)
    on_disk.clear()
    there = Studio(tmp_path / "there")
    there.saved.import_archive(file)
    placed = on_disk.index(("rename", run))
    before = {name for kind, name in on_disk[:placed] if kind == "sync"}
    assert {"config.yaml", "run.json", "events.jsonl", "adapter", "adapter_model.safetensors"} <= before


def test_a_run_that_is_here_already_comes_in_under_a_new_id_and_name(studio: Studio, tmp_path: Path) -> None:
    run = made(studio)
    file = studio.saved.export_archive(run, tmp_path / "run.zip")
    again = studio.saved.import_archive(file)
    assert again.id != run and again.name == "tone 2"
    assert curve(studio, again.id) == curve(studio, run)
    told = json.loads(studio.context.workspace.runs.folder(again.id).record.read_text())
    assert told["run"]["id"] == again.id


def test_a_run_at_work_is_not_packed(studio: Studio, tmp_path: Path) -> None:
    run = made(studio, status="queued")
    assert refusal(lambda: studio.saved.export_archive(run, tmp_path / "x.zip")).code == "wrong-state"
    assert refusal(lambda: studio.saved.import_archive(tmp_path / "missing.zip")).code == "unreadable-file"


def altered(studio: Studio, file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file of a run with some of its members changed."""
    return rewritten(studio.saved.export_archive(made(studio), file), change)


def rewritten(file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    with zipfile.ZipFile(file) as archive:
        members: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def put(name: str, content: bytes = b"x") -> Callable[[dict[str, Any]], None]:
    return lambda members: members.update({name: content})


def linked(members: dict[Any, Any]) -> None:
    link = zipfile.ZipInfo("adapter/link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members[link] = "/etc/passwd"


BAD: dict[str, Callable[[dict[str, Any]], None]] = {
    "a way up": put("../escaped.json"),
    "a way up inside": put("adapter/../../escaped.json"),
    "another place": put("/tmp/escaped.json"),
    "a drive": put("C:/escaped.json"),
    "a backslash": put("adapter\\..\\escaped.json"),
    "a pickle": put("adapter/adapter_model.bin"),
    "a checkpoint": put("checkpoints/checkpoint-1/optimizer.pt"),
    "code": put("model/modeling.py"),
    "a hidden file": put("adapter/.hidden.json"),
    "a link": linked,
    "no settings": lambda members: members.pop("config.yaml"),
    "settings of nonsense": put("config.yaml", b"hello"),
    "a bomb of anchors": put("config.yaml", b"a: &a [x, x]\nb: [*a, *a]"),
    "no record": put("run.json", b"[1]"),
    "rows by a path": lambda members: members.update(
        {"config.yaml": members["config.yaml"].replace(b"dataset: data-1", b"dataset: ../../other")}
    ),
    "a report of nonsense": put("report.json", b'{"rows": "many"}'),
    "parts of nonsense": put("splits.json", b'{"train": 7}'),
    "code of a repository": put("adapter/adapter_config.json", b'{"auto_map": {"AutoModel": "evil/repo--x.X"}}'),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_holds_more_or_less_than_a_run_is_refused_and_leaves_nothing(
    studio: Studio, tmp_path: Path, what: str
) -> None:
    file = altered(studio, tmp_path / "bad.zip", BAD[what])
    before = sorted(path for path in tmp_path.rglob("*"))
    error = refusal(lambda: studio.saved.import_archive(file))
    assert error.code in ("unreadable-file", "damaged-run") and error.hint
    assert sorted(path for path in tmp_path.rglob("*") if ".db" not in path.name) == [
        path for path in before if ".db" not in path.name
    ]
    assert len(studio.runs.all()) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"hello" * 1000, bytes(10_000)])
def test_a_file_that_is_no_zip_is_refused(studio: Studio, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    assert refusal(lambda: studio.saved.import_archive(file)).code == "unreadable-file"


@pytest.mark.slow
def test_a_bomb_is_refused_before_a_byte_of_it_is_written(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    studio.saved.export_archive(made(studio), file)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("splits.json", "w", force_zip64=True) as out:
            for _ in range(600):
                out.write(bytes(2**20))
    assert file.stat().st_size < 2e6
    assert refusal(lambda: studio.saved.import_archive(file)).code == "unreadable-file"
    assert not list(studio.context.workspace.runs.root.glob(".import*"))


def test_commands_note_export_import_and_find(studio: Studio, tmp_path: Path, call: Any) -> None:
    run, file = made(studio), tmp_path / "taken.zip"
    assert call("note", run, "my words", "--name", "new", "--tags", "a,b")[1]["tags"] == ["a", "b"]
    assert call("export-run", run, "--to", file)[1]["bytes"] == file.stat().st_size
    assert call("export-run", run, "--to", tmp_path / "rows.zip", "--with-rows")[0] == 2, "its rows are gone"
    status, told, _ = call("import-run", file)
    assert status == 0 and told["name"] == "new 2"
    assert [each["id"] for each in call("runs", "--find", "my words", "--tag", "a")[1]] == [told["id"], run]
    assert call("note", run, "--archive")[1]["archived"] is True
    assert [each["id"] for each in call("runs")[1]] == [told["id"]]
    assert {each["id"] for each in call("storage")[1]["things"]} >= {run, told["id"]}
    assert call("import-run", tmp_path / "missing")[0] == 2


def test_run_again_opens_the_form_of_an_archived_run_too(visit: Callable[..., Any]) -> None:
    studio = visit().studio
    run, _ = made(studio, "old"), made(studio, "new")
    studio.saved.annotate(run, archived=True)
    train.open_rerun_form(visit(run=run))
    page = runs_tab.drawn(visit())[0]
    assert "Details of old" in page and "Run again with changes" in page


def test_a_table_without_runs_says_that_the_others_are_archived(visit: Callable[..., Any]) -> None:
    studio = visit().studio
    run = made(studio)
    studio.saved.annotate(run, archived=True)
    shown = runs_tab.drawn(visit())[0]
    assert "All runs are archived" in shown and "No run matches" not in shown and 'name="run-archived"' in shown
    visit().add("finding", find="nothing like it")
    assert "No run matches" in runs_tab.drawn(visit())[0]
    visit().add("finding", find="", archived=True)
    assert "archived</h1>" not in runs_tab.drawn(visit())[0]
    studio.saved.annotate(run, archived=False)
    assert "No run is archived" in runs_tab.drawn(visit())[0]
