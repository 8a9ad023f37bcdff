"""The base class of all data models: frozen, unknown keys refused, described by attribute docstrings."""

from typing import Any

from pydantic import BaseModel, ConfigDict


def fields_of(model: type[BaseModel], thing: object) -> dict[str, Any]:
    """The values of those fields of a model that an object has as plain attributes, not as methods."""
    values = {name: getattr(thing, name, None) for name in model.model_fields}
    return {name: value for name, value in values.items() if value is not None and not callable(value)}


class FrozenModel(BaseModel):
    """A frozen value object. Unknown keys are refused, so that typing errors are not ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        # A loss may be NaN. As null it could not be read back, and neither could the whole run.
        ser_json_inf_nan="strings",
    )
