"""Code blocks of README and docs, as a reader would use them: each command and each piece of Python runs."""

import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from small_trainings import tiny_starters
from worker_runs import wait_for

from studio.api import Studio
from studio.machine.environment import VISITORS
from tests.browser.served import Served
from tests.code_blocks import GENERATED, PAGES, Block, blocks_of

NOT_RUN = {
    "git clone ": "needs the network",
    "make studio": "installs, and serves until it is stopped",
    "export STUDIO_PASSWORD": "is for the server in the next line",
    "export STUDIO_ROLES_FILE": "is for the server in the next line",
    "studio serve": "serves until it is stopped; the tests in tests/browser do it",
    "docker ": "needs Docker",
    ".venv/bin/pip install": "needs the network",
    "studio models --search": "needs the Hub; tests/real/test_hub_served.py has one",
    "studio models HuggingFaceTB/": "needs the Hub",
    "studio download HuggingFaceTB/": "needs the Hub",
    "studio models --add /models/": "needs a GGUF file; tests/unit/test_models_gguf.py adds one",
    "studio download modelscope:": "tests/unit/test_modelscope.py has a small ModelScope",
    "studio download /models/": "tests/real/test_gguf_base.py converts one",
    "studio train sample:support-tone --model starter-chat --processes 2": "tests/real/test_processes.py trains so",
    "studio train sample:support-tone --model starter-chat --replay": "tests/real/test_start_from_and_replay.py",
    "studio train rows.csv --model starter-chat --project": "trains as on the other pages; the project does without",
    "studio search ": "tests/real/test_search.py searches",
    "studio estimate sample:support-tone --model starter-chat --probe": "tests/real/test_oom_retry.py measures",
    "studio combine ": "tests/real/test_adapter_merge.py combines",
    "studio export last --format adapter ": "tests/real/test_export.py exports adapters",
    "studio export last --format gguf ": "needs the converter; tests/exports exports GGUF",
    "studio export last --format ollama ": "needs the converter; tests/exports exports for Ollama",
    "cd support-tone-ollama": "is for Ollama in the next line",
    "ollama ": "needs Ollama",
    "studio export last --format onnx ": "tests/real/test_onnx_export.py exports to ONNX and runs the files",
    "studio export last --format browser ": "tests/real/test_onnx_export.py opens the page in Chromium",
    "studio export last --format openvino ": "tests/real/test_onnx_export.py exports to OpenVINO and runs the files",
    "studio export last --format tflite ": "needs the converter; tests/exports exports to LiteRT and runs the files",
    "studio export last --format script ": "tests/real/test_script_export.py exports scripts and runs them",
    "studio data export last --format ": "tests/unit/test_row_export.py exports in each format",
    "studio import-adapter ": "tests/real/test_adapter_import.py opens adapters",
    "studio push ": "needs the Hub; tests/unit/test_hub_push.py has one",
    "studio export last --format space ": "tests/real/test_space_export.py exports Spaces and runs them",
    "from openai import OpenAI": "tests/real/test_serve_api.py asks with this client",
    "from studio.api import": "tests/real/test_python_api.py runs it",
}
"""How a command or a Python block begins that does not run here → why. test_docs.py parses those of the studio."""

ADDED = {
    "studio train": [
        *("--max-steps", "2", "--max-length", "96", "--eval-rows", "4"),
        *("--validation-share", "0.01", "--test-share", "0.01"),
    ],
    "studio train DATA": ["--detach"],
    "studio train sample:support-tone --config": ["--detach"],
    "studio repeat": ["--detach"],
    "studio extend": ["--detach"],
    "studio resume": ["--detach"],
    "studio chat": ["--max-new-tokens", "8"],
}
"""How a command begins → flags that are added to it, so that it takes the time of a test."""
SHORTENED = {"max_new_tokens=160": "max_new_tokens=8", '"max_steps": 20': '"max_steps": 2, "eval_rows": 8'}
"""The same for Python: what is written → what runs here."""

