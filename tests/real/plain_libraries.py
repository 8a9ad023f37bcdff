"""A process that never heard of the studio, and answers by transformers and peft alone whatever code it is given.

It is one process for all tests that ask it: importing the libraries takes longer than what it is asked.
"""

import atexit
import json
import subprocess
import sys
from functools import cache
from typing import Any

ANSWER = "answer: "
SERVE = f"""
import json, sys, torch, transformers, peft
torch.set_num_threads(1)
for line in sys.stdin:
    code, told = json.loads(line)
    scope = {{"told": told, "sys": sys, "torch": torch, "transformers": transformers, "peft": peft}}
    exec(code, scope)
    assert not any(name.split(".")[0] == "studio" for name in sys.modules)
    print({ANSWER!r} + json.dumps(scope["answer"]), flush=True)
"""


class Stranger:
    """The process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        atexit.register(self.process.kill)

    def answers(self, code: str, told: Any) -> Any:
        """What `code`, which finds `told`, `sys`, `torch`, `transformers` and `peft`, leaves as `answer`."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([code, told]) + "\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
            said.append(line)
        stranger.cache_clear()  # the next test gets a new one
        raise AssertionError("".join(said))


@cache
def stranger() -> Stranger:
    """The one that all tests of this process ask."""
    return Stranger()
