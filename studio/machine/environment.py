"""Environment variables that hold secrets, and the environment of child processes that work for visitors of a demo."""

import os
import re
from collections.abc import Mapping, MutableMapping

_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKENS?|SECRETS?)(?:_ID|_PATH|_FILE)?$"
    r"|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|WEBHOOK"
    r"|^(?:AWS|AZURE|OAUTH)_|^(?:HUGGINGFACEHUB_API_TOKEN|SSH_AUTH_SOCK|NETRC|DATABASE_URL)$|_DSN$",
    re.IGNORECASE,
)
VISITORS = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HUB_OFFLINE": "1"}
"""A process that works for a visitor sends no saved token and makes no requests to the Hub."""


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a secret (`HF_TOKEN`, `OPENAI_API_KEY`, `STUDIO_PASSWORD`)."""
    return name not in VISITORS and bool(_SECRET.search(name))


def remove_secrets(environment: MutableMapping[str, str]) -> list[str]:
    """Delete the variables that hold secrets and return their names. With `os.environ`, no child process inherits
    them."""
    names = sorted(name for name in environment if is_secret(name))
    for name in names:
        del environment[name]
    return names


def child_environment(visitors: bool, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the environment for a child process. For a visitor's work, it has no secrets and no access to the
    Hub."""
    copied = dict(os.environ if environment is None else environment)
    if visitors:
        remove_secrets(copied)
        copied.update(VISITORS)
    return copied
