"""A small ModelScope on this machine: the endpoints that the studio uses, with the faults of the small Hub."""

import re
from typing import Any

from tests.hubserver import Handler, HubServer, Repo, _sha


class ModelScopeServer(HubServer):
    """The server; use it as a context. Its repositories are those of the small Hub."""

    without_sums = False
    """It says no checksums of files."""
    bytes_too_many: int = 0
    """It says that files have so many more bytes than it sends."""
    listed: tuple[dict[str, Any], ...] = ()
    """More results of each search."""
    leads_to: str = ""
    """Address to which it redirects requests for files."""
    closed: tuple[str, ...] = ()
    """Names of models that need a login."""

    @property
    def handler(self) -> type["Handler"]:
        """What answers its requests."""
        return ModelScopeHandler


class ModelScopeHandler(Handler):
    """One request to the small ModelScope."""

    @property
    def scope(self) -> ModelScopeServer:
        """The server."""
        assert isinstance(self.server_hub, ModelScopeServer)
        return self.server_hub

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        """Answer by the address."""
        if path == "/openapi/v1/models":
            return self._find(query["search"][0], int(query["page_size"][0]))
        if found := re.fullmatch(r"/openapi/v1/models/([^/]+/[^/]+)", path):
            return self._model(found[1])
        if found := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo(/files)?", path):
            return self._files(found[1]) if found[2] else self._content(found[1], query["FilePath"][0])
        return self._json(404, {"Code": 404, "Message": "not found", "Success": False})

    def _find(self, text: str, limit: int) -> None:
        repos = [each for each in self.scope.repos.values() if text.lower() in each.name.lower()]
        models = [self._described(each) for each in repos] + list(self.scope.listed)
        self._json(200, {"success": True, "data": {"models": models[:limit], "total_count": len(models)}})

    def _described(self, repo: Repo) -> dict[str, Any]:
        return {
            "id": repo.name,
            "display_name": repo.name,
            "downloads": repo.downloads,
            "license": "Apache-2.0",
            "tasks": ["text-generation"],
            "file_size": sum(len(data) for data in repo.files.values()),
            "private": False,
            "gated": repo.name in self.scope.closed,
        }

    def _model(self, name: str) -> None:
        repo = self.scope.repos.get(name)
        if repo is None:
            return self._json(404, {"success": False, "code": "ResourceNotFound"})
        return self._json(200, {"success": True, "data": self._described(repo)})

    def _files(self, name: str) -> None:
        repo = self.scope.repos.get(name)
        if repo is None:
            return self._json(404, {"Code": 404, "Success": False})
        entries: list[dict[str, Any]] = [{"Name": "onnx", "Path": "onnx", "Type": "tree", "Size": 0}]
        for path, data in repo.files.items():
            if "/" not in path:
                sums = {} if self.scope.without_sums else {"Sha256": _sha(data)}
                entries.append(
                    {"Name": path, "Path": path, "Type": "blob", "Size": len(data) + self.scope.bytes_too_many, **sums}
                )
        return self._json(200, {"Code": 200, "Success": True, "Data": {"Files": entries}})

    def _content(self, name: str, file: str) -> None:
        repo = self.scope.repos.get(name)
        if self.scope.leads_to:
            return self._json(302, {}, {"Location": self.scope.leads_to})
        if repo is None or file not in repo.files:
            return self._json(404, {"Code": 404, "Success": False})
        return self._send(repo.files[file])
