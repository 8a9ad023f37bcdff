"""Environment variables that hold secrets, and the environment of child processes that work for visitors of a demo."""

import ctypes
import os
import re
from collections.abc import Mapping, MutableMapping

_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKENS?|SECRETS?)(?:_ID|_PATH|_FILE)?$"
    r"|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|WEBHOOK"
    r"|^(?:AWS|AZURE|OAUTH)_|^(?:HUGGINGFACEHUB_API_TOKEN|SSH_AUTH_SOCK|NETRC|DATABASE_URL)$|_DSN$",
    re.IGNORECASE,
)
SPIN_COUNT, BUSY_SPINS, BUSY_SHARE = "GOMP_SPINCOUNT", "1000", 0.5
"""How long libgomp's threads spin while they wait, and its value on a busy machine. Two trainings at once on two cores
run at 30 rows/s each instead of 17. Alone, a run would be 5 to 19% slower with it. libgomp reads it when it starts."""
VISITORS = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_HUB_OFFLINE": "1"}
"""A process that works for a visitor sends no saved token and makes no requests to the Hub."""
ONE_RUN = "STUDIO_WORKER_ONE_RUN"
"""Set for a worker that does not start the next one, because only its runner can."""


def is_busy() -> bool:
    """Whether other processes have kept more than half of the cores busy in the last minute."""
    try:
        return os.getloadavg()[0] > BUSY_SHARE * (os.cpu_count() or 1)
    except (AttributeError, OSError):  # Windows has no load average
        return False


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a secret (`HF_TOKEN`, `OPENAI_API_KEY`, `STUDIO_PASSWORD`)."""
    return name not in VISITORS and bool(_SECRET.search(name))


def remove_secrets(environment: MutableMapping[str, str]) -> list[str]:
    """Delete the variables that hold secrets and return their names. With `os.environ`, no child process inherits
    them."""
    names = sorted(name for name in environment if is_secret(name))
    for name in names:
        if environment is os.environ:
            forget_variable(name)
        else:
            del environment[name]
    return names


def forget_variable(name: str) -> None:
    """Delete a variable of this process, and overwrite its value with zeros where the system keeps it.

    Otherwise its value stays in the memory that /proc/PID/environ shows to all processes of the same user.
    """
    if os.name == "posix":
        getenv = ctypes.CDLL(None).getenv
        getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        address = getenv(os.fsencode(name))
        if address:
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
    os.environ.pop(name, None)


def child_environment(visitors: bool, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy of the environment for a child process. For a visitor's work, it has no secrets and no access to the
    Hub. Where the machine is busy, threads of OpenMP wait without spinning for long."""
    copied = dict(os.environ if environment is None else environment)
    if is_busy():
        copied.setdefault(SPIN_COUNT, BUSY_SPINS)
    if visitors:
        remove_secrets(copied)
        copied.update(VISITORS)
    return copied
