"""The model host as a real process: it streams, stops, shares the cores, and speaks nothing but its protocol."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_runs import CHAT_ROWS, chat_run, label_run, rows_file, starter, tiny_llama

from studio.host.host import Host
from studio.inference.model_cache import ModelCache
from studio.schema.errors import StudioError
from studio.schema.host import REQUEST, RunRef
from studio.schema.host_responses import RESPONSE, Chunk, Done, Failed, Moved
from studio.schema.models import ModelInfo
from studio.schema.report import Answer, Preview, Report
from studio.services.model_host.client import HostClient
from studio.store import Home

ROLES = {"question": "prompt", "answer": "reply"}
HELLO = [{"role": "user", "content": "Where is my parcel?"}]


class Client:
    """Speaks to a host and keeps all that it says."""

    def __init__(self, home: Path, *flags: str, module: str = "studio.host") -> None:
        self.home = home
        command = [sys.executable, "-m", module, "--home", str(home), *flags]
        with (home.parent / "host.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.said: list[Any] = []
        self.news = threading.Condition()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self.news:
                    self.said.append(RESPONSE.validate_json(line))
                    self.news.notify_all()

    def send(self, op: str, name: str, **fields: Any) -> None:
        self.write(REQUEST.validate_python({"op": op, "id": name, **fields}).model_dump_json().encode())

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def wait(self, wanted: Any, seconds: float = 120) -> Any:
        """The first thing said for which `wanted` holds."""
        with self.news:
            assert self.news.wait_for(lambda: any(map(wanted, self.said)), seconds), self.said[-3:]
            return next(each for each in self.said if wanted(each))

    def end_of(self, name: str) -> Any:
        return self.wait(lambda each: isinstance(each, Done | Failed) and each.id == name)

    def ask(self, op: str, name: str, **fields: Any) -> dict[str, Any]:
        self.send(op, name, **fields)
        end = self.end_of(name)
        assert isinstance(end, Done), end
        return end.result

    def close(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.listener.join(timeout=20)
        return self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRef:
    folder = tmp_path_factory.mktemp("talk")
    made = chat_run(tiny_llama(folder / "base"), folder / "run", precision="float32")
    return made.model_copy(update={"learned_from": rows_file(CHAT_ROWS, folder / "rows.parquet")})


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A host for all tests, until one of them ends it."""
    client = Client(tmp_path_factory.mktemp("host") / "home")
    yield client
    if client.process.poll() is None:
        client.close()


@pytest.fixture
def busy_host(tmp_path: Path) -> Iterator[Client]:
    """A host of its own for a test of many requests at once."""
    client = Client(tmp_path / "home")
    yield client
    client.close()


def test_it_is_there_at_once_and_has_not_imported_torch(tmp_path: Path, afresh: None) -> None:
    began = time.monotonic()
    client = Client(tmp_path / "home")
    pid = client.wait(lambda each: each.event == "ready").pid
    assert time.monotonic() - began < 5
    assert client.ask("ping", "p") == {"pid": pid, "loaded": [], "busy": None}
    assert not any("libtorch" in each.path for each in psutil.Process(pid).memory_maps())
    assert client.close() == 0


def test_chat_streams_both_panes_and_ends_with_their_answers(host: Client, run: RunRef) -> None:
    host.ask("chat", "c1", run=run, messages=HELLO, settings={"max_new_tokens": 100})
    chunks = [each for each in host.said if isinstance(each, Chunk) and each.id == "c1"]
    for who in ("base", "tuned"):
        mine = [each for each in chunks if each.who == who]
        assert mine[-1].done and isinstance(mine[-1].answer, Answer) and mine[-1].answer.text == mine[-1].text
        assert all(not each.done for each in mine[:-1])
    assert host.ask("ping", "p1")["loaded"] == [run.folder]


