"""The flags of settings: one for each field of TrainingConfig, in kebab case; and settings from a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from studio.schema.config import GROUPS, TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError, nearest, raise_all
from studio.schema.fields import about
from studio.schema.settings_check import choices_of, config_from, range_of, short_range_of

NOT_SETTINGS = ("task", "model", "method", "preset", "name", "test_prompts")
"""Fields that have their own options."""
PANEL = "Settings"
"""The panels of settings in the help begin with this."""
SHORT = 20
"""Maximum characters of what a default means, in the line of its setting."""
LONG = 30
"""Maximum characters of the choices of a setting in its line of the help. Longer ones are listed below all options."""


def setting_flags() -> dict[str, Any]:
    """Setting → its flag. None when the flag is not given."""
    return {name: _flag(name) for name in settings_of()}


def valid_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the settings from a command's options and return those that have a value.

    Raises:
        StudioError: when a value has the wrong type.
    """
    settings, problems = parse_settings(options)
    raise_all(problems)
    return settings


def parse_settings(options: dict[str, Any]) -> tuple[dict[str, Any], list[StudioError]]:
    """Remove the settings from a command's options. Returns those that have a value, and problems of wrong types."""
    values = {name: options.pop(name) for name in settings_of()}
    settings: dict[str, Any] = {}
    problems: list[StudioError] = []
    for name, value in values.items():
        if value is None:
            continue
        kind = _plain_type(TrainingConfig.model_fields[name].annotation)
        try:
            settings[name] = kind(value)
        except ValueError:
            what = f"The setting {name.replace('_', ' ')} can't have this value."
            problems.append(StudioError("bad-setting", what, given=value, valid=range_of(name), field=name))
    return settings, problems


