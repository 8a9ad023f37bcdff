"""The commands that README and docs show to people run as they stand, one after the other."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PAGES = ("README.md", "docs/tutorial/first-model.md", "docs/reference/data.md", "docs/guides/label-data.md")
FEW_STEPS = ["--max-steps", "2", "--max-length", "96", "--eval-rows", "4"]
"""Added to a training, so that the test ends in the time of a test."""


def studio_lines(page: str) -> list[list[str]]:
    """Calls of the studio in a page's shell blocks, but for those that serve for ever."""
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    lines = [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("studio ")]
    return [line for line in lines if line[1] != "serve"]


def test_the_commands_of_the_readme_and_the_docs_run(tmp_path: Path) -> None:
    rows = "Frage,Antwort\n" + "".join(f"Wie ist Nummer {n}?,Nummer {n} ist gut.\n" for n in range(1, 20))
    (tmp_path / "tickets.csv").write_text(rows)
    (tmp_path / "held-back.csv").write_text(rows[:60])
    asked = [f"Where is parcel {n}?,It left us on day {n}.,c{n % 7},2024-01-{n:02d}\n" for n in range(1, 29)]
    (tmp_path / "questions.csv").write_text("question,answer,customer,day\n" + "".join([*asked, asked[3]]))
    (tmp_path / "book.txt").write_text("".join(f"This is line {n} of a book.\n" for n in range(40)))
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    lines = dict.fromkeys(tuple(line) for page in PAGES for line in studio_lines(page))  # the same line runs once
    assert {line[1] for line in lines} >= {"check", "train", "evaluate", "chat", "export"}
    for line in lines:
        command = [sys.executable, "-m", *line, *(FEW_STEPS if line[1] == "train" else [])]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stderr}"
        assert done.stdout.strip()
    assert list((tmp_path / "support-tone-model").glob("*.safetensors"))
