"""A password before the page, wherever others can reach it: hashes, a session cookie, patience with guessers."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.schema.errors import StudioError
from studio.ui.markup import Html, html

COOKIE = "studio-session"
DAYS = 14
_N, _R, _P = 2**14, 8, 1
OPEN = ("/login", "/studio/static/")
_FAILED_DELAY, _LONGEST_DELAY = 0.5, 8.0
_MOST_ADDRESSES, _MOST_WAITING, _MOST_AT_ONCE = 1000, 8, 2
"""Addresses that are remembered, guesses that one of them may have waiting, and guesses that are reckoned at a time."""


def hash_password(password: str) -> str:
    """A line for the file of hashes: `scrypt$salt$hash`."""
    salt = secrets.token_bytes(16)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)


def matches(password: str, hashes: list[str]) -> bool:
    """Whether a password fits one of the hashes; takes as long for a wrong one as for a right one."""
    found = False
    for line in hashes:
        _, salt, known = line.split("$")
        found |= hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(known))
    return found


def password_hashes() -> list[str]:
    """Hashes from `$STUDIO_PASSWORD` (the password itself) or `$STUDIO_PASSWORD_FILE` (a hash a line)."""
    password, file = os.environ.get("STUDIO_PASSWORD", ""), os.environ.get("STUDIO_PASSWORD_FILE", "")
    lines = [hash_password(password)] if password else []
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise StudioError(
                "password-needed", f"The file of password hashes can't be read: {error.strerror}.",
                given=file, hint="STUDIO_PASSWORD_FILE names it; it has to be readable for whoever runs the studio.",
            ) from error  # fmt: skip
        lines += [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not all(_is_hash(line) for line in lines):
        raise StudioError(
            "password-needed",
            "The file of password hashes holds a line that is none.",
            valid="scrypt$SALT$HASH",
            hint="Make one with: python -m studio.ui.login",
        )
    return lines


def _is_hash(line: str) -> bool:
    """Whether a line is a hash that can be compared with."""
    kind, *parts = line.split("$")
    try:
        salt, known = (base64.b64decode(part, validate=True) for part in parts)
    except (ValueError, binascii.Error):
        return False
    return kind == "scrypt" and len(salt) >= 8 and len(known) == 64


@dataclass
class Guesser:
    """An address that has not told the password yet."""

    failures: int = 0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def delay(self) -> float:
        """Seconds that the next answer is kept back after so many wrong ones."""
        return min(_LONGEST_DELAY, _FAILED_DELAY * 2 ** min(self.failures - 1, 6))


class Guessers:
    """Who guesses, by address: one does not slow down another. No more of them are remembered than fit."""

    def __init__(self, most: int = _MOST_ADDRESSES) -> None:
        self.most = most
        self._known: OrderedDict[str, Guesser] = OrderedDict()

    def at(self, host: str) -> Guesser:
        """The one at an address; the addresses that one household has under IPv6 are one."""
        guesser = self._known.setdefault(_household(host), Guesser())
        self._known.move_to_end(_household(host))
        too_many = max(0, len(self._known) - self.most)
        for name in [name for name, each in self._known.items() if not each.waiting][:too_many]:
            del self._known[name]
        return guesser

    def forget(self, host: str) -> None:
        """It told the password."""
        self._known.pop(_household(host), None)

    def __len__(self) -> int:
        return len(self._known)


def _household(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:100]
    return str(ipaddress.ip_network(f"{host}/64", strict=False)) if address.version == 6 else host


class Login:
    """Asks for the password, and lets those through who gave it."""

    def __init__(self, app: ASGIApp, hashes: list[str]) -> None:
        self.app = app
        self.hashes = hashes
        self.sessions: OrderedDict[str, float] = OrderedDict()
        self.guessers = Guessers()
        self.reckoning = asyncio.Semaphore(_MOST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, ask, or answer the login form."""
        if scope["type"] != "http" or not self.hashes:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if scope["path"] == "/login" and scope["method"] == "POST":
            await (await self._enter(request))(scope, receive, send)
        elif self._known(request.cookies.get(COOKIE, "")) or scope["path"].startswith(OPEN[1]):
            await self.app(scope, receive, send)
        elif scope["path"] in ("/", "/login"):
            await HTMLResponse(_page(), headers={"Cache-Control": "no-store"})(scope, receive, send)
        else:
            await PlainTextResponse("Log in first: reload the page.", 401)(scope, receive, send)

    def _known(self, session: str) -> bool:
        key = hashlib.sha256(session.encode()).hexdigest()
        return bool(session) and self.sessions.get(key, 0) > time.time()

    async def _enter(self, request: Request) -> HTMLResponse | RedirectResponse:
        form: FormData = await request.form(max_files=0, max_fields=4)
        given = str(form.get("password", ""))[:1000]
        host = request.client.host if request.client else ""
        guesser = self.guessers.at(host)
        if guesser.waiting >= _MOST_WAITING:
            return HTMLResponse(_page("Too many guesses at once. Wait a moment."), 429, {"Cache-Control": "no-store"})
        guesser.waiting += 1
        try:
            right = await self._told(given, guesser)
        finally:
            guesser.waiting -= 1
        if not right:
            return HTMLResponse(_page("This is not the password."), 403, {"Cache-Control": "no-store"})
        self.guessers.forget(host)
        session = secrets.token_urlsafe(32)
        self.sessions[hashlib.sha256(session.encode()).hexdigest()] = time.time() + DAYS * 86_400
        while len(self.sessions) > 1000:
            self.sessions.popitem(last=False)
        answer = RedirectResponse("./", 303)
        answer.set_cookie(
            COOKIE,
            session,
            max_age=DAYS * 86_400,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def _told(self, given: str, guesser: Guesser) -> bool:
        """Whether it is the password; one guess of an address at a time, a wrong one is answered late."""
        async with guesser.turn:
            async with self.reckoning:
                right = await asyncio.to_thread(matches, given, self.hashes)
            if not right:
                guesser.failures += 1
                await asyncio.sleep(guesser.delay())
            return right


def _page(wrong: str = "") -> Html:
    return html(
        """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Log in · Fine-tune Studio</title>
<link rel="stylesheet" href="studio/static/studio.css"></head>
<body class="login"><main class="gradio-container"><form class="panel stack" method="post" action="login">
<h1>Fine-tune Studio</h1><div class="field"><label for="password">Password</label>
<input class="input" id="password" name="password" type="password" required
 autocomplete="current-password" autofocus{bad}>
{wrong}</div><button class="btn primary tall">Log in</button></form></main></body></html>""",
        bad=Html(' aria-invalid="true" aria-describedby="wrong"') if wrong else "",
        wrong=html('<p class="wrong" id="wrong" role="alert">{w}</p>', w=wrong) if wrong else "",
    )


if __name__ == "__main__":
    import getpass

    print(hash_password(getpass.getpass("Password: ")))
