"""Data in figures: a CSV of a million rows read and checked, as a library and the user's way (studio check, and the
page with its processes), and near copies among 100,000 rows.

.venv/bin/python benchmarks/data.py
"""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

ROWS, NEAR_ROWS = 1_000_000, 100_000
MOST_SECONDS, MOST_BYTES, MOST_NEAR_SECONDS = 25.0, 1.5e9, 60.0
PAGE = """
import sys, time
from pathlib import Path
from studio.api import Studio
studio, told = Studio(sys.argv[2]), []
record = studio.read_apart({"million.csv": Path(sys.argv[1])}, lambda *done: told.append(done))
studio.set_reading(record.id, "classification", {"text": "text", "label": "label"})
studio.look_apart(record.id, "classification", lambda *done: told.append(done))
report, counts = studio.check(record.id), studio.splits(record.id)
assert len(told) > 10 and counts.train + counts.validation + counts.test == report.usable
studio.close()
"""
LABELS = ("billing", "delivery", "returns", "account", "praise")
CHECK = """
import json, resource, sys, time
from pathlib import Path
from studio.data.checks import check, rows_of
from studio.data.formats import read
from studio.tasks import task_named
start = time.monotonic()
table = read(Path(sys.argv[1]))
loaded = time.monotonic()
about = (table, task_named("classification"), {"text": "text", "label": "label"})
if len(sys.argv) > 2:
    found, told = {kind: len(rows) for kind, rows in rows_of(*about, sys.argv[2:]).items()}, []
else:
    told = []
    found = {each.kind: each.count for each in check(*about, progress=told.append).problems}
done = time.monotonic()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"read": loaded - start, "check": done - loaded, "peak": peak, "rows": len(table), "found": found,
                  "told": len(told)}))
"""


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Rows of about 200 bytes; one in a hundred is nearly the same as one above."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("etaoinshrdlucmfwypvbg", k=chance.randint(2, 10))) for _ in range(20_000)]
    weights = list(accumulate(1 / (place + 20) for place in range(len(words))))
    kept: list[tuple[str, str]] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "label"))
        for number in range(1, rows + 1):
            if number % 100 == 0:
                text, label = kept.pop()
                text = f"{text.replace(' ', ', ', 1).capitalize()}."
            else:
                text = " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(18, 44)))
                label = chance.choice(LABELS)
                if number % 100 == 50:
                    kept.append((text, label))
            writer.writerow((number, text, label))


def measured(path: Path, *kinds: str) -> dict:
    """What a process of its own needs to read and check a file."""
    done = subprocess.run([sys.executable, "-c", CHECK, path, *kinds], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def used(*command: str | Path) -> tuple[float, float]:
    """Seconds of a command, and the most memory that it or a process of its own took."""
    start = time.monotonic()
    child = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"It ended with status {child.returncode}.")
    return time.monotonic() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Print the figures; fail when they are not met."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "million.csv", Path(folder) / "near.csv"
        write_rows(large, ROWS)
        write_rows(small, NEAR_ROWS, seed=1)
        whole, near = measured(large), measured(small, "near-duplicate")
        seconds = whole["read"] + whole["check"]
        print(f"{whole['rows']:,} rows, {large.stat().st_size / 1e6:.0f} MB: read in {whole['read']:.1f} s, checked in "
              f"{whole['check']:.1f} s, at most {whole['peak'] / 1e9:.2f} GB; progress told {whole['told']} times; "
              f"found {whole['found']}")  # fmt: skip
        home = Path(folder) / "home"
        check = used("-m", "studio", "check", large, "--json", "--home", home / "line")
        page = used("-c", PAGE, large, home / "page")
        for words, (took, peak) in (("studio check", check), ("the page: read, looked at, divided", page)):
            print(f"{words}: {took:.1f} s, at most {peak / 1e9:.2f} GB")
        print(f"near copies among {near['rows']:,} rows: {near['check']:.1f} s, at most {near['peak'] / 1e9:.2f} GB; "
              f"found {near['found']['near-duplicate']:,} of {NEAR_ROWS // 100:,}")  # fmt: skip
    slow = seconds > MOST_SECONDS or check[0] > MOST_SECONDS or near["check"] > MOST_NEAR_SECONDS
    if slow or max(whole["peak"], check[1], page[1]) > MOST_BYTES:
        raise SystemExit("That is more than wanted.")


if __name__ == "__main__":
    main()
