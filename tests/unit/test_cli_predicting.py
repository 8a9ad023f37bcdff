"""What `studio predict` says while it works, and when it is ended by Ctrl-C."""

from pathlib import Path
from typing import Any

import pytest

from studio.cli.context import Context
from studio.cli.progress import predicting
from studio.cli.run_outputs import predict
from studio.schema.predictions import FileRequest, PredictionSet
from studio.services.predictions.service import Predictions
from tests.browser.made import Made

SAVED = PredictionSet(id="a", run="r", dataset="d", version=1, name="x", total=1_000_000, done=12_000, created="")


def test_it_says_rows_speed_and_time_left_and_the_speed_leaves_out_loading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr("studio.cli.progress.time.monotonic", lambda: now[0])
    moves = [(0, "Loading the model", 100), (2_000, "Predicting", 20), (4_000, "Predicting", 10)]
    with predicting(Context(None, as_json=False)) as show:
        for done, message, seconds in moves:
            show(done, 1_000_000, message)
            now[0] += seconds
        show(6_000, 1_000_000, "Predicting")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Loading the model: 0 of 1,000,000 rows"
    assert lines[1] == "Predicting: 2,000 of 1,000,000 rows"
    assert lines[2] == "Predicting: 4,000 of 1,000,000 rows, 100 rows per second, 2 h 50 min left"
    assert len(lines) == 3, "a line at most every 15 seconds"


def test_ctrl_c_says_how_many_rows_are_saved_and_that_the_same_command_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(tmp_path / "home", "mood", at=60, task="classification")
    made.finish()

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def begun(_: Predictions, request: FileRequest) -> PredictionSet:
        return SAVED

    monkeypatch.setattr(Predictions, "predict_file", stopped)
    monkeypatch.setattr(Predictions, "begun", begun)
    context = Context(tmp_path / "home", as_json=False)
    with pytest.raises(KeyboardInterrupt):
        predict(context, made.id, "rows.csv", tmp_path / "out.csv", {})
    context.close()
    said = capsys.readouterr().err
    assert "12,000 of 1,000,000 rows are predicted and saved." in said
    assert "The same command, without --restart, predicts the remaining rows." in said
