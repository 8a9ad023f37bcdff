"""An OpenID provider on this machine, as Hugging Face is one for a Space. It can be made to say something wrong."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "client-of-the-space", "oauth-secret-that-nobody-may-see"
HOST = "ann-studio.hf.space"
ANN, BEN, EVE = ("60c1ann", "ann"), ("60c2ben", "ben"), ("60c3eve", "eve")
"""Accounts: id and name. Ann has created the Space."""
FRAME = "/spaces/ann/studio"
"""The page that shows the Space in a frame."""
ALLOW = (
    '<!doctype html><html lang="en"><title>Hugging Face</title><h1>Studio wants to know your name</h1>'
    '<form method="post"><button>Authorize</button></form></html>'
)


@dataclass
class Wrong:
    """What the provider does wrong."""

    claims: dict[str, Any] = field(default_factory=dict)
    """Claims of the ID token in place of the right ones. None: left out."""
    key: RSAKey | None = None
    """The key that signs, in place of the published one."""
    token: Callable[[dict[str, Any]], dict[str, Any]] = lambda token: token
    """Changes the answer to a code."""
    issuer: str = ""
    """What the discovery document calls the provider."""
    down: bool = False
    """Whether all answers are errors."""


class Provider:
    """Use it as a context. `account` is who is logged in there; `asks` shows a page with a button first."""

    def __init__(self) -> None:
        self.account, self.asks, self.seconds = BEN, False, 3600
        self.wrong = Wrong()
        self.authorized: list[dict[str, str]] = []
        """The parameters of each authorization."""
        self.tokens: list[str] = []
        """The access tokens that were given out."""
        self._codes: dict[str, tuple[dict[str, str], tuple[str, str]]] = {}
        self._key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        routes = [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/oauth/authorize", self._authorize, methods=["GET", "POST"]),
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/oauth/jwks", self._keys),
            Route(FRAME, self._frame),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_config=None, access_log=False, ws="none")
        self._server = uvicorn.Server(config)

    def __enter__(self) -> "Provider":
        run = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        run.start()
        while not self._server.started:
            time.sleep(0.01)
        self._thread = run
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def environment(self) -> dict[str, str]:
        """The variables of a Space with OAuth that Ann has created."""
        return {
            "SPACE_ID": "ann/studio",
            "SPACE_HOST": HOST,
            "SPACE_AUTHOR_NAME": "ann",
            "SPACE_CREATOR_USER_ID": ANN[0],
            "OAUTH_CLIENT_ID": CLIENT,
            "OAUTH_CLIENT_SECRET": SECRET,
            "OAUTH_SCOPES": "openid profile",
            "OPENID_PROVIDER_URL": self.url,
        }

    async def _metadata(self, _: Request) -> Response:
        if self.wrong.down:
            return Response(status_code=503)
        return JSONResponse(
            {
                "issuer": self.wrong.issuer or self.url,
                "authorization_endpoint": f"{self.url}/oauth/authorize",
                "token_endpoint": f"{self.url}/oauth/token",
                "jwks_uri": f"{self.url}/oauth/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                "scopes_supported": ["openid", "profile", "write-repos"],
            }
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _frame(self, _: Request) -> Response:
        return HTMLResponse(f'<!doctype html><iframe src="https://{HOST}/" width="1200" height="800"></iframe>')

    async def _authorize(self, request: Request) -> Response:
        if self.asks and request.method == "GET":
            return HTMLResponse(ALLOW)
        given = dict(request.query_params)
        self.authorized.append(given)
        if given.get("code_challenge_method") != "S256" or not given.get("code_challenge"):
            answer = {"error": "invalid_request", "state": given.get("state", "")}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = given, self.account
            answer = {"code": code, "state": given["state"]}
        return RedirectResponse(f"{given['redirect_uri']}?{urlencode(answer)}", 302)

    async def _token(self, request: Request) -> Response:
        async with request.form() as form:
            given = {name: str(value) for name, value in form.items()}
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if self.wrong.down or request.headers.get("authorization") != basic:
            return JSONResponse({"error": "invalid_client"}, 401)
        asked, account = self._codes.pop(given.get("code", ""), (None, None))
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or account is None or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if given.get("redirect_uri") != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": account[0],
            "aud": CLIENT,
            "iat": now,
            "exp": now + 3600,
            "nonce": asked["nonce"],
            "preferred_username": account[1],
            **self.wrong.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        self.tokens.append(f"hf_oauth_{secrets.token_hex(16)}")
        token = {
            "access_token": self.tokens[-1],
            "token_type": "bearer",
            "expires_in": self.seconds,
            "scope": asked["scope"],
            "id_token": jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.wrong.key or self._key),
        }
        return JSONResponse(self.wrong.token(token))