ROWS = "Frage,Antwort\n" + "".join(f"Wie ist Nummer {n}?,Nummer {n} ist gut.\n" for n in range(1, 20))
ASKED = [f"Where is parcel {n}?,It left us on day {n}.,c{n % 7},2024-01-{n:02d}\n" for n in range(1, 29)]
QUESTIONS = "question,answer,customer,day\n" + "".join([*ASKED, ASKED[3]])
AXOLOTL = "base_model: starter-chat\nadapter: lora\nmicro_batch_size: 2\nnum_epochs: 1\nlearning_rate: 2e-4\n"
FILES = {
    "docs/reference/data.md": {
        "tickets.csv": ROWS,
        "held-back.csv": ROWS[:60],
        "questions.csv": QUESTIONS,
        "book.txt": "".join(f"This is line {n} of a book.\n" for n in range(40)),
    },
    "docs/guides/prepare-data.md": {
        "my-test-rows.csv": "question,answer\nWhat is the capital of France?,Paris.\n",
        "questions.csv": QUESTIONS,
    },
    "docs/guides/manage-runs.md": {"axolotl.yaml": AXOLOTL, "rows.csv": QUESTIONS},
    "docs/guides/use-the-model.md": {"questions.csv": "question\nWhere is it?\n"},
}
"""Page → the files that it names, which its reader has."""
TRAINING = "studio train sample:support-tone --model starter-chat --name support-tone"
TRAINS_MORE = ("docs/guides/host.md", "docs/guides/manage-runs.md")
"""Pages with runs of their own. They come last, because `last` is the run of the tutorial on the others."""
RUN_PAGES = [*(page for page in PAGES if page not in {*GENERATED, *TRAINS_MORE} and blocks_of(page)), *TRAINS_MORE]


def reason_not_to_run(text: str) -> str:
    """Why a command or a Python block does not run here; empty when it does."""
    return next((reason for start, reason in NOT_RUN.items() if text.startswith(start)), "")


