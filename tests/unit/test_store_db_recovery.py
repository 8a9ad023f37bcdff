"""A damaged database: kept, what can be read of it taken over, the rest listed again from folders, and said."""

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import StepEvent
from studio.schema.runs import RunSpec
from studio.store import Home, Workspace
from studio.store.db import Database

STEPS = 400
WRITES = """
import sys
from studio.schema.events import StepEvent
from studio.store import Home
space = Home(sys.argv[1]).workspace()
print("ready", flush=True)
for line in sys.stdin:
    step = int(line)
    space.events.append(
        sys.argv[2], StepEvent(step=step, loss=1.0, learning_rate=1e-3, rows_per_second=5, memory_bytes=10**9)
    )
    print("said", flush=True)
"""


def a_run(space: Workspace, steps: int = STEPS) -> str:
    config = TrainingConfig(task="chat", model="starter-chat", name="tone")
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    run = space.runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())).id
    for step in range(1, steps + 1):
        space.events.append(
            run, StepEvent(step=step, loss=1.0, learning_rate=1e-3, rows_per_second=5, memory_bytes=10**9)
        )
    space.runs.set_status(run, "finished")
    space.runs.describe(run)
    return run


def steps_of(space: Workspace, run: str) -> list[int]:
    return [each.event.step for each in space.events.after(run, kinds=("step",))]  # type: ignore[union-attr]


def settle(space: Workspace) -> Path:
    """All in one file, nobody has it open."""
    space.db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    space.close()
    return space.root / "studio.db"


