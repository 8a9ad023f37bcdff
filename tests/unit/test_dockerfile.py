"""The image: starters are fetched while it is built and are inside, and what it starts needs no network."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.models.starters import starter_folder
from tests.said import caller

ROOT = Path(__file__).parents[2]
TARGETS = ("cpu", "cuda")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
BASES: dict[str, str] = {}
"""What each stage is made from, in the order of the file."""
STEPS: dict[str, list[tuple[str, str]]] = {}
"""The instructions of each stage: a word, and the rest of the line."""
for base, name, text in re.findall(
    r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)",
    (ROOT / "Dockerfile").read_text().replace("\\\n", ""),
    flags=re.MULTILINE | re.DOTALL,
):
    BASES[name] = base
    written = [" ".join(line.split()).partition(" ") for line in text.splitlines() if line and line[0] != "#"]
    STEPS[name] = [(word, rest) for word, _, rest in written]


def lines(stage: str, word: str) -> list[str]:
    """What follows an instruction, each time that a stage has it."""
    return [rest for each, rest in STEPS[stage] if each == word]


def environment(stage: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in lines(stage, "ENV") for pair in line.split())


def sources(stage: str) -> list[str]:
    """The stages that a stage copies from."""
    return [line.split()[0].removeprefix("--from=") for line in lines(stage, "COPY") if line.startswith("--from=")]


def needed(stage: str) -> set[str]:
    """A stage and all that it is made from."""
    found = {stage}
    for each in (BASES[stage], *sources(stage)):
        found |= needed(each) if each in BASES else set()
    return found


def test_the_last_stage_is_the_one_for_a_cpu_because_a_space_builds_that() -> None:
    assert list(BASES)[-1] == "cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_the_starters_are_fetched_while_the_image_is_built_and_are_where_it_looks_for_them(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fetching,) = [line for line in lines(f"build-{target}", "RUN") if line.endswith("python -m studio.models")]
    cache = re.search(r"STUDIO_CACHE=(\S+)", fetching)
    assert cache and environment("runtime")["STUDIO_CACHE"] == cache[1]
    copied = lines(target, "COPY")
    assert f"--from=build-{target} {cache[1]} {cache[1]}" in copied
    assert f"--from=build-{target} /opt/studio /opt/studio" in copied
    monkeypatch.setenv("STUDIO_CACHE", cache[1])
    assert starter_folder("starter-chat").is_relative_to(cache[1])
    running = [*lines("runtime", "RUN"), *lines(target, "RUN")]
    assert not [line for line in running if re.search(r"pip|studio\.models|curl|wget|apt", line)]


def test_both_targets_are_built_alike_except_for_torch() -> None:
    cpu, cuda = ([step for step in STEPS[f"build-{target}"] if " torch==" not in step[1]] for target in TARGETS)
    assert [step for step in cpu if step[0] != "ARG"] == cuda
    first = [lines(f"build-{target}", "RUN")[0] for target in TARGETS]
    assert len({line.rpartition(" torch==")[2] for line in first}) == 1 and "--index-url" not in first[1]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_made_without_the_torch_of_the_other(target: str) -> None:
    assert needed(target) == {"source", "venv", f"build-{target}", "runtime", target}


def test_the_image_starts_offline_with_a_home_of_its_own_user() -> None:
    variables = environment("runtime")
    assert variables["HF_HUB_OFFLINE"] == "1" and variables["GRADIO_ANALYTICS_ENABLED"] == "False"
    made = next(line for line in lines("runtime", "RUN") if "useradd" in line)
    assert "--uid 1000" in made and f"install -d -o 1000 -g 1000 {variables['STUDIO_HOME']} " in made
    assert variables["PATH"].startswith("/opt/studio/bin:")
    assert lines("runtime", "USER") == ["1000"]
    assert all(BASES[target] == "runtime" and not lines(target, "USER") for target in TARGETS)


def require_command(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Fail unless it is a command of the studio with flags that it has."""
    program, *arguments = command
    assert (program, arguments[0]) == ("studio", "serve")
    said = caller(capfd)(*arguments, "--help")
    assert said.status == 0, said.err
    assert caller(capfd)(*arguments, "--no-such-flag", "--help").status == 2, "an unknown flag would be noticed"


def test_what_the_image_starts_is_a_command_of_the_studio(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = lines("runtime", "CMD")
    command = json.loads(line)
    assert "--demo" in command and not [target for target in TARGETS if lines(target, "CMD")]
    require_command(command, capfd)


def test_what_is_copied_into_the_build_is_not_ignored_and_is_there() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [line for stage in STEPS for line in lines(stage, "COPY") if not line.startswith("--from=")]
    copied = {name for line in copies for name in line.split()[:-1]}
    assert copied <= allowed and all((ROOT / name).exists() for name in copied)
    assert {"studio", "assets", "docs", "pyproject.toml"} <= copied
    assert all(source in BASES for stage in STEPS for source in sources(stage))


@pytest.mark.parametrize("target", TARGETS)
def test_compose_starts_each_target_as_a_server_with_a_password(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    service = COMPOSE["services"][target]
    assert service["build"] == {"context": ".", "target": target}
    command = [re.sub(r"^\$\{STUDIO_HOST:-(\S+)\}$", r"\1", word) for word in service["command"]]
    assert "--demo" not in command and command[command.index("--allow-host") + 1] == "localhost"
    require_command(command, capfd)
    assert service["environment"]["STUDIO_PASSWORD"].startswith("${STUDIO_PASSWORD:?")
    port = command[command.index("--port") + 1]
    assert service["ports"] == [f"${{STUDIO_ADDRESS:-127.0.0.1}}:{port}:{port}"], "only this machine, unless asked"
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]


def test_composes_volumes_are_folders_that_the_images_user_owns() -> None:
    made = next(line for line in lines("runtime", "RUN") if "useradd" in line)
    owned = set(made.partition("-g 1000 ")[2].split())
    for service in COMPOSE["services"].values():
        names, folders = zip(*(volume.split(":") for volume in service["volumes"]), strict=True)
        assert set(names) == set(COMPOSE["volumes"]) and set(folders) <= owned


def test_compose_starts_neither_by_itself_because_both_use_one_data_folder() -> None:
    assert {name: service["profiles"] for name, service in COMPOSE["services"].items()} == {n: [n] for n in TARGETS}
    (device,) = COMPOSE["services"]["cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in COMPOSE["services"]["cpu"]
