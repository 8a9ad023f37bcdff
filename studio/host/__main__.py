"""Entry point of the model host: `python -m studio.host --home DIR` answers requests from stdin until stdin ends."""

import argparse
import os
import sys
import threading
from pathlib import Path

from studio.host.host import Host
from studio.models import disable_hub_access
from studio.schema.host_responses import Ready
from studio.store import Home


def main(arguments: list[str] | None = None) -> int:
    """Answer requests from stdin until stdin ends. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="studio.host", description="Load models and answer requests in JSON lines.")
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--idle", default=10.0, type=float, help="minutes after which unused models are unloaded")
    options = parser.parse_args(arguments)
    # Libraries may print to stdout, which carries the protocol. So the protocol gets its own descriptor, and descriptor
    # 1 writes to the log.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    disable_hub_access()  # all files are local; models are loaded from their folders
    host = Host(Home(options.home), out, options.idle * 60)
    host.send(Ready(pid=os.getpid()))
    threading.Thread(target=host.read, args=(sys.stdin.buffer,), daemon=True).start()
    host.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
