"""On a full disk whoever looks sees what lies there, and can delete it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_run_management import made

from studio.api import Studio
from studio.schema.errors import StudioError


@pytest.fixture
def studio(disk_of: Callable[[int], Path]) -> Iterator[Studio]:
    studio = Studio(disk_of(80) / "home")
    studio.runs.all()
    yield studio
    studio.close()


def fill(studio: Studio) -> None:
    """Until not one byte more can be written, in the database either."""
    drafts = studio.context.workspace.drafts
    with (studio.home.root.parent / "filler").open("wb", buffering=0) as out, pytest.raises(OSError, match="space"):
        while True:
            out.write(bytes(2**20))
    with pytest.raises(StudioError, match="became full"):
        drafts.put("x", "x" * 100_000)


def test_on_a_full_disk_runs_are_listed_and_deleted_though_one_has_lost_its_worker(studio: Studio) -> None:
    old, lost = made(studio), made(studio, "lost", "training")
    data = studio.datasets.add_text("question,answer\n" + "How is it?,It is fine.\n" * 30).id
    runs = studio.context.workspace.runs
    for folder in (runs.folder(old).checkpoints, studio.context.workspace.datasets.folder(data, 1)):
        (folder / "large").write_bytes(bytes(2**20))
    runs.update(lost, pid=2**22 + 1, identity="gone")
    fill(studio)
    studio.reconcile()
    assert {record.id for record in studio.runs.all()} == {old, lost}
    studio.runs.delete(old)
    assert [record.id for record in studio.runs.all()] == [lost] and not runs.folder(old).root.exists()
    studio.reconcile()
    assert studio.runs.get(lost).status == "interrupted", "there is room again"
    fill(studio)
    studio.datasets.delete(data)
    assert studio.datasets.all() == []
