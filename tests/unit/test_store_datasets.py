"""Datasets keep every version, labels keep every key press."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.labeling import Fact
from studio.store import Home, Workspace
from studio.store.db import now

LABELS_AND_DIES = """
import os, sys
from pathlib import Path
from studio.schema.labeling import Fact
from studio.store import Home
labels = Home(Path(sys.argv[1])).workspace().labels
for row in range(1, 6):
    labels.add(sys.argv[2], [Fact(version=1, row=row, value="good")])
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Home(tmp_path / "home").workspace()


def add(place: Workspace, dataset: str, version: int = 1, text: str = "rows") -> DatasetRecord:
    folder = place.datasets.begin(dataset, version)
    (folder / "rows.parquet").write_text(text)
    record = DatasetRecord(
        id=dataset,
        name="faq.csv",
        version=version,
        note=f"version {version}",
        created=now(),
        rows=3,
        columns=("q", "a"),
        bytes=10,
        source="file",
        format="csv",
    )
    return place.datasets.add(record, folder)


def test_a_version_stays_when_a_newer_one_comes(place: Workspace) -> None:
    add(place, "data-a", 1, "as it came")
    add(place, "data-a", 2, "fixed")
    assert place.datasets.get("data-a").version == 2
    assert place.datasets.get("data-a", 1).note == "version 1"
    assert place.datasets.rows_path("data-a", 1).read_text() == "as it came"
    assert place.datasets.rows_path("data-a", 2).read_text() == "fixed"
    assert [each.version for each in place.datasets.versions("data-a")] == [1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_rows_are_on_the_disk_in_their_place_before_the_database_says_so(
    place: Workspace, on_disk: list[tuple[str, str]]
) -> None:
    add(place, "data-a")
    rows, renamed = on_disk.index(("sync", "rows.parquet")), on_disk.index(("rename", "v1"))
    assert rows < on_disk.index(("sync", ".v1.new"), rows) < renamed
    assert on_disk[renamed + 1 :] == [("sync", "data-a"), ("sync", "datasets"), ("sync", "default")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_version_whose_rows_can_not_be_synced_is_none(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def full(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("rows.parquet"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StudioError) as caught:
        add(place, "data-a")
    assert caught.value.code == "disk-full" and place.datasets.all() == []


def test_one_can_go_back_to_a_version_and_forward_again(place: Workspace) -> None:
    add(place, "data-a", 1)
    add(place, "data-a", 2)
    assert place.datasets.go_to("data-a", 1).version == 1
    assert place.datasets.get("data-a").version == 1
    assert [each.version for each in place.datasets.all()] == [1]
    assert place.datasets.go_to("data-a", 2).version == 2


def test_a_version_is_never_written_twice(place: Workspace) -> None:
    add(place, "data-a", 1, "first")
    with pytest.raises(sqlite3.IntegrityError):
        add(place, "data-a", 1, "second")
    assert place.datasets.rows_path("data-a", 1).read_text() == "first"
    assert [each.version for each in place.datasets.versions("data-a")] == [1]


def test_a_version_that_was_begun_and_not_finished_is_none(place: Workspace) -> None:
    (place.datasets.begin("data-a", 1) / "rows.parquet").write_text("half")
    assert place.datasets.all() == []
    assert list(place.datasets.begin("data-a", 1).iterdir()) == []


def test_a_folder_left_by_a_kill_before_its_version_was_recorded_is_no_hindrance(place: Workspace) -> None:
    left = place.datasets.folder("data-a", 1)
    left.mkdir(parents=True)
    (left / "rows.parquet").write_text("of no version")
    add(place, "data-a", 1, "as it came")
    assert place.datasets.rows_path("data-a", 1).read_text() == "as it came"


def test_the_reading_is_kept_with_the_version(place: Workspace) -> None:
    add(place, "data-a", 1)
    spec = DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"}, left_out=("bad-line",))
    place.datasets.keep_spec("data-a", 1, spec)
    assert place.datasets.get("data-a").spec == spec
    add(place, "data-a", 2)
    assert place.datasets.get("data-a").spec is None
    assert place.datasets.get("data-a", 1).spec == spec


def test_a_deleted_dataset_takes_its_files_and_labels_with_it(place: Workspace) -> None:
    add(place, "data-a")
    add(place, "data-b")
    place.labels.add("data-a", [Fact(version=1, row=1, value="x")])
    place.datasets.delete("data-a")
    assert [each.id for each in place.datasets.all()] == ["data-b"]
    assert not place.datasets.folder("data-a", 1).exists()
    assert place.labels.after("data-a") == []
    with pytest.raises(StudioError) as caught:
        place.datasets.delete("data-a")
    assert caught.value.code == "no-such-dataset"


@pytest.mark.parametrize("asked", ["data-x", "../runs", "", "' OR 1=1 --"])
def test_an_id_that_is_none_is_no_dataset(place: Workspace, asked: str) -> None:
    with pytest.raises(StudioError) as caught:
        place.datasets.get(asked)
    assert caught.value.code == "no-such-dataset"


def test_a_version_that_is_none_is_said_with_its_number(place: Workspace) -> None:
    add(place, "data-a")
    with pytest.raises(StudioError, match="version 7"):
        place.datasets.get("data-a", 7)


def test_new_ids_differ(place: Workspace) -> None:
    assert len({place.datasets.new_id() for _ in range(100)}) == 100


def test_facts_come_back_as_they_were_given_oldest_first_and_only_the_new_ones(place: Workspace) -> None:
    add(place, "data-a")
    first, second = place.labels.add(
        "data-a",
        [
            Fact(version=1, row=1, value="good", labeller="Ann", suggested="bad", sure=0.6),
            Fact(version=1, row=2, what="unsure", labeller="Ann"),
        ],
    )
    (undo,) = place.labels.add("data-a", [Fact(version=1, what="undo", labeller="Ann", undoes=second.id)])
    assert place.labels.after("data-a") == [first, second, undo]
    assert place.labels.after("data-a", second.id) == [undo]
    assert first.id < second.id < undo.id and first.time


def test_of_facts_that_belong_together_all_are_kept_or_none(place: Workspace) -> None:
    add(place, "data-a")
    with pytest.raises(sqlite3.IntegrityError):
        place.labels.add("data-a", [Fact(version=1, row=1, value="x"), Fact.model_construct(version=None)])
    assert place.labels.after("data-a") == []


def test_facts_of_two_datasets_do_not_mix(place: Workspace) -> None:
    add(place, "data-a")
    add(place, "data-b")
    place.labels.add("data-a", [Fact(version=1, row=1, value="x")])
    assert place.labels.after("data-b") == []


def test_a_label_of_the_first_release_is_read_as_a_fact(place: Workspace) -> None:
    add(place, "data-a")
    with place.db.write() as connection:
        connection.execute(
            "INSERT INTO labels (dataset, version, row, label, labeller, time) VALUES ('data-a', 1, 3, 'x', '', 'then')"
        )
    (fact,) = place.labels.after("data-a")
    assert (fact.work, fact.what, fact.row, fact.value) == ("label", "given", 3, "x")


def test_each_key_press_is_on_disk_before_the_next(place: Workspace) -> None:
    add(place, "data-a")
    killed = subprocess.run([sys.executable, "-c", LABELS_AND_DIES, str(place.home.root), "data-a"])
    assert killed.returncode == -9
    assert [(each.row, each.value) for each in place.labels.after("data-a")] == [(n, "good") for n in range(1, 6)]
