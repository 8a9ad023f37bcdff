"""A checkpoint is whole or not there, and only what is needed is kept."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from studio.schema.errors import StudioError
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress, replace_folder, require_room


def save(checkpoints: Checkpoints, step: int, **standing: object) -> None:
    with checkpoints.writing(TrainingProgress(step=step, **standing), 1000) as staging:  # type: ignore[arg-type]
        folder = staging / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("adapter_model.safetensors", "optimizer.pt", "trainer_state.json"):
            (folder / name).write_text(name)


def test_the_first_checkpoint_is_due_and_the_next_after_twenty_times_what_one_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("studio.training.loop.checkpoints.time", SimpleNamespace(monotonic=lambda: now[0]))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.due()
    with checkpoints.writing(TrainingProgress(step=5), 1000) as staging:
        (staging / "checkpoint-5").mkdir()
        now[0] += 2.0
    assert not checkpoints.due()
    now[0] += 39.9
    assert not checkpoints.due()
    now[0] += 0.2
    assert checkpoints.due()


def test_the_newest_whole_checkpoint_is_found_with_where_the_run_stood(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.newest() is None
    save(checkpoints, 5, best_step=5, best_loss=1.5)
    save(checkpoints, 10, best_step=5, best_loss=1.5, misses=1)
    folder, standing = checkpoints.newest() or (None, TrainingProgress())
    assert folder == checkpoints.path(10)
    assert standing == TrainingProgress(step=10, best_step=5, best_loss=1.5, misses=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_checkpoint_is_on_the_disk_then_marked_then_in_its_place(
    tmp_path: Path, on_disk: list[tuple[str, str]]
) -> None:
    save(Checkpoints(tmp_path), 5)
    names = {"adapter_model.safetensors", "optimizer.pt", "trainer_state.json"}
    assert {name for _, name in on_disk[:3]} == names and {kind for kind, _ in on_disk[:3]} == {"sync"}
    rest = [("sync", "checkpoint-5"), ("sync", "complete.json"), ("sync", "checkpoint-5"), ("rename", "checkpoint-5")]
    assert on_disk[3:] == [*rest, ("sync", tmp_path.name)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_result_is_on_the_disk_before_it_is_in_its_place(tmp_path: Path, on_disk: list[tuple[str, str]]) -> None:
    new = tmp_path / ".adapter.new"
    new.mkdir()
    (new / "weights").write_text("w")
    replace_folder(new, tmp_path / "adapter")
    assert on_disk == [("sync", "weights"), ("sync", ".adapter.new"), ("rename", "adapter"), ("sync", tmp_path.name)]


def test_a_checkpoint_that_was_cut_short_is_not_taken_and_goes(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    torn = checkpoints.path(9)
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_text("half")
    (tmp_path / ".new" / "checkpoint-9").mkdir(parents=True)
    found = checkpoints.newest()
    assert found is not None and found[0] == checkpoints.path(5)
    assert not torn.exists()
    assert not (tmp_path / ".new").exists()


def test_an_error_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    with pytest.raises(ZeroDivisionError), checkpoints.writing(TrainingProgress(step=6), 1000) as staging:
        (staging / "checkpoint-6").mkdir()
        raise ZeroDivisionError
    assert checkpoints.complete() == [5]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_best_and_last_are_kept_and_the_best_alone_loses_what_only_resuming_needs(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15):
        save(checkpoints, step)
    checkpoints.prune({5, 15}, last=15)
    assert checkpoints.complete() == [5, 15]
    assert not (checkpoints.path(5) / "optimizer.pt").exists()
    assert (checkpoints.path(5) / "adapter_model.safetensors").exists()
    assert (checkpoints.path(15) / "optimizer.pt").exists()


def test_a_checkpoint_without_its_optimizer_is_not_resumed_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    save(checkpoints, 10)
    checkpoints.prune({5, 10}, last=5)
    found = checkpoints.newest()
    assert found is not None and found[1].step == 5


def test_what_would_not_fit_the_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refused:
        require_room(tmp_path, 2**60)
    assert refused.value.code == "disk-full"
    assert "MB needed" in refused.value.message
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(StudioError), checkpoints.writing(TrainingProgress(step=1), 2**60):
        pytest.fail("nothing may be written")
    assert checkpoints.complete() == []


def test_a_folder_takes_the_place_of_another_whole(tmp_path: Path) -> None:
    old, new = tmp_path / "adapter", tmp_path / ".adapter.new"
    for folder, text in ((old, "old"), (new, "new")):
        folder.mkdir()
        (folder / "weights").write_text(text)
    (old / "left over").write_text("")
    replace_folder(new, old)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert [(path.name, path.read_text()) for path in old.iterdir()] == [("weights", "new")]


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json", "complete.json"])
def test_a_checkpoint_of_which_a_file_is_missing_or_cut_is_not_gone_on_from(tmp_path: Path, name: str) -> None:
    for harm in (Path.unlink, lambda path: path.write_text("")):
        checkpoints = Checkpoints(tmp_path / name)
        save(checkpoints, 5)
        save(checkpoints, 10)
        assert checkpoints.resumable() == [5, 10]
        harm(checkpoints.path(10) / name)
        assert checkpoints.resumable() == [5]
        found = checkpoints.newest()
        assert found is not None and found[1].step == 5


def test_one_that_was_whole_when_the_process_was_killed_is_put_in_its_place(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    save(checkpoints, 10)
    (tmp_path / ".new").mkdir()
    checkpoints.path(10).rename(tmp_path / ".new" / "checkpoint-10")
    found = checkpoints.newest()
    assert found is not None and found[0] == checkpoints.path(10) and found[1].step == 10
    assert checkpoints.complete() == [5, 10]


def test_a_half_removed_one_is_not_taken_for_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    (checkpoints.path(5) / "complete.json").unlink()
    assert checkpoints.complete() == [] and checkpoints.newest() is None and not checkpoints.path(5).exists()


def test_weights_can_be_loaded_when_only_what_resuming_needs_is_gone_and_not_when_they_are_cut(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (5, 10, 15):
        with checkpoints.writing(TrainingProgress(step=step), 1000) as staging:
            for name in ("adapter_model.safetensors", "rng_state_0.pth", "global_step5/optimizer.pt"):
                file = staging / f"checkpoint-{step}" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(name)
    checkpoints.prune({5, 10, 15}, last=15)
    assert not (checkpoints.path(5) / "global_step5").exists()
    assert checkpoints.loadable() == [5, 10, 15]
    (checkpoints.path(5) / "adapter_model.safetensors").unlink()
    (checkpoints.path(10) / "adapter_model.safetensors").write_text("cut")
    assert checkpoints.complete() == [5, 10, 15] and checkpoints.loadable() == [15]
    (checkpoints.path(15) / "complete.json").write_text("[]")
    assert checkpoints.loadable() == []
