"""The process that renders chat templates: `python -m studio.inference.template_process`, JSON lines in and out.

It has limits of CPU time, memory and output. When the CPU time is used up the kernel ends it, whatever Python does.
"""

import json
import os
import signal
import sys
from typing import Any

from studio.machine.process_limits import limit_more_memory

SECONDS = 3.0
"""CPU time of one render. A usual one takes less than a millisecond."""
MEMORY = 512 * 2**20
"""Bytes that a render may use beyond what the process has after its imports."""
MOST_CHARACTERS, TIMES = 1_000_000, 20
"""Characters of a rendered text: so many, and so many times those of the conversation."""


def main() -> int:
    """Render until stdin ends."""
    from transformers.utils.chat_template_utils import render_jinja_template

    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not reach the protocol
    limit_more_memory(MEMORY)
    for line in sys.stdin.buffer:
        _limit_time(SECONDS)
        answer = _rendered(render_jinja_template, json.loads(line), MOST_CHARACTERS + TIMES * len(line))
        _limit_time(0)
        out.write(json.dumps(answer) + "\n")
        out.flush()
    return 0


def _rendered(render: Any, arguments: dict[str, Any], most: int) -> dict[str, Any]:
    """The texts and the places of replies in them, the error of the template, or why it is refused."""
    try:
        texts, places = render(**arguments)
    except MemoryError:
        return {"refused": f"it needed more than {MEMORY // 2**20} MB of memory for one conversation"}
    except RecursionError:
        return {"refused": "it calls itself endlessly"}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)[:2000]}
    if sum(map(len, texts)) > most:
        return {"refused": f"it wrote more than {most:,} characters for one conversation"}
    return {"texts": texts, "places": places}


def _limit_time(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process, because no handler is installed


if __name__ == "__main__":
    sys.exit(main())
