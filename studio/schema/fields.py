"""How a setting is described once, for the page, the command line, the checks and the docs."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field


@dataclass(frozen=True)
class About:
    """What a form needs to know of a setting beside its type, range and description."""

    group: str
    label: str
    library: str
    """The library's own name of it."""
    unit: str = ""
    level: str = "expert"
    """`basic` is shown first, `expert` below."""
    by_method: bool = False
    """Only methods that name it in their `settings` use it."""
    by_task: bool = False
    """Only tasks that name it in their `settings` use it."""
    words: tuple[str, ...] = ()
    """What the page says for each value of a closed set, in its order; empty: the value itself."""


def setting(default: Any, about: About, **limits: Any) -> Any:
    """A pydantic field that carries its `About`."""
    return Field(default=default, json_schema_extra={"about": about.__dict__}, **limits)


def about(model: type[BaseModel], name: str) -> About | None:
    """The `About` of a field, or None when it is no setting for people."""
    extra = model.model_fields[name].json_schema_extra
    return About(**extra["about"]) if isinstance(extra, dict) and "about" in extra else None  # type: ignore[arg-type]
