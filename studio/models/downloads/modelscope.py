"""Requests to ModelScope: search, description, list of files, and one file."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from studio.models.downloads.guarded_client import guarded_client
from studio.models.downloads.source_errors import source_errors

TITLE = "ModelScope"
ENDPOINT = "https://modelscope.cn"
TIMEOUT_SECONDS = 8
MAX_BYTES = 20_000_000
"""Of an answer in JSON."""
REVISION = "master"
MAX_PAGE = 50


@dataclass(frozen=True)
class ModelScopeFile:
    """A file of a repository."""

    name: str
    size: int
    sha256: str
    """Empty: ModelScope does not say it."""


def endpoint() -> str:
    """Return the address of ModelScope, or of its mirror in `MODELSCOPE_ENDPOINT`."""
    return (os.environ.get("MODELSCOPE_ENDPOINT") or ENDPOINT).rstrip("/")


def search(text: str, limit: int) -> list[dict[str, Any]]:
    """Return the models whose names contain a text, the most downloaded first. Raise `StudioError`."""
    query = {"search": text, "sort": "downloads", "page_number": "1", "page_size": str(min(limit, MAX_PAGE))}
    with source_errors(TITLE, text):
        models = _json("/openapi/v1/models", query)["data"]["models"]
        return [each for each in models if isinstance(each, dict)]


def describe(identifier: str) -> dict[str, Any]:
    """Return what ModelScope says about the model `owner/name`. Raise `StudioError`."""
    with source_errors(TITLE, identifier):
        return dict(_json(f"/openapi/v1/models/{quote(identifier)}", {})["data"])


def files(identifier: str) -> dict[str, ModelScopeFile]:
    """Return the files at the top of a repository, by name. Raise `StudioError`."""
    query = {"Revision": REVISION, "Recursive": "False"}
    with source_errors(TITLE, identifier):
        entries = _json(f"/api/v1/models/{quote(identifier)}/repo/files", query)["Data"]["Files"]
        listed = [
            ModelScopeFile(str(each["Path"]), int(each["Size"]), str(each.get("Sha256") or "").lower())
            for each in entries
            if each.get("Type") != "tree" and "/" not in str(each["Path"])
        ]
        return {each.name: each for each in listed}


def small_json(identifier: str, name: str) -> dict[str, Any]:
    """Return a JSON file of a repository. Raise `StudioError` if it can't be read."""
    with source_errors(TITLE, identifier):
        value = _json(f"/api/v1/models/{quote(identifier)}/repo", {"Revision": REVISION, "FilePath": name})
        return value


@contextmanager
def open_file(identifier: str, name: str, received: int) -> Iterator[Any]:
    """Request a file from a position on. Errors of the connection itself are those of httpx2."""
    import httpx2

    headers = {"Accept-Encoding": "identity", "Range": f"bytes={received}-"}
    query = {"Revision": REVISION, "FilePath": name}
    with _client() as client:
        address = f"{endpoint()}/api/v1/models/{quote(identifier)}/repo"
        with client.stream("GET", address, params=query, headers=headers) as response:
            try:
                response.raise_for_status()
            except httpx2.HTTPStatusError:
                with source_errors(TITLE, identifier):
                    raise
            yield response


def _json(path: str, query: dict[str, str]) -> dict[str, Any]:
    """Return an answer in JSON. Raise errors of httpx2, or `ValueError` for another answer."""
    with _client() as client, client.stream("GET", endpoint() + path, params=query) as response:
        response.raise_for_status()
        body = b""
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("the answer is too long")
    value = json.loads(body)
    if not isinstance(value, dict):
        raise ValueError("the answer is no object")
    return value


def _client() -> Any:
    return guarded_client(endpoint(), TIMEOUT_SECONDS)
