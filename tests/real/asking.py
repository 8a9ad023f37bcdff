"""Requests as a stranger sends them to a studio that is served: any host, any origin, any act of the page."""

import json
import re
import secrets
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

from tests.browser.served import Served


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking:
    """One who asks; `secret` is the workspace that the page's script would send."""

    def __init__(self, served: Served, secret: str = "") -> None:
        self.served, self.secret = served, secret
        self.page = secrets.token_hex(6)
        self.address = "127.0.0.1"
        """The network address to ask from; on Linux all of 127.0.0.0/8 are this machine's."""
        self.patience = 60.0

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request; header names may be written with `_` for `-`."""
        named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        host = named.pop("host", f"127.0.0.1:{self.served.port}")
        data = body.encode() if isinstance(body, str) else body
        connection = HTTPConnection(
            "127.0.0.1", self.served.port, timeout=self.patience, source_address=(self.address, 0)
        )
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host)
            for name, value in {"x-studio-workspace": self.secret}.items() if self.secret else ():
                connection.putheader(name, value)
            for name, value in named.items():
                connection.putheader(name, value)
            if data is not None and "content-length" not in named and "transfer-encoding" not in named:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, value: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(value), content_type="application/json", **headers)

    def upload(self, name: str, content: bytes) -> Answer:
        """A file as the drop zone sends it."""
        return self.ask("PUT", "/studio/upload", content, x_file_name=quote(name))

    @cached_property
    def config(self) -> dict[str, Any]:
        """What Gradio tells every page about itself."""
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", self.get("/").text, re.DOTALL)
        assert found
        told: dict[str, Any] = json.loads(found[1])
        return told

    def handler(self, region: str, event: str = "submit") -> int:
        """The number of the handler behind a region of the page."""
        part = next(each["id"] for each in self.config["components"] if each["props"].get("elem_id") == region)
        return next(each["id"] for each in self.config["dependencies"] if [part, event] in each["targets"])

    def do(self, region: str, act: str, **data: Any) -> str:
        """An act of the page, past the page: all that comes back."""
        return self.call(self.handler(region), {"act": act, **data})

    def call(self, handler: int, event: Any = None, data: Any = (), **headers: str) -> str:
        """Any handler by its number."""
        asked = {"data": list(data), "event_data": event, "fn_index": handler, "session_hash": self.page}
        joined = self.post("/gradio_api/queue/join", asked, **headers)
        if joined.status != 200:
            return joined.text
        return self.get(f"/gradio_api/queue/data?session_hash={self.page}", **headers).text
