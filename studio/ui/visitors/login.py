"""The login: sessions, and limits for guesses of passwords. passwords.py has the hashes.

Wrong passwords do not delay a right one: each is checked at once, and only the response to a wrong one is late. Guesses
are counted by address and by device: a browser that has logged in before has a signed device cookie, so that others
behind the same address can't lock it out (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.ui import languages
from studio.ui.components.markup import Html, html
from studio.ui.http.bodies import Disconnected, Refused, read_body
from studio.ui.http.proxies import ROLE, client_network, with_header
from studio.ui.http.rate_limits import Buckets
from studio.ui.visitors.passwords import Account, matching

COOKIE, DEVICE = "studio-session", "studio-device"
DAYS, DEVICE_DAYS = 14, 365
STATIC = "/studio/static/"
GUESSES, BURST = 1.0, 30
"""Guesses a second of one address or one device, and the burst before that."""
TEXTS = {"log_in": "Log in", "password": "Password"}
"""The texts of the form."""
_FAILED_DELAY, _LONGEST_DELAY = 0.5, 8.0
_MOST_FORM = 4_000
_AT_ONCE, _MOST_WAITING = 2, 64
"""Passwords that are checked at the same time (32 MB of memory each), and those that may wait for it."""
_SESSIONS, _MOST_SESSIONS = 50, 20_000
"""Sessions of one account, and of all; the oldest ends when another one begins."""
T = TypeVar("T")


class Guesses:
    """Counts wrong passwords by source. The number of remembered sources is limited."""

    def __init__(self, rate: float = GUESSES, burst: float = BURST, most: int = 10_000) -> None:
        self.buckets, self.most = Buckets(rate, burst, most), most
        self._failures: OrderedDict[str, int] = OrderedDict()

    def failed(self, source: str) -> float:
        """Count a wrong password. Returns the delay of the response in seconds."""
        failures = self._failures.pop(source, 0) + 1
        self._failures[source] = failures
        if len(self._failures) > self.most:
            self._failures.popitem(last=False)
        return min(_LONGEST_DELAY, _FAILED_DELAY * 2 ** min(failures - 1, 6))

    def right(self, source: str) -> None:
        """Reset the count of a source after a right password."""
        self._failures.pop(source, None)

    @property
    def known(self) -> int:
        """Addresses and devices that are remembered."""
        return max(len(self._failures), self.buckets.known)


class Sessions(Generic[T]):
    """Login sessions: hash of the cookie → end and account."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def begin(self, account: T, seconds: float = DAYS * 86_400) -> str:
        """Start a session that lasts so many seconds. Returns its cookie."""
        cookie = secrets.token_urlsafe(32)
        own = [key for key, (_, each) in self._known.items() if each == account]
        for key in own[: max(0, len(own) + 1 - _SESSIONS)]:
            del self._known[key]
        self._known[self.key(cookie)] = (time.time() + seconds, account)
        while len(self._known) > _MOST_SESSIONS:
            self._known.popitem(last=False)
        return cookie

    def account(self, cookie: str) -> T | None:
        """The account of a session that has not ended."""
        until, account = self._known.get(self.key(cookie), (0.0, None))
        return account if until > time.time() else None

    def end(self, cookie: str) -> None:
        """Log out."""
        self._known.pop(self.key(cookie), None)

    @staticmethod
    def key(cookie: str) -> str:
        """The key of a session: a hash of its cookie."""
        return hashlib.sha256(cookie.encode()).hexdigest()


