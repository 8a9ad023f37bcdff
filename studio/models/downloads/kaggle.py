"""Requests to Kaggle Models, through kagglehub. Each function runs in a process of its own.

kagglehub has no time limits of its own and prints. It finds the credentials itself: in KAGGLE_API_TOKEN, or in files in
~/.kaggle. They stay in that process.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.models.downloads.source_errors import refused, unreachable
from studio.schema.errors import StudioError

TITLE = "Kaggle"
MAX_PAGES = 20
ATTEMPTS = 5
"""How often a file is asked for again after the connection broke. Each attempt continues where the last one ended."""
JSON_BYTES = 20_000_000
SETTINGS = (("config.json", "tokenizer_config.json"), ("config.json", "tokenizer.json", "model.weights.json"))
"""Files that describe a variant of transformers, and one of Keras."""


def search(text: str, limit: int) -> list[dict[str, Any]]:
    """Return the variants that can be used of models that match a text: name, title, license, version, and bytes.

    Those of transformers come first, then those of Keras.
    """
    from kagglesdk.models.types.model_api_service import ApiListModelsRequest
    from kagglesdk.models.types.model_enums import ModelFramework

    request = ApiListModelsRequest()
    request.search, request.page_size = text, limit
    with _errors(text), _client() as client:
        models = client.models.model_api_client.list_models(request).models
    frameworks = {
        ModelFramework.MODEL_FRAMEWORK_TRANSFORMERS: "transformers",
        ModelFramework.MODEL_FRAMEWORK_KERAS: "keras",
    }
    results = [
        {
            "handle": f"{model.ref}/{frameworks[each.framework]}/{each.slug}",
            "title": f"{model.slug}, {each.slug}",
            "license": each.license_name,
            "version": each.version_number,
            "bytes": each.total_uncompressed_bytes,
        }
        for model in models
        for each in model.instances or []
        if each.framework in frameworks
    ]
    return sorted(results, key=lambda each: "/keras/" in each["handle"])[:limit]


def describe(handle: str, cache: str) -> dict[str, Any]:
    """Return version, license, files (name → bytes) and small settings files of `owner/model/framework/variation`."""
    from kagglehub.handle import parse_model_handle

    parsed = parse_model_handle(handle)
    with _errors(handle), _client() as client:
        from kagglesdk.models.types.model_api_service import ApiGetModelInstanceRequest

        request = ApiGetModelInstanceRequest()
        _address(request, parsed)
        instance = client.models.model_api_client.get_model_instance(request)
        version = parsed.version or instance.version_number
        files = _files(client, parsed.with_version(version))
    names = [name for name in SETTINGS[parsed.framework.lower() == "keras"] if 0 < files.get(name, 0) < JSON_BYTES]
    download(f"{parsed.with_version(version)}", names, cache)
    return {"version": version, "license": instance.license_name, "files": files}


def download(handle: str, names: list[str], cache: str) -> None:
    """Download files of one version to kagglehub's folder below `cache`. What is there already is not asked for."""
    os.environ["KAGGLEHUB_CACHE"] = cache
    os.environ["KAGGLEHUB_VERBOSITY"] = "error"
    import kagglehub
    import requests

    for name in names:
        with _errors(f"{handle}/{name}"):
            for attempt in range(ATTEMPTS):
                try:
                    kagglehub.model_download(handle, path=name)
                    break
                except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                    if attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(2**attempt / 4)


def folder_below(cache: Path, handle: str, version: int) -> Path:
    """Return the folder where kagglehub puts the files of a version."""
    return cache.joinpath("models", *handle.split("/")[:4], str(version))


def _client() -> Any:
    from kagglehub.clients import build_kaggle_client

    return build_kaggle_client()


def _address(request: Any, parsed: Any) -> None:
    request.owner_slug, request.model_slug = parsed.owner, parsed.model
    request.framework, request.instance_slug = parsed.framework_enum(), parsed.variation


def _files(client: Any, parsed: Any) -> dict[str, int]:
    """Return the names and sizes of the files of a version."""
    from kagglesdk.models.types.model_api_service import ApiListModelInstanceVersionFilesRequest

    files: dict[str, int] = {}
    request = ApiListModelInstanceVersionFilesRequest()
    _address(request, parsed)
    request.version_number, request.page_size = parsed.version, 100
    for _ in range(MAX_PAGES):
        page = client.models.model_api_client.list_model_instance_version_files(request)
        files |= {each.name: each.size for each in page.files or []}
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    return files


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Convert errors of kagglehub to `StudioError`."""
    import requests
    from kagglehub.exceptions import DataCorruptionError

    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise StudioError(
                "not-allowed",
                "Kaggle gives this model only to people who have signed in and accepted its terms.",
                given=name,
                hint="Accept the terms on its page. Then save an API token in ~/.kaggle/access_token.",
                field="model",
            ) from error
        raise refused(TITLE, name, status, "owner/model/framework/variation") from error
    except requests.RequestException as error:
        raise unreachable(TITLE, name) from error
    except DataCorruptionError as error:
        raise StudioError(
            "broken-model",
            "A downloaded file was damaged, so it was deleted.",
            given=name,
            hint="Download it again.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StudioError(
            "no-network",
            f"{TITLE} sent an answer that the studio can't read.",
            given=name,
            hint="Try again in a few minutes.",
        ) from error
