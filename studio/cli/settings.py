"""The flags that are settings: one for each field of TrainingConfig, in kebab case, and the same from a file."""

import inspect
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from studio.schema.config import GROUPS, TrainingConfig, config_from, range_of, settings_of
from studio.schema.errors import StudioError, nearest, raise_all
from studio.schema.fields import about

NOT_SETTINGS = ("task", "model", "method", "preset", "name", "test_prompts")
"""Fields that have an option of their own."""


def setting_parameters() -> list[inspect.Parameter]:
    """A keyword parameter for each setting; None when the flag was not given."""
    return [_parameter(name) for name in settings_of()]


def settings_given(given: dict[str, Any]) -> dict[str, Any]:
    """Take the settings out of a command's keywords; those that were given, as numbers where they are numbers."""
    taken = {name: given.pop(name) for name in settings_of()}
    taken = {name: value for name, value in taken.items() if value is not None}
    problems: list[StudioError] = []
    for name, value in taken.items():
        kind = _plain_type(TrainingConfig.model_fields[name].annotation)
        try:
            taken[name] = kind(value)
        except ValueError:
            what = f"The setting {name.replace('_', ' ')} can't have this value."
            problems.append(StudioError("bad-setting", what, given=value, valid=range_of(name), field=name))
    raise_all(problems)
    return taken


def read_settings(path: Path) -> dict[str, Any]:
    """Settings of a YAML or JSON file, or of a run's own config.yaml, checked for names that do not exist."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StudioError("unreadable-file", "The file with the settings can't be read.", given=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        raise StudioError(
            "unreadable-file",
            "The file with the settings is neither YAML nor JSON.",
            given=f"{path}, line {where.line + 1}" if where else path,
            hint="Write one setting a line: learning_rate: 0.0002",
        ) from error
    if isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
    if not isinstance(values, dict):
        raise StudioError(
            "unreadable-file", "The file holds no settings.", given=path, hint="Write one setting a line: epochs: 3"
        )
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    problems = [_unknown(key, path) for key in values if key not in TrainingConfig.model_fields]
    known = {key: value for key, value in values.items() if key in TrainingConfig.model_fields}
    try:
        config_from({"task": "-", "model": "-", **known})
    except StudioError as error:
        problems += error.all()
    raise_all(problems)
    return values


def _unknown(key: str, path: Path) -> StudioError:
    hint = nearest(key, TrainingConfig.model_fields) or "All settings: docs/settings.md"
    return StudioError("unknown-setting", f"There is no setting {key}.", given=f"{key} in {path}", hint=hint, field=key)


def _parameter(name: str) -> inspect.Parameter:
    field, words = TrainingConfig.model_fields[name], about(TrainingConfig, name)
    assert words is not None
    kind = _plain_type(field.annotation)
    flag = name.replace("_", "-")
    flags = (f"--{flag}/--no-{flag}",) if kind is bool else (f"--{flag}",)
    limits = range_of(name).removeprefix("a text").removeprefix("yes or no").strip(", ")
    help_text = f"{field.description} \\[{limits}]" if limits else field.description
    option = typer.Option(
        *flags,
        help=help_text,
        show_default=False,
        metavar=None if kind is bool else f"<{kind.__name__}>",
        rich_help_panel=f"Settings: {GROUPS[words.group].lower()}",
    )
    # Numbers are taken as text, so that a word where a number should be is refused as any other bad value is.
    taken = bool if kind is bool else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, option]
    )


def _plain_type(annotation: Any) -> Any:
    """float for float | None; a closed set of words is taken as a text, so that the schema can say what is right."""
    plain = [each for each in get_args(annotation) if isinstance(each, type) and each is not type(None)]
    if get_origin(annotation) is not None:
        return plain[0] if plain else str
    return annotation
