"""Whatever settings within their limits are chosen: they are accepted, and come back from a file as they went."""

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from studio.cli.settings import read_settings
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.settings_check import config_from

PROPERTIES = TrainingConfig.model_json_schema()["properties"]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Values within the limits that the schema states."""
    schema = next((s for s in PROPERTIES[name].get("anyOf", [PROPERTIES[name]]) if s.get("type") != "null"), {})
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if schema["type"] == "number":
        low, high = (
            schema.get(a, schema.get(b)) for a, b in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
        )
        return st.floats(low, high, exclude_min="exclusiveMinimum" in schema, exclude_max="exclusiveMaximum" in schema)
    return st.booleans() if schema["type"] == "boolean" else WORDS


# Half is the most of either share; together they may be too much, which is a rule of its own.
ALONE = [name for name in settings_of() if name != "test_share"]
SETTINGS = st.fixed_dictionaries({}, optional={name: values_of(name) for name in ALONE})


@given(settings=SETTINGS, name=WORDS, prompts=st.lists(WORDS, max_size=3))
def test_settings_within_their_limits_survive_a_file(settings: dict[str, Any], name: str, prompts: list[str]) -> None:
    values = {"task": "chat", "model": "starter-chat", "name": name, "test_prompts": prompts, **settings}
    config = config_from(values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        kept = config.model_dump(mode="json")
        # In YAML these are line breaks, that must be written with an escape.
        plain = not set("\x85\u2028\u2029") & set(json.dumps(kept, ensure_ascii=False))
        path.write_text(yaml.safe_dump(kept, allow_unicode=plain), encoding="utf-8")
        assert config_from(read_settings(path)) == config
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
