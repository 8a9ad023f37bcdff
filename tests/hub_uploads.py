"""The small Hub with uploads: accounts, repositories, large files in pieces or in one, commits. It can break off."""

import base64
import hashlib
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tests.hubserver import LARGE, PIECE, Handler, HubServer, Repo

TOKEN = "hf_" + "Testtokenofann" * 2
"""A token that looks like one of the Hub."""


@dataclass
class OwnRepo(Repo):
    """A repository that was made by an upload."""

    kind: str = "model"
    private: bool = True
    sdk: str = ""
    hardware: str = ""
    commits: list[str] = field(default_factory=list)

    @property
    def front(self) -> dict[str, Any]:
        """The metadata of its card."""
        text = self.files.get("README.md", b"").decode()
        return yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}

    def describe(self) -> dict[str, Any]:
        """As the Hub gives it: tags and library come from the card."""
        front = self.front
        own = {
            "private": self.private,
            "sha": self.commits[-1] if self.commits else "0" * 40,
            "tags": front.get("tags", []),
            "cardData": front,
        }
        library = {"library_name": front["library_name"]} if "library_name" in front else {}
        return {**super().describe(), **own, **library}


@dataclass
class UploadHub(HubServer):
    """The small Hub of an account named ann, which may also write in the organization acme."""

    token: str = TOKEN
    account: dict[str, Any] = field(
        default_factory=lambda: {
            "type": "user",
            "name": "ann",
            "orgs": [{"name": "acme", "roleInOrg": "write"}, {"name": "readers", "roleInOrg": "read"}],
            "auth": {"type": "access_token", "accessToken": {"displayName": "studio", "role": "fineGrained"}},
        }
    )
    own: dict[str, OwnRepo] = field(default_factory=dict)
    """kind/OWNER/NAME → repository."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files that have arrived, by sha256."""
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Parts of large files that have arrived."""
    part_size: int = 0
    """Large files above this size are sent in parts; 0: in one piece."""
    slow_upload: float = 0
    """Seconds between two pieces of 64 kB that it reads."""
    break_uploads: int = 0
    """So many uploads of large files are cut off in the middle."""
    refuse: int = 0
    """The status with which it answers a commit."""
    full: str = ""
    """The message with which it refuses large files."""
    damage_uploads: bool = False
    """It keeps other bytes than those that were sent."""

    @property
    def handler(self) -> type[Handler]:
        """What answers its requests."""
        return UploadHandler


class UploadHandler(Handler):
    """One request to it."""

    server_hub: UploadHub

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        hub = self.server_hub
        if path == "/api/whoami-v2":
            return self._json(200, hub.account)
        found = re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)(?:/revision/(\w+)|/(tree)/(\w+))?", path)
        repo = hub.own.get(f"{found[1]}/{found[2]}") if found else None
        if repo is not None and found is not None:
            return self._json(200, repo.tree() if found[4] else repo.describe())
        if found is not None and found[1] == "space":
            return self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return super()._route(path, query)

    def do_PUT(self) -> None:
        """A large file, or a part of one."""
        hub, path = self.server_hub, urlsplit(self.path).path
        hub.seen.append((self.command, path, dict(self.headers.items())))
        data = self._body()
        if data is None:
            return
        _, _, kind, oid, *number = path.split("/")
        if kind == "object":
            hub.objects[oid] = data[:-1] + b"x" if hub.damage_uploads else data
        else:
            hub.parts[(oid, int(number[0]))] = data
        self._json(200, {}, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    def do_POST(self) -> None:
        """One of: new repository, check of a card, upload modes, large files, commit."""
        hub, path = self.server_hub, unquote(urlsplit(self.path).path)
        hub.seen.append((self.command, path, dict(self.headers.items())))
        body = self._body()
        assert body is not None
        if path.startswith("/storage/complete/"):
            self._complete(path.rpartition("/")[2], json.loads(body))
        elif self.headers.get("authorization") != f"Bearer {hub.token}":
            wrong = "Invalid credentials in Authorization header"
            self._json(401, {"error": wrong}, {"X-Error-Message": wrong})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif path == "/api/verify":
            self._json(200, {})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        else:
            self._change(path, body)

    def _change(self, path: str, body: bytes) -> None:
        """Before a commit, and the commit."""
        found = re.fullmatch(r"/api/(model|space)s/([^/]+/[^/]+)/(preupload|commit)/main", path)
        repo = self.server_hub.own.get(f"{found[1]}/{found[2]}") if found else None
        if repo is None or found is None:
            self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif found[3] == "preupload":
            self._modes(repo, json.loads(body))
        else:
            self._commit(repo, body)

    def _body(self) -> bytes | None:
        """The body, read slowly where the server is slow. None when the line broke."""
        hub, large = self.server_hub, self.command == "PUT"
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        length = int(self.headers.get("content-length", 0))
        data = b""
        while len(data) < length:
            piece = self.rfile.read(min(PIECE, length - len(data)))
            if not piece:
                return None
            data += piece
            if large and hub.slow_upload:
                time.sleep(hub.slow_upload)
            if large and hub.break_uploads and len(data) > length // 2:
                hub.break_uploads -= 1
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(2)
                return None
        return data

    def _create(self, asked: dict[str, Any]) -> None:
        hub = self.server_hub
        owner, kind = asked.get("organization") or hub.account["name"], asked.get("type") or "model"
        if owner not in (hub.account["name"], "acme"):
            return self._json(403, {"error": "You don't have the rights to create a model under this namespace"})
        private = asked.get("private") is True or asked.get("visibility") == "private"
        name = f"{owner}/{asked['name']}"
        if f"{kind}/{name}" in hub.own:
            return self._json(409, {"error": "You already created this repo"})
        if kind == "space" and asked.get("hardware") != "zero-a10g":
            return self._json(402, {"error": "Subscribe to PRO to host this Space"})
        hub.own[f"{kind}/{name}"] = OwnRepo(
            name,
            {".gitattributes": b"*.safetensors filter=lfs\n"},
            kind=kind,
            private=private,
            sdk=asked.get("sdk", ""),
            hardware=asked.get("hardware", ""),
        )
        return self._json(200, {"url": f"{hub.url}/{'spaces/' if kind == 'space' else ''}{name}"})

    def _validate(self, card: str) -> None:
        """As the Hub does: the metadata is valid YAML, and results name task, dataset and metrics."""
        problems = []
        try:
            front = yaml.safe_load(card.split("---\n")[1])
        except (yaml.YAMLError, IndexError) as error:
            return self._json(400, {"errors": [{"message": str(error)}], "warnings": []})
        for model in front.get("model-index", []):
            for result in model["results"]:
                for place in ("task.type", "dataset.type", "dataset.name", "metrics"):
                    first, _, second = place.partition(".")
                    if not (result.get(first, {}).get(second) if second else result.get(first)):
                        problems.append({"message": f'"model-index.results.{place}" is required'})
                problems += [
                    {"message": f"a metric without {key}"}
                    for metric in result.get("metrics", [])
                    for key in ("type", "value")
                    if key not in metric
                ]
        return self._json(400 if problems else 200, {"errors": problems, "warnings": []})

    def _modes(self, repo: OwnRepo, asked: dict[str, Any]) -> None:
        tree = {each["path"]: each.get("lfs", each)["oid"] for each in repo.tree()}
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["size"] >= LARGE else "regular",
                "shouldIgnore": False,
                "oid": tree.get(each["path"]),
            }
            for each in asked["files"]
        ]
        self._json(200, {"files": files})

    def _batch(self, asked: dict[str, Any]) -> None:
        hub = self.server_hub
        answers = []
        for each in asked["objects"]:
            oid, size = each["oid"], each["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if hub.full:
                answer["error"] = {"code": 403, "message": hub.full}
            elif oid not in hub.objects:
                upload: dict[str, Any] = {"href": f"{hub.url}/storage/object/{oid}", "header": {}}
                if hub.part_size and size > hub.part_size:
                    count = ceil(size / hub.part_size)
                    urls = {f"{n:05}": f"{hub.url}/storage/part/{oid}/{n}" for n in range(1, count + 1)}
                    header = {"chunk_size": str(hub.part_size), **urls}
                    upload = {"href": f"{hub.url}/storage/complete/{oid}", "header": header}
                answer["actions"] = {"upload": upload, "verify": {"href": f"{hub.url}/api/verify", "header": {}}}
            answers.append(answer)
        self._json(200, {"transfer": "basic", "objects": answers})

    def _complete(self, oid: str, asked: dict[str, Any]) -> None:
        hub = self.server_hub
        data = b"".join(hub.parts[(oid, each["partNumber"])] for each in asked["parts"])
        if hashlib.sha256(data).hexdigest() != oid:
            return self._json(400, {"error": "wrong content"})
        hub.objects[oid] = data
        return self._json(200, {})

    def _commit(self, repo: OwnRepo, body: bytes) -> None:
        hub = self.server_hub
        if hub.refuse:
            return self._json(hub.refuse, {"error": "refused"})
        for line in body.splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                repo.files[value["path"]] = hub.objects[value["oid"]]
            elif key == "deletedFile":
                del repo.files[value["path"]]
        commit = hashlib.sha1(body).hexdigest()
        repo.commits.append(commit)
        return self._json(
            200, {"success": True, "commitOid": commit, "commitUrl": f"{hub.url}/{repo.name}/commit/{commit}"}
        )
