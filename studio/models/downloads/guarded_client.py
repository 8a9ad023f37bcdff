"""An HTTP client that redirects can't lead into an internal network."""

import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit


def guarded_client(home: str, seconds: float) -> Any:
    """Return a client for the server `home`. It follows redirects to other servers only by https, to public names."""
    import httpx2

    own = urlsplit(home).netloc

    def check(request: Any) -> None:
        url = urlsplit(str(request.url))
        if url.netloc == own:
            return
        if url.scheme != "https" or is_internal(url.hostname or "") or leads_inside(url.hostname or ""):
            raise httpx2.UnsupportedProtocol("A redirect leads to an address that is not used.")

    return httpx2.Client(timeout=seconds, follow_redirects=True, event_hooks={"request": [check]})


def is_internal(host: str) -> bool:
    """Return whether a host's name says that it is on this machine or in an internal network."""
    host = host.strip("[]").rstrip(".").lower()
    with suppress(ValueError):
        return not ip_address(host).is_global
    with suppress(OSError):  # an address in another notation, as 127.1 or 0x7f.1
        return not ip_address(socket.inet_aton(host)).is_global
    return "." not in host or host.endswith((".localhost", ".local", ".internal"))


def leads_inside(host: str) -> bool:
    """Return whether a public name has an internal address. A name that can't be looked up here is left to a proxy."""
    with suppress(OSError, UnicodeError):
        addresses = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        return any(not ip_address(str(each[4][0]).partition("%")[0]).is_global for each in addresses)
    return False
