"""The Space of the studio itself: all that its image is built from, and nothing else."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studio.export.hub import read_front
from studio.export.studio_space import write_studio_space
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
    assert (front["sdk"], front["app_port"]) == ("docker", 7860) and len(front["short_description"]) <= 60
    names = {file.name for file in to.rglob("*")}
    assert not names & {"__pycache__", ".git", ".venv", "studio.db", "hub-token"}
    assert not [file for file in to.rglob("*") if file.is_symlink() or file.suffix in (".pyc", ".log", ".safetensors")]


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
