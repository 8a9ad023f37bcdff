"""`studio predict` on many rows: rows per second, memory of the command and its model host; two processes beside one.

.venv/bin/python benchmarks/predict.py [--rows 20000] [--many 200000] [--replies 200] [--seconds 300]

The runs are trained for two steps, since speed does not depend on what a model has learned. The many rows are stopped
after some seconds: memory is measured, not time.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
from homes import ENVIRONMENT

from studio.api import RunRequest, Studio
from studio.inference.generate import BatchOptions
from studio.schema.report import ChatSettings

SAMPLES = {"starter-classify": ("intent-routing", "classification"), "starter-chat": ("support-tone", "chat")}
WORDS = "my order lamp broke parcel late refund please where is the box thanks invoice wrong size arrived today".split()
ROUNDS = 3


def trained(studio: Studio, model: str) -> tuple[str, str]:
    """A run of two steps, and the column that it reads."""
    sample, task = SAMPLES[model]
    data = studio.datasets.add_sample(sample).id
    run = studio.runs.start(RunRequest(dataset=data, model=model, task=task, settings={"max_steps": 2})).id
    for _ in studio.runs.watch(run):
        pass
    roles = studio.runs.spec(run).data.roles
    return run, next(column for column, role in roles.items() if role in ("text", "prompt"))


def write_rows(path: Path, column: str, rows: int) -> Path:
    """Rows of 4 to 20 words."""
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["nr", column])
        out.writerows([n, " ".join(rng.choices(WORDS, k=rng.randint(4, 20)))] for n in range(1, rows + 1))
    return path


def measured(home: Path, run: str, data: Path, seconds: float) -> tuple[float, dict[str, int], int]:
    """Seconds that the command took, the peak memory of its processes in bytes, and the rows that it predicted."""
    out = data.with_suffix(".out.csv")
    command = [sys.executable, "-m", "studio", "--home", str(home), "predict", run, str(data), "--out", str(out)]
    peaks = {"command": 0, "host": 0}
    began = time.monotonic()
    process = psutil.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and time.monotonic() - began < seconds:
        for each in [process, *children_of(process)]:
            try:
                name = "command" if each.pid == process.pid else "host"
                peaks[name] = max(peaks[name], each.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.1)
    took = time.monotonic() - began
    for each in [*children_of(process), process]:
        try:
            each.kill()
        except psutil.Error:
            continue
    folder = home / "workspaces" / "default" / "runs" / run / "predictions"
    newest = max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, default=None)
    return took, peaks, newest.read_bytes().count(b"\n") if newest else 0


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """Its processes; none when it has ended."""
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def divided(studio: Studio, run: str, column: str, rows: int, replies: int) -> None:
    """The same rows by one process with all threads, and by one process for each core with one thread."""
    cores = os.cpu_count() or 1
    ref = studio.predictions.finished.ref(run)
    texts = [" ".join(random.Random(n).choices(WORDS, k=4 + n % 17)) for n in range(rows)]
    for number in range(ROUNDS):
        for processes in (1, cores) if number % 2 == 0 else (cores, 1):
            shares = [texts[each::processes] for each in range(processes)]
            workers = [Worker(ref.model_dump_json(), column, replies, cores // processes) for _ in shares]
            for worker in workers:
                worker.wait_ready()
            began = time.monotonic()
            threads = [
                threading.Thread(target=worker.work, args=(share,))
                for worker, share in zip(workers, shares, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            speed = rows / (time.monotonic() - began)
            print(f"  {processes} process(es) with {cores // processes} thread(s): {speed:,.1f} rows/s", flush=True)


class Worker:
    """A process that predicts texts."""

    def __init__(self, ref: str, column: str, replies: int, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", str(threads), column, str(replies)],
            env={**ENVIRONMENT, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(ref + "\n")

    def wait_ready(self) -> None:
        """Until the model is loaded."""
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def work(self, texts: list[str]) -> None:
        """Predict texts, and end."""
        self.process.communicate("\n".join(texts) + "\n")

    def _write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()


def worker(threads: int, column: str, replies: int) -> int:
    """Read a run, say that it is ready, and predict the texts that follow."""
    import torch

    from studio.inference.base_and_tuned import load_pair
    from studio.inference.predict import predict
    from studio.schema.host import RunRef

    torch.set_num_threads(threads)
    ref = RunRef.model_validate_json(sys.stdin.readline())
    pair = load_pair(ref)
    roles = {column: ref.spec.data.roles[column]}
    options = BatchOptions(ChatSettings(max_new_tokens=replies), lambda done, total: None)
    predict(pair, [{column: "warm up"}] * 4, roles, False, options)
    print("ready", flush=True)
    predict(pair, [{column: line.strip()} for line in sys.stdin], roles, False, options)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the classifier")
    parser.add_argument("--many", type=int, default=200_000, help="rows for the memory")
    parser.add_argument("--replies", type=int, default=200, help="rows that get a reply")
    parser.add_argument("--seconds", type=float, default=300, help="after which the many rows are stopped")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    print(f"load before: {os.getloadavg()[0]:.1f} (below 1.5, or the times say little)")
    with tempfile.TemporaryDirectory() as folder:
        home, place = Path(folder) / "home", Path(folder)
        with Studio(home) as studio:
            runs = {model: trained(studio, model) for model in SAMPLES}
        for model, rows, seconds in (
            ("starter-classify", asked.rows, 3600.0),
            ("starter-chat", asked.replies, 3600.0),
            ("starter-classify", asked.many, asked.seconds),
        ):
            run, column = runs[model]
            data = write_rows(place / f"{model}-{rows}.csv", column, rows)
            took, peaks, done = measured(home, run, data, seconds)
            memory = ", ".join(f"{name} {peak / 2**20:,.0f} MB" for name, peak in peaks.items())
            print(
                f"{model}, {done:,} of {rows:,} rows in {took:,.0f} s with import, loading and writing: "
                f"{done / took:,.1f} rows/s; peak memory: {memory}",
                flush=True,
            )
        with Studio(home) as studio:
            for model, rows, replies in (("starter-classify", 4_000, 0), ("starter-chat", 64, 32)):
                print(f"{model}, {rows:,} rows:")
                divided(studio, *runs[model], rows, replies or 1)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
    sys.exit(main())
