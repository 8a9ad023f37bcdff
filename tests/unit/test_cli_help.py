"""The help of commands: a line for each option with effect, default and valid values."""

import re
from typing import Any

import pytest
import typer

from studio.cli.app import build
from studio.cli.examples import EXAMPLES
from studio.schema.config import GROUPS, TrainingConfig, settings_of
from studio.schema.fields import about
from studio.schema.settings_check import choices_of
from studio.training.methods import METHODS
from tests.said import Call, caller

GROUP: Any = typer.main.get_command(build())
COMMANDS: dict[str, Any] = {
    f"{name} {sub}".strip(): command
    for name, each in GROUP.commands.items()
    for sub, command in (getattr(each, "commands", None) or {"": each}).items()
}
WITH_SETTINGS = [name for name, each in COMMANDS.items() if any("--help-all" in option.opts for option in each.params)]
BASIC = [name for name in settings_of() if (info := about(TrainingConfig, name)) and info.level == "basic"]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command in this process, at a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")
    return caller(capfd)


def panels(text: str) -> dict[str, list[str]]:
    """Title of a panel → its lines."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if opened := re.match(r"╭─ (.+?) ─*╮$", line):
            title = opened[1]
            found[title] = []
        elif line.startswith("│"):
            found[title].append(line.strip("│ "))
    return found


def settings_in(text: str) -> dict[str, str]:
    """Setting → its line, in the panels of settings."""
    lines = [line for title, lines in panels(text).items() if title.startswith("Settings") for line in lines]
    names = [line.split()[0].removeprefix("--").removeprefix("[no-]").replace("-", "_") for line in lines]
    return dict(zip(names, lines, strict=True))


def test_the_commands_that_take_settings_offer_all_of_them() -> None:
    assert WITH_SETTINGS == ["preview", "estimate", "search", "train", "repeat"]
    for name in WITH_SETTINGS:
        assert set(settings_of()) <= {option.name for option in COMMANDS[name].params}


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_help_lists_the_basic_settings_and_says_how_many_more_there_are(call: Call, name: str) -> None:
    text = call(name, "--help").out
    assert list(settings_in(text)) == BASIC
    assert f"{len(settings_of()) - len(BASIC)} more settings: studio {name} --help-all" in text


def test_the_help_of_train_fits_60_lines(call: Call) -> None:
    lines = call("train", "--help").out.strip().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_help_all_lists_every_setting_once_in_the_groups_of_the_page(call: Call, name: str) -> None:
    said = call(name, "--help-all")
    assert said.status == 0 and not said.err
    assert "more settings" not in said.out
    shown = {title: lines for title, lines in panels(said.out).items() if title.startswith("Settings")}
    assert list(shown) == [f"Settings: {title.lower()}" for title in GROUPS.values()]
    for group, lines in zip(GROUPS, shown.values(), strict=True):
        names = [each for each in settings_of() if about(TrainingConfig, each).group == group]  # type: ignore[union-attr]
        basic_first = sorted(names, key=lambda each: each not in BASIC)
        assert [line.split()[0].replace("[no-]", "") for line in lines] == [
            f"--{each.replace('_', '-')}" for each in basic_first
        ]


@pytest.mark.parametrize("name", settings_of())
def test_the_line_of_a_setting_has_its_effect_its_default_and_its_range(call: Call, name: str) -> None:
    text = call("train", "--help-all").out
    line, field = settings_in(text)[name], TrainingConfig.model_fields[name]
    assert (field.description or "").replace("\n", " ").split(". ")[0] in line
    facts = re.search(r"\[default: (.+)\]$", line)
    assert facts, line
    default, _, values = facts[1].partition("; ")
    if isinstance(field.default, bool):
        assert default == ("on" if field.default else "off")
    elif field.default not in (None, ""):
        shown = field.default if isinstance(field.default, str) else f"{field.default:g}"
        assert default.split(" (")[0] == shown
    if choices := set(choices_of(name)):
        listed = values.removeprefix("or ") or next(
            line for line in joined(panels(text)["Values"]) if line.startswith(name.upper())
        ).removeprefix(name.upper())
        assert {each.strip() for each in listed.split(",")} | {default} == choices
    elif not isinstance(field.default, bool):
        assert re.search(r"^\S+ to \S+$|^up to [\d,]+ characters$", values), line


def joined(lines: list[str]) -> list[str]:
    """Lines of a panel, with the continuation of a line at its end."""
    return re.sub(r"\n(?![A-Z]{4,} )", " ", "\n".join(lines)).splitlines()


def test_a_default_says_what_it_means(call: Call) -> None:
    lines = settings_in(call("train", "--help-all").out)
    assert "[default: 0 (no limit); 0 to 10,000,000]" in lines["max_steps"]
    assert "[default: no groups;" in lines["group_column"]
    assert "[default: automatic; 0 to 0.5]" in lines["test_share"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_argument_and_option_has_one_line_at_100_columns(call: Call, name: str) -> None:
    help_flag = "--help-all" if name in WITH_SETTINGS else "--help"
    shown = panels(call(*name.split(), help_flag).out)
    shown.pop("Values", None)
    lines = [line for each in shown.values() for line in each]
    visible = [each for each in COMMANDS[name].params if name in WITH_SETTINGS or not getattr(each, "hidden", False)]
    hidden = [each for each in visible if each.name == "runner" and each.hidden]
    assert len(lines) == len(visible) - len(hidden) + 1, "each has one line, and --help itself"
    for each in COMMANDS[name].params:
        takes_value = each.param_type_name == "option" and not each.is_flag and each not in hidden
        line = next((line for line in lines if each.opts[0] in re.split(r"[\s,/]+", line)), "")
        if takes_value and line:
            assert re.search(r"\[(default: |required|repeatable)", line), line


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_ends_with_an_example_of_itself(call: Call, name: str) -> None:
    lines = [line.strip() for line in call(*name.split(), "--help").out.strip().splitlines()]
    assert all(example.startswith(f"studio {name}") for example in EXAMPLES[name])
    assert tuple(lines[-len(EXAMPLES[name]) :]) == EXAMPLES[name]


@pytest.mark.parametrize("name", ["export", "train"])
def test_placeholders_with_a_list_of_values_are_explained(call: Call, name: str) -> None:
    text = call(name, "--help").out
    values = panels(text)["Values"]
    explained = {line.split()[0] for line in values if line.split()[0].isupper()}
    assert explained == ({"FORMAT"} if name == "export" else {"DATA", "TASK", "METHOD"})


def test_help_that_goes_to_a_file_has_one_line_for_each_option(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = settings_in(caller(capfd)("train", "--help-all").out)
    assert list(lines).count("epochs") == 1 and len(lines) == len(settings_of())


def test_help_is_wrapped_where_the_terminal_is_narrow(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = caller(capfd)("train", "--help").out
    assert max(map(len, text.splitlines())) <= 60
    assert "0.0002" in text


@pytest.mark.parametrize(
    ("command", "flag"), [("train", "--help-all"), ("models", "--help"), ("data add", "--help"), ("", "--help")]
)
def test_a_wrong_flag_is_answered_with_the_help_that_lists_all_flags(call: Call, command: str, flag: str) -> None:
    said = call(*command.split(), "--lerning-rate", "1")
    assert said.status == 2
    assert f"{' '.join(['studio', *command.split()[:1]])} {flag} lists the arguments and options." in said.err


def test_the_help_of_train_names_every_method(call: Call) -> None:
    values = " ".join(panels(call("train", "--help").out)["Values"])
    assert not [name for name in METHODS if not re.search(rf"\b{name}\b", values)]
