"""A model with code of its own and pickled weights: allowed through the studio it learns and talks, and not before.

Whether its code ran is told by a file that the code writes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import tiny_llama

CODE = """
from pathlib import Path
from transformers import LlamaForCausalLM

with Path({ran!r}).open("a") as file:
    file.write("ran\\n")


class Own(LlamaForCausalLM):
    pass
"""


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """A tiny model whose class is in its folder, and whose weights are a pickle."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "coded"
    tiny_llama(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["Own"], "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(CODE.format(ran=str(tmp_path / "ran")))
    return folder


def test_code_that_was_allowed_runs_in_worker_and_host_and_code_that_has_changed_does_not(
    coded: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    told = {"STUDIO_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}

    def studio(*arguments: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "studio", *map(str, arguments)],
            env={**os.environ, **told},
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
        )
        assert done.returncode == status, done
        return done.stdout + done.stderr

    train = ("train", "sample:support-tone", "--model", coded, "--max-steps", "2", "--max-length", "128")
    assert f"studio trust {coded}" in studio(*train, status=2) and not ran.exists()
    assert "Python code" in studio("trust", coded, status=2) and not ran.exists()
    studio("trust", coded, "--yes")
    studio(*train)
    times = len(ran.read_text().split())
    assert times >= 1, "the worker ran it"
    assert json.loads(studio("chat", "last", "Hello", "--max-new-tokens", "2", "--json"))["tuned"]["tokens"]
    assert len(ran.read_text().split()) > times, "the host ran it"
    times = len(ran.read_text().split())
    (coded / "own.py").write_text((coded / "own.py").read_text() + "\n# and something more\n")
    assert "is not loaded" in studio("chat", "last", "Hello", status=2)
    assert "is not loaded" in studio(*train, status=2)
    assert len(ran.read_text().split()) == times
