"""The data folder in a bucket, for which a folder stands in: saved, restored, cut off, full, and with two servers."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.store import Home
from studio.store.bucket import FOLDER, STATE, VARIABLE, Bucket, bucket_folder, bucket_state
from studio.store.snapshots import KEPT_SECONDS, LISTS, OBJECTS, Snapshots
from tests.unit.test_projects import filled
from tests.unit.test_run_management import curve, made
from tests.visitors import new_visitor

SERVER = """
import sys
from pathlib import Path
from studio.store.bucket import Bucket
bucket = Bucket(Path(sys.argv[1]), Path(sys.argv[2]))
bucket.restore()
bucket.save()
print(bucket.state.problem or "saved", flush=True)
"""
LARGE = 300_000_000
"""Bytes of a file that takes long enough to be copied that the process can be killed meanwhile."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The studio's folder in the bucket."""
    return tmp_path / "mounted" / FOLDER


def started(home: Path, folder: Path) -> Bucket:
    """A server starts: its data folder is restored, and it may save from now on."""
    bucket = Bucket(home, folder)
    bucket.restore()
    return bucket


def saved(home: Path, folder: Path) -> Bucket:
    """A server starts and saves."""
    bucket = started(home, folder)
    bucket.save()
    assert bucket.state.problem == ""
    return bucket


def content(home: Path) -> dict[str, Any]:
    """What a person finds in a data folder."""
    studio, found = Studio(home), {}
    for record in studio.datasets.all():
        found[record.id] = studio.datasets.rows(record.id, 1, 50).model_dump()
    for run in studio.runs.all():
        found[run.id] = (run.status, curve(studio, run.id), studio.runs.get(run.id).name)
    found["labels"] = studio.context.workspace.db.rows("SELECT count(*) FROM labels")[0][0]
    studio.close()
    studio.context.workspace.close()
    return found


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def size_of(path: Path) -> int:
    """Bytes of a file, 0 when it was just deleted."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def server(home: Path, folder: Path) -> "subprocess.Popen[str]":
    """A server in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", SERVER, home, folder], stdout=subprocess.PIPE, text=True)


