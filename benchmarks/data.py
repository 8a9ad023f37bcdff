"""Data in figures: a CSV of a million rows read and checked by studio check and by the
page, and near copies among 100,000 rows.

.venv/bin/python benchmarks/data.py
"""

import csv
import json
import random
import sys
import tempfile
import time
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import psutil

ROWS, NEAR_ROWS = 1_000_000, 100_000
MOST_SECONDS, MOST_BYTES, MOST_NEAR_SECONDS = 25.0, 1.5e9, 60.0
PAGE = """
import sys, time
from pathlib import Path
from studio.api import Studio
studio, told = Studio(sys.argv[2]), []
record = studio.read_apart({"million.csv": Path(sys.argv[1])}, lambda *done: told.append(done))
task = studio.reading(record.id, labels_too=False).task
studio.look_apart(record.id, task, lambda *done: told.append(done))
report, counts = studio.check(record.id), studio.splits(record.id)
assert len(told) > 10 and counts.train + counts.validation + counts.test == report.usable
studio.close()
"""
LABELS = ("billing", "delivery", "returns", "account", "praise")
NEAR = """
import json, sys, time
from pathlib import Path
from studio.data.checks import rows_of
from studio.data.formats import read
from studio.tasks import task_named
table = read(Path(sys.argv[1]))
start = time.monotonic()
found = rows_of(table, task_named("classification"), {"text": "text", "label": "label"}, ["near-duplicate"])
print(json.dumps({"seconds": time.monotonic() - start, "found": len(found["near-duplicate"])}))
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


def used(*command: str | Path) -> tuple[float, int, str]:
    """Seconds of a command, the most memory that it took with all processes of its own (what they share is counted
    once), and what it printed."""
    start, most = time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as printed:
        child = psutil.Popen([sys.executable, *map(str, command)], stdout=printed)
        while child.poll() is None:
            with suppress(psutil.Error):
                most = max(most, sum(map(held_by, [child, *child.children(recursive=True)])))
            time.sleep(0.5)
        if child.returncode:
            raise SystemExit(f"It ended with status {child.returncode}.")
        seconds = time.monotonic() - start
        printed.seek(0)
        return seconds, most, printed.read()


def held_by(process: psutil.Process) -> int:
    """Bytes of a process, its share of what it shares; none when it ended meanwhile."""
    try:
        info = process.memory_full_info()
        return int(getattr(info, "pss", 0) or info.rss)
    except psutil.Error:
        return 0


def main() -> None:
    """Print the figures; fail when they are not met."""
    with tempfile.TemporaryDirectory() as folder:
        large, small, home = Path(folder) / "million.csv", Path(folder) / "near.csv", Path(folder) / "home"
        write_rows(large, ROWS)
        write_rows(small, NEAR_ROWS, seed=1)
        print(f"{ROWS:,} rows, {large.stat().st_size / 1e6:.0f} MB, read and checked by")
        check = used("-m", "studio", "check", large, "--json", "--home", home / "line")
        page = used("-c", PAGE, large, home / "page")
        report = json.loads(check[2])
        found = ", ".join(f"{each['kind']} {each['count']:,}" for each in report["problems"])
        for words, (took, peak, _) in (("studio check", check), ("the page, divided as well", page)):
            print(f"  {words}: {took:.1f} s, at most {peak / 1e9:.2f} GB")
        print(f"  usable {report['usable']:,}; found: {found}")
        near = json.loads(used("-c", NEAR, small)[2])
        print(
            f"near copies among {NEAR_ROWS:,} rows: {near['seconds']:.1f} s; found {near['found']:,} of "
            f"{NEAR_ROWS // 100:,}"
        )
    if (
        max(check[0], page[0]) > MOST_SECONDS
        or near["seconds"] > MOST_NEAR_SECONDS
        or max(check[1], page[1]) > MOST_BYTES
    ):
        raise SystemExit("That is more than wanted.")


if __name__ == "__main__":
    main()