@dataclass(frozen=True)
class ConfigFile:
    """The content of a settings file. A run's own config.yaml also has the options of its rows."""

    settings: dict[str, Any]
    roles: dict[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    validation: str = ""
    """Id of the dataset that was used as the validation set."""
    not_known: tuple[str, ...] = ()
    """Names of settings of another version of the studio. They are left out."""
    problems: tuple[StudioError, ...] = ()
    """Unknown names and invalid values. None of these is among the settings."""


def read_config(path: Path) -> ConfigFile:
    """Read a YAML or JSON file of settings, or a run's own config.yaml.

    Unknown names are problems in a file that a person wrote. In a run's file they are from another version of the
    studio, and left out. Problems are returned, not raised, so that the caller can report them with others.
    """
    values = _document(path)
    of_run = isinstance(values.get("config"), dict)
    settings = {str(key).replace("-", "_"): value for key, value in (values["config"] if of_run else values).items()}
    strange = tuple(key for key in settings if key not in TrainingConfig.model_fields)
    known = {key: value for key, value in settings.items() if key not in strange}
    problems = [] if of_run else [_unknown(key, path) for key in strange]
    try:
        config_from({"task": "-", "model": "-", **known})
    except StudioError as error:
        problems += error.all()
    refused = {problem.field for problem in problems}
    known = {key: value for key, value in known.items() if key not in refused}
    return _of_run(path, known, values, strange, problems) if of_run else ConfigFile(known, problems=tuple(problems))


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file.

    Raises:
        StudioError: when one of them is invalid.
    """
    config = read_config(path)
    raise_all(config.problems)
    return config.settings


def _document(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StudioError(
            "unreadable-file",
            "The file with the settings can't be read.",
            given=path,
            hint="Give a file that exists and that you may read.",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        raise StudioError(
            "unreadable-file",
            "The file with the settings is neither YAML nor JSON.",
            given=f"{path}, line {where.line + 1}" if where else path,
            hint="Write one setting per line: learning_rate: 0.0002",
        ) from error
    if not isinstance(values, dict):
        raise StudioError(
            "unreadable-file", "The file has no settings.", given=path, hint="Write one setting per line: epochs: 3"
        )
    return values


def _of_run(
    path: Path,
    settings: dict[str, Any],
    values: dict[str, Any],
    strange: tuple[str, ...],
    problems: Sequence[StudioError],
) -> ConfigFile:
    data_section = values.get("data") or {}
    try:
        fields = {name: value for name, value in dict(data_section).items() if name in ("roles", "left_out")}
        data = DatasetSpec.model_validate({"task": "-", "roles": {}, **fields})
    except (TypeError, ValueError) as error:
        raise StudioError(
            "unreadable-file",
            "The data section of the file can't be read.",
            given=f"{path}, data",
            valid="data with roles, one per line: column: role",
            hint="To use only the settings, keep the lines under config: and remove their indentation.",
        ) from error
    validation = str(values.get("validation_dataset") or "")
    return ConfigFile(settings, data.roles, data.left_out, validation, strange, tuple(problems))


def _unknown(key: str, path: Path) -> StudioError:
    hint = nearest(key, TrainingConfig.model_fields) or "All settings: docs/reference/settings.md"
    return StudioError("unknown-setting", f"There is no setting {key}.", given=f"{key} in {path}", hint=hint, field=key)


def _flag(name: str) -> Any:
    declared, words = TrainingConfig.model_fields[name], about(TrainingConfig, name)
    assert words is not None
    kind = _plain_type(declared.annotation)
    flag = name.replace("_", "-")
    flags = (f"--{flag}/--no-{flag}",) if kind is bool else (f"--{flag}",)
    option = typer.Option(
        *flags,
        help=effect(name),
        show_default=_facts(name),
        metavar=None if kind is bool else _placeholder(name, kind),
        rich_help_panel=f"{PANEL}: {GROUPS[words.group].lower()}",
        hidden=words.level != "basic",
    )
    # Numbers are parsed as text, so that a wrong type is reported like any other invalid value.
    taken = bool if kind is bool else str
    return Annotated[taken | None, option]


def effect(name: str) -> str:
    """What a setting does: the first sentence of its description."""
    return f"{_description(name).partition('. ')[0].rstrip('.')}."


def long_choices() -> dict[str, str]:
    """Placeholder → the values of a setting that has too many for its line of the help."""
    listed = {name: ", ".join(choices_of(name)) for name in settings_of()}
    return {name.upper(): words for name, words in listed.items() if len(words) > LONG}


def _facts(name: str) -> str:
    """Default and valid values of a setting: `0.0002; >0 to 0.1`."""
    default = TrainingConfig.model_fields[name].default
    if isinstance(default, bool):
        return "on" if default else "off"
    others = [each for each in choices_of(name) if each != str(default)]
    if others:
        return f"{default}" if name.upper() in long_choices() else f"{default}; or {', '.join(others)}"
    return "; ".join(filter(None, [_default(name, default), short_range_of(name)]))


def _default(name: str, default: Any) -> str:
    """A default, with what its description says of this value: `0 (no limit)`."""
    value = f"{default:g}" if isinstance(default, int | float) else default or "Empty"
    match = re.search(rf" {re.escape(value)}: ([^.]+)\.", _description(name))
    meaning = match[1] if match and len(match[1]) <= SHORT else ""
    if value != "Empty":
        return f"{value} ({meaning})" if meaning else value
    return meaning or ("automatic" if match or default is None else "none")


def _description(name: str) -> str:
    return " ".join((TrainingConfig.model_fields[name].description or "").split())


def _placeholder(name: str, kind: type) -> str:
    """What stands for the value of a flag: its own name, if a list below the options has its values."""
    if name.upper() in long_choices():
        return name.upper()
    return "N" if kind in (int, float) else "NAME" if choices_of(name) else "TEXT"


def _plain_type(annotation: Any) -> Any:
    """float for float | None. A closed set of values is parsed as text, so that the schema can list the valid ones."""
    plain = [each for each in get_args(annotation) if isinstance(each, type) and each is not type(None)]
    if get_origin(annotation) is not None:
        return plain[0] if plain else str
    return annotation