def killed_when(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    """Kill a process (SIGKILL) as soon as something is the case."""
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
    process.kill()
    process.communicate()


def large(home: Path) -> Path:
    """A large file of a run."""
    place = next((home / "workspaces" / "default" / "runs").iterdir()) / "adapter" / "large.safetensors"
    place.write_bytes(os.urandom(1_000_000) * (LARGE // 1_000_000))
    return place


def test_all_is_there_again_after_a_start_on_an_empty_disk(studio: Studio, folder: Path, tmp_path: Path) -> None:
    home = studio.home.root
    filled(studio)
    secret = studio.home.new_secret()
    visitor = studio.home.workspace(studio.home.visitor_workspace(secret) or "")
    visitor.drafts.put("page", {"task": "chat"})
    visitor.visited("10.0.0.7")
    last = time.time() - 7200
    for mark in (visitor.root / "address", visitor.root):
        os.utime(mark, (last, last))
    account = studio.home.account_workspace("60c2ben")
    before = content(home)
    visitor.close()
    os.utime(visitor.root, (last, last))
    saved(home, folder)
    there = tmp_path / "there"
    saved(there, folder)
    again = Home(there)
    for each in (studio.home, again):
        assert 1.9 < each.hours_since_visit(visitor.name) < 2.1, "neither a copy nor a restart is a visit"
    assert content(there) == before and len(before) == 3
    assert again.visitor_workspace(secret) == visitor.name
    assert again.account_workspace("60c2ben") == account, "a person who signs in finds the same workspace"
    assert again.workspace(visitor.name).drafts.get("page") == {"task": "chat"}
    run = Studio(there).runs.all()[0]
    assert Studio(there).context.workspace.runs.folder(run.id).result is not None
    with closing(sqlite3.connect(there / "workspaces" / "default" / "studio.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_hub_token_and_what_can_be_made_again_stay_out_of_the_bucket(studio: Studio, folder: Path) -> None:
    dataset, run = filled(studio)
    studio.home.keep_hub_token("hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789")
    root = studio.context.workspace.root
    for place in (root / "encoded", root / "runs" / run / "exports", root / "runs" / run / "rows"):
        place.mkdir(exist_ok=True)
        (place / "again.bin").write_bytes(b"made again")
    named = root / "datasets" / dataset / "v1" / "my.db.csv"  # a file as it came may have any name
    named.write_bytes(b"as it came")
    (root / "datasets" / "link").symlink_to("/etc/passwd")
    bucket = saved(studio.home.root, folder)
    written = [(folder / OBJECTS / name).read_bytes() for name in files(folder / OBJECTS)]
    assert not [each for each in written if b"hf_AbC" in each or each == b"made again" or b"root:" in each]
    assert b"as it came" in written
    newest = bucket.snapshots.newest()
    assert newest and len(newest.files) == len(written)


def test_only_what_has_changed_is_written_and_only_what_is_needed_stays(studio: Studio, folder: Path) -> None:
    dataset, run = filled(studio)
    bucket = saved(studio.home.root, folder)
    objects, lists = files(folder / OBJECTS), files(folder / LISTS)
    bucket.save()
    assert (files(folder / OBJECTS), files(folder / LISTS)) == (objects, lists), "nothing has changed"
    studio.labels.give(dataset, 1, "praise")
    bucket.save()
    assert len(set(files(folder / OBJECTS)) - set(objects)) == 1, "only the database"
    studio.runs.delete(run)
    studio.datasets.delete(dataset)
    for number in range(3):
        studio.drafts.put("page", {"task": str(number)})
        bucket.save()
    newest = bucket.snapshots.newest()
    assert newest and len(files(folder / LISTS)) == 2
    needed = {each.object for each in newest.files.values()}
    assert needed < set(files(folder / OBJECTS)), "the snapshot before the newest is kept for an hour"
    bucket._pruned -= KEPT_SECONDS + 1
    bucket.save()
    assert set(files(folder / OBJECTS)) == needed and len(files(folder / LISTS)) == 1


def test_a_run_that_trains_is_saved_as_its_description_and_is_interrupted_after_the_restore(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    run = made(studio, "mood")
    store = studio.context.workspace.runs
    store.update(run, status="training", pid=2**22 + 1, identity="gone", has_result=0)
    bucket = saved(studio.home.root, folder)
    newest = bucket.snapshots.newest()
    assert newest
    of_run = [name.rpartition("/")[2] for name in newest.files if f"/runs/{run}/" in name]
    assert of_run and set(of_run) <= {"config.yaml", "run.json"}
    started(tmp_path / "there", folder)
    there = Studio(tmp_path / "there")
    there.reconcile()
    assert there.runs.get(run).status == "interrupted" and len(curve(there, run)) >= 5
    store.update(run, status="finished", has_result=1)
    bucket = saved(studio.home.root, folder)
    newest = bucket.snapshots.newest()
    assert newest and any(name.endswith("adapter_model.safetensors") for name in newest.files)


def test_each_copy_is_consistent_while_others_write(studio: Studio, folder: Path, tmp_path: Path) -> None:
    filled(studio)
    bucket, over = started(studio.home.root, folder), threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            studio.drafts.put("page", {"number": number, "text": "x" * 5_000})
            studio.drafts.put("again", {"number": number})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(8):
            bucket.save()
            assert bucket.state.problem == ""
            there = tmp_path / str(number)
            newest = bucket.snapshots.newest()
            assert newest
            bucket.snapshots.fetch(newest.files["workspaces/default/studio.db"], there)
            with closing(sqlite3.connect(there)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        over.set()
        writer.join()


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_copy_leaves_the_copy_before(studio: Studio, folder: Path, tmp_path: Path) -> None:
    home = studio.home.root
    filled(studio)
    saved(home, folder)
    before, known = content(home), set(files(folder / OBJECTS))
    lists = files(folder / LISTS)
    place = large(home)

    def is_copying() -> bool:
        """Whether the large file is being copied."""
        return any(size_of(folder / OBJECTS / name) > 1_000_000 for name in set(files(folder / OBJECTS)) - known)

    killed_when(server(home, folder), is_copying)
    left = set(files(folder / OBJECTS)) - known
    assert left and files(folder / LISTS) == lists
    started(tmp_path / "there", folder)
    assert content(tmp_path / "there") == before
    shutil.rmtree(tmp_path / "there")
    process = server(home, folder)  # the same disk starts again, and saves what is missing
    assert process.communicate()[0] == "saved\n"
    there = tmp_path / "again"
    started(there, folder)
    assert (there / place.relative_to(home)).stat().st_size == LARGE
    old = time.time() - KEPT_SECONDS - 60
    for name in left:
        os.utime(folder / OBJECTS / name, (old, old))
    (home / "trusted-models.json").write_text("{}")
    saved(home, folder)
    assert not left & set(files(folder / OBJECTS)), "what was cut off is deleted in the end"


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_restore_is_made_up_for_by_the_next_start(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    home = studio.home.root
    filled(studio)
    large(home)
    before = content(home)
    saved(home, folder)
    there = tmp_path / "there"

    def is_restoring() -> bool:
        return any(map(size_of, there.glob("workspaces/*/runs/*/adapter/large.safetensors")))

    killed_when(server(there, folder), is_restoring)
    state = bucket_state(there)
    assert state and state.restoring
    assert server(there, folder).communicate()[0] == "saved\n"
    assert content(there) == before


@pytest.mark.parametrize(
    "cut", ["list", "list is empty", "list is of nonsense", "list is other", "file", "file is missing", "file is other"]
)
def test_a_copy_that_is_not_complete_does_not_count_and_the_one_before_does(
    studio: Studio, folder: Path, tmp_path: Path, cut: str
) -> None:
    dataset, _ = filled(studio)
    bucket = saved(studio.home.root, folder)
    before = content(studio.home.root)
    first = set(files(folder / OBJECTS))
    studio.labels.give(dataset, 1, "praise")
    bucket.save()
    newest = folder / LISTS / files(folder / LISTS)[-1]
    (new,) = set(files(folder / OBJECTS)) - first
    of_newest = folder / OBJECTS / new
    match cut:
        case "list":
            newest.write_bytes(newest.read_bytes()[:-40])
        case "list is empty":
            newest.write_bytes(b"")
        case "list is of nonsense":
            newest.write_bytes(b"\xff\x00" * 50)
        case "list is other":
            newest.write_bytes(newest.read_bytes().replace(b"studio.db", b"studio.dx"))
        case "file":
            of_newest.write_bytes(of_newest.read_bytes()[:-4096])
        case "file is missing":
            of_newest.unlink()
        case "file is other":
            of_newest.write_bytes(bytes(of_newest.stat().st_size))
    started(tmp_path / "there", folder)
    assert content(tmp_path / "there") == before
    assert content(studio.home.root) != before


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "workspaces/../../outside", "a\\..\\outside", ""])
def test_a_list_that_names_a_place_outside_does_not_count(folder: Path, name: str) -> None:
    snapshots = Snapshots(folder)
    snapshots.begin()
    with Path(__file__).open("rb") as file:
        snapshots.add_list(1, {name: snapshots.add_file(file, 0)})
    assert snapshots.newest() is None and not snapshots.is_empty


def test_a_bucket_that_cannot_be_read_stops_the_start_and_stays_as_it_is(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    filled(studio)
    saved(studio.home.root, folder)
    for name in files(folder / OBJECTS):
        (folder / OBJECTS / name).write_bytes(b"x")
    before = files(folder / OBJECTS), files(folder / LISTS)
    with pytest.raises(StudioError, match="can't be read") as raised:
        started(tmp_path / "there", folder)
    assert raised.value.hint and (files(folder / OBJECTS), files(folder / LISTS)) == before
    with pytest.raises(StudioError, match="can't be read"):
        started(tmp_path / "there", folder)


def test_of_two_servers_the_later_one_saves_and_the_earlier_one_says_so(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    dataset, _ = filled(studio)
    first = saved(studio.home.root, folder)
    there = tmp_path / "there"
    second = started(there, folder)
    studio.labels.give(dataset, 1, "praise")
    first.save()
    assert "Another server has started" in first.state.sentence and first.state.time
    other = Studio(there)
    other.datasets.add_text("text\nof the second server\n", "second.csv")
    lists = files(folder / LISTS)
    first.save()
    assert files(folder / LISTS) == lists
    second.save()
    assert second.state.problem == "" and files(folder / LISTS) != lists
    last = tmp_path / "last"
    started(last, folder)
    assert content(last) == content(there)


@pytest.mark.slow
def test_two_servers_at_the_same_moment_damage_nothing(studio: Studio, folder: Path, tmp_path: Path) -> None:
    filled(studio)
    home = studio.home.root
    saved(home, folder)
    before = content(home)
    processes = [server(tmp_path / str(number), folder) for number in range(4)]
    assert all(process.communicate()[0] for process in processes)
    started(tmp_path / "last", folder)
    assert content(tmp_path / "last") == before


def test_a_data_folder_with_other_data_is_not_mixed_with_the_bucket(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    filled(studio)
    saved(studio.home.root, folder)
    other = Studio(tmp_path / "other")
    other.datasets.add_text("text\nother\n", "other.csv")
    lists = files(folder / LISTS)
    with pytest.raises(StudioError, match="different data") as raised:
        started(other.home.root, folder)
    assert raised.value.hint and files(folder / LISTS) == lists and len(other.datasets.all()) == 1
    there = tmp_path / "there"  # another server has saved since: the first disk is not the newest any more
    started(there, folder)
    Studio(there).drafts.put("page", {})
    saved(there, folder)
    with pytest.raises(StudioError, match="different data"):
        started(studio.home.root, folder)


def test_the_same_disk_starts_again_also_after_a_kill_between_the_list_and_its_note(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    home = studio.home.root
    filled(studio)
    started(home, folder)
    for number in range(3):
        studio.drafts.put("page", {"number": number})
        bucket = started(home, folder)
        note = (home / STATE).read_text()
        bucket.save()
        (home / STATE).write_text(note)  # the note of the save was not written
    studio.drafts.put("page", {"number": 9})
    saved(home, folder)
    started(tmp_path / "there", folder)
    assert Studio(tmp_path / "there").drafts.get("page") == {"number": 9}


def test_a_full_bucket_keeps_the_last_copy_and_is_tried_again(
    studio: Studio, disk_of: Callable[[int], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, folder = studio.home.root, disk_of(8) / FOLDER
    filled(studio)
    bucket = saved(home, folder)
    before = content(home)
    place = next((home / "workspaces" / "default" / "runs").iterdir()) / "adapter" / "large.safetensors"
    place.write_bytes(bytes(20_000_000))
    bucket.save()
    assert "is full" in bucket.state.problem and "The last copy was made at 20" in bucket.state.sentence
    assert "is full" in caplog.text
    assert studio.storage.view().bucket == bucket.state.sentence
    started(tmp_path / "there", folder)
    assert content(tmp_path / "there") == before
    place.unlink()
    again = saved(home, folder)
    assert again.state.problem == "" and again.state.sentence.startswith("The bucket has a copy of 20")


def test_a_full_local_disk_stops_the_start_with_a_reason(
    studio: Studio, folder: Path, disk_of: Callable[[int], Path]
) -> None:
    filled(studio)
    saved(studio.home.root, folder)
    with pytest.raises(StudioError) as raised:
        started(disk_of(4) / "home", folder)
    assert raised.value.code == "disk-full"


def test_a_damaged_database_of_one_visitor_does_not_keep_others_from_being_saved(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    filled(studio)
    visitor = new_visitor(studio.home)
    visitor.drafts.put("page", {"task": "chat"})
    visitor.close()
    bucket = saved(studio.home.root, folder)
    path = visitor.root / "studio.db"
    for each in visitor.root.glob("studio.db-*"):
        each.unlink()
    path.write_bytes(b"nonsense" * 1_000)
    studio.drafts.put("page", {"task": "label"})
    bucket.save()
    assert bucket.state.problem == ""
    started(tmp_path / "there", folder)
    assert Studio(tmp_path / "there").drafts.get("page") == {"task": "label"}
    assert Home(tmp_path / "there").workspace(visitor.name).drafts.get("page") == {"task": "chat"}, "its last copy"


def test_the_bucket_is_the_folder_of_the_variable_or_data_on_a_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (VARIABLE, "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert bucket_folder() is None
    monkeypatch.setattr("studio.store.bucket.MOUNTED", tmp_path)
    assert bucket_folder() is None, "elsewhere /data is no bucket"
    monkeypatch.setenv("SPACE_ID", "ann/studio")
    assert bucket_folder() == tmp_path / FOLDER
    monkeypatch.setattr("studio.store.bucket.MOUNTED", tmp_path / "missing")
    assert bucket_folder() is None
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert bucket_folder() == tmp_path / FOLDER
    monkeypatch.setenv(VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(StudioError, match="can't write to the folder"):
        bucket_folder()


def test_only_the_owner_is_told_of_the_bucket(studio: Studio, folder: Path) -> None:
    assert studio.storage.view().bucket == ""
    bucket = started(studio.home.root, folder)
    assert studio.storage.view().bucket == "The bucket has no copy yet."
    studio.drafts.put("page", {})
    bucket.save()
    assert studio.storage.view().bucket.startswith("The bucket has a copy of 20")
    visitor = studio.visitor(new_visitor(studio.home).name)
    assert visitor.storage.view().bucket == ""
