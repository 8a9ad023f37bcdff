"""Read the project's Dockerfile and .dockerignore. scripts/image.py carries out what this module reads."""

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSTRUCTIONS = ("ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR")
"""The instructions that scripts/image.py supports."""


class ImageError(Exception):
    """A step of the image failed, or the Dockerfile has something that these scripts do not support."""


@dataclass
class Step:
    """One instruction, its arguments, and the number of its first line."""

    instruction: str
    arguments: str
    line: int


@dataclass
class Stage:
    """`FROM base AS name`, and the steps after it."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Copy:
    """`COPY [--from=stage] source… destination`. The stage is empty for a copy from the build context."""

    stage: str
    sources: list[str]
    destination: str


def read_stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order.

    Raises:
        ImageError: an instruction is not supported or comes before the first FROM, or a stage has no name.
    """
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for number, line in _logical_lines(text):
        instruction, _, arguments = line.partition(" ")
        arguments = arguments.strip()
        if instruction not in INSTRUCTIONS:
            expected = ", ".join(INSTRUCTIONS)
            raise ImageError(f"Line {number}: unsupported instruction {instruction!r}. Expected one of {expected}.")
        if instruction == "FROM":
            match = re.fullmatch(r"(\S+) AS (\S+)", arguments)
            if not match:
                raise ImageError(f"Line {number}: a stage without a name. Expected: FROM image AS name")
            stage = stages[match[2]] = Stage(match[1], match[2])
        elif stage is None:
            raise ImageError(f"Line {number}: {instruction} before the first FROM.")
        else:
            stage.steps.append(Step(instruction, arguments, number))
    return stages


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines without comments, each with its number. A line that ends with a backslash continues in the next one."""
    lines: list[tuple[int, str]] = []
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (joined or line.strip()):
            continue
        first = first if joined else number
        joined += line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1].rstrip() + " "
        else:
            lines.append((first, joined))
            joined = ""
    return lines


def stages_to_build(stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """The target and all stages that it needs, in the order to build them. Raises ImageError for an unknown target."""
    if target not in stages:
        raise ImageError(f"There is no target {target!r}. Expected one of {', '.join(stages)}.")
    order: list[Stage] = []

    def add(stage: Stage) -> None:
        copied = [parse_copy(step.arguments).stage for step in stage.steps if step.instruction == "COPY"]
        for name in (stage.base, *copied):
            if name in stages:
                add(stages[name])
        if stage not in order:
            order.append(stage)

    add(stages[target])
    return order


def parse_copy(arguments: str) -> Copy:
    """The arguments of COPY. Raises ImageError for other options than --from."""
    words = shlex.split(arguments)
    options = [word for word in words if word.startswith("--")]
    stage = "".join(option.removeprefix("--from=") for option in options)
    if len(options) > 1 or any(not option.startswith("--from=") for option in options):
        raise ImageError(f"COPY {arguments}: unsupported options. Expected: COPY [--from=STAGE] SOURCE… DESTINATION")
    *sources, destination = words[len(options) :]
    return Copy(stage, sources, destination)


def inherited_command(stages: Mapping[str, Stage], target: str, instruction: str) -> list[str]:
    """The command of the last CMD or HEALTHCHECK of the target, or of the stages that it is based on.

    Raises:
        ImageError: there is none, or it is not written as a list.
    """
    stage = stages.get(target)
    while stage is not None:
        for step in reversed(stage.steps):
            if step.instruction == instruction:
                match = re.search(r"\[.*\]$", step.arguments)
                if not match:
                    raise ImageError(f'Line {step.line}: expected a list: {instruction} ["program", "argument"]')
                return list(json.loads(match[0]))
        stage = stages.get(stage.base)
    raise ImageError(f"The target {target} has no {instruction}.")


def copy_context(root: Path, to: Path) -> None:
    """Copy the build context: what .dockerignore lets through.

    Raises:
        ImageError: .dockerignore has other patterns than `*`, `!NAME` (sent) and `**/NAME` (left out).
    """
    lines = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    sent = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    left_out = [pattern[3:] for pattern in patterns if pattern.startswith("**/")]
    if set(patterns) != {"*", *(f"!{name}" for name in sent), *(f"**/{name}" for name in left_out)}:
        raise ImageError(".dockerignore has an unsupported pattern. Expected: *, !NAME or **/NAME")
    for name in sent:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, to / name, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
        elif source.exists():
            shutil.copy2(source, to / name)
