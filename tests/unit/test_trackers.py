"""Where mirrors write: into the run's own folder, unless a person has said otherwise."""

import os
from pathlib import Path

import pytest

from studio.training.loop.trackers import TRACKER_FOLDER, TRACKERS, tracker_arguments


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    for mirror in TRACKERS.values():
        if mirror.folder_variable:
            monkeypatch.setenv(mirror.folder_variable, "")  # so that it is put back afterwards
            monkeypatch.delenv(mirror.folder_variable)


@pytest.mark.parametrize("name", [name for name, mirror in TRACKERS.items() if mirror.folder_variable])
def test_a_mirror_that_writes_files_writes_them_into_the_runs_folder(name: str, tmp_path: Path) -> None:
    told = tracker_arguments(name, "tone", tmp_path)
    assert (told["report_to"], told["run_name"]) == (name, "tone")
    assert str(tmp_path / TRACKER_FOLDER) in os.environ[TRACKERS[name].folder_variable]
    assert (tmp_path / TRACKER_FOLDER).is_dir()


def test_where_a_person_has_said_where_to_it_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    tracker_arguments("mlflow", "tone", tmp_path)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_without_a_mirror_nothing_is_made_and_nothing_sent(tmp_path: Path) -> None:
    assert tracker_arguments("none", "tone", tmp_path) == {"report_to": "none"}
    assert not list(tmp_path.iterdir())
