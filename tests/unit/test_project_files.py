"""Files of the project that are not Python are checked too."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOKED_FOR = {"schedulefree"}
"""Imported only once it was found to be there; without it, what needs it is refused in words."""


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_runs_as_1000_on_port_7860_and_starts_offline() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 1000$", text, re.MULTILINE)
    assert re.search(r"^EXPOSE 7860$", text, re.MULTILINE)
    assert "HF_HUB_OFFLINE=1" in text and 'CMD ["studio", "serve", "--demo"' in text


def test_constraints_allow_what_the_project_asks_for() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    wanted = [line for line in wanted if not line.startswith(project["name"])]
    pinned: dict[str, Requirement] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            each = Requirement(line)
            pinned[each.name.lower().replace("-", "_")] = each
    for line in wanted:
        each = Requirement(line)
        pin = pinned[each.name.lower().replace("-", "_")]
        versions = [spec.version for spec in pin.specifier if spec.operator == "=="]
        assert all(each.specifier.contains(version) for version in versions), line
        assert versions or each.name == "torch", f"{line} has no tested version"


TOOL_LINES = [
    line
    for file in (ROOT / "studio").rglob("tools/*.txt")
    for line in file.read_text().splitlines()
    if not line.startswith("#")
]
"""What is installed on request in environments of its own."""
MODULES = {"llama_cpp": "llama_cpp_python"}
"""Module → its package, where the two have other names and the package is not installed here."""


@pytest.mark.slow
def test_whatever_the_studio_imports_is_among_its_dependencies() -> None:
    import tomllib
    from importlib.metadata import packages_distributions

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in ("docs", "test")}
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra), *TOOL_LINES]
    named = {Requirement(line).name.lower().replace("-", "_") for line in lines}
    dists, imported = packages_distributions(), set()
    for path in (ROOT / "studio").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    strange = {
        name
        for name in imported - set(sys.stdlib_module_names) - {"studio"} - LOOKED_FOR
        if not {dist.lower().replace("-", "_") for dist in dists.get(name, [MODULES.get(name, name)])} & named
    }
    assert not strange


def test_every_target_of_the_makefile_says_what_it_is_for() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "help"], cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    told = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert told == {
        "studio",
        "setup",
        "test-setup",
        "test-quick",
        "test",
        "test-matrix",
        "test-workflows",
        "test-faults",
        "test-exports",
        "test-security",
        "load-test",
        "image-check",
        "audit",
        "lint",
        "bench",
        "pictures",
        "docs",
        "docs-site",
        "clean",
        "help",
    }


def test_continuous_integration_runs_what_a_person_runs() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_every_test_file_has_a_name_of_its_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
