"""Rules for loading a model: no code of its own and no pickles, unless the machine's owner has trusted it."""

from typing import Any

from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo


def loading_arguments(trusted: bool = False) -> dict[str, Any]:
    """Return arguments for `from_pretrained` of weights. Without them, transformers asks on stdin and loads pickles."""
    return {"trust_remote_code": trusted, "use_safetensors": None if trusted else True}


def tokenizer_arguments(trusted: bool = False) -> dict[str, Any]:
    """Return arguments for `from_pretrained` of a tokenizer or config."""
    return {"trust_remote_code": trusted}


def check_trust(info: ModelInfo, trusted: bool) -> None:
    """Raise `StudioError` for a model that would run code or unpickle, unless it is trusted."""
    if info.needs_trust and not trusted:
        raise StudioError(
            "unsafe-model",
            f"{info.title} is not loaded. {info.needs_trust}",
            given=info.name,
            valid="a model with safetensors weights and no code of its own",
            hint="If you trust its authors, the owner of this machine can allow this model, in "
            f"the Model tab or with: studio trust {info.name}",
            field="model",
        )
