"""The image: starters are fetched while it is built and lie inside, and what it starts needs no network."""

import json
import re
from pathlib import Path

import pytest

from studio.models.starters import starter_folder
from tests.said import caller

ROOT = Path(__file__).parents[2]
BUILD, IMAGE = re.split(r"^FROM .*\n", (ROOT / "Dockerfile").read_text().replace("\\\n", ""), flags=re.MULTILINE)[1:]


def lines(stage: str, word: str) -> list[str]:
    """What stands after an instruction, for each time that a stage has it."""
    return [" ".join(line.split()[1:]) for line in stage.splitlines() if line.startswith(f"{word} ")]


def environment(stage: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in lines(stage, "ENV") for pair in line.split())


def test_the_starters_are_fetched_while_the_image_is_built_and_lie_where_it_looks_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (fetching,) = [line for line in lines(BUILD, "RUN") if line.endswith("python -m studio.models")]
    cache = re.search(r"STUDIO_CACHE=(\S+)", fetching)
    assert cache and environment(IMAGE)["STUDIO_CACHE"] == cache[1]
    assert f"--from=build {cache[1]} {cache[1]}" in lines(IMAGE, "COPY")
    monkeypatch.setenv("STUDIO_CACHE", cache[1])
    assert starter_folder("starter-chat").is_relative_to(cache[1])
    assert not [line for line in lines(IMAGE, "RUN") if re.search(r"pip|studio\.models|curl|wget|apt", line)]


def test_the_image_starts_offline_with_a_home_of_its_own_user() -> None:
    told = environment(IMAGE)
    assert told["HF_HUB_OFFLINE"] == "1" and told["GRADIO_ANALYTICS_ENABLED"] == "False"
    made = next(line for line in lines(IMAGE, "RUN") if "useradd" in line)
    assert "--uid 1000" in made and f"install -d -o 1000 -g 1000 {told['STUDIO_HOME']} " in made
    assert lines(IMAGE, "USER") == ["1000"] and told["PATH"].startswith("/opt/studio/bin:")
    assert "--from=build /opt/studio /opt/studio" in lines(IMAGE, "COPY")


def test_what_the_image_starts_is_a_command_of_the_studio(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = lines(IMAGE, "CMD")
    program, *arguments = json.loads(line)
    assert (program, arguments[0]) == ("studio", "serve") and "--demo" in arguments
    said = caller(capfd)(*arguments, "--help")
    assert said.status == 0, said.err
    assert caller(capfd)(*arguments, "--no-such-flag", "--help").status == 2, "an unknown flag would be noticed"


def test_what_is_copied_into_the_build_is_not_ignored_and_is_there() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in lines(BUILD, "COPY") for name in line.split()[:-1]}
    assert copied <= allowed and all((ROOT / name).exists() for name in copied)
    assert {"studio", "assets", "docs", "pyproject.toml"} <= copied
