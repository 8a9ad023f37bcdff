"""Settings as people give them, checked: all that is wrong at once, in plain words."""

from functools import cache
from typing import Any

from pydantic import ValidationError

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, nearest, raise_all


def config_from(values: dict[str, Any]) -> TrainingConfig:
    """A checked config, or one `StudioError` that holds every problem, each with its field.

    `values` may use kebab case, as the command line does.
    """
    values = {key.replace("-", "_"): value for key, value in values.items()}
    unknown = [key for key in values if key not in TrainingConfig.model_fields]
    problems = [
        StudioError(
            "unknown-setting", f"There is no setting {key}.", hint=nearest(key, TrainingConfig.model_fields), field=key
        )
        for key in unknown
    ]
    known = {key: value for key, value in values.items() if key not in unknown}
    try:
        config = TrainingConfig(**known)
    except ValidationError as error:
        problems += [_plain(each) for each in error.errors()]
    raise_all(problems)
    return config


def _plain(error: Any) -> StudioError:
    """A pydantic error in plain words, with the setting's name."""
    name = str(error["loc"][0]) if error["loc"] else ""
    field = TrainingConfig.model_fields.get(name)
    label = name.replace("_", " ") or "settings"
    context = error.get("ctx") or {}
    if "error" in context:
        return StudioError("bad-setting", f"{context['error']}.", field=name)
    given = None if error["type"] == "missing" else error["input"]
    valid = range_of(name) if field else None
    what = f"The setting {label} is missing." if given is None else f"The setting {label} can't have this value."
    return StudioError("bad-setting", what, given=given, valid=valid or error["msg"], field=name)


@cache
def _properties() -> dict[str, Any]:
    """The JSON schema of each field, made once: it takes longer than all the rest of the help."""
    properties: dict[str, Any] = TrainingConfig.model_json_schema()["properties"]
    return properties


def range_of(name: str) -> str:
    """The allowed values of a setting in words, `above 0, at most 0.1` say."""
    schema = _properties()[name]
    schema = next((s for s in schema.get("anyOf", []) if s.get("type") != "null"), schema)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    words = [
        f"{word} {_number(schema[key])}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    words += [f"at most {schema['maxLength']:,} characters"] if "maxLength" in schema else []
    kind = {"integer": "a whole number", "number": "a number", "boolean": "yes or no", "string": "a text"}.get(
        schema.get("type", ""), ""
    )
    return ", ".join([kind, *words]) if kind else ", ".join(words)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
