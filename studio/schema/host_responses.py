"""Messages of the model host: what it answers to the requests of host.py, one JSON line each."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from studio.schema.base import FrozenModel
from studio.schema.report import Answer


class Ready(FrozenModel):
    """The first line: the host reads requests."""

    event: Literal["ready"] = "ready"
    pid: int
    """Process id of the host."""


class Chunk(FrozenModel):
    """A piece of a reply."""

    event: Literal["chunk"] = "chunk"
    id: str
    """Id of the request."""
    who: Literal["base", "tuned"]
    """The model that replies."""
    text: str
    """The whole reply so far."""
    done: bool = False
    """The reply is complete."""
    answer: Answer | None = None
    """The complete reply, when `done`."""


class Moved(FrozenModel):
    """Progress of long work."""

    event: Literal["progress"] = "progress"
    id: str
    """Id of the request."""
    done: int
    """Units of work that are done."""
    total: int
    """Units of work in all."""
    message: str = ""
    """What the host does, in words."""


class Done(FrozenModel):
    """A request is complete."""

    event: Literal["done"] = "done"
    id: str
    """Id of the request."""
    stopped: bool = False
    """It was canceled."""
    result: dict[str, Any] = Field(default_factory=dict)
    """The result, by name."""


class Failed(FrozenModel):
    """A request was refused or failed."""

    event: Literal["error"] = "error"
    id: str | None
    """Id of the request. None when it could not be read."""
    error: dict[str, Any]
    """`StudioError.to_dict()`."""


AnyResponse = Annotated[Ready | Chunk | Moved | Done | Failed, Field(discriminator="event")]
RESPONSE: TypeAdapter[AnyResponse] = TypeAdapter(AnyResponse)
