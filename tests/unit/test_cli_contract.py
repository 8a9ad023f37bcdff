"""The contract of the command line: one JSON document, a status, and a hint that leads on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.cli.main import print_error, run
from studio.schema.errors import StudioError
from tests.unit.test_search_engine import CONFIG, SPEC, Runs, searches

Call = Callable[..., tuple[int, Any, str]]


def test_json_may_stand_before_the_command_of_a_group(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path / "home"), "data", "--json", "list"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_a_command_about_keys_answers_with_one_document_or_is_refused_before_it_does_anything(
    call: Call, tmp_path: Path
) -> None:
    status, made, _ = call("serve-api", "--new-key", "laptop")
    assert (status, made["name"]) == (0, "laptop")
    status, nothing, words = call("serve-api", "--new-key", "phone", "--remove-key", "laptop", "--keys")
    assert (status, nothing) == (2, None) and "--new-key" in words and "Hint" in words
    status, keys, _ = call("serve-api", "--keys")
    assert (status, [each["name"] for each in keys]) == (0, ["laptop"])


def test_a_hint_names_the_command_also_after_options_with_values(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for given, command in ((["show", "x"], "studio show"), (["data", "list"], "studio data"), ([], "studio")):
        print_error(StudioError("bad-setting", "This is wrong."), ["--home", "/a/folder", *given])
        assert f"Hint: {command} --help" in capfd.readouterr().err


def test_a_search_whose_trials_have_all_failed_has_failed(call: Call, tmp_path: Path) -> None:
    runs = Runs()
    view = searches(runs, tmp_path / "home").begin(SPEC, CONFIG, 100)
    while view.status == "running":
        runs.known.clear()  # each is deleted
        view = searches(runs, tmp_path / "home").advance(view.spec.id)
    status, told, words = call("search", "--on", "last")
    assert (status, told["status"], told["best"]) == (1, "finished", None) and "No trial has finished" in words
