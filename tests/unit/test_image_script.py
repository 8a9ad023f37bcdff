"""scripts/dockerfile.py: what scripts/image.py reads in the Dockerfile and in .dockerignore."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import dockerfile

ROOT = Path(__file__).parents[2]
TEXT = """# a comment
FROM python:3.12-slim AS source
RUN one && \\
    # a comment inside
    two
FROM source AS unused
FROM python:3.12-slim AS runtime
CMD ["studio", "serve"]
FROM runtime AS cpu
COPY --from=source /a /b/ /to/
"""


def test_every_target_of_the_dockerfile_is_read_and_needs_the_other_target_in_no_step() -> None:
    stages = dockerfile.read_stages((ROOT / "Dockerfile").read_text())
    names = [stage.name for stage in dockerfile.stages_to_build(stages, "cpu")]
    assert names[-1] == "cpu" and names.index("build-cpu") < names.index("cpu")
    assert not [name for name in names if "cuda" in name]
    assert dockerfile.inherited_command(stages, "cuda", "CMD")[:2] == ["studio", "serve"]
    assert dockerfile.inherited_command(stages, "cpu", "HEALTHCHECK")[0] == "python"


def test_lines_are_joined_comments_are_left_out_and_only_needed_stages_are_built() -> None:
    stages = dockerfile.read_stages(TEXT)
    assert [(step.instruction, step.arguments, step.line) for step in stages["source"].steps] == [
        ("RUN", "one && two", 3)
    ]
    assert [stage.name for stage in dockerfile.stages_to_build(stages, "cpu")] == ["runtime", "source", "cpu"]
    assert dockerfile.parse_copy(stages["cpu"].steps[0].arguments) == dockerfile.Copy("source", ["/a", "/b/"], "/to/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM a AS b\nADD x y\n", "Line 2: unsupported instruction 'ADD'"),
        ("FROM a\n", "Line 1: a stage without a name"),
        ("RUN x\n", "Line 1: RUN before the first FROM"),
    ],
)
def test_what_the_script_does_not_support_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(dockerfile.ImageError, match=message):
        dockerfile.read_stages(text)


def test_an_unknown_target_a_missing_command_and_an_unknown_option_are_refused() -> None:
    stages = dockerfile.read_stages(TEXT)
    with pytest.raises(dockerfile.ImageError, match="no target 'gpu'"):
        dockerfile.stages_to_build(stages, "gpu")
    with pytest.raises(dockerfile.ImageError, match="The target cpu has no HEALTHCHECK"):
        dockerfile.inherited_command(stages, "cpu", "HEALTHCHECK")
    with pytest.raises(dockerfile.ImageError, match="unsupported options"):
        dockerfile.parse_copy("--chown=1 a b")


def test_the_build_context_is_what_dockerignore_lets_through(tmp_path: Path) -> None:
    root, to = tmp_path / "root", tmp_path / "to"
    (root / "studio" / "__pycache__").mkdir(parents=True)
    to.mkdir()
    for name in ("studio/a.py", "studio/__pycache__/a.pyc", "secret.txt", "LICENSE"):
        (root / name).write_text(name)
    (root / ".dockerignore").write_text("*\n# sent\n!studio\n!LICENSE\n!missing\n**/__pycache__\n")
    dockerfile.copy_context(root, to)
    assert sorted(str(file.relative_to(to)) for file in to.rglob("*") if file.is_file()) == ["LICENSE", "studio/a.py"]
    (root / ".dockerignore").write_text("*.log\n")
    with pytest.raises(dockerfile.ImageError, match="unsupported pattern"):
        dockerfile.copy_context(root, to)


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="the script needs Linux and root")
def test_a_folder_that_is_not_empty_is_refused_and_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, str(ROOT / "scripts" / "image.py"), "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode == 2:
        pytest.skip(done.stdout)
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
