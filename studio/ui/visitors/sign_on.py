"""Sign-on by a trusted proxy: it names the person in a header, and a file gives each person a role."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from studio.schema.errors import StudioError
from studio.ui import languages
from studio.ui.http.bodies import Refused
from studio.ui.http.proxies import ROLE, USER, header_values, with_header
from studio.ui.visitors.passwords import reason
from studio.ui.visitors.roles import OLD_NAMES, ROLES

ROLES_FILE = "STUDIO_ROLES_FILE"
ANYONE = "*"
"""In the file: everyone whom the proxy names."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


class SignOn:
    """Gives each request the role of the person whom the proxy names, and refuses a request without a name."""

    def __init__(self, app: ASGIApp, roles: Mapping[str, str]) -> None:
        self.app, self.roles = app, roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its role, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        person = _name("".join(header_values(scope["headers"], USER.encode())))
        role = self.roles.get(person.lower()) or self.roles.get(ANYONE) if person else None
        if role:
            await self.app(with_header(scope, ROLE, role), receive, send)
            return
        sentence = (
            "Your account has no role in this studio. Ask its owner."
            if person
            else "The proxy did not say who you are. Open the studio through your organization's sign-on page."
        )
        await Refused(403, sentence).answer(languages.accepted(scope))(scope, receive, send)


def _name(sent: str) -> str:
    """The name in a header. Proxies send names beyond ASCII as UTF-8, and some as Latin-1."""
    try:
        return sent.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return sent


def header_name(given: str, proxies: Any) -> bytes:
    """The name of the proxy's header in lower case. Empty when none is given.

    Raises:
        StudioError `bad-setting`: if it is not a name of a header, or no proxy is trusted.
    """
    if not given:
        return b""
    if not _HEADER.fullmatch(given):
        raise StudioError(
            "bad-setting",
            "This is not the name of a header.",
            given=given,
            valid="letters, digits and dashes, such as Remote-User",
            hint="Correct --user-header.",
        )
    if not proxies:
        raise StudioError(
            "bad-setting",
            "Without a trusted proxy, everyone could send this header.",
            given=f"--user-header {given}",
            hint="Name the proxy's address with --trusted-proxy, and let only the proxy reach the studio.",
        )
    return given.lower().encode()


def roles_of_environment() -> dict[str, str]:
    """Name of a person in lower case → role, from the file that `$STUDIO_ROLES_FILE` names.

    Raises:
        StudioError `bad-setting`: when there is no such file, it can't be read, a line is not `ROLE NAME`, or a
            person is in two lines.
    """
    file = os.environ.get(ROLES_FILE, "")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines() if file else []
    except (OSError, ValueError) as error:
        raise StudioError(
            "bad-setting",
            f"The file of roles can't be read: {reason(error)}.",
            given=file,
            hint=f"{ROLES_FILE} names it. Let the user who runs the studio read it.",
        ) from error
    roles: dict[str, str] = {}
    lines_by_name: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        role, _, person = line.strip().partition(" ")
        role = OLD_NAMES.get(role, role)
        if not line.strip() or line.startswith("#"):
            continue
        if role not in ROLES or not person.strip():
            raise StudioError(
                "bad-setting",
                f"Line {number} of the file of roles is not a role and a name.",
                given=line.strip(),
                valid="owner NAME, editor NAME or viewer NAME; NAME may be * for everyone",
                hint=f"Correct the line in {file}.",
            )
        name = person.strip().lower()
        if name in roles:
            raise StudioError(
                "bad-setting",
                f"Line {number} of the file of roles names a person who already has a role.",
                given=f"{line.strip()}, and line {lines_by_name[name]}: {roles[name]} {person.strip()}",
                valid="one line for each person, whatever the case of the letters",
                hint=f"Remove one of the two lines in {file}.",
            )
        roles[name], lines_by_name[name] = role, number
    if not roles:
        raise StudioError(
            "bad-setting",
            "No person has a role, so the studio would be closed to all.",
            given=f"{ROLES_FILE}={file}" if file else "",
            valid="a file with a line for each person, such as: owner anna@example.org",
            hint=f"Set {ROLES_FILE} to such a file.",
        )
    return roles
