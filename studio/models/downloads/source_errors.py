"""Readable errors of sources other than the Hub."""

from collections.abc import Iterator
from contextlib import contextmanager

from studio.schema.errors import StudioError


def require_online(source: str, model: str) -> None:
    """Raise `StudioError` if network access is disabled."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise StudioError(
            "no-network",
            f"{source} is not used, because HF_HUB_OFFLINE is set.",
            given=model,
            hint="Choose a starter model, a downloaded model or a folder.",
        )


@contextmanager
def source_errors(source: str, model: str) -> Iterator[None]:
    """Convert errors of requests and of their answers to `StudioError`. `source` is the title of a source."""
    import httpx2

    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise refused(source, model, error.response.status_code) from error
    except httpx2.TransportError as error:
        raise unreachable(source, model) from error
    except (ValueError, KeyError, TypeError, AttributeError, httpx2.HTTPError) as error:
        raise StudioError(
            "no-network",
            f"{source} sent an answer that the studio can't read.",
            given=model,
            hint="Try again in a few minutes.",
        ) from error


def refused(source: str, model: str, status: int, form: str = "owner/name") -> StudioError:
    """Return the error for a status of HTTP. `form`: of the names of its models."""
    if status == 404:
        what = f"{source} has no model with this name."
        return StudioError("no-such-model", what, given=model, valid=form, field="model")
    if status in (401, 403):
        return StudioError(
            "not-allowed",
            f"{source} gives this model only to people who have signed in.",
            given=model,
            hint="Download it yourself, and add its folder on the Model tab.",
            field="model",
        )
    return StudioError(
        "no-network", f"{source} responded with error {status}.", given=model, hint="Try again in a few minutes."
    )


def unreachable(source: str, model: str) -> StudioError:
    """Return the error for a source that does not respond."""
    return StudioError(
        "no-network",
        f"{source} can't be reached.",
        given=model,
        hint="Check your connection. Starter models, downloaded models and folders work without it.",
    )
