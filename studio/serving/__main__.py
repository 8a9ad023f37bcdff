"""The API server that the page starts: `python -m studio.serving`.

It reads one line of JSON from stdin: {"home", "workspace", "request"}. To stdout it writes lines of JSON: {"status":
ServeStatus} when all engines are ready, or {"error": StudioError.to_dict()}. It ends when stdin is closed, so that it
never outlives the studio.
"""

import json
import os
import signal
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.serving import ServeRequest, ServeStatus
from studio.serving.server import serve
from studio.store.failures import keep_failure


def main() -> int:
    """Serve until a signal, or until the studio has ended."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be among the messages

    def write(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    def ready(status: ServeStatus) -> None:
        write({"status": status.model_dump(mode="json")})

    message = json.loads(sys.stdin.buffer.readline())
    Thread(target=_end_with_studio, daemon=True).start()
    try:
        request = ServeRequest.model_validate(message["request"])
        with Studio(message["home"], message["workspace"]) as studio:
            models = studio.served_models.of(request.runs, request.base)
            serve(studio.home, models, request, print, ready)
    except StudioError as error:
        write({"error": error.to_dict()})
    except Exception as error:
        number, _ = keep_failure(error, Path(message["home"]))
        hint = f"Try again. The server's log has the cause under {number}."
        write({"error": StudioError("unexpected", "Something went wrong.", hint=hint).to_dict()})
    else:
        return 0
    return 1


def _end_with_studio() -> None:
    """The studio holds stdin open as long as it lives."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
