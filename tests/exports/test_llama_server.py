"""`studio serve-api --engine llama.cpp`: llama.cpp's own server answers for the GGUF export of a run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from conftest import installed

from studio.api import RunRequest, Studio
from studio.cli.main import run as run_command
from studio.export.gguf import QUANTIZER
from studio.machine.tool_environment import ToolEnvironment
from studio.schema.report import ChatSettings
from studio.store import Home
from studio.store.api_keys import ApiKeys

pytestmark = pytest.mark.timeout(7200)
"""llama-cpp-python is compiled once, which takes up to an hour."""
SERVER = ToolEnvironment(
    name="llama-server",
    title="llama.cpp server",
    sentence="What llama-cpp-python's server needs beside the studio's packages.",
    requirements=Path(__file__).with_name("llama-server.txt"),
    hint="Connect this machine to the internet.",
)
SETTINGS = {"max_steps": 2, "max_length": 64, "batch_size": 2, "learning_rate": 0.002, "system_prompt": "Be brief."}
QUESTIONS = ["What is the capital of France?", "Where is my order?", "Name a color.", "Good morning!"]
TOKENS = 12
Served = tuple[Home, str, str, str]


def packages_of(environment: ToolEnvironment, tools: Path) -> str:
    (folder,) = environment.folder(tools).glob("lib/python*/site-packages")
    return str(folder)


@pytest.fixture(scope="module")
def served(quantizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run with its GGUF export, served: data folder, run, address and key."""
    tools = installed(SERVER)
    home = Home(tmp_path_factory.mktemp("home"))
    home.tools.symlink_to(tools)
    with Studio(home) as studio:
        data = studio.datasets.open("sample:support-tone")
        run = studio.runs.start(RunRequest(dataset=data.id, model="starter-chat", settings=SETTINGS)).id
        for _ in studio.runs.watch(run):
            pass
    options = ["--format", "gguf", "--option", "precision=f16"]
    assert run_command(["--home", str(home.root), "export", run, *options]) == 0
    key = ApiKeys(home).add("tests")
    command = [sys.executable, "-m", "studio", "--home", str(home.root), "serve-api", run]
    command += ["--engine", "llama.cpp", "--port", "0", "--json"]
    paths = [packages_of(SERVER, tools), packages_of(QUANTIZER, tools), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        lines: list[bytes] = []
        try:
            while not lines or lines[-1] != b"}\n":
                lines.append(process.stdout.readline())
                assert lines[-1], process.stderr.read().decode()
            status = json.loads(b"".join(lines))
            engines = {model: each["engine"] for each in status["engines"] for model in each["models"]}
            assert engines[run] == "llama.cpp", status
            yield home, run, status["address"], key
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_its_replies_begin_like_those_of_the_studios_chat_whole_and_streamed(served: Served) -> None:
    home, run, address, key = served
    settings, expected, whole, streamed = ChatSettings(max_new_tokens=TOKENS, temperature=0), [], [], []
    with Studio(home) as studio:
        for question in QUESTIONS:
            for chunk in studio.chat.ask(run, [{"role": "user", "content": question}], settings):
                if chunk.answer is not None and chunk.who == "tuned":
                    expected.append(chunk.answer.text)
    with openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=300) as client:
        for question in QUESTIONS:
            options: dict[str, Any] = {"model": run, "max_tokens": TOKENS, "temperature": 0}
            options["messages"] = [{"role": "user", "content": question}]
            answer = client.chat.completions.create(**options)
            assert answer.usage is not None and 0 < answer.usage.completion_tokens <= TOKENS
            whole.append(answer.choices[0].message.content)
            chunks = client.chat.completions.create(**options, stream=True)
            streamed.append("".join(each.choices[0].delta.content or "" for each in chunks if each.choices))
    assert streamed == whole and len(expected) == len(QUESTIONS)
    same = [a[:8] == b[:8] for a, b in zip(whole, expected, strict=True)]
    assert sum(same) >= len(QUESTIONS) - 1, (whole, expected)


def test_a_stop_sequence_ends_a_reply_and_a_prompt_that_is_too_long_is_refused(served: Served) -> None:
    _, run, address, key = served
    with openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=300) as client:
        options: dict[str, Any] = {"model": run, "max_tokens": TOKENS, "temperature": 0}
        options["messages"] = [{"role": "user", "content": QUESTIONS[0]}]
        said = client.chat.completions.create(**options).choices[0].message.content
        stop = said[4:7]
        stopped = client.chat.completions.create(**options, stop=[stop]).choices[0]
        assert stopped.message.content == said[: said.find(stop)] and stopped.finish_reason == "stop"
        options["messages"] = [{"role": "user", "content": "word " * 9000}]
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**options)
        assert refused.value.code == "context_length_exceeded"
