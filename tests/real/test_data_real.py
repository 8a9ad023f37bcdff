"""Data that take a machine to show: a line of 2 GB, and a page's worth of other work while a hundred thousand rows are
looked at in a process of their own."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from studio.api import Studio
from studio.services.datasets.subprocess_jobs import Cancelled, Watch

READ = """
import sys
from pathlib import Path
from studio.data.formats import read
table = read(Path(sys.argv[1]))
print([(each.line, each.row, each.why) for each in table.bad_lines])
print(len(table), table.row(len(table)))
# Not getrusage: its peak is also that of the process from which this one was forked.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_a_line_of_2_gb_is_named_passed_over_and_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("wb") as out:
        out.write(b"text,label\na,x\n")
        for _ in range(2048):
            out.write(b"x" * (1 << 20))
        out.write(b"\nlast,y\n")
    try:
        done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, timeout=200)
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    bad, rows, peak = done.stdout.splitlines()
    assert bad == "[(3, 2, 'It is longer than 64,000,000 characters.')]"
    assert rows == "3 {'text': 'last', 'label': 'y'}"
    assert int(peak) < 450_000, f"{int(peak) / 1000:,.0f} MB"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.csv"
    with path.open("w", encoding="utf-8") as out:
        out.write("text,label\n")
        for n in range(100_000):
            out.write(f"This is text number {n} of many about parcels and lamps and day {n % 365},{'ab'[n % 2]}\n")
    return path


def test_the_page_stays_quick_while_a_hundred_thousand_rows_are_looked_at(tmp_path: Path, large: Path) -> None:
    studio = Studio(tmp_path / "home")
    told: list[tuple[int, int]] = []
    record = studio.jobs.add_files({"large.csv": large}, Watch(lambda rows, size: told.append((rows, size))))
    assert record.rows == 100_000 and told and told == sorted(told) and told[-1][0] >= 90_000
    looking = threading.Thread(target=studio.jobs.check, args=(record.id, "classification"))
    looking.start()
    took = []
    while looking.is_alive():
        start = time.perf_counter()
        studio.datasets.rows(record.id, 50_000, 12)
        took.append(time.perf_counter() - start)
        time.sleep(0.05)
    looking.join()
    took.sort()
    assert len(took) > 10 and took[len(took) // 2] < 0.1, f"a page of rows took {took[len(took) // 2]:.3f} s"
    start = time.perf_counter()
    assert studio.checks.check(record.id, "classification").usable == 100_000
    assert studio.datasets.splits(record.id).test == 5_000
    assert time.perf_counter() - start < 1, "what was found is there"
    studio.close()


def test_long_work_is_stopped_at_once_and_leaves_nothing(tmp_path: Path, large: Path) -> None:
    studio = Studio(tmp_path / "home")
    stop = threading.Event()
    with pytest.raises(Cancelled):
        studio.jobs.add_files({"large.csv": large}, Watch(lambda rows, size: stop.set(), stop))
    assert studio.datasets.all() == [] and not list((tmp_path / "home").rglob("*.parquet"))
    assert not list((tmp_path / "home").rglob(".v1.new"))
    record = studio.datasets.add_file(large)
    stop.clear()
    threading.Timer(1.5, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        studio.jobs.check(record.id, "classification", Watch(None, stop))
    assert time.monotonic() - start < 6
    assert not studio.checks.is_cached(record.id, "classification")
    studio.close()
