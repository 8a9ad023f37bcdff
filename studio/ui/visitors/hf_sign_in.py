"""Sign-in with Hugging Face, on a Space whose README has `hf_oauth: true`. Anywhere else it has no address.

OpenID Connect by authlib: state, nonce and PKCE are kept for ten minutes in a signed cookie of the browser that began.
Only the signed ID token counts. The access token has the least scopes, is not used, and is forgotten at once.
A session is a random cookie; its hash is the key of what the server knows of it.

A person who is signed in has a workspace of their own, the same from each browser. The Space's creator is its owner,
and `$STUDIO_ROLES_FILE` gives roles to others. Those with a role share the owner's workspace.
"""

import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.schema.errors import StudioError
from studio.store.home import ALONE
from studio.ui import languages
from studio.ui.http.bodies import Refused
from studio.ui.http.proxies import ADDRESS, OWN_WORKSPACE, ROLE, USER, with_header
from studio.ui.http.rate_limits import Buckets
from studio.ui.http.security import is_loopback, space_hosts
from studio.ui.visitors.login import BURST, GUESSES, Sessions
from studio.ui.visitors.sign_on import ANYONE, ROLES_FILE, roles_of_environment

LOGIN, LOGOUT, CALLBACK = "/login", "/logout", "/login/callback"
COOKIE, PENDING = "__Host-studio-account", "__Host-studio-sign-in"
"""The session, and a sign-in that was begun. Browsers accept these names only from this host itself and with Secure."""
VARIABLES = ("SPACE_ID", "SPACE_HOST", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OPENID_PROVIDER_URL", "OAUTH_SCOPES")
"""Variables of a Space with OAuth. All of them must be set."""
SCOPES = ("openid", "profile")
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures of ID tokens that count: those with a public key."""
PENDING_SECONDS, SECONDS, MOST_SECONDS = 600, 8 * 3600, 30 * 86_400
"""How long a sign-in may take; how long a session lasts where Hugging Face does not say it; and at most."""
REQUEST_SECONDS = 15.0
_ID, _NAME = re.compile(r"[A-Za-z0-9_.:|@-]{1,200}"), re.compile(r"[A-Za-z0-9_.-]{1,100}")
_log = logging.getLogger("studio.ui")


@dataclass(frozen=True)
class SpaceOAuth:
    """What the environment of a Space says about its OAuth app, and about the Space."""

    client_id: str
    client_secret: str = field(repr=False)
    provider: str
    """The address of the OpenID provider, without a slash at its end."""
    host: str
    """The Space's own host name, to which the provider leads back."""
    creator: str = ""
    """The id of the account that created the Space."""
    author: str = ""
    """The name of the account or organization that the Space belongs to."""


@dataclass(frozen=True)
class Person:
    """A person who is signed in."""

    id: str
    name: str
    role: str
    """A role of roles.py. Empty for a visitor."""


def space_oauth() -> SpaceOAuth | None:
    """The OAuth app of this Space. None where this is not a Space, or its README does not ask for OAuth.

    Raises:
        StudioError `bad-setting`: when the provider's address is not encrypted.
    """
    values = {name: os.environ.get(name, "").strip() for name in VARIABLES}
    hosts = space_hosts()
    if not all(values.values()) or not hosts:
        return None
    provider = values["OPENID_PROVIDER_URL"].rstrip("/")
    if not provider.startswith("https://") and not _is_local(provider):
        raise StudioError(
            "bad-setting",
            "The OpenID provider's address is not encrypted.",
            given=f"OPENID_PROVIDER_URL={provider}",
            valid="an address that begins with https://",
            hint="Remove this variable from the Space's settings. Hugging Face sets it.",
        )
    return SpaceOAuth(
        values["OAUTH_CLIENT_ID"],
        values["OAUTH_CLIENT_SECRET"],
        provider,
        hosts[0],
        os.environ.get("SPACE_CREATOR_USER_ID", ""),
        os.environ.get("SPACE_AUTHOR_NAME", ""),
    )


def _is_local(address: str) -> bool:
    scheme, _, rest = address.partition("://")
    return scheme == "http" and is_loopback(rest.partition("/")[0].rpartition(":")[0])


def team_roles() -> dict[str, str]:
    """Name of an account in lower case → role, of the file that `$STUDIO_ROLES_FILE` names. Empty without it."""
    return roles_of_environment() if os.environ.get(ROLES_FILE) else {}


class SignIn:
    """Answers the addresses of the sign-in, and tells the app who sends each other request."""

    def __init__(
        self, app: ASGIApp, space: SpaceOAuth, account_workspace: Callable[[str], str], roles: Mapping[str, str]
    ) -> None:
        """`account_workspace`: id of an account → its workspace. `roles`: name in lower case → role."""
        self.app, self.space, self.roles = app, space, roles
        self.account_workspace = account_workspace
        self.sessions: Sessions[Person] = Sessions()
        self._buckets = Buckets(GUESSES, BURST)
        self._client = _client(space)
        self._routes = Starlette(
            routes=[Route(LOGIN, self._begin), Route(CALLBACK, self._finish)],
            middleware=[
                Middleware(
                    SessionMiddleware,
                    secret_key=secrets.token_hex(32),
                    session_cookie=PENDING,
                    max_age=PENDING_SECONDS,
                    same_site="lax",
                    https_only=True,
                )
            ],
            exception_handlers={Refused: _refused},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the addresses of the sign-in, and pass other requests on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            answer = self._answer(Request(scope, receive))
        except Refused as refused:
            answer = refused.answer(languages.accepted(scope))
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> ASGIApp:
        match request.scope["path"]:
            case "/login" | "/login/callback":
                wait = self._buckets.take(request.headers.get(ADDRESS, ""))
                if wait:
                    raise Refused(429, "Too many sign-ins were tried from here. Wait a few seconds.", wait)
                return self._routes
            case "/logout":
                return self._sign_out(request)
            case _:
                return self._app_for(self.sessions.account(request.cookies.get(COOKIE, "")))

    def _app_for(self, person: Person | None) -> ASGIApp:
        """The app as this person may use it."""
        if person is None:
            return self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            workspace = ALONE if person.role else self.account_workspace(person.id)
            scope = with_header(with_header(scope, USER, person.name), OWN_WORKSPACE, workspace)
            await self.app(with_header(scope, ROLE, person.role) if person.role else scope, receive, send)

        return app

    async def _begin(self, request: Request) -> Response:
        """Lead to the provider. Cookies belong to a host, so it begins on the one to which the provider leads back."""
        if request.url.hostname != self.space.host:
            return RedirectResponse(f"https://{self.space.host}{LOGIN}", 303)
        try:
            await self._load_metadata()
            answer: Response = await self._client.authorize_redirect(request, f"https://{self.space.host}{CALLBACK}")
        except _errors() as error:
            raise _failed(error) from error
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _finish(self, request: Request) -> Response:
        """The provider has led back: check what it says, and begin a session."""
        from authlib.integrations.base_client.errors import MismatchingStateError

        page = RedirectResponse("../", 303, {"Cache-Control": "no-store"})
        if request.query_params.get("error") == "access_denied":
            return page
        try:
            await self._load_metadata()
            token = await self._client.authorize_access_token(request, claims_options=self._claims())
            person, seconds = self._person(token["userinfo"] if "id_token" in token else {}), _seconds(token)
        except MismatchingStateError as error:
            raise Refused(
                400, "This sign-in was begun in another browser, or more than ten minutes ago. Begin it again."
            ) from error
        except _errors() as error:
            raise _failed(error) from error
        cookie = self.sessions.begin(person, seconds)
        page.set_cookie(COOKIE, cookie, max_age=seconds, secure=True, httponly=True, samesite="none")
        return page

    def _claims(self) -> dict[str, Any]:
        """What the ID token must say."""
        return {
            "iss": {"essential": True, "values": [self.space.provider, f"{self.space.provider}/"]},
            "aud": {"essential": True, "value": self.space.client_id},
        }

    async def _load_metadata(self) -> None:
        """Load what the provider says about itself, once. It must speak for the address that we asked.

        Raises:
            ValueError: when it speaks for another one.
        """
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self.space.provider:
            self._client = _client(self.space)  # which would keep it
            raise ValueError("issuer")
        metadata["id_token_signing_alg_values_supported"] = list(ALGORITHMS)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        """The person of an ID token whose signature and claims were checked.

        Raises:
            ValueError: when it names nobody.
        """
        account, name = str(claims.get("sub", "")), str(claims.get("preferred_username", ""))
        if not _ID.fullmatch(account) or not _NAME.fullmatch(name):
            raise ValueError("preferred_username")
        return Person(account, name, self._role(account, name))

    def _role(self, account: str, name: str) -> str:
        """The role of the file, else that of the creator. Empty for visitors. An id counts more than a name, which can
        be given to another account."""
        space = self.space
        created = account == space.creator if space.creator else name.lower() == space.author.lower()
        return self.roles.get(name.lower()) or ("owner" if created else self.roles.get(ANYONE, ""))

    def _sign_out(self, request: Request) -> Response:
        """End the session."""
        if request.method != "POST":
            raise Refused(404, "There is no page at this address.")
        self.sessions.end(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("./", 303, {"Cache-Control": "no-store"})
        response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="none")
        return response


def _client(space: SpaceOAuth) -> Any:
    """The client of the provider. Nothing is sent before the first sign-in."""
    from authlib.integrations.starlette_client import OAuth

    return OAuth().register(
        "huggingface",
        client_id=space.client_id,
        client_secret=space.client_secret,
        server_metadata_url=f"{space.provider}/.well-known/openid-configuration",
        client_kwargs={"scope": " ".join(SCOPES), "code_challenge_method": "S256", "timeout": REQUEST_SECONDS},
    )


def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return refused.answer(languages.accepted(request.scope))


def _errors() -> tuple[type[Exception], ...]:
    """What a provider that is not reached, refuses, or says something wrong leads to."""
    import httpx2
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError

    return AuthlibBaseError, JoseError, httpx2.HTTPError, ValueError, KeyError, TypeError, RuntimeError


def _failed(error: Exception) -> Refused:
    """The answer when the provider did not confirm who this is. The log gets the kind of error, and nothing that was
    sent."""
    _log.warning("A sign-in with Hugging Face failed: %s", type(error).__name__)
    return Refused(502, "Hugging Face did not confirm who you are. Go back to the page, and sign in again.")


def _seconds(token: Mapping[str, Any]) -> int:
    """How long a session lasts: as long as the token, which the Space's README can set."""
    given = token.get("expires_in")
    return max(60, min(MOST_SECONDS, int(given))) if given else SECONDS
