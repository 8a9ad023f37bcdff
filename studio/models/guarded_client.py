"""An HTTP client that redirects can't lead into an internal network."""

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
        if url.scheme != "https" or is_internal(url.hostname or ""):
            raise httpx2.UnsupportedProtocol("A redirect leads to an address that is not used.")

    return httpx2.Client(timeout=seconds, follow_redirects=True, event_hooks={"request": [check]})


def is_internal(host: str) -> bool:
    """Return whether a host's name says that it is on this machine or in an internal network."""
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
