"""A built wheel holds all it needs: installed where only libraries are, it answers."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def studio(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `studio` of an environment of its own, which sees this one's libraries but not this repository."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True, timeout=300)
    # Folders named in a .pth are searched, but their own .pth files, this repository's editable install, are not read.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return folder / "bin" / "studio"


def run(studio: Path, home: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [studio, *arguments, "--home", str(home)],
        cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_code_assets_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "studio/cli/__init__.py" in names
    assert [name for name in names if name.startswith("studio/assets/") and name.endswith(".csv")]
    assert [name for name in names if name.startswith("studio/ui/") and name.endswith(".css")]
    assert [name for name in names if name.startswith("studio/ui/") and name.endswith(".js")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "assets/"))]


def test_the_installed_code_is_the_wheels_own(studio: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [studio.parent / "python", "-c", "import studio, torch; print(studio.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(studio.parent.parent) in where


def test_the_doctor_of_an_installed_studio_is_content(studio: Path, tmp_path: Path) -> None:
    said = json.loads(run(studio, tmp_path, "doctor", "--json"))
    assert said["ok"] is True
    assert {"python", "memory", "libraries", "starter-chat", "starter-classify"} <= {
        check["name"] for check in said["checks"]
    }


def test_an_installed_studio_lists_models_and_samples(studio: Path, tmp_path: Path) -> None:
    models = {model["name"]: model for model in json.loads(run(studio, tmp_path, "models", "--json"))}
    assert models["starter-chat"]["here"] and models["starter-chat"]["parameters"] == 134_515_008
    assert models["starter-classify"]["path"]
    checked = json.loads(run(studio, tmp_path, "check", "sample:support-tone", "--json"))
    assert checked["task"] == "chat" and checked["usable"] > 100
