"""The base of every noun: frozen, refusing unknown keys, described by attribute docstrings."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A frozen value object. Unknown keys are refused, so that a typing error is never ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        # A loss may become NaN; as null it could not be read back, and with it the whole run.
        ser_json_inf_nan="strings",
    )
