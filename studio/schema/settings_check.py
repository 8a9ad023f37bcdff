"""Checks of the settings that people give: all errors at once, in plain words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from pydantic import ValidationError

from studio.schema.config import TrainingConfig, by_field_name
from studio.schema.errors import StudioError, nearest, raise_all

SHARES = ("validation_share", "test_share")
"""The fields of the only rule across fields. It is checked when each of them is valid."""
UNNAMED = "-"
"""Placeholder for a required field without a valid value."""


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """A checked config, or one `StudioError` with all problems, each with its field.

    `values` may use kebab case, as the command line does.
    """
    config, _, problems = sifted(values)
    raise_all(problems)
    return config


def sifted(values: Mapping[str, Any]) -> tuple[TrainingConfig, dict[str, Any], list[StudioError]]:
    """A config of the valid values, these values by field name, and the problems of all others.

    A rule across fields is checked even when another field is wrong by itself.
    """
    kept = by_field_name(values)
    fields = TrainingConfig.model_fields
    problems = [
        StudioError("unknown-setting", f"There is no setting {key}.", hint=nearest(key, fields), field=key)
        for key in kept
        if key not in fields
    ]
    kept = {key: value for key, value in kept.items() if key in fields}
    while True:
        try:
            return TrainingConfig(**kept), kept, problems
        except ValidationError as error:
            problems += [_plain(each) for each in error.errors()]
            wrong = {str(place) for each in error.errors() for place in each["loc"][:1] or SHARES}
        needed = {name: UNNAMED for name in wrong if fields[name].is_required()}
        kept = {key: value for key, value in kept.items() if key not in wrong} | needed


@contextmanager
def gathered(problems: list[StudioError]) -> Iterator[None]:
    """Collect the problems of an error, so that they are reported together with later ones."""
    try:
        yield
    except StudioError as error:
        problems += error.all()


def raise_once(problems: list[StudioError]) -> None:
    """Raise all problems as one error, without duplicates: several checks may find the same one."""
    raise_all(list({(each.field, each.message): each for each in problems}.values()))


def _plain(error: Any) -> StudioError:
    """A pydantic error in plain words, with the setting's name."""
    name = str(error["loc"][0]) if error["loc"] else SHARES[0]
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
    """The JSON schema of each field. Cached, because it takes longer than the rest of the help."""
    properties: dict[str, Any] = TrainingConfig.model_json_schema()["properties"]
    return properties


def _value_schema(name: str) -> dict[str, Any]:
    """The JSON schema of a setting's value, without the null of an optional one."""
    schema = _properties()[name]
    return next((s for s in schema.get("anyOf", []) if s.get("type") != "null"), schema)


def range_of(name: str) -> str:
    """The allowed values of a setting in words, for example `above 0, at most 0.1`."""
    schema = _value_schema(name)
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    words = [
        template.format(value=_number(schema[key]))
        for key, template in (
            ("minimum", "at least {value}"),
            ("exclusiveMinimum", "above {value}"),
            ("maximum", "at most {value}"),
            ("exclusiveMaximum", "below {value}"),
        )
        if key in schema
    ]
    words += [f"at most {schema['maxLength']:,} characters"] if "maxLength" in schema else []
    kind = {"integer": "a whole number", "number": "a number", "boolean": "yes or no", "string": "a text"}.get(
        schema.get("type", ""), ""
    )
    return ", ".join([kind, *words]) if kind else ", ".join(words)


def choices_of(name: str) -> tuple[str, ...]:
    """The values of a setting with a closed set."""
    return tuple(map(str, _value_schema(name).get("enum", ())))


def short_range_of(name: str) -> str:
    """The range of a number or a text for one line of help: `>0 to 0.1`, or `up to 500 characters`."""
    schema = _value_schema(name)
    if "maxLength" in schema:
        return f"up to {schema['maxLength']:,} characters"
    low, high = (schema.get(key) for key in ("minimum", "maximum"))
    above, below = (schema.get(f"exclusive{key}") for key in ("Minimum", "Maximum"))
    first = _number(low) if low is not None else f">{_number(above)}" if above is not None else ""
    last = _number(high) if high is not None else f"<{_number(below)}" if below is not None else ""
    return f"{first} to {last}" if first and last else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
