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
    cookies: tuple[str, ...] = ()
    """Each Set-Cookie header."""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


CALL = "/gradio_api/component_server/"


def config_of(page: str) -> dict[str, Any]:
    """Gradio's configuration in the HTML of a page."""
    found = re.search(r"window\.gradio_config = (\{.*?\});</script>", page, re.DOTALL)
    assert found
    config: dict[str, Any] = json.loads(found[1])
    return config


def component_of(config: dict[str, Any]) -> int:
    """The id of the component with the server function."""
    return next(each["id"] for each in config["components"] if "act" in (each["props"].get("server_fns") or []))


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
            headers = answer.getheaders()
            cookies = tuple(value for name, value in headers if name.lower() == "set-cookie")
            return Answer(answer.status, {k.lower(): v for k, v in headers}, answer.read(), cookies)
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
        return config_of(self.get("/").text)

    @cached_property
    def component(self) -> int:
        """The id of the component with the server function."""
        return component_of(self.config)

    def act(self, region: str, act: str, **said: Any) -> Answer:
        """An action of the page, as its script sends it."""
        return self.call({"page": self.page, "region": region, "said": {"act": act, **said}})

    def body(self, data: Any, **changes: Any) -> dict[str, Any]:
        """The body of a call of the server function; a dictionary gets the visitor's secret."""
        if isinstance(data, dict):
            data = {"secret": self.secret, **data}
        return {"component_id": self.component, "fn_name": "act", "session_hash": self.page, "data": data, **changes}

    def call(self, data: Any, **headers: str) -> Answer:
        """The server function with any data."""
        return self.post(CALL, self.body(data), **headers)

    def do(self, region: str, act: str, **said: Any) -> str:
        """The text of the answer to an action."""
        return self.act(region, act, **said).text
