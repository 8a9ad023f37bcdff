"""A small Hub on this machine: it speaks the endpoints that huggingface_hub calls, and can be made to misbehave."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from safetensors.numpy import save as save_tensors

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
"""Files from this size on are kept as large files (LFS), known by their sha256."""
PIECE = 65_536
"""Bytes at a time where the server is slow."""


@dataclass
class Repo:
    """One model on the small Hub."""

    name: str
    files: dict[str, bytes]
    downloads: int = 10
    gated: bool = False
    tags: tuple[str, ...] = ("transformers", "safetensors", "license:apache-2.0")
    pipeline: str = "text-generation"
    parameters: dict[str, int] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    """Of a dataset: the head of its card."""
    converted: dict[str, bytes] = field(default_factory=dict)
    """Of a dataset: the Hub's own copy in Parquet, as files of another revision."""

    def describe_dataset(self) -> dict[str, Any]:
        """As /api/datasets gives it."""
        return {
            "id": self.name,
            "sha": COMMIT,
            "gated": "manual" if self.gated else False,
            "private": False,
            "downloads": self.downloads,
            "tags": [],
            "cardData": {"license": "apache-2.0", **self.card},
            "siblings": [{"rfilename": name} for name in self.files],
        }

    def describe(self) -> dict[str, Any]:
        """As /api/models gives it."""
        config = json.loads(self.files.get("config.json", b"{}"))
        tokenizer = json.loads(self.files.get("tokenizer_config.json", b"{}"))
        kept = {name: config[name] for name in ("architectures", "model_type", "auto_map") if name in config}
        answer: dict[str, Any] = {
            "id": self.name,
            "modelId": self.name,
            "sha": COMMIT,
            "gated": "manual" if self.gated else False,
            "private": False,
            "downloads": self.downloads,
            "tags": list(self.tags),
            "pipeline_tag": self.pipeline,
            "cardData": {"license": "apache-2.0", "language": ["en"]},
            "config": {**kept, "tokenizer_config": tokenizer},
            "siblings": [
                {"rfilename": name, "size": len(data), "blobId": _oid(data), **_lfs(data)}
                for name, data in self.files.items()
            ],
        }
        if self.parameters:
            answer["safetensors"] = {"parameters": self.parameters, "total": sum(self.parameters.values())}
        return answer

    def tree(self, revision: str = "main") -> list[dict[str, Any]]:
        """As the tree endpoint gives it."""
        entries = []
        for name, data in (self.converted if "convert" in revision else self.files).items():
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
            if len(data) >= LARGE:
                entry["lfs"] = {"oid": _sha(data), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        return entries


def tiny_repo(name: str = "someone/tiny", **more: Any) -> Repo:
    """A llama of four layers that is whole: config, weights, tokenizer, card."""
    files = {
        "config.json": json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "vocab_size": 1000,
                "max_position_embeddings": 512,
                "tie_word_embeddings": True,
            }
        ).encode(),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}", "model_max_length": 512}).encode(),
        "tokenizer.json": b"{}",
        "README.md": b"---\nlicense: apache-2.0\nlanguage: en\n---\n# Tiny\n",
        "model.safetensors": tiny_weights(),
        "pytorch_model.bin": b"a pickle" * 4000,
        "onnx/model.onnx": b"something else" * 4000,
    }
    counted = {"F32": (len(files["model.safetensors"]) - 3000) // 4}
    return Repo(name, {**files, **more.pop("files", {})}, parameters=more.pop("parameters", counted), **more)


def tiny_folder(folder: Path, without: Sequence[str] = ("pytorch_model.bin",)) -> Path:
    """The files of that llama in a new folder, but those named and those in folders of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in tiny_repo().files.items():
        if "/" not in name and name not in without:
            (folder / name).write_bytes(data)
    return folder


def tiny_weights() -> bytes:
    """Safetensors of that llama: 4 layers, tied embedding."""
    random = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (1000, 64), "model.norm.weight": (64,)}
    for layer in range(4):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (64, 64),
            f"{at}.self_attn.k_proj.weight": (32, 64),
            f"{at}.self_attn.v_proj.weight": (32, 64),
            f"{at}.self_attn.o_proj.weight": (64, 64),
            f"{at}.mlp.gate_proj.weight": (128, 64),
            f"{at}.mlp.up_proj.weight": (128, 64),
            f"{at}.mlp.down_proj.weight": (64, 128),
            f"{at}.input_layernorm.weight": (64,),
            f"{at}.post_attention_layernorm.weight": (64,),
        }
    return save_tensors({name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


@dataclass
class HubServer:
    """The server; use it as a context."""

    repos: dict[str, Repo] = field(default_factory=dict)
    datasets: dict[str, Repo] = field(default_factory=dict)
    token: str = ""
    """The one that opens gated models."""
    cut_after: int = 0
    """Breaks the line after so many bytes of a large file, once; 0 never does."""
    slow: float = 0
    """Seconds between two pieces of a large file, each of 64 kB; 0 sends it at once."""
    damage: bool = False
    """Sends large files with one byte wrong."""
    breaks: bool = False
    """Closes the line in the middle of every large file, whenever it is asked for."""
    garbage: bool = False
    """Answers every request with a page that says to log in, as some networks do."""
    hidden: bool = False
    """Finds nothing by searching, as it does of private models."""
    busy: bool = False
    """Answers 503 to everything."""
    port: int = 0
    """0: any that is free."""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(method, path, headers) of every request."""

    @property
    def handler(self) -> type["Handler"]:
        """What answers its requests."""
        return Handler

    def __enter__(self) -> "HubServer":
        handler = type("HandlerOfHub", (self.handler,), {"server_hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, repo: Repo) -> Repo:
        """Put a model on it."""
        self.repos[repo.name] = repo
        return repo

    def add_dataset(self, name: str, files: dict[str, bytes] | None = None, **more: Any) -> Repo:
        """Put a dataset on it."""
        self.datasets[name] = Repo(name, files or {}, **more)
        return self.datasets[name]

    def stand_in(self, monkeypatch: Any, cache: Path) -> None:
        """Be the Hub that this process asks, with a cache of its own and no token of the environment."""
        from huggingface_hub import constants

        monkeypatch.delenv("HF_TOKEN", raising=False)
        changed = {
            "ENDPOINT": self.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(cache),
        }
        for name, value in changed.items():
            monkeypatch.setattr(constants, name, value)

    def asked(self, part: str) -> list[dict[str, str]]:
        """Headers of the requests whose path holds `part`."""
        return [headers for _, path, headers in self.seen if part in path]


class Handler(BaseHTTPRequestHandler):
    """One request to the small Hub."""

    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """The same as GET, without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """One of: search, model info, tree, file."""
        hub = self.server_hub
        address = urlsplit(self.path)
        path = unquote(address.path)
        hub.seen.append((self.command, path, dict(self.headers.items())))
        if hub.garbage:
            self._page(b"<html>Please log in to this network.</html>")
        elif hub.busy:
            self._json(503, {"error": "busy"})
        elif hub.token and self.headers.get("authorization", f"Bearer {hub.token}") != f"Bearer {hub.token}":
            wrong = "Invalid credentials in Authorization header"
            self._json(401, {"error": wrong}, {"X-Error-Message": wrong})
        else:
            self._route(path, parse_qs(address.query))

    def _route(self, path: str, query: dict[str, list[str]]) -> None:
        """Answer by the address."""
        if path == "/api/models":
            return self._search(query)
        if found := re.fullmatch(r"/api/datasets/(.+?)(?:/tree/(.+))?", path):
            return self._dataset(found[1], found[2])
        if found := re.fullmatch(r"/datasets/(.+?)/resolve/(refs/convert/parquet|\w+)/(.+)", path):
            return self._dataset_file(found[1], found[2], found[3])
        if found := re.fullmatch(r"/api/models/(.+?)(?:/revision/(\w+)|/(tree)/(\w+))?", path):
            return self._about(found[1], bool(found[3]))
        if found := re.fullmatch(r"/(.+?)/resolve/(\w+)/(.+)", path):
            return self._file(found[1], found[3])
        return self._json(404, {"error": "not found"})

    def _search(self, query: dict[str, list[str]]) -> None:
        text = query.get("search", [""])[0].lower()
        found = [
            repo for repo in self.server_hub.repos.values() if text in repo.name.lower() and not self.server_hub.hidden
        ]
        found.sort(key=lambda repo: -repo.downloads)
        shown = [
            {name: value for name, value in repo.describe().items() if name != "siblings"}
            for repo in found[: int(query.get("limit", ["20"])[0])]
        ]
        self._json(200, shown)

    def _about(self, name: str, tree: bool) -> None:
        repo = self.server_hub.repos.get(name)
        if repo is None:
            return self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return self._json(200, repo.tree() if tree else repo.describe())

    def _dataset(self, name: str, revision: str | None) -> None:
        repo = self.server_hub.datasets.get(name)
        if repo is None:
            return self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if revision is None:
            return self._json(200, repo.describe_dataset())
        if "convert" in revision and not repo.converted:
            return self._json(404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
        return self._json(200, repo.tree(revision))

    def _dataset_file(self, name: str, revision: str, file: str) -> None:
        hub = self.server_hub
        repo = hub.datasets[name]
        if repo.gated and (not hub.token or self.headers.get("authorization") != f"Bearer {hub.token}"):
            return self._json(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        return self._send((repo.converted if "convert" in revision else repo.files)[file])

    def _file(self, name: str, file: str) -> None:
        hub = self.server_hub
        repo = hub.repos.get(name)
        if repo is None:
            return self._json(401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if repo.gated and (not hub.token or self.headers.get("authorization") != f"Bearer {hub.token}"):
            return self._json(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        if file not in repo.files:
            return self._json(404, {"error": "no file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        return self._send(repo.files[file])

    def _send(self, data: bytes) -> None:
        hub = self.server_hub
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        start = int(wanted[1]) if wanted else 0
        if wanted and wanted[2]:
            data = data[: int(wanted[2]) + 1]
        large = len(data) >= LARGE
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{_sha(data) if large else _oid(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        body = data[start:]
        if large and hub.damage:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if large and hub.breaks:
            body, self.close_connection = b"", True
        if large and hub.cut_after:
            body, hub.cut_after = body[: hub.cut_after], 0
            self.close_connection = True
        for at in range(0, len(body), PIECE) if large and hub.slow else ():
            with suppress(OSError):  # whoever asked has gone
                self.wfile.write(body[at : at + PIECE])
            time.sleep(hub.slow)
        if not (large and hub.slow):
            self.wfile.write(body)

    def _page(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _lfs(data: bytes) -> dict[str, Any]:
    return {"lfs": {"sha256": _sha(data), "size": len(data), "pointerSize": 134}} if len(data) >= LARGE else {}
