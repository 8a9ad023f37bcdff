"""uvicorn's server for the gateway. It leaves signals to the gateway, which ends the engines as well."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp
from uvicorn import Config, Server

from studio.machine.descriptors import raise_descriptor_limit
from studio.ui.http.connections import OneLength, limits_for, protocol


class GatewayServer(Server):
    """A server that handles no signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals as they are."""
        yield


def http_server(app: ASGIApp) -> GatewayServer:
    """A server with the connection limits and deadlines of the page."""
    return GatewayServer(
        Config(
            OneLength(app),
            http=protocol(limits_for(raise_descriptor_limit())),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )
