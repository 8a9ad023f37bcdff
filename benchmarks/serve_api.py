"""The API server beside bare transformers: requests per second and latency with 1, 8 and 32 clients.

Each client sends one request after another: starter-chat with LoRA of two steps, 32 new tokens, temperature 0.
Bare transformers answers the same prompts with `generate`, one after another, in a process of its own.

    .venv/bin/python benchmarks/serve_api.py [--requests 64]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

TOKENS, CLIENTS = 32, (1, 8, 32)
BARE = """
import json, sys, time
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, tokens, prompts = json.loads(sys.stdin.read())
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
seconds = []
for prompt in [prompts[0], *prompts]:
    began = time.perf_counter()
    turns = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds[1:]))
"""


def main() -> None:
    """Train two steps, measure both, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=64, help="requests of each measurement")
    count = parser.parse_args().requests
    prompts = [f"Where is my parcel number {n}?" for n in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = trained(home)
        rows = [["bare transformers, one after another", *figures(*bare(home, run, prompts))]]
        for label, options in {"API": (), "API with --greedy": ("--greedy",)}.items():
            with Server(home, run, options) as server:
                for clients in CLIENTS:
                    seconds, wall = asyncio.run(server.measure(prompts, clients))
                    rows.append([f"{label}, {clients} clients", *figures(seconds, wall)])
    print(f"{'':40}{'requests/s':>12}{'median s':>12}{'95% s':>12}")
    for name, *values in rows:
        print(f"{name:40}" + "".join(f"{value:>12.2f}" for value in values))


def figures(seconds: list[float], wall: float) -> tuple[float, float, float]:
    """Requests per second, median latency, 95th percentile."""
    return len(seconds) / wall, median(seconds), quantiles(seconds, n=20)[-1]


def trained(home: Path) -> str:
    """A LoRA run of two steps."""
    from studio.api import RunRequest, Studio

    with Studio(home) as studio:
        data = studio.datasets.open("sample:support-tone").id
        settings = {"max_steps": 2, "max_length": 64, "batch_size": 2}
        run = studio.runs.start(RunRequest(dataset=data, model="starter-chat", settings=settings)).id
        for _ in studio.runs.watch(run):
            pass
        studio.exports.create(run, "merged", home / "merged")
    return run


def bare(home: Path, run: str, prompts: list[str]) -> tuple[list[float], float]:
    """Seconds of each reply of plain transformers, and of all."""
    told = json.dumps([str(home / "merged"), TOKENS, prompts])
    done = subprocess.run([sys.executable, "-c", BARE], input=told, capture_output=True, text=True, check=True)
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds, sum(seconds)


class Server:
    """`studio serve-api` for one run."""

    def __init__(self, home: Path, run: str, options: tuple[str, ...]) -> None:
        self.run = run
        command = [sys.executable, "-m", "studio", "--home", str(home), "serve-api", run, "--port", "0", "--no-key"]
        self.process = subprocess.Popen(
            [*command, "--no-base", "--json", "--rate", "100000", *options], stdout=subprocess.PIPE
        )
        lines: list[bytes] = []
        assert self.process.stdout is not None
        while not lines or lines[-1] != b"}\n":
            lines.append(self.process.stdout.readline())
            if not lines[-1]:
                raise RuntimeError("The API server did not start.")
        self.address = json.loads(b"".join(lines))["address"]

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    async def measure(self, prompts: list[str], clients: int) -> tuple[list[float], float]:
        """Seconds of each request, and of all."""
        import openai

        waiting, seconds = list(prompts), []

        async def work(client: Any) -> None:
            while waiting:
                messages = [{"role": "user", "content": waiting.pop()}]
                began = time.perf_counter()
                await client.chat.completions.create(
                    model=self.run, messages=messages, max_tokens=TOKENS, temperature=0
                )
                seconds.append(time.perf_counter() - began)

        async with openai.AsyncOpenAI(base_url=self.address, api_key="none", max_retries=0, timeout=3600) as client:
            began = time.perf_counter()
            await asyncio.gather(*(work(client) for _ in range(clients)))
            return seconds, time.perf_counter() - began


if __name__ == "__main__":
    main()