class Devices:
    """Cookies of browsers that logged in before, signed with a key of this data folder."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def new(self) -> str:
        """A cookie for another browser."""
        name = secrets.token_urlsafe(16)
        return f"{name}.{self._signature(name)}"

    def known(self, cookie: str) -> bool:
        """Whether a cookie was signed here."""
        name, _, signature = cookie.partition(".")
        return hmac.compare_digest(signature.encode(), self._signature(name).encode())

    def _signature(self, name: str) -> str:
        return hmac.new(self._key, f"device {name}".encode(), hashlib.sha256).hexdigest()


class Checks:
    """Compares passwords with hashes, a few at a time."""

    def __init__(self, at_once: int) -> None:
        self._turn = asyncio.Semaphore(at_once)
        self.waiting = 0
        """Passwords that are compared now, or wait for it."""

    async def match(self, password: str, accounts: Sequence[Account]) -> Account | None:
        """The account of a password."""
        self.waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(matching, password, accounts)
        finally:
            self.waiting -= 1


class Login:
    """Requires a password, and passes the role of the visitor to the app in a header."""

    def __init__(
        self, app: ASGIApp, accounts: Sequence[Account], key: str = "", guesses: Guesses | None = None
    ) -> None:
        """`key` signs the device cookies; with the same key they are valid after a restart."""
        self.app = app
        self.accounts = list(accounts)
        self.sessions: Sessions[Account] = Sessions()
        self.devices = Devices(key or secrets.token_hex(32))
        self.guesses = guesses or Guesses()
        self._checks, self._known_checks = Checks(_AT_ONCE), Checks(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the addresses of the login itself, and pass other requests to the app if they are allowed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        match scope["path"]:
            case "/login" | "/logout" if not self.accounts:  # Gradio has routes of these names
                response: ASGIApp | None = _not_found(request)
            case "/login":
                response = await self._login(request)
            case "/logout":
                response = self._logout(request)
            case _:
                response = self._page_or_app(request)
        if response is not None:
            await response(scope, receive, send)

    async def _login(self, request: Request) -> Response | None:
        """Show the form, or check the password. None when the client has disconnected."""
        if request.method == "POST":
            try:
                return await self._enter(request)
            except Disconnected:
                return None
            except Refused as refused:
                return _login_page(request, refused.sentence, refused.status, dict(refused.answer().headers))
        return RedirectResponse("./", 303) if self._account_of(request) else _login_page(request)

    def _logout(self, request: Request) -> Response:
        """End the session."""
        if request.method != "POST":
            return _not_found(request)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("./", 303, {"Cache-Control": "no-store"})
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return response

    def _page_or_app(self, request: Request) -> ASGIApp:
        """What answers any other address: the app for visitors who are logged in, else the login form or an error."""
        if not self.accounts:
            return self.app
        account = self._account_of(request)
        if account:
            return self._app_with_role(account.role)
        path = request.scope["path"]
        if path.startswith(STATIC):
            return self.app
        return _login_page(request) if path == "/" else _refused(request, 401, "Log in first: reload the page.")

    def _app_with_role(self, role: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(with_header(scope, ROLE, role), receive, send)

        return app

    def _account_of(self, request: Request) -> Account | None:
        return self.sessions.account(request.cookies.get(COOKIE, ""))

    async def _enter(self, request: Request) -> Response:
        password = _password(request.headers.get("content-type", ""), await read_body(request.receive, _MOST_FORM))
        device = request.cookies.get(DEVICE, "")
        known = self.devices.known(device)
        address = client_network(request.client.host if request.client else "")
        source = f"device {device}" if known else f"address {address}"
        checks = self._known_checks if known else self._checks
        wait = self.guesses.buckets.take(source)
        if wait or checks.waiting >= _MOST_WAITING:
            raise Refused(429, "Too many passwords were tried from here. Wait a few seconds.", wait=max(wait, 3))
        account = await checks.match(password, self.accounts)
        if account is None:
            await asyncio.sleep(self.guesses.failed(source))
            return _login_page(request, "The password is wrong.", 403)
        self.guesses.right(source)
        response = RedirectResponse("./", 303, {"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        _set_cookie(response, DEVICE, device if known else self.devices.new(), DEVICE_DAYS, secure)
        _set_cookie(response, COOKIE, self.sessions.begin(account), DAYS, secure)
        return response


def _not_found(request: Request) -> Response:
    return _refused(request, 404, "There is no page at this address.")


def _refused(request: Request, status: int, sentence: str) -> Response:
    return Refused(status, sentence).answer(languages.accepted(request.scope))


def _set_cookie(response: Response, name: str, value: str, days: int, secure: bool) -> None:
    response.set_cookie(name, value, max_age=days * 86_400, httponly=True, samesite="strict", secure=secure)


def _password(content_type: str, body: bytes) -> str:
    """The password in the form's body.

    Raises:
        Refused: with status 400 when this is not what the form sends.
    """
    wrong = Refused(400, "This is not a request of the login form.")
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise wrong
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=4)
    except ValueError as error:
        raise wrong from error
    given = fields.get("password", [])
    if len(given) != 1 or len(given[0]) > 1000:
        raise wrong
    return given[0]


def _login_page(
    request: Request, wrong: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> HTMLResponse:
    kept = {name: value for name, value in (headers or {}).items() if name == "retry-after"}
    return HTMLResponse(_page(languages.accepted(request.scope), wrong), status, {"Cache-Control": "no-store", **kept})


def _page(language: str, wrong: str = "") -> Html:
    words = {name: languages.translated(text, language) for name, text in TEXTS.items()}
    wrong = wrong and languages.translated(wrong, language)
    return html(
        """<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{log_in} · Fine-tune Studio</title>
<link rel="stylesheet" href="studio/static/studio.css"></head>
<body class="login"><main class="gradio-container"><form class="panel stack" method="post" action="login">
<h1>Fine-tune Studio</h1><div class="field"><label for="password">{password}</label>
<input class="input" id="password" name="password" type="password" required
 autocomplete="current-password" autofocus{bad}>
{wrong}</div><button class="btn primary tall">{log_in}</button></form></main></body></html>""",
        **words,
        language=language,
        direction=languages.direction(language),
        bad=Html(' aria-invalid="true" aria-describedby="wrong"') if wrong else "",
        wrong=html('<p class="wrong" id="wrong" role="alert">{w}</p>', w=wrong) if wrong else "",
    )
