"""The example of docs/reference/python.md runs as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


def test_the_example_of_the_python_api_trains_evaluates_chats_and_exports(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    rows = "question,answer\n" + "".join(f"Where is order {n}?,It left on day {n}.\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", example[1]],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(DOCS.parents[2])},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "seconds estimated" in done.stdout and "\nstep\n" in done.stdout and "\nevaluation\n" in done.stdout
    exported = Path(done.stdout.strip().splitlines()[-1])
    assert (exported / "adapter_config.json").exists()
