"""Serving of models through an API: what is served, its limits, and what an engine is told."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.host import RunRef

Speaker = Literal["tuned", "base"]


class ServeLimits(FrozenModel):
    """Limits of the API."""

    body_bytes: int = Field(default=1_000_000, ge=1_000)
    """Maximum bytes of a request."""
    prompt_characters: int = Field(default=100_000, ge=1)
    """Maximum characters of a prompt or a conversation, of all inputs together."""
    messages: int = Field(default=200, ge=1)
    """Maximum messages of a conversation."""
    inputs: int = Field(default=256, ge=1)
    """Maximum texts that one request may classify."""
    greedy: bool = False
    """All replies have temperature 0, so that an engine can batch the requests."""
    choices: int = Field(default=8, ge=1)
    """Maximum replies to one request."""
    new_tokens: int = Field(default=4096, ge=1)
    """Maximum tokens of a reply."""
    default_new_tokens: int = Field(default=1024, ge=1)
    """Tokens of a reply when the request has no limit."""
    requests_per_minute: float = Field(default=600, gt=0)
    """Requests that one key may send in a minute, on average."""
    burst: int = Field(default=100, ge=1)
    """Requests that one key may send at once."""
    waiting: int = Field(default=64, ge=1)
    """Requests to one model that may wait. The next one is refused."""
    request_seconds: float = Field(default=600, gt=0)
    """Time for a whole request, waiting included."""
    silent_seconds: float = Field(default=180, gt=0)
    """Time in which an engine must send something. Then it is restarted."""


class ServeRequest(FrozenModel):
    """What `studio serve-api` is asked for."""

    runs: tuple[str, ...]
    """Ids of runs."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on. 0: any free one."""
    engine: str = ""
    """Name of the engine for generative models. Empty: the first that can serve a model."""
    base: bool = True
    """Also serve the base models."""
    without_key: bool = False
    """Answer requests that have no key. Only on loopback."""
    key_hashes: tuple[str, ...] = ()
    """Hashes of keys that hold for this server only."""
    allow_origins: tuple[str, ...] = ()
    """Origins of web pages that may call the API."""
    limits: ServeLimits = ServeLimits()
    """Limits of requests."""


class ServedModel(FrozenModel):
    """A model under a name of the API."""

    name: str
    """The id of a run, or the name of a base model."""
    alias: str = ""
    """The name of the run. It is accepted, too."""
    who: Speaker
    """The fine-tuned model or the base model of the run."""
    base: str
    """The name of its base model in the API."""
    run: RunRef
    """The run. For a base model: one of its runs."""
    created: int = 0
    """Unix time at which the run was made."""
    classifies: bool = False
    """It gives labels, and no replies."""
    greedy: bool = False
    """All replies have temperature 0."""
    gguf: str = ""
    """A GGUF file that was exported from the run."""
    system_prompt: str = ""
    """Goes before conversations that have no system message."""


class PreparedModel(FrozenModel):
    """What the gateway knows about a model folder that was written for an engine."""

    run_folder: str
    """Folder of the run."""
    who: Speaker
    """The fine-tuned model or the base model of the run."""
    tokens_per_message: int
    """Tokens that the chat template adds to a message, at most."""
    merges_system: bool = False
    """The chat template has no system role, so that the system prompt goes before the first message."""


class EngineState(FrozenModel):
    """An engine as /health shows it."""

    models: tuple[str, ...]
    """Names of the models that it serves."""
    engine: str
    """Name of the engine."""
    reason: str
    """Why it was chosen."""
    state: Literal["starting", "ready", "restarting", "failed", "stopped"]
    """What it is doing."""


class ServeStatus(FrozenModel):
    """The server, as its command prints it and the page shows it."""

    address: str
    """Base URL, which ends with /v1."""
    engines: tuple[EngineState, ...]
    """The engines."""
    needs_key: bool
    """Whether requests need a key."""


class ApiKey(FrozenModel):
    """A key of the API. The key itself is not stored."""

    name: str
    """Its name."""
    hash: str
    """SHA-256 of the key. A key has 256 random bits, so a slow hash would add nothing."""
    created: str
    """ISO 8601 in UTC."""


class Generation(FrozenModel):
    """A request for one reply, after all checks: what an engine is asked for."""

    messages: tuple[dict[str, Any], ...] = ()
    """The conversation. Empty for a text to continue."""
    prompt: str = ""
    """The text to continue."""
    max_tokens: int
    """Maximum tokens of the reply."""
    temperature: float = 1.0
    """Temperature. 0 always takes the most likely token."""
    top_p: float = 1.0
    """Top-p."""
    seed: int | None = None
    """Seed of the sampling."""
    prompt_tokens: int = 0
    """About how many tokens the prompt has. 0: only the engine knows."""

    @property
    def chat(self) -> bool:
        """Whether it is a conversation."""
        return bool(self.messages)
