"""Names that do not exist, addresses that can't be had: each refused with its code, what was given and a way on."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.api import Studio
from studio.data.samples import sample_named
from studio.export import export_named
from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest
from studio.tasks import task_named
from studio.training.methods import method_named
from studio.training.planning.presets import preset_named
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.server import serve


@pytest.mark.parametrize(
    ("named", "mistyped", "near"),
    [
        (task_named, "clasification", "classification"),
        (method_named, "qlorra", "qlora"),
        (preset_named, "ballanced", "balanced"),
        (export_named, "mergd", "merged"),
    ],
)
def test_an_unknown_name_is_told_all_names_and_the_nearest(
    named: Callable[[str], object], mistyped: str, near: str
) -> None:
    with pytest.raises(StudioError) as caught:
        named(mistyped)
    assert caught.value.code == "unknown-name"
    assert near in str(caught.value.valid)
    assert caught.value.hint == f"Did you mean {near}?"


def test_an_unknown_sample_is_told_the_nearest() -> None:
    with pytest.raises(StudioError) as caught:
        sample_named("suport-tone")
    assert caught.value.code == "no-such-sample"
    assert "support-tone" in caught.value.message


def test_rows_of_which_none_can_be_used_get_no_plan_and_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "silent.csv"
    path.write_text("question,answer\n" + "".join(f"How is {n}?,\n" for n in range(12)))
    studio = Studio(tmp_path / "home")
    data = studio.datasets.add_file(path)
    with pytest.raises(StudioError) as caught:
        studio.planning.plan(RunRequest(dataset=data.id, model="starter-chat", task="chat", settings={"epochs": -1}))
    assert {each.code for each in caught.value.all()} == {"bad-setting", "too-few-rows"}


def test_whatever_a_run_is_asked_all_that_can_not_be_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "silent.csv"
    path.write_text("question,answer\n" + "".join(f"How is {n}?,\n" for n in range(12)))
    studio = Studio(tmp_path / "home")
    data = studio.datasets.add_file(path)
    settings = {"epochs": -1, "start_from": "r-none", "replay": 0.2, "zero": 3, "lerning_rate": 1}
    for ask in (studio.planning.plan, studio.planning.fit, studio.runs.start):
        with pytest.raises(StudioError) as caught:
            ask(RunRequest(dataset=data.id, model="starter-chat", task="chat", method="qlorra", settings=settings))
        said = {(each.code, each.field) for each in caught.value.all()}
        assert said == {
            ("no-such-run", ""),
            ("bad-setting", "replay_from"),
            ("unknown-name", "method"),
            ("bad-setting", "epochs"),
            ("unknown-setting", "lerning_rate"),
            ("bad-setting", "zero"),
            ("too-few-rows", ""),
        }
    assert studio.runs.all() == []


def test_a_port_that_is_taken_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudioError) as caught:
            serve(ServeOptions(tmp_path, port=port, open_browser=False))
    assert caught.value.code == "port-taken"
    assert caught.value.given == port
    assert "--port" in caught.value.hint


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::"])
def test_an_address_that_others_reach_needs_a_password(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STUDIO_PASSWORD", "STUDIO_PASSWORD_FILE", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StudioError) as caught:
        serve(ServeOptions(tmp_path, host, 0, open_browser=False))
    assert caught.value.code == "password-needed"
    assert caught.value.given == host


def test_a_password_file_that_holds_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "passwords"
    file.write_text("in plain text\n")
    monkeypatch.setenv("STUDIO_PASSWORD_FILE", str(file))
    with pytest.raises(StudioError) as caught:
        serve(ServeOptions(tmp_path, "0.0.0.0", 0, open_browser=False))
    assert caught.value.code == "password-needed"
    assert "in plain text" not in caught.value.message
