"""The example of docs/reference/python.md runs as it is written, on a tiny model."""

import re
import subprocess
import sys
from pathlib import Path

from studio.machine.environment import child_environment

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


def test_the_example_of_the_python_api_trains_evaluates_chats_and_exports(llama: str, tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example and '"starter-chat"' in example[1], "it names a starter, of which the tiny model takes the place"
    code = example[1].replace('"starter-chat"', repr(llama))
    rows = "question,answer\n" + "".join(f"Where is order {n}?,It left on day {n}.\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.run_file", "example.py"],
        cwd=tmp_path,
        env=child_environment(visitors=True),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "seconds estimated" in done.stdout and "\nstep\n" in done.stdout and "\nevaluation\n" in done.stdout
    exported = Path(done.stdout.strip().splitlines()[-1])
    assert (exported / "adapter_config.json").exists()
