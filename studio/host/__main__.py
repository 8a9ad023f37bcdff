"""The process: `python -m studio.host --home DIR` serves its stdin until it ends."""

import argparse
import os
import sys
import threading
from pathlib import Path

from studio.host.host import Host
from studio.models import disable_hub_access
from studio.schema.host import Ready
from studio.store import Home


def main(arguments: list[str] | None = None) -> int:
    """Serve stdin until it ends."""
    parser = argparse.ArgumentParser(prog="studio.host", description="Keeps models and answers in JSON lines.")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--idle", default=10.0, type=float, help="minutes after which unused models are let go")
    told = parser.parse_args(arguments)
    # Libraries that print must not reach the protocol: it gets a descriptor of its own, and fd 1 goes to the log.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    disable_hub_access()  # what it loads is here, and is asked for by its folder
    host = Host(Home(told.home), out, told.idle * 60)
    host.say(Ready(pid=os.getpid()))
    threading.Thread(target=host.read, args=(sys.stdin.buffer,), daemon=True).start()
    host.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
