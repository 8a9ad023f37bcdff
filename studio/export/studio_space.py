"""A Hugging Face Space of the studio itself, with the Docker SDK: source, Dockerfile and the card of a Space."""

import shutil
from pathlib import Path

import studio
from studio.export.folder import require_new, staged

FILES = ("Dockerfile", "LICENSE", "README.md", "constraints.txt", "pyproject.toml")
"""Files beside the package, which the image is built from. An installed package has copies in deploy/."""
FOLDERS = ("assets", "docs")
LEFT_OUT = ("__pycache__", "*.pyc", ".*", "*.log")


def write_studio_space(to: Path) -> list[str]:
    """Write the folder of a Docker Space. Returns its files, as paths with slashes.

    Raises:
        StudioError: `not-allowed` if the folder has files already.
    """
    require_new(to)
    package = Path(studio.__file__).parent
    beside = package.parent if (package.parent / FILES[0]).is_file() else package / "deploy"
    with staged(to) as stage:
        for name in FILES:
            shutil.copyfile(beside / name, stage / name)
        for name in FOLDERS:
            source = package / name if (package / name).is_dir() else package.parent / name
            shutil.copytree(source, stage / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        shutil.copytree(package, stage / "studio", ignore=_left_out)
        files = sorted(file.relative_to(stage).as_posix() for file in stage.rglob("*") if file.is_file())
    return files


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Names that are not copied. Of the package itself also the folders that are beside it in a Space."""
    of_package = (*FOLDERS, "deploy") if Path(folder) == Path(studio.__file__).parent else ()
    return shutil.ignore_patterns(*LEFT_OUT, *of_package)(folder, names)
