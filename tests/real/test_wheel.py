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

from studio.export.studio_space import FILES, write_studio_space

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


def outside() -> dict[str, str]:
    """The environment of somebody who has no repository."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(studio: Path, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [studio, *arguments, "--home", str(home)],
        cwd=home,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of(folder: Path, under: str) -> set[str]:
    """Files of a folder of this repository by the names that they have in the wheel."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{under}/{path.relative_to(folder).as_posix()}" for path in found}


def test_the_wheel_holds_code_assets_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "studio/cli/__init__.py" in names
    assert [name for name in names if name.startswith("studio/assets/") and name.endswith(".csv")]
    assert [name for name in names if name.startswith("studio/ui/") and name.endswith(".css")]
    assert [name for name in names if name.startswith("studio/ui/") and name.endswith(".js")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "assets/"))]


def test_the_wheel_holds_every_file_of_the_code_the_assets_and_the_docs_and_no_other(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("studio/")}
    folders = {"studio": "studio", "assets": "studio/assets", "docs": "studio/docs"}
    deployed = {f"studio/deploy/{name}" for name in FILES}
    assert held == deployed.union(*(files_of(ROOT / folder, under) for folder, under in folders.items()))


def test_the_space_of_an_installed_studio_is_that_of_the_repository(studio: Path, tmp_path: Path) -> None:
    run(studio, tmp_path, "space", "--to", str(tmp_path / "installed"))
    write_studio_space(tmp_path / "repository")
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "installed", tmp_path / "repository")
    ]
    assert files[0] == files[1]


ASKED = """
import json, sys
from importlib.metadata import distribution, version
from packaging.requirements import Requirement
import studio.api, studio.cli.app, studio.ui.http.docs, studio.ui.http.server
from studio.data.samples import SAMPLES, sample_path
wanted = [Requirement(line) for line in distribution("finetune-studio").requires]
print(json.dumps({
    "path": [each for each in sys.path if each],
    "code": [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "studio"],
    "samples": [str(sample_path(name)) for name in SAMPLES],
    "docs": [str(path) for path in studio.ui.http.docs.sources().values()],
    "told": str(distribution("finetune-studio").locate_file("studio")),
    "unmet": [str(each) for each in wanted if (not each.marker or each.marker.evaluate({"extra": ""}))
              and not each.specifier.contains(version(each.name), prereleases=True)],
}))
"""


def test_code_samples_and_docs_are_the_wheels_own_and_its_needs_are_met(studio: Path, tmp_path: Path) -> None:
    asked = [studio.parent / "python", "-c", ASKED]
    done = subprocess.run(asked, cwd=tmp_path, env=outside(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen, own = json.loads(done.stdout), studio.parent.parent
    assert len(seen["code"]) > 100 and seen["samples"] and seen["docs"]
    files = (*seen["code"], *seen["samples"], *seen["docs"], seen["told"])
    strange = [each for each in files if not Path(each).is_relative_to(own)]
    assert strange == []
    here = {path for path in map(Path, seen["path"]) if path.is_relative_to(ROOT)}
    assert here <= {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}, "libraries alone"
    assert seen["unmet"] == []


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
