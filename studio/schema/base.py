"""The base class of all data models: frozen, unknown keys refused, described by attribute docstrings."""

from pydantic import BaseModel, ConfigDict


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
