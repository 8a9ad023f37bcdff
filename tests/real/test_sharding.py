"""Weights that processes share out are shared out: a library that silently does not would pass every other test."""

import os
import subprocess
import sys
from pathlib import Path

from tests.browser.served import free_port


def test_each_of_two_holds_half_of_a_model_and_what_it_learns_is_saved_and_taken_back_whole(tmp_path: Path) -> None:
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.shared_out", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **meet, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)[-3000:]
