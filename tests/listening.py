"""Somebody who listens where the network would be: every try to reach it is written down, and nothing is answered."""

import os
import socketserver
import threading
from typing import Any


class Listening:
    """Stands where the Hub and every proxy are looked for; use it as a context."""

    def __enter__(self) -> "Listening":
        heard = self.heard = []  # type: list[str]

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                heard.append(self.rfile.readline(2000).decode("latin-1").strip())
                self.wfile.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        self._server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """The environment of this process, but everything that is asked of the network is heard here."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        left = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_ENDPOINT")}
        names = ("http_proxy", "https_proxy", "all_proxy")
        proxies = dict.fromkeys((*names, *(name.upper() for name in names)), url)
        return {**left, **proxies, "no_proxy": "", "NO_PROXY": "", "HF_ENDPOINT": url}