@dataclass
class Reader:
    """Somebody who types what the pages show, page after page, into one data folder."""

    root: Path
    printed: dict[str, str] = field(default_factory=dict)
    """Line → what it printed. The same line runs once, unless it names a file of its page."""
    page: str = ""

    @property
    def folder(self) -> Path:
        """Where the reader works."""
        return self.root / "work"

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.root / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "STUDIO_HOME": str(self.home), "HF_HUB_OFFLINE": "1"}

    def open(self, page: str) -> None:
        """Begin a page, with the files that it names."""
        self.page = page
        for name, content in FILES.get(page, {}).items():
            (self.folder / name).write_text(content, encoding="utf-8")

    def type(self, line: str, filled: Callable[[str], str] = str) -> str:
        """Run a command of the studio, with its placeholders filled. Returns what it printed."""
        own = any(name in line for name in FILES.get(self.page, {}))
        if own or line not in self.printed:
            added = [flag for start, flags in ADDED.items() if line.startswith(start) for flag in flags]
            self.printed[line] = self.call(*shlex.split(filled(line)), *added)
        return self.printed[line]

    def run(self, code: str) -> str:
        """Run Python code. Returns what it printed."""
        (self.folder / "block.py").write_text(code, encoding="utf-8")
        return self.call("tests.run_file", "block.py", **VISITORS)

    def call(self, *arguments: str, **environment: str) -> str:
        """Run a module with arguments, in the page's folder."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr[-3000:]}"
        assert done.stdout.strip() or done.stderr.strip(), f"{' '.join(arguments)} printed nothing"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has trained the model of README and tutorial.

    A tiny model has the name of starter-chat: what a page shows is typed unchanged, and none of it depends on its
    weights. tests/real/test_worker_starters.py and test_export.py train, judge and export the starter itself.
    """
    reader = Reader(tmp_path_factory.mktemp("reader"))
    reader.folder.mkdir()
    tiny_starters(reader.root / "cache", ["starter-chat"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_CACHE", str(reader.root / "cache"))
        reader.open("README.md")
        reader.type(TRAINING)
        yield reader


@contextmanager
def placeholders_filled(reader: Reader, page: str) -> Iterator[Callable[[str], str]]:
    """What turns a line of a page into one with real runs and data.

    While the guide about runs is read, a run has its turn, so that others wait. Afterwards all of them end.
    """
    if page != "docs/guides/manage-runs.md":
        yield lambda line: line
        return
    ended = reader.type(TRAINING).split()[-1]
    shutil.copy(next(reader.home.glob(f"workspaces/*/runs/{ended}/config.yaml")), reader.folder)
    begin = (*shlex.split(TRAINING), "--max-length", "96", "--detach")
    first = reader.call(*begin).split()[-1]
    with frozen(reader.home, first):
        waiting = reader.call(*begin).split()[-1]
        runs = dict.fromkeys(("queue", "pause", "resume", "stop", "delete"), waiting)
        yield lambda line: re.sub(r"\bRUN\b", runs.get(line.split()[1], ended), line).replace(
            "DATA", "sample:support-tone"
        )


@contextmanager
def frozen(home: Path, run: str) -> Iterator[None]:
    """Meanwhile a run has its turn, and takes no time of the processor. Afterwards all queued runs are stopped."""
    with Studio(home) as studio:
        turns = studio.runs.queue.listing
        worker = wait_for(lambda: next((each.pid for each in turns() if each.running), None), studio=studio)
        os.kill(worker, signal.SIGSTOP)
        while not all(map(can_be_written, home.rglob("*.db"))):  # others would wait for it
            os.kill(worker, signal.SIGCONT)
            time.sleep(0.1)
            os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in reversed(studio.runs.queued()):  # the frozen one last, so that no other begins
                studio.runs.stop(each.id, "discard")
            os.kill(worker, signal.SIGCONT)
            wait_for(lambda: studio.runs.get(run).status == "stopped", studio=studio)


def can_be_written(database: Path) -> bool:
    """Whether no process is writing a database."""
    with closing(sqlite3.connect(database, timeout=0.2)) as connection, suppress(sqlite3.OperationalError):
        connection.execute("BEGIN IMMEDIATE")
        return True
    return False


@pytest.mark.parametrize("page", RUN_PAGES)
def test_the_code_blocks_of_a_page_run(reader: Reader, page: str) -> None:
    reader.open(page)
    blocks = [block for block in blocks_of(page) if block.language in ("sh", "python")]
    with placeholders_filled(reader, page) as filled:
        for block in blocks:
            if block.language == "python":
                run_python(reader, block)
                continue
            for line in block.commands:
                if not reason_not_to_run(line):
                    assert line.startswith("studio "), f"{page} shows {line!r}: run it here, or name it in NOT_RUN"
                    reader.type(line, filled)


def run_python(reader: Reader, block: Block) -> None:
    """Run a block of Python, with a studio at the address that it names."""
    if reason_not_to_run(block.text):
        return
    code = block.text
    for written, short in SHORTENED.items():
        code = code.replace(written, short)
    if "127.0.0.1:7860" not in code:
        reader.run(code)
        return
    served = Served(reader.home)
    try:
        reader.run(code.replace("http://127.0.0.1:7860", served.url))
    finally:
        served.stop()


def test_each_reason_not_to_run_something_is_needed_and_the_rest_is_there() -> None:
    blocks = [block for page in RUN_PAGES for block in blocks_of(page)]
    lines = [line for block in blocks if block.language == "sh" for line in block.commands]
    shown = [*lines, *(block.text for block in blocks if block.language == "python")]
    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in shown)] == []
    assert [written for written in SHORTENED if not any(written in text for text in shown)] == []
    commands = {line.split()[1] for line in lines if line.startswith("studio ") and not reason_not_to_run(line)}
    assert commands >= {"check", "train", "evaluate", "chat", "export", "queue", "label", "import-run"}
