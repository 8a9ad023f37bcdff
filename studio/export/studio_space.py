"""A Hugging Face Space of the studio itself: with the Docker SDK, or with the Gradio SDK for a free GPU (ZeroGPU)."""

import re
import shutil
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import studio
from studio.export.folder import require_new, staged
from studio.export.hub import read_front
from studio.export.space import PYTHON

FILES = ("Dockerfile", "LICENSE", "README.md", "constraints.txt", "pyproject.toml")
"""Files beside the package, which the image is built from. An installed package has copies in deploy/."""
ZERO_GPU_FILES = ("LICENSE", "README.md")
FOLDERS = ("assets", "docs")
LEFT_OUT = ("__pycache__", "*.pyc", ".*", "*.log")
APP = '''"""Starts Fine-tune Studio. Each run trains inside `spaces.GPU`; see docs/guides/host.md."""

from studio.ui.zero_gpu_space import main

if __name__ == "__main__":
    main()
'''
TORCH = "torch>=2.9,<2.12"
"""The versions of torch that ZeroGPU has and the studio supports."""
NOT_LISTED = {"gradio", "torch"}
"""The SDK installs gradio in `sdk_version`."""


def write_studio_space(to: Path, zero_gpu: bool = False) -> list[str]:
    """Write the folder of a Space, with the Docker SDK or for ZeroGPU. Returns its files, as paths with slashes.

    Raises:
        StudioError: `not-allowed` if the folder has files already.
    """
    require_new(to)
    package = Path(studio.__file__).parent
    beside = package.parent if (package.parent / FILES[0]).is_file() else package / "deploy"
    with staged(to) as stage:
        for name in ZERO_GPU_FILES if zero_gpu else FILES:
            shutil.copyfile(beside / name, stage / name)
        for name in FOLDERS:
            source = package / name if (package / name).is_dir() else package.parent / name
            shutil.copytree(source, stage / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copytree(package, stage / "studio", ignore=_left_out)
        if zero_gpu:
            _make_zero_gpu(stage, beside)
        files = sorted(file.relative_to(stage).as_posix() for file in stage.rglob("*") if file.is_file())
    return files


def _make_zero_gpu(stage: Path, beside: Path) -> None:
    """Write app.py and requirements.txt, and change the metadata in README.md."""
    (stage / "app.py").write_text(APP, encoding="utf-8")
    (stage / "requirements.txt").write_text("\n".join(requirements(beside)) + "\n", encoding="utf-8")
    readme = stage / "README.md"
    text = readme.read_text(encoding="utf-8")
    body = re.sub(r"\A---\n.*?\n---\n", "", text, count=1, flags=re.DOTALL)
    readme.write_text(f"---\n{_yaml(configuration(read_front(readme)))}---\n{body}", encoding="utf-8")


def configuration(docker: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a ZeroGPU Space, from those of the Docker Space."""
    same = {name: value for name, value in docker.items() if name not in ("sdk", "app_port")}
    return {
        **same,
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": PYTHON,
        "app_file": "app.py",
        "suggested_hardware": "zero-a10g",
    }


def requirements(beside: Path) -> list[str]:
    """The lines of requirements.txt: what the studio needs, in the versions that it was tested with.

    A package that constraints.txt does not name gets the versions that pyproject.toml allows.
    """
    needed = tomllib.loads((beside / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    lines = (beside / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {
        _normal(name): f"{name}=={number}"
        for name, number in (line.split("==") for line in lines if re.fullmatch(r"[\w.-]+==[\w.+-]+", line))
    }
    named = {_normal(re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0]): line for line in needed}
    return ["spaces", TORCH, *(tested.get(name, line) for name, line in named.items() if name not in NOT_LISTED)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _yaml(front: Mapping[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True))


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Names that are not copied. Of the package itself also the folders that are beside it in a Space."""
    of_package = (*FOLDERS, "deploy") if Path(folder) == Path(studio.__file__).parent else ()
    return shutil.ignore_patterns(*LEFT_OUT, *of_package)(folder, names)