def spoil(path: Path, start: float, stop: float) -> None:
    """Noise over a part of a file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(int(size * start))
        file.write(b"\xa5" * int(size * (stop - start)))


def spoil_table(path: Path, table: str) -> None:
    """Noise over the first page of a table."""
    with closing(sqlite3.connect(path)) as db:
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize(("start", "stop"), [(0, 0.02), (0, 1), (0.4, 0.6), (0.9, 1)])
def test_wherever_it_is_damaged_the_runs_are_listed_again_with_their_whole_curve(
    tmp_path: Path, start: float, stop: float
) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space)
    spoil(settle(space), start, stop)
    again = Home(tmp_path).workspace()
    for _ in range(3):  # whoever met the damage first was told to try again
        try:
            runs, steps = again.runs.all(), steps_of(again, run)
            break
        except StudioError as error:
            assert error.code == "damaged-database" and "kept" in error.hint
    assert [each.id for each in runs] == [run] and runs[0].status == "finished"
    assert steps == list(range(1, STEPS + 1))
    assert (again.root / "studio.db").exists() and (again.root / "studio-2.db").exists()
    (told,) = again.recovery_notices()
    assert "The damaged file is studio.db" in told and "was damaged" in told
    assert again.runs.create(again.runs.spec(run)).status == "queued", "and it can be written to"
    again.dismiss_recovery_notices()
    assert again.recovery_notices() == [] and [each.id for each in Home(tmp_path).workspace().runs.all()][-1] == run


def test_an_event_whose_id_another_run_has_by_now_is_restored_once(tmp_path: Path) -> None:
    """A worker appended to the new database before the events of the folders were restored."""
    space = Home(tmp_path).workspace()
    run, other = a_run(space, 5), a_run(space, 0)
    (last,) = space.events.last(run, "step")
    with space.db.write() as connection:
        connection.execute("UPDATE events SET run = ? WHERE id = ?", (other, last.id))
    for _ in range(3):
        space.runs.restore()
    assert steps_of(space, run) == [1, 2, 3, 4, 5]
    assert steps_of(space, other) == [5]


def test_rows_are_listed_again_with_the_way_they_are_read(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    data = studio.datasets.add_text("question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(12)))
    kept = studio.context.workspace.datasets.keep_spec(
        data.id, 1, DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    )
    spoil(settle(studio.context.workspace), 0, 1)
    again = Studio(tmp_path)
    assert again.datasets.all() == [kept]
    assert again.datasets.rows(data.id, 1, 12).rows


def test_the_version_of_rows_that_a_person_went_back_to_stays_the_current_one(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    data = studio.datasets.add_text("text\n" + "".join(f"This is number {n}\n" for n in range(40)))
    studio.editing.edit(data.id, 1, {"text": "This is another one"})
    studio.versions.restore(data.id, 1)
    run = a_run(studio.context.workspace, 3)
    spoil_table(settle(studio.context.workspace), "runs")
    again = Studio(tmp_path)
    assert [each.id for each in again.runs.all()] == [run]
    assert [each.version for each in again.versions.all(data.id)] == [1, 2]
    assert again.datasets.get(data.id).version == 1


@pytest.mark.slow
def test_labels_that_can_be_read_are_taken_over(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    data = studio.datasets.add_text("text\n" + "".join(f"This is number {n}\n" for n in range(40)))
    studio.labels.set_names(data.id, ["good", "bad"])
    for row in range(1, 41):
        studio.labels.give(data.id, row, "good")
    for _ in range(60):
        studio.drafts.put("filler", "x" * 4000)
        a_run(studio.context.workspace, 30)
    space = studio.context.workspace
    spoil_table(settle(space), "runs")
    again = Studio(tmp_path)
    assert len(again.runs.all()) == 60
    assert again.labels.state(data.id).done == 40


def test_others_who_have_it_open_turn_to_the_mended_one_and_lose_nothing(tmp_path: Path) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space, 50)
    other = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path), run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "ready\n"

    def say(step: int) -> None:
        other.stdin.write(f"{step}\n")  # type: ignore[union-attr]
        other.stdin.flush()  # type: ignore[union-attr]
        assert other.stdout.readline() == "said\n"  # type: ignore[union-attr]

    say(51)
    spoil(space.root / "studio.db", 0, 1)
    fresh = Home(tmp_path).workspace()
    assert [each.id for each in fresh.runs.all()] == [run]
    say(52)
    say(53)
    other.communicate()
    assert steps_of(fresh, run)[-2:] == [52, 53] and steps_of(space, run) == steps_of(fresh, run)


def test_of_several_that_meet_the_damage_at_once_one_mends_it(tmp_path: Path) -> None:
    space = Home(tmp_path).workspace()
    run = a_run(space, 100)
    spoil(settle(space), 0.0, 0.5)
    found: list[object] = []

    def look() -> None:
        try:
            found.append([each.id for each in Home(tmp_path).workspace().runs.all()])
        except StudioError as error:
            found.append(error.code)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run] in found and all(each in ([run], "damaged-database") for each in found), found
    assert sorted(path.name for path in space.root.glob("*.db")) == ["studio-2.db", "studio.db"]
    assert len(Home(tmp_path).workspace().recovery_notices()) == 1


def test_a_damaged_queue_is_made_anew_and_waiting_runs_come_into_it_again(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    run = a_run(studio.context.workspace, 1)
    studio.home.queue.enqueue("default", run)
    studio.home.queue.db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    studio.home.queue.db.close()
    spoil(tmp_path / "queue.db", 0, 1)
    again = Studio(tmp_path)
    assert again.runs.queued() == [] and "queue.db" in again.storage.recovery_notices()[0]
    again.home.queue.enqueue("default", run)
    assert again.home.queue.position(run) == 0


def test_a_database_that_another_one_holds_is_waited_for_and_then_refused_in_words(tmp_path: Path) -> None:
    db = Database(tmp_path / "x.db", ["CREATE TABLE notes (text TEXT)"])
    with db.write():
        pass
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with db.reading() as connection:
            connection.execute("PRAGMA busy_timeout = 50")
        db.patience = 0.2
        with pytest.raises(StudioError) as refused, db.write():
            pass
        assert refused.value.code == "busy-database" and "backup" in refused.value.hint
        threading.Timer(0.5, lambda: holder.execute("COMMIT")).start()
        db.patience = 30
        with db.write() as connection:
            connection.execute("INSERT INTO notes VALUES ('in the end')")
    assert db.rows("SELECT text FROM notes")[0]["text"] == "in the end"


def test_the_command_line_says_what_was_mended(tmp_path: Path, call: object, studio: Studio) -> None:
    run = a_run(studio.context.workspace, 3)
    spoil(settle(studio.context.workspace), 0, 1)
    status, told, said = call("runs")  # type: ignore[operator]
    assert status == 0 and [each["id"] for each in told] == [run]
    assert "was damaged" in said
    assert json.dumps(told)