def test_in_a_longer_conversation_each_model_is_shown_its_own_words(host: Client, run: RunRef) -> None:
    """The toy goes on until its context is full, so that the room left tells what it was shown."""

    def room(name: str, earlier: dict[str, str]) -> dict[str, int]:
        turns = [*HELLO, {"role": "assistant", **earlier}, {"role": "user", "content": "And now?"}]
        host.ask("chat", name, run=run, messages=turns, settings={"max_new_tokens": 256})
        return {
            each.who: each.answer.tokens
            for each in host.said
            if isinstance(each, Chunk) and each.id == name and each.answer
        }

    same = room("m1", {"content": "It left us."})
    other = room("m2", {"content": "It left us.", "base": "It left us. " * 9})
    assert other["tuned"] == same["tuned"] == same["base"] > other["base"] + 20


def test_a_stop_ends_a_reply_and_keeps_what_was_said(host: Client, run: RunRef) -> None:
    host.send("chat", "c2", run=run, messages=HELLO, settings={"max_new_tokens": 4000, "seed": 1})
    host.wait(lambda each: isinstance(each, Chunk) and each.id == "c2")
    host.send("stop", "s2", target="c2")
    end = host.end_of("c2")
    last = [each for each in host.said if isinstance(each, Chunk) and each.id == "c2" and each.done]
    assert isinstance(end, Done) and end.stopped and {each.who for each in last} == {"base", "tuned"}


