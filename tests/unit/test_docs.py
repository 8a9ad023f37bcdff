"""Docs are tested: generated pages are current, links lead somewhere, and commands parse."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from studio.cli.app import build
from studio.cli.examples import EXAMPLES
from studio.data.formats import read_text
from studio.data.roles import infer
from studio.schema.config import settings_of
from studio.tasks import TASKS
from studio.training.coach import RULES
from tests.code_blocks import ROOT, Block, blocks_of
from tests.faults.table import EVERY

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUP: Any = typer.main.get_command(build())
COMMANDS: dict[str, Any] = {
    f"{name} {sub}" if sub else name: one
    for name, each in GROUP.commands.items()
    for sub, one in (each.commands.items() if hasattr(each, "commands") else [("", each)])
}
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def lines_in_blocks(path: Path) -> list[str]:
    """Command lines in a page's shell blocks."""
    blocks = blocks_of(path.relative_to(ROOT).as_posix())
    return [line for block in blocks if block.language == "sh" for line in block.commands]


def commands_in(path: Path) -> list[str]:
    """Lines of shell blocks and inline code that call the studio or make."""
    inline = re.findall(r"`((?:studio|make) [^`]+)`", path.read_text(encoding="utf-8"))
    return [line for line in (*lines_in_blocks(path), *inline) if re.match(r"(studio|make)\b", line)]


def shell_commands() -> list[Any]:
    return [pytest.param(line, id=f"{page.name}: {line}") for page in PAGES for line in commands_in(page)]


@pytest.mark.slow
def test_the_pages_made_from_the_code_are_current() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", shell_commands())
def test_each_command_in_the_docs_exists_with_its_flags(line: str) -> None:
    program, *words = shlex.split(line.split("&&")[0].split("|")[0].split(">")[0])
    if program == "make":
        assert set(words) <= set(TARGETS)
        return
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None:
        return
    if hasattr(GROUP.commands.get(name), "commands"):  # a group: its command is the next word, if it names one
        sub = words[words.index(name) + 1 :][:1]
        if not sub:
            return
        name = f"{name} {sub[0]}"
    assert name in COMMANDS, f"there is no command {name}"
    flags = {flag for p in COMMANDS[name].params for flag in (*p.opts, *p.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= flags | {"--help"}


BLOCK_LINES = [
    pytest.param(line, id=f"{page.name}: {line}")
    for page in PAGES
    for line in lines_in_blocks(page)
    if re.match(r"(\S*/)?studio\b", line)
]


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page.relative_to(ROOT).as_posix())]


def compile_python(text: str) -> None:
    compile(text, "block", "exec")


def parse_json_lines(text: str) -> None:
    for line in text.splitlines():
        json.loads(line)


def parse_csv(text: str) -> None:
    header, *rows = csv.reader(io.StringIO(text), strict=True)
    assert rows and {len(row) for row in rows} == {len(header)}


def parse(line: str) -> None:
    """Parse with the parser of the command line: names, arguments, flags and types of values. Nothing is executed."""
    words, command = shlex.split(line.split("|")[0].split(" >")[0], comments=True)[1:], GROUP
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    if words or not hasattr(command, "commands"):
        command.make_context(command.name, words).close()


@pytest.mark.parametrize("line", BLOCK_LINES)
def test_each_command_line_in_a_code_block_parses(line: str) -> None:
    parse(line)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_each_example_in_the_help_of_a_command_parses_and_is_shown(name: str, line: str) -> None:
    assert line.startswith(f"studio {name}") and line in COMMANDS[name].epilog
    parse(line)


LANGUAGES: dict[str, Callable[[str], object] | None] = {
    "sh": None,  # the tests above, and tests/real/test_docs_run.py
    "python": compile_python,
    "json": parse_json_lines,
    "csv": parse_csv,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "text": None,  # what a command prints
    "nginx": None,
}
"""Language of a code block → what parses it."""


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_a_code_block_has_a_language_and_is_correct_in_it(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.page}, line {block.line}: write the language behind ```"
    parse_block = LANGUAGES[block.language]
    if parse_block is not None:
        parse_block(block.text)


@pytest.mark.parametrize("page", sorted({block.page for block in ALL_BLOCKS}))
def test_no_code_block_of_a_page_is_overlooked(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert 2 * len(blocks_of(page)) == len(re.findall(r"^ *```", text, re.MULTILINE))


def test_the_command_lines_in_code_blocks_are_found() -> None:
    assert len(BLOCK_LINES) > 40
    with pytest.raises(Exception, match="No such option"):
        COMMANDS["train"].make_context("train", ["rows.csv", "--no-such-flag"])


def anchors_of(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if not target.startswith(("http:", "https:", "mailto:")):
            file = (path.parent / target) if target else path
            assert file.exists(), f"{path.name} links to {target}"
            assert not anchor or anchor in anchors_of(file), f"{path.name} links to {target}#{anchor}"


def test_each_page_is_in_the_navigation_of_the_site() -> None:
    """`make docs-site` checks the rest: it builds with strict warnings."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r"[\w/-]+\.md", navigation)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed) == sorted(pages)


@pytest.mark.slow
def test_the_site_builds_without_warnings_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>", text), page.name


def test_each_rule_of_the_coach_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "coach.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` ", page, re.MULTILINE)) == set(RULES)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_has_help_and_a_place_in_the_reference(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert f"\n## {name}\n" in (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", settings_of())
def test_each_setting_stands_in_the_docs(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


def test_each_fault_stands_in_the_table_with_what_was_found() -> None:
    """And no other line: `make test-faults` writes the table when it is whole."""
    text = (ROOT / "docs" / "background" / "failures.md").read_text(encoding="utf-8")
    told = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line[:1] == "|"]
    assert [line[:2] for line in told[2:]] == list(EVERY)
    assert all(found for _, _, found in told)


def test_the_readme_is_short_and_begins_as_a_space_wants_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    front = yaml.safe_load(text.split("---")[1])
    assert front["sdk"] == "docker"
    assert front["app_port"] == 7860
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60
    assert "hardware" not in front


def test_the_readme_shows_pictures_that_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^\]]*)\]\((docs/pictures/[^)]+)\)", text)
    assert pictures
    for words, path in pictures:
        assert words, f"{path} has no words for those who can't see it"
        assert (ROOT / path).read_bytes().startswith((b"\x89PNG", b"GIF89a"))


DATA_PAGE = (ROOT / "docs" / "reference" / "data.md").read_text(encoding="utf-8")
DATA_EXAMPLES = re.findall(r"```(?:csv|json)\n(.*?)```", DATA_PAGE, re.DOTALL)


@pytest.mark.parametrize("line", [line for block in DATA_EXAMPLES[1:] for line in block.splitlines()])
def test_rows_as_the_docs_show_them_are_understood(line: str) -> None:
    document = line if '"columns"' in line else f"{line}\n{line}\n"
    found = infer(read_text(document), list(TASKS.values()))
    tasks = {"label": "classification", "rejected": "preference"}
    assert found.task.name == next((task for word, task in tasks.items() if word in line), "chat")


def test_a_file_as_the_docs_show_it_is_understood() -> None:
    assert infer(read_text(DATA_EXAMPLES[0]), list(TASKS.values())).matched.roles == {
        "question": "prompt",
        "answer": "reply",
    }
