"""Who sent a request: the network address, scheme and host, as the connection or a trusted proxy reports them.

Owns: every header with which a proxy describes a client. Nothing after this module reads one. Trusts no proxy that
was not named, not even on the same machine.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from studio.schema.errors import StudioError

ADDRESS, ROLE, USER = "x-studio-address", "x-studio-role", "x-studio-user"
"""Headers that only this server sets: the client's network address, a role of roles.py, and the name of the person who
is signed in."""
OWN_WORKSPACE = "x-studio-own-workspace"
"""Header that only this server sets: the workspace of the person who is signed in to a demo."""
VARIABLE = "STUDIO_TRUSTED_PROXIES"
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Networks that are not routed on the Internet. The proxy of a Hugging Face Space has an address in one of them."""
_FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_REMOVED = (
    b"forwarded",
    b"x-real-ip",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-gradio-server",
    ADDRESS.encode(),
    ROLE.encode(),
    USER.encode(),
    OWN_WORKSPACE.encode(),
)
"""Headers that are removed from every request. Gradio takes the page's root from X-Gradio-Server."""


def trusted_proxies(given: Sequence[str] = ()) -> list[str]:
    """Addresses and networks of trusted proxies: those given, those of `$STUDIO_TRUSTED_PROXIES`, or a Space's.

    Raises:
        StudioError `bad-setting`: for a text that is neither an address nor a network.
    """
    named = [each.strip() for each in (*given, *os.environ.get(VARIABLE, "").split(",")) if each.strip()]
    for each in named:
        _network(each)
    return named or (list(PRIVATE) if os.environ.get("SPACE_ID") else [])


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise StudioError(
            "bad-setting",
            "This is not the address of a trusted proxy.",
            given=text,
            valid="an address such as 10.0.0.5, or a network such as 10.0.0.0/8",
            hint="Correct --trusted-proxy.",
        ) from error


class Trusted:
    """Networks of trusted proxies."""

    def __init__(self, proxies: Sequence[str]) -> None:
        self._networks = [_network(each) for each in proxies]

    def __contains__(self, address: object) -> bool:
        try:
            known = ip_address(str(address))
        except ValueError:
            return False
        return any(known in network for network in self._networks)


def plain_address(address: str) -> str:
    """An address; that of an IPv4 client of an IPv6 socket in its IPv4 form."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
    return str(mapped or known)


def client_network(address: str) -> str:
    """What limits per address count: an IPv4 address, or the /64 network that one IPv6 household has."""
    plain = plain_address(address)
    return str(ip_network(f"{plain}/64", strict=False)) if ":" in plain and _is_address(plain) else plain


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def header_values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """All values of a header, in their order."""
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def with_header(scope: Scope, name: str, value: str) -> Scope:
    """The same request with one header set."""
    headers = [pair for pair in scope["headers"] if pair[0].lower() != name.encode()]
    return {**scope, "headers": [*headers, (name.encode(), value.encode("latin-1", "replace"))]}


class Proxies:
    """Puts the client's address, scheme and host where they belong, and removes all headers that report them."""

    def __init__(
        self,
        app: ASGIApp,
        trusted: Sequence[str],
        allowed_host: Callable[[str], bool],
        https_hosts: Callable[[str], bool] = lambda _: False,
        user_header: bytes = b"",
    ) -> None:
        """`user_header`: name in lower case of the header in which a trusted proxy names the person."""
        self.app = app
        self.trusted = Trusted(trusted)
        self.allowed_host, self.https_hosts, self.user_header = allowed_host, https_hosts, user_header
        self._reported = ProxyHeadersMiddleware(self._cleaned, trusted_hosts=list(trusted))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the client's address, scheme and host."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        peer, port = scope.get("client") or ("", 0)
        peer = plain_address(peer)
        removed = _REMOVED if peer in self.trusted else (*_REMOVED, *_FORWARDED)
        headers = [(key.lower(), value) for key, value in scope["headers"] if key.lower() not in removed]
        headers = self._with_user(headers, peer in self.trusted)
        scope = {**scope, "client": (peer, port), "headers": _first_proto(headers)}
        await self._reported(scope, receive, send)  # type: ignore[arg-type]

    def _with_user(self, headers: list[tuple[bytes, bytes]], is_trusted: bool) -> list[tuple[bytes, bytes]]:
        """The headers with the person whom a trusted proxy names, if it names exactly one."""
        if not self.user_header:
            return headers
        named = [value for key, value in headers if key == self.user_header]
        rest = [pair for pair in headers if pair[0] != self.user_header]
        return [*rest, (USER.encode(), named[0].strip())] if is_trusted and len(named) == 1 else rest

    async def _cleaned(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = header_values(scope["headers"], b"x-forwarded-host")
        host = hosts[0].split(",")[0].strip() if len(hosts) == 1 else ""
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in _FORWARDED]
        if host and self.allowed_host(host):
            scope = with_header(scope, "host", host)
        if self.https_hosts("".join(header_values(scope["headers"], b"host"))):
            scope["scheme"] = "https"
        await self.app(with_header(scope, ADDRESS, client_network(scope["client"][0])), receive, send)


def _first_proto(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Of several protocols the first one, which the proxy next to the client reported; uvicorn reads one alone."""
    return [
        (key, value.split(b",")[0].strip().lower()) if key == b"x-forwarded-proto" else (key, value)
        for key, value in headers
    ]
