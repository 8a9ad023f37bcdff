"""A small Kaggle on this machine: the calls of kagglehub that the studio uses, with the faults of the small Hub.

kagglehub has no setting for another address but the port 7777 of its own tests (`KAGGLE_API_ENVIRONMENT=TEST`).
"""

import base64
import hashlib
import json
import socket
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.hubserver import Handler, HubServer, Repo

PORT = 7777


class KaggleServer(HubServer):
    """The server; use it as a context. A repository `owner/name` is the variant `tiny` of that model: of transformers,
    or of Keras if it has `model.weights.h5`."""

    needs_login = False
    """It answers 403 to the description of a model."""
    authorizations: tuple[str, ...] = ()
    """What the requests had as their header."""

    @property
    def handler(self) -> type["Handler"]:
        """What answers its requests."""
        return KaggleHandler


def when_free() -> KaggleServer:
    """The server, as soon as its port is free: another test may have it."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", PORT))
            except OSError:
                time.sleep(0.3)
                continue
        return KaggleServer(port=PORT)
    raise AssertionError(f"port {PORT} is taken")


class KaggleHandler(Handler):
    """One request to the small Kaggle."""

    @property
    def kaggle(self) -> KaggleServer:
        """The server."""
        assert isinstance(self.server_hub, KaggleServer)
        return self.server_hub

    def do_POST(self) -> None:
        """A call of the API."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        self.kaggle.seen.append(("POST", self.path, {key: str(value) for key, value in body.items()}))
        self.kaggle.authorizations += (self.headers.get("authorization", ""),)
        if self.kaggle.garbage:
            return self._page(b"<html>Please log in to this network.</html>")
        status, answer = self._answer(self.path.removeprefix("/api/v1/models.ModelApiService/"), body)
        return self._json(status, answer, {"Location": answer["url"]} if status == 302 else None)

    def _answer(self, method: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The status and the answer of a call."""
        name = f"{body.get('ownerSlug')}/{body.get('modelSlug')}"
        repo = self.kaggle.repos.get(name)
        status, answer = 404, {"code": 404, "message": "not found"}
        if self.kaggle.busy or self.kaggle.needs_login:
            status = 503 if self.kaggle.busy else 403
            answer = {"code": status, "message": "busy or consent"}
        elif method == "ListModels":
            status, answer = 200, self._found(body["search"])
        elif repo is not None and body["instanceSlug"] == "tiny" and method == "GetModelInstance":
            status, answer = 200, self._variant(repo)
        elif repo is not None and method == "ListModelInstanceVersionFiles":
            files = [{"name": path, "size": len(data)} for path, data in repo.files.items()]
            half, second = len(files) // 2, body.get("pageToken") == "second"
            page = files[half:] if second else files[:half]
            status, answer = 200, {"files": page, "nextPageToken": "" if second else "second"}
        elif repo is not None:
            status, answer = 302, {"url": f"{self.kaggle.url}/file?model={name}&path={body['path']}"}
        return status, answer

    def _found(self, text: str) -> dict[str, Any]:
        repos = {name: repo for name, repo in self.kaggle.repos.items() if text.lower() in name.lower()}
        other = {"slug": "tiny_flax", "framework": "MODEL_FRAMEWORK_FLAX", "versionNumber": 1}
        return {
            "models": [
                {"ref": name, "slug": name.rpartition("/")[2], "instances": [other, self._variant(repo)]}
                for name, repo in repos.items()
            ]
        }

    def _variant(self, repo: Repo) -> dict[str, Any]:
        framework = "KERAS" if "model.weights.h5" in repo.files else "TRANSFORMERS"
        return {
            "slug": "tiny",
            "framework": f"MODEL_FRAMEWORK_{framework}",
            "versionNumber": 3,
            "licenseName": "Apache 2.0",
            "totalUncompressedBytes": 940_000,
        }

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        """Send a file, as the storage behind Kaggle does."""
        self._send(self.kaggle.repos[query["model"][0]].files[query["path"][0]])

    def end_headers(self) -> None:
        """Add the headers of the storage."""
        address = urlsplit(self.path)
        if address.path == "/file" and self.command == "GET":
            query = parse_qs(address.query)
            data = self.kaggle.repos[query["model"][0]].files[query["path"][0]]
            self.send_header("Accept-Ranges", "bytes")
            # In its tests' environment kagglehub prints each answer as text. Guessing the encoding would take a minute.
            self.send_header("Content-Type", "application/octet-stream; charset=latin-1")
            self.send_header("x-goog-hash", f"md5={base64.b64encode(hashlib.md5(data).digest()).decode()}")
        super().end_headers()
