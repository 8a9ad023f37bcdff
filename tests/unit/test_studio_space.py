"""The Space of the studio itself: all that its image is built from, and nothing else."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from studio.export.hub import read_front
from studio.export.studio_space import requirements, write_studio_space
from studio.schema.errors import StudioError
from tests.said import caller

ROOT = Path(__file__).parents[2]


def test_a_space_of_the_studio_has_all_that_its_image_copies(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    to = tmp_path / "space"
    said = caller(capfd)("space", "--to", str(to), "--json", "--home", str(tmp_path / "home"))
    assert said.status == 0, said.err
    assert json.loads(said.out)["files"] == len([file for file in to.rglob("*") if file.is_file()])
    build = re.split(r"^FROM .*\n", (to / "Dockerfile").read_text().replace("\\\n", ""), flags=re.MULTILINE)[1]
    copied = [name for line in build.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied and all((to / name).exists() for name in copied)
    front = read_front(to / "README.md")
    assert front["hf_oauth"] is True and "hf_oauth_scopes" not in front, "the sign-in asks for the least"
    assert (front["sdk"], front["app_port"]) == ("docker", 7860) and len(front["short_description"]) <= 60
    names = {file.name for file in to.rglob("*")}
    assert not names & {"__pycache__", ".git", ".venv", "studio.db", "hub-token"}
    assert not [file for file in to.rglob("*") if file.is_symlink() or file.suffix in (".pyc", ".log", ".safetensors")]


@pytest.mark.slow
def test_the_code_in_it_runs_by_itself(tmp_path: Path) -> None:
    write_studio_space(tmp_path / "space")
    code = (
        "import studio.cli.app, studio.data.samples as s; print(studio.__file__); print(s.sample_path('support-tone'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "space", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path / "space")) for line in done.stdout.split())


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StudioError, match="already contains"):
        write_studio_space(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_zero_gpu_space_has_its_metadata_and_the_tested_versions_of_what_the_studio_needs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    to = tmp_path / "space"
    said = caller(capfd)("space", "--to", str(to), "--zero-gpu", "--json", "--home", str(tmp_path / "home"))
    assert said.status == 0, said.err
    assert json.loads(said.out)["sdk"] == "gradio"
    front = read_front(to / "README.md")
    assert (front["sdk"], front["app_file"], front["python_version"]) == ("gradio", "app.py", "3.12")
    assert front["hf_oauth"] is True
    assert front["sdk_version"] == version("gradio") and "app_port" not in front
    assert front["title"] == read_front(ROOT / "README.md")["title"]
    assert (to / "README.md").read_text().split("---\n", 2)[2] == (ROOT / "README.md").read_text().split("---\n", 2)[2]
    lines = (to / "requirements.txt").read_text().splitlines()
    listed = {canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in lines}
    assert "gradio" not in listed, "the SDK installs it"
    assert "2.11.0" in listed.pop("torch") and not listed.pop("spaces")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for each in map(Requirement, project["dependencies"]):
        if each.name not in ("gradio", "torch"):
            (pin,) = listed.pop(canonicalize_name(each.name))
            assert pin.operator == "==" and each.specifier.contains(pin.version), each
    assert not listed
    assert not (to / "Dockerfile").exists() and (to / "docs" / "index.md").exists()


def test_a_package_without_a_tested_version_gets_the_versions_that_the_studio_allows(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    assert "psutil==" in "\n".join(requirements(tmp_path))
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (tmp_path / "constraints.txt").write_text("\n".join(line for line in lines if not line.startswith("psutil")))
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert next(line for line in needed if line.startswith("psutil")) in requirements(tmp_path)
