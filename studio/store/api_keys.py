"""Keys of the API, stored as hashes in HOME/api-keys.json. A key is shown once, when it is made."""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable

from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.schema.serving import ApiKey
from studio.store.db import now
from studio.store.files import read_json, write_whole
from studio.store.home import Home

PREFIX = "sk-studio-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def new_key() -> str:
    """A random key."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """The hash under which a key is stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def matching(key: str, keys: Iterable[ApiKey]) -> ApiKey | None:
    """The stored key that was sent. All are compared, each in constant time."""
    sent, known = hash_of(key), None
    for each in keys:
        if hmac.compare_digest(each.hash, sent):
            known = each
    return known


class ApiKeys:
    """The keys of a data folder."""

    def __init__(self, home: Home) -> None:
        self.path = home.root / "api-keys.json"

    def all(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        kept = read_json(self.path)
        return [ApiKey(name=name, **values) for name, values in kept.items()]

    def add(self, name: str) -> str:
        """Make a key with a name, and return it. It can't be shown again.

        Raises:
            StudioError: `bad-setting` for an invalid name, or one that is in use.
        """
        if not _NAME.fullmatch(name):
            raise StudioError(
                "bad-setting",
                "This can't be the name of an API key.",
                given=name,
                valid="up to 64 letters, digits, dots and dashes, for example laptop",
                field="new-key",
            )
        key = new_key()
        with alone(self.path):
            kept = {each.name: each for each in self.all()}
            if name in kept:
                raise StudioError(
                    "bad-setting",
                    "There is an API key with this name already.",
                    given=name,
                    hint=f"Choose another name, or remove it first: studio serve-api --remove-key {name}",
                    field="new-key",
                )
            self._write([*kept.values(), ApiKey(name=name, hash=hash_of(key), created=now())])
        return key

    def remove(self, name: str) -> None:
        """Delete a key. Running servers refuse it from their next request on.

        Raises:
            StudioError: `unknown-name` when there is none with this name.
        """
        with alone(self.path):
            kept = self.all()
            if name not in {each.name for each in kept}:
                raise StudioError(
                    "unknown-name",
                    "There is no API key with this name.",
                    given=name,
                    valid=[each.name for each in kept] or "no key exists yet",
                    hint="studio serve-api --keys lists the keys.",
                    field="remove-key",
                )
            self._write([each for each in kept if each.name != name])

    def _write(self, keys: Iterable[ApiKey]) -> None:
        rows = {each.name: {"hash": each.hash, "created": each.created} for each in keys}
        write_whole(self.path, json.dumps(rows, indent=1), mode=0o600)
