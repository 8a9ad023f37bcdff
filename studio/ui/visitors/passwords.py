"""Accounts of a team: passwords as scrypt hashes, and the role that each gives."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.schema.errors import StudioError
from studio.ui.visitors.roles import OLD_NAMES, ROLES

_N, _R, _P = 2**14, 8, 1


@dataclass(frozen=True)
class Account:
    """A password, as a hash, and the role that it gives."""

    hash: str
    role: str = "owner"


def hash_password(password: str) -> str:
    """A line for the file of hashes: `scrypt$salt$hash`. A role and a space may be put before it."""
    salt = secrets.token_bytes(16)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(password, salt)).decode()}"


def ask_for_hash() -> str:
    """Ask for a password on the terminal, without showing it; its line for the file of hashes."""
    import getpass

    return hash_password(getpass.getpass("Password: "))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)


def matching(password: str, accounts: Sequence[Account]) -> Account | None:
    """The account of a password, an owner's first; takes as long for a wrong password as for a right one."""
    accounts_found = []
    for account in accounts:
        _, salt, known = account.hash.split("$")
        if hmac.compare_digest(_scrypt(password, base64.b64decode(salt)), base64.b64decode(known)):
            accounts_found.append(account)
    return min(accounts_found, key=lambda account: ROLES.index(account.role), default=None)


def accounts_of_environment() -> list[Account]:
    """Accounts from `$STUDIO_PASSWORD` (the owner's password) and `$STUDIO_PASSWORD_FILE` (one hash per line).

    A line is `owner HASH`, `editor HASH`, `viewer HASH` or `HASH`. A hash without a role is the owner's when it is the
    only one of all, else an editor's.
    """
    password, file = os.environ.get("STUDIO_PASSWORD", ""), os.environ.get("STUDIO_PASSWORD_FILE", "")
    known = [Account(hash_password(password))] if password else []
    lines: list[str] = []
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise StudioError(
                "password-needed",
                f"The file of password hashes can't be read: {reason(error)}.",
                given=file,
                hint="STUDIO_PASSWORD_FILE names it. Let the user who runs the studio read it.",
            ) from error
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    alone = len(known) + len(lines) == 1
    return known + [_account(line, "owner" if alone else "editor") for line in lines]


def reason(error: Exception) -> str:
    """Why a file could not be read."""
    return error.strerror or "unknown" if isinstance(error, OSError) else "it is not UTF-8 text"


def _account(line: str, role: str) -> Account:
    given, *rest = line.split()
    given = OLD_NAMES.get(given, given)
    if given in ROLES:
        role, line = given, " ".join(rest)
    if not _is_hash(line):
        raise StudioError(
            "password-needed",
            "The file of password hashes has a line that is not a hash.",
            valid="scrypt$SALT$HASH, or a role before it: owner scrypt$SALT$HASH, editor …, viewer …",
            hint="Make a hash with: studio hash-password",
        )
    return Account(line, role)


def _is_hash(line: str) -> bool:
    """Whether a text is a hash that can be compared with."""
    kind, *parts = line.split("$")
    try:
        salt, known = (base64.b64decode(part, validate=True) for part in parts)
    except (ValueError, binascii.Error):
        return False
    return kind == "scrypt" and len(salt) >= 8 and len(known) == 64
