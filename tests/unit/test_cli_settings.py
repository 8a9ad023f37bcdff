"""Settings from a file, and what is printed as JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.cli.settings import read_config, read_settings, setting_flags, valid_settings
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec


def test_a_file_may_be_yaml_or_json_in_either_case(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("learning-rate: 0.001\nkeep_best: no\ntest_prompts: [Hello]\n")
    (tmp_path / "b.json").write_text('{"learning_rate": 0.001, "model": "starter-chat"}')
    assert read_settings(tmp_path / "a.yaml") == {"learning_rate": 0.001, "keep_best": False, "test_prompts": ["Hello"]}
    assert read_settings(tmp_path / "b.json") == {"learning_rate": 0.001, "model": "starter-chat"}


def of_a_run(path: Path, **more: Any) -> TrainingConfig:
    """A run's own config.yaml, with what another version of the studio, or a hand, wrote into it."""
    config = TrainingConfig(task="chat", model="starter-chat", epochs=2)
    data = DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"}, left_out=("bad-line",))
    spec = RunSpec(
        config=config, dataset="data-1", dataset_version=1, data=data, splits=SplitSpec(), validation_dataset="data-2"
    )
    told = spec.model_dump(mode="json")
    told["config"] |= more.pop("config", {})
    path.write_text(yaml.safe_dump(told | more))
    return config


def test_the_config_of_a_run_can_be_used_again_with_how_its_rows_were_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config = of_a_run(path)
    asked = read_config(path)
    assert TrainingConfig(**asked.settings) == config
    assert (asked.roles, asked.leave_out) == ({"q": "prompt", "a": "reply"}, ("bad-line",))
    assert (asked.validation, asked.not_known) == ("data-2", ())


def test_settings_of_another_version_are_left_out_of_a_runs_config_and_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config = of_a_run(path, config={"warmth": 3, "older": "x"}, also_new=[1])
    asked = read_config(path)
    assert TrainingConfig(**asked.settings) == config and set(asked.not_known) == {"warmth", "older"}


@pytest.mark.parametrize("data", [["roles"], {"roles": "q"}, {"roles": {"q": 3}}, {"left_out": 7}, "text"])
def test_a_runs_config_that_was_edited_to_nonsense_is_refused(tmp_path: Path, data: object) -> None:
    path = tmp_path / "config.yaml"
    of_a_run(path, data=data)
    with pytest.raises(StudioError) as caught:
        read_config(path)
    assert caught.value.code == "unreadable-file" and caught.value.hint and caught.value.valid
    of_a_run(path, config={"learning_rate": "much", "epochs": 2})
    asked = read_config(path)
    assert [problem.field for problem in asked.problems] == ["learning_rate"]
    assert asked.settings["epochs"] == 2 and "learning_rate" not in asked.settings


def test_a_mistyped_setting_in_a_file_is_told_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("lerning_rate: 0.001\nepoch: 3\nepochs: 2\n")
    with pytest.raises(StudioError) as caught:
        read_settings(path)
    assert [problem.code for problem in caught.value.all()] == ["unknown-setting"] * 2
    assert "Did you mean learning_rate?" in caught.value.message
    assert "Did you mean epochs?" in caught.value.message


@pytest.mark.parametrize("text", ["a: [1,\nb: 2", "- 1\n- 2", "just words", "", "\x00"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(StudioError) as caught:
        read_settings(path)
    assert caught.value.code == "unreadable-file"
    assert "a.yaml" in str(caught.value.given)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudioError):
        read_settings(tmp_path / "missing.yaml")


def test_a_file_can_not_make_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("epochs: !!python/object/apply:os.getcwd []")
    with pytest.raises(StudioError):
        read_settings(path)


def test_only_flags_that_were_given_are_settings() -> None:
    given = {name: None for name in settings_of()} | {"epochs": 2.0, "keep_best": False, "model": "m"}
    assert valid_settings(given) == {"epochs": 2.0, "keep_best": False}
    assert given == {"model": "m"}


def test_each_flag_has_help_with_its_range() -> None:
    assert list(setting_flags()) == list(settings_of())
    for flag in setting_flags().values():
        assert flag.__metadata__[0].help


PRINTS = """
import sys
from studio.cli.context import print_json
from studio.schema.report import Metric
print_json({"nan": float("nan"), "metric": Metric(base=float("inf"), tuned=0.5), "text": "日本 \\ud83d <b>"})
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_json_is_valid_whatever_is_in_it_and_whatever_the_terminal(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], capture_output=True, env={"PYTHONIOENCODING": encoding}, check=True
    )
    document = json.loads(done.stdout.decode("utf-8"))
    assert document["nan"] is None
    assert document["metric"]["base"] is None
    assert document["text"] == "日本 \ud83d <b>"
