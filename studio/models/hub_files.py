"""Talking with the Hub: which files of a model are wanted, its errors in plain words, and a small client."""

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
SECONDS = 10


def needed_files(names: Iterable[str], trusted: bool = False) -> list[str]:
    """Safetensors, configs and tokenizer at the top of the repository; code and pickles only when trusted."""
    names = list(names)
    weights = [name for name in names if WEIGHTS.fullmatch(name)]
    wanted = weights + [name for name in names if OTHERS.fullmatch(name)]
    if trusted:
        wanted += [name for name in names if "/" not in name and name.endswith(".py")]
        wanted += [] if weights else pickled_names(names)
    return sorted(wanted)


def pickled_names(names: Iterable[str]) -> list[str]:
    """Weights in pickle form."""
    return sorted(name for name in names if PICKLED.fullmatch(name))


@dataclass(frozen=True)
class Remote:
    """The Hub as one caller sees it. Without a token none is sent, not even one that lies on this machine."""

    endpoint: str = ""
    cache: str = ""
    token: str | None = None

    @property
    def auth(self) -> str | bool:
        """What huggingface_hub calls token; False keeps it from looking for one."""
        return self.token or False

    @property
    def address(self) -> str:
        """Where the Hub is, without a slash at the end."""
        from huggingface_hub import constants

        return (self.endpoint or constants.ENDPOINT).rstrip("/")

    def api(self) -> Any:
        """The library's client."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.address, token=self.auth)

    def headers(self) -> dict[str, str]:
        """Headers of a request of our own."""
        from huggingface_hub.utils import build_hf_headers

        return build_hf_headers(token=self.auth)

    def json(self, name: str, revision: str, file: str) -> dict[str, Any]:
        """A small JSON file of a repository; empty when it is missing or may not be read."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import get_session

        address = hf_hub_url(name, file, revision=revision, endpoint=self.address)
        answer = get_session().get(address, headers=self.headers(), timeout=SECONDS)
        if answer.status_code != 200:
            return {}
        try:
            value = answer.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def search(self, question: dict[str, Any]) -> list[Any]:
        """One page of models. The library's own call has no limit of time, so it is not used."""
        from huggingface_hub import ModelInfo as HubModel
        from huggingface_hub.utils import get_session, hf_raise_for_status

        answer = get_session().get(
            f"{self.address}/api/models", params=question, headers=self.headers(), timeout=SECONDS
        )
        hf_raise_for_status(answer)
        return [HubModel(**item) for item in answer.json()]


def require_network(given: str) -> None:
    """Refuse at once where the Hub was switched off."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise StudioError(
            "no-network",
            "The Hub is not asked, since HF_HUB_OFFLINE is set.",
            given=given,
            hint="The starters, models that are here already and folders work without it.",
        )


def ask_no_hub() -> None:
    """From now on neither this process nor one that it starts asks the Hub: all that it needs is on this machine."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """Turn what the library raises into plain refusals."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise gated(name) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise StudioError(
            "no-such-model",
            "The Hub has no model of that name, or it is private.",
            given=name,
            valid="owner/name, as in the address of its page",
            hint="For a private model, add a token that may read it, in step 1 or with: studio token",
            field="model",
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise refused(name) from error
        raise StudioError(
            "no-network", f"The Hub answered with error {status}.", given=name, hint="Try again in a few minutes."
        ) from error
    except (httpx2.TransportError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise unreachable(name) from error


def gated(name: str) -> StudioError:
    """The terms must be accepted first."""
    return StudioError(
        "gated-model",
        "The Hub gives this model only to people who have accepted its terms.",
        given=name,
        hint=f"Sign in at https://huggingface.co/{name}, accept the terms, and add a token that may read it, "
        "in step 1 or with: studio token",
        field="model",
    )


def refused(name: str) -> StudioError:
    """The token is wrong, or may not read this."""
    return StudioError(
        "gated-model",
        "The Hub refuses the token that was sent, or asks for one.",
        given=name,
        hint="Make a token that may read on https://huggingface.co/settings/tokens, and add it in step 1 or with: "
        "studio token",
        field="model",
    )


def unreachable(name: str) -> StudioError:
    """No answer at all."""
    return StudioError(
        "no-network",
        "The Hub can't be reached from this machine.",
        given=name,
        hint="Check the connection. The starters, models that are here already and folders work without it.",
    )
