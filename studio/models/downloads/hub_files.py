"""Access to the Hub: which files of a model are needed, readable errors, and a small client."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from studio.schema.errors import StudioError

WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
PICKLED = re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin")
OTHERS = re.compile(r"[\w.-]+\.(json|jinja|model|spm|tiktoken)|vocab\.txt|merges\.txt|README\.md|LICENSE(\.\w+)?")
TIMEOUT_SECONDS = 10


def needed_files(names: Iterable[str], trusted: bool = False) -> list[str]:
    """Return safetensors, configs and tokenizer files at the top level. With `trusted`, also code and pickles."""
    names = list(names)
    weights = [name for name in names if WEIGHTS.fullmatch(name)]
    needed = weights + [name for name in names if OTHERS.fullmatch(name)]
    if trusted:
        needed += [name for name in names if "/" not in name and name.endswith(".py")]
        needed += [] if weights else pickled_names(names)
    return sorted(needed)


def pickled_names(names: Iterable[str]) -> list[str]:
    """Return the weight files in pickle format."""
    return sorted(name for name in names if PICKLED.fullmatch(name))


@dataclass(frozen=True)
class Remote:
    """The Hub with one caller's credentials. Without a token, none is sent, not even one stored on this machine."""

    endpoint: str = ""
    cache: str = ""
    token: str | None = None

    @property
    def auth(self) -> str | bool:
        """The token for huggingface_hub. False prevents it from searching for one."""
        return self.token or False

    @property
    def address(self) -> str:
        """The Hub's URL without a slash at the end."""
        from huggingface_hub import constants

        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    def api(self) -> Any:
        """Return the library's client."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.address, token=self.auth)

    def headers(self) -> dict[str, str]:
        """Return the headers for our own requests."""
        from huggingface_hub.utils import build_hf_headers

        return build_hf_headers(token=self.auth)

    def json(self, name: str, revision: str, file: str) -> dict[str, Any]:
        """Return a small JSON file of a repository. Empty if it is missing or not accessible."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import get_session

        address = hf_hub_url(name, file, revision=revision, endpoint=self.address)
        response = get_session().get(address, headers=self.headers(), timeout=TIMEOUT_SECONDS)
        if response.status_code != 200:
            return {}
        try:
            value = response.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def search(self, query: dict[str, Any]) -> list[Any]:
        """Return one page of models. The library's own function has no timeout."""
        from huggingface_hub import ModelInfo as HubModel
        from huggingface_hub.utils import get_session, hf_raise_for_status

        response = get_session().get(
            f"{self.address}/api/models", params=query, headers=self.headers(), timeout=TIMEOUT_SECONDS
        )
        hf_raise_for_status(response)
        return [HubModel(**item) for item in response.json()]


def require_network(model_name: str) -> None:
    """Raise `StudioError` if Hub access is disabled."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise StudioError(
            "no-network",
            "The Hub is not used, because HF_HUB_OFFLINE is set.",
            given=model_name,
            hint="Choose a starter model, a downloaded model or a folder.",
        )


def disable_hub_access() -> None:
    """Disable Hub access in this process and its children. All needed files must be on this machine."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Convert the library's errors to `StudioError`."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise gated(name) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise StudioError(
            "no-such-model",
            "The Hub has no model with this name, or it is private.",
            given=name,
            valid="owner/name, for example Qwen/Qwen2.5-0.5B-Instruct",
            hint="For a private model, add a token with read access, in the Model tab or with: studio token",
            field="model",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise refused(name) from error
        raise StudioError(
            "no-network", f"The Hub responded with error {status}.", given=name, hint="Try again in a few minutes."
        ) from error
    except (httpx2.TransportError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise unreachable(name) from error


def gated(name: str) -> StudioError:
    """Return the error for a model whose terms must be accepted first."""
    return StudioError(
        "gated-model",
        "You must accept the terms of this model on the Hub first.",
        given=name,
        hint=f"Sign in at https://huggingface.co/{name}, accept the terms, and add a token with read access, "
        "in the Model tab or with: studio token",
        field="model",
    )


def refused(name: str) -> StudioError:
    """Return the error for a token that is invalid or lacks access."""
    return StudioError(
        "gated-model",
        "The Hub rejects your token, or needs one.",
        given=name,
        hint="Make a token with read access on https://huggingface.co/settings/tokens, and add it in the Model tab "
        "or with: studio token",
        field="model",
    )


def unreachable(name: str) -> StudioError:
    """Return the error for a Hub that does not respond."""
    return StudioError(
        "no-network",
        "The Hub can't be reached from this machine.",
        given=name,
        hint="Check your connection. Starter models, downloaded models and folders work without the Hub.",
    )