def test_chat_goes_between_the_batches_of_longer_work(host: Client, run: RunRef, tmp_path: Path) -> None:
    """The longer work has far more rows than it could predict meanwhile, so it is cancelled once the chat has ended."""
    rows = rows_file(CHAT_ROWS * 2000, tmp_path / "many.parquet")
    host.send("predict", "long", run=run, rows=rows, settings={"max_new_tokens": 8})
    host.wait(lambda each: isinstance(each, Moved) and each.id == "long")
    host.send("chat", "between", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    chatted = host.end_of("between")
    host.send("stop", "s4", target="long")
    end = host.end_of("long")
    assert isinstance(end, Done) and end.stopped and not chatted.stopped
    assert host.said.index(chatted) < host.said.index(end)


def test_longer_work_predicts_every_row(host: Client, run: RunRef, tmp_path: Path) -> None:
    rows = rows_file(CHAT_ROWS * 60, tmp_path / "many.parquet")
    end = host.ask("predict", "whole", run=run, rows=rows, settings={"max_new_tokens": 8})
    assert sorted(number for number, *_ in end["predictions"]) == list(range(1, 361))


def test_rows_are_predicted_the_same_in_one_go_and_bit_by_bit(host: Client, run: RunRef, tmp_path: Path) -> None:
    rows = rows_file(CHAT_ROWS * 9, tmp_path / "many.parquet")
    asked = {"run": run, "rows": rows, "settings": {"max_new_tokens": 8}}
    whole = host.ask("predict", "go", **asked)["predictions"]
    bits: list[list[object]] = []
    while len(bits) < len(whole):
        known = tuple(bit[0] for bit in bits)
        more = host.ask("predict", f"bit-{len(bits)}", known=known, within=0, **asked)["predictions"]
        assert 0 < len(more) <= 16, "no further batch begins after the time"
        bits += more
    assert bits == whole


def test_longer_work_can_be_cancelled(host: Client, run: RunRef, tmp_path: Path) -> None:
    rows = rows_file(CHAT_ROWS * 60, tmp_path / "many.parquet")
    host.send("predict", "cancelled", run=run, rows=rows)
    host.wait(lambda each: isinstance(each, Moved) and each.id == "cancelled")
    host.send("stop", "s3", target="cancelled")
    assert host.end_of("cancelled").stopped


def test_tokens_are_shown_and_counted(host: Client, run: RunRef) -> None:
    told = {"info": run.info, "task": "chat", "roles": ROLES}
    shown = Preview.model_validate(host.ask("preview", "v", row=CHAT_ROWS[0], number=1, **told)["preview"])
    assert "".join(each.text for each in shown.tokens if each.learned).startswith("It left us on Monday.")
    found = host.ask("lengths", "n", rows=run.learned_from, **told)
    assert found["lengths"][0] == len(shown.tokens) and 0 < found["learned_share"] < 1
    assert host.ask("count_tokens", "t", info=run.info, texts=["a b c", ""])["counts"][1] == 0


def test_tokens_are_counted_alike_while_others_are_counted_and_embedded(host: Client, tmp_path: Path) -> None:
    info, rows = starter("starter-classify"), [{"text": "word " * (number % 40 * 8 + 1)} for number in range(600)]
    file = rows_file(rows, tmp_path / "rows.parquet")
    told = {"info": info, "task": "classification", "roles": {"text": "text", "label": "label"}, "label_names": ["a"]}
    labelled = rows_file([{**row, "label": "a"} for row in rows], tmp_path / "labelled.parquet")
    alone = host.ask("lengths", "counted", rows=labelled, max_length=64, **told)["lengths"]
    assert max(alone) > 300
    texts = {"rows": file, "column": "text", "folder": str(tmp_path / "vectors")}
    host.send("embed", "embedded", info=info, texts=texts)
    for number in range(12):
        host.send("lengths", f"together {number}", rows=labelled, max_length=64 + number % 3, **told)
    ends = [host.end_of(f"together {number}") for number in range(12)]
    assert all(isinstance(end, Done) and end.result["lengths"] == alone for end in ends), ends
    assert isinstance(host.end_of("embedded"), Done)


def test_a_classifier_answers_and_a_run_is_evaluated(host: Client, tmp_path: Path) -> None:
    sorter = label_run(starter("starter-classify"), tmp_path / "run")
    host.send("chat", "sorter", run=sorter, messages=HELLO)
    assert StudioError.from_dict(host.end_of("sorter").error).code == "wrong-state"
    found = host.ask("classify", "k", run=sorter, text="The lid cracked on day three.")
    assert Answer.model_validate(found["base"]).text == "bug"
    report = host.ask("evaluate", "e", run=sorter, rows=sorter.learned_from, split="test")["report"]
    assert Report.model_validate(report).rows == 12


def test_an_export_is_written_through_the_host(host: Client, run: RunRef, tmp_path: Path) -> None:
    facts = {"run": "r", "name": "tone"}
    result = host.ask("export", "x", run=run, format="merged", to=str(tmp_path / "out"), facts=facts)["result"]
    assert "replies are the same as in the Chat tab" in result["tested"]
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_refusal_is_one_plain_answer(host: Client, run: RunRef, tmp_path: Path) -> None:
    host.send("chat", "none", run=run.model_copy(update={"folder": str(tmp_path)}), messages=HELLO)
    error = StudioError.from_dict(host.end_of("none").error)
    assert error.code == "wrong-state" and "no fine-tuned model" in error.what
    host.send("chat", "empty", run=run, messages=[])
    assert StudioError.from_dict(host.end_of("empty").error).code == "bad-setting"
    host.send("classify", "talker", run=run, text="Hello")
    assert StudioError.from_dict(host.end_of("talker").error).code == "wrong-state"


def test_what_nobody_foresaw_is_said_plainly_and_kept_in_the_log(host: Client, run: RunRef, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").mkdir()
    host.send("evaluate", "odd", run=run.model_copy(update={"info": run.info}), rows={"path": "\0"}, split="test")
    error = host.end_of("odd").error
    assert error["code"] in ("unexpected", "unreadable-file") and "Traceback" not in json.dumps(error)


def test_a_line_that_is_no_request_is_answered_and_the_host_goes_on(host: Client) -> None:
    host.write(b'{"op": "dance", "id": "z"}')
    error = host.wait(lambda each: isinstance(each, Failed) and each.id is None).error
    assert error["code"] == "bad-setting"
    assert host.ask("ping", "still")["pid"] == host.process.pid


def test_models_are_let_go_when_told(host: Client, run: RunRef) -> None:
    host.ask("load", "l", run=run)
    assert run.folder in host.ask("ping", "p2")["loaded"]
    host.ask("unload", "u", folder=run.folder)
    assert run.folder not in host.ask("ping", "p3")["loaded"]


def test_models_that_nobody_asks_are_let_go(run: RunRef, tmp_path: Path) -> None:
    host = Client(tmp_path / "home", "--idle", "0.02", module="tests.hurried_host")
    host.ask("chat", "once", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    assert host.ask("ping", "still there")["loaded"] == [run.folder]
    deadline = time.monotonic() + 30
    while host.ask("ping", f"ping {time.monotonic()}")["loaded"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    host.ask("chat", "again", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    assert host.close() == 0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or (os.cpu_count() or 1) < 2, reason="one core, or no Linux")
def test_beside_a_run_at_work_it_has_one_core_and_is_known_as_a_guest(host: Client, run: RunRef) -> None:
    queue, pid = Home(host.home).queue, host.process.pid
    host.ask("chat", "alone", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    assert len(os.sched_getaffinity(pid)) == len(os.sched_getaffinity(0))
    assert queue.active_hosts() == 1, "it keeps its core for a moment after an answer"
    queue.enqueue("default", "run-1")
    assert queue.claim("run-1", os.getpid()) and queue.try_start("run-1")
    host.ask("chat", "beside", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    assert os.sched_getaffinity(pid) == {max(os.sched_getaffinity(0))}
    queue.remove("run-1")
    host.ask("chat", "after", run=run, messages=HELLO, settings={"max_new_tokens": 2})
    assert len(os.sched_getaffinity(pid)) == len(os.sched_getaffinity(0))


def test_it_ends_with_its_input_and_is_no_guest_any_more(host: Client, run: RunRef) -> None:
    host.send("chat", "last", run=run, messages=HELLO, settings={"max_new_tokens": 4000})
    host.wait(lambda each: isinstance(each, Chunk) and each.id == "last")
    began = time.monotonic()
    assert host.close() == 0
    assert time.monotonic() - began < 10
    assert Home(host.home).queue.active_hosts() == 0


def test_a_refusal_survives_the_way_through_the_protocol() -> None:
    one = StudioError("bad-setting", "Too much.", given=9, valid=["1", "2"], hint="Less.", field="epochs", rows=[3])
    many = StudioError(one.code, one.what, problems=[one, StudioError("disk-full", "Full.")])
    for error in (one, many):
        back = StudioError.from_dict(json.loads(json.dumps(error.to_dict())))
        assert (back.message, back.code, back.field, back.rows) == (error.message, error.code, error.field, error.rows)


class Out:
    """Keeps what a host writes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None: ...


class Full(ModelCache):
    """A shelf on a machine without memory."""

    def tokenizer(self, info: ModelInfo, trusted: bool = False) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999 bytes.")


def test_memory_that_runs_out_is_said_in_plain_words(tmp_path: Path) -> None:
    out = Out()
    host = Host(Home(tmp_path), out, 60)  # type: ignore[arg-type]
    host.model_cache = Full()
    info = {"name": "m", "title": "M", "source": "folder", "kind": "causal"}
    host.answer(REQUEST.validate_python({"op": "count_tokens", "id": "1", "info": info, "texts": ["a"]}))
    said = RESPONSE.validate_json(out.lines[-1])
    assert isinstance(said, Failed) and said.error["code"] == "out-of-memory"


def words(host: Client, name: str) -> dict[str, str]:
    """What both models said in a chat that has ended."""
    assert isinstance(host.end_of(name), Done), host.end_of(name)
    return {each.who: each.text for each in host.said if isinstance(each, Chunk) and each.id == name and each.done}


def test_a_short_chat_is_answered_while_long_ones_go_on_and_all_say_what_they_say_alone(
    busy_host: Client, run: RunRef, tmp_path: Path
) -> None:
    """Two runs on one base, visitors and owners, different seeds: nothing is shared but weights."""
    other = chat_run(run.info, tmp_path / "other", precision="float32")
    asked = {
        f"t{number}": {
            "run": (run, other)[number % 2],
            "workspace": f"w{number}",
            "visitor": number > 1,
            "messages": HELLO,
            "settings": {"max_new_tokens": 120, "seed": number, "temperature": 1.0},
        }
        for number in range(4)
    }
    busy_host.ask("ping", "first", visitor=True)  # from now on it computes with as many threads as it will later
    alone = {}
    for name, fields in asked.items():
        busy_host.send("chat", f"alone-{name}", **fields)
        alone[name] = words(busy_host, f"alone-{name}")
    for name, fields in asked.items():
        busy_host.send("chat", name, **fields)
    busy_host.send("chat", "none", run=run.model_copy(update={"folder": str(tmp_path)}), messages=HELLO, workspace="w7")
    busy_host.send("chat", "short", run=run, messages=HELLO, settings={"max_new_tokens": 3}, workspace="w8")
    assert isinstance(busy_host.end_of("none"), Failed)
    short = busy_host.end_of("short")
    busy_host.send("stop", "stop-t3", target="t3")
    assert busy_host.end_of("t3").stopped
    told = {name: words(busy_host, name) for name in asked if name != "t3"}
    assert told == {name: alone[name] for name in told}
    ends = [each for each in busy_host.said if isinstance(each, Done) and each.id in told]
    assert all(busy_host.said.index(short) < busy_host.said.index(end) for end in ends), "it waited for the long ones"


def test_chats_of_others_do_not_keep_longer_work_from_its_end(busy_host: Client, run: RunRef, tmp_path: Path) -> None:
    rows, stop = rows_file(CHAT_ROWS * 4, tmp_path / "rows.parquet"), threading.Event()

    def chat_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            busy_host.send("chat", f"again-{number}", run=run, messages=HELLO, settings={"max_new_tokens": 200})
            busy_host.end_of(f"again-{number}")

    chatting = threading.Thread(target=chat_on)
    chatting.start()
    busy_host.wait(lambda each: isinstance(each, Chunk) and each.id == "again-1")
    busy_host.send("predict", "w", run=run, rows=rows, settings={"max_new_tokens": 8})
    end = busy_host.end_of("w")
    stop.set()
    chatting.join()
    assert isinstance(end, Done) and len(end.result["predictions"]) == 24


def test_long_work_of_a_visitor_ends_after_its_time_and_a_long_conversation_is_refused(
    busy_host: Client, run: RunRef, tmp_path: Path
) -> None:
    rows = rows_file(CHAT_ROWS * 60, tmp_path / "rows.parquet")
    busy_host.send("predict", "late", run=run, rows=rows, visitor=True, seconds=0.01)
    assert StudioError.from_dict(busy_host.end_of("late").error).code == "limit-reached"
    busy_host.send("chat", "wordy", run=run, messages=HELLO, prompt_tokens=4)
    assert StudioError.from_dict(busy_host.end_of("wordy").error).code == "limit-reached"


def test_a_template_that_does_not_end_is_refused_once_and_for_all(tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", precision="float32")
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    (tmp_path / "base" / "chat_template.jinja").write_text(loops)
    for _ in range(2):
        host = Client(tmp_path / "home")
        host.ask("ping", "there")
        host.send("chat", "c", run=run, messages=HELLO)
        host.send("preview", "v", info=run.info, task="chat", roles=ROLES, row=CHAT_ROWS[0])
        errors = [StudioError.from_dict(host.end_of(name).error) for name in ("c", "v")]
        assert {error.code for error in errors} == {"unsafe-model"}, errors
        assert host.close() == 0
    assert len(json.loads((tmp_path / "home" / "refused-templates.json").read_text())) == 1


def test_half_a_character_in_a_chat_is_answered(run: RunRef, tmp_path: Path) -> None:
    client = HostClient(Home(tmp_path / "home"))
    said = list(
        client.ask(
            "chat",
            run=run,
            messages=[{"role": "user", "content": "Hi \ud83d"}],
            settings={"max_new_tokens": 2, "system": "\ude00"},
        )
    )
    client.close()
    assert isinstance(said[-1], Done)
