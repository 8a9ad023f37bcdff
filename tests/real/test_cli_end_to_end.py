"""The contract of the command line, with real runs: every command, what it prints and how it ends.

Both runs are of tiny models with random weights, which have the names of the starters too.
"""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_runs import tiny_llama

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.schema.requests import RunRequest
from studio.schema.runs import ACTIVE
from tests.listening import Listening
from tests.said import Said
from tests.signals import heed_ctrl_c

STUDIO = [sys.executable, "-m", "studio"]
ASKS = "import huggingface_hub; huggingface_hub.HfApi().model_info('someone/tiny')"
HELLO = [{"role": "user", "content": "Hello"}]


class Home:
    """A home, and the command line in it; whatever it would ask the network for is heard by `network`."""

    def __init__(self, root: Path, network: Listening) -> None:
        self.root, self.network = root, network
        self.environment = {
            **network.environment(),
            "STUDIO_HOME": str(root),
            "TERM": "dumb",
            "COLUMNS": "200",
        }

    def call(self, *arguments: str | Path, status: int = 0) -> Said:
        """Run a command to its end; its status is what it should be, and no traceback is shown."""
        done = subprocess.run(
            [*STUDIO, *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=300
        )
        said = Said(done.returncode, done.stdout, done.stderr)
        assert said.status == status, said
        assert "Traceback" not in said.out + said.err
        return said

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        return self.call(*arguments, "--json", status=status).document

    def wait(self, run: str, until: Callable[[dict[str, Any]], bool], seconds: float = 120) -> dict[str, Any]:
        """Look at a run until something is so; as `studio show` tells it, without a new process for every look."""
        studio = Studio(self.root)
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                studio.reconcile()
                events = [each.flat() for each in studio.runs.events(run)]
                checkpoints = [each for each in events if each["kind"] == "checkpoint"]
                shown = {"status": studio.runs.get(run).status, "events": events, "checkpoints": checkpoints}
                if until(shown):
                    return shown
                time.sleep(0.2)
            raise AssertionError(f"never came to be: {shown['status']}\n{studio.runs.log(run)}")
        finally:
            studio.close()


def ended(shown: dict[str, Any]) -> bool:
    return shown["status"] not in ACTIVE


def saved_a_checkpoint(shown: dict[str, Any]) -> bool:
    return bool(shown["checkpoints"])


def worker_of(run: str) -> psutil.Process:
    """The worker as `ps` shows it: its command line holds studio.worker and ends with the run's id."""
    lines = {process: " ".join(process.info["cmdline"] or []).strip() for process in psutil.process_iter(["cmdline"])}
    found = [process for process, line in lines.items() if "studio.worker" in line and line.endswith(run)]
    assert len(found) == 1, found
    return found[0]


def refused(do: Callable[[Studio], object], home: Home) -> StudioError:
    """The refusal of something asked of the studio itself."""
    studio = Studio(home.root)
    try:
        with pytest.raises(StudioError) as caught:
            do(studio)
    finally:
        studio.close()
    return caught.value


@pytest.fixture(scope="module")
def home(tiny_starters: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Listening() as network:
        yield Home(tmp_path_factory.mktemp("home"), network)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tiny_llama(folder)
    return folder


@pytest.fixture(scope="module")
def chat_run(home: Home, model: Path) -> str:
    said = home.call(
        "train",
        "sample:support-tone",
        "--model",
        model,
        "--name",
        "tone",
        "--max-steps",
        "6",
        "--max-length",
        "64",
        "--batch-size",
        "2",
        "--eval-rows",
        "8",
        "--test-prompt",
        "Where is my refund?",
    )
    return said.last_line


@pytest.fixture(scope="module")
def label_run(home: Home) -> str:
    return home.json(
        "train",
        "sample:review-mood",
        "--model",
        "starter-classify",
        "--method",
        "lora",
        "--max-steps",
        "4",
        "--max-length",
        "32",
        "--batch-size",
        "4",
        "--eval-rows",
        "8",
        "--name",
        "mood",
    )["id"]


def at_length(model: Path) -> list[str]:
    """What to train for a run that would go on for a long time."""
    return [
        "sample:support-tone",
        "--model",
        str(model),
        "--max-steps",
        "100000",
        "--epochs",
        "1000",
        "--batch-size",
        "2",
        "--max-length",
        "64",
        "--eval-steps",
        "20",
        "--eval-rows",
        "4",
        "--early-stopping-patience",
        "0",
    ]


# --- before a run ---


def test_preview_shows_the_tokens_and_which_are_learned(home: Home, model: Path) -> None:
    seen = home.json("preview", "sample:support-tone", "--model", model, "--row", "2")
    assert set(seen) >= {"text", "tokens", "truncated", "template"}
    assert {"text", "id", "learned"} == set(seen["tokens"][0])
    learned = "".join(token["text"] for token in seen["tokens"] if token["learned"])
    assert learned.startswith("Thanks for asking.")
    assert not seen["truncated"]
    cut = home.call("preview", "sample:support-tone", "--model", model, "--max-length", "16").out
    assert "16 tokens" in cut
    assert "Truncated:" in cut
    assert "row" in home.call("preview", "sample:support-tone", "--model", model, "--row", "9999", status=2).err


def test_estimate_says_what_a_run_would_take_with_and_without_rows(home: Home, model: Path) -> None:
    wanted = {
        "fits",
        "memory_bytes",
        "available_bytes",
        "seconds",
        "steps",
        "epochs",
        "effective_batch_size",
        "trainable_parameters",
        "total_parameters",
        "because",
    }
    asked = home.json(
        "estimate",
        "sample:support-tone",
        "--model",
        model,
        "--max-steps",
        "7",
        "--batch-size",
        "2",
        "--gradient-accumulation",
        "3",
    )
    assert wanted <= set(asked)
    assert (asked["fits"], asked["steps"], asked["effective_batch_size"]) == (True, 7, 6)
    assert 0 < asked["trainable_parameters"] < asked["total_parameters"]
    assert home.json("estimate", "--model", model)["steps"] > 0
    assert "steps" in home.call("estimate", "--model", model).out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--learning-rate", "0"], "learning rate"),
        (["--learning-rate", "1e9"], "at most 0.1"),
        (["--max-length", "100000"], "256"),
        (["--method", "lara"], "lora"),
        (["--preset", "quik"], "quick"),
        (["--task", "classifikation"], "classification"),
        (["--validation-share", "0.5", "--test-share", "0.4"], "90%"),
        (["--method", "qlora", "--lora-rank", "0"], "lora rank"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_before_anything_starts(
    home: Home, model: Path, flags: list[str], words: str
) -> None:
    said = home.call("train", "sample:support-tone", "--model", model, *flags, status=2)
    assert words in said.err
    assert not said.out


def test_a_config_file_sets_and_flags_win_and_validation_may_be_a_file(home: Home, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(f"model: {model}\nmax_steps: 3\nlerning-rate: 0.001\n")
    said = home.call("train", "sample:support-tone", "--config", config, status=2)
    assert "Did you mean learning_rate?" in said.err
    config.write_text(f"model: {model}\nmax_steps: 3\nlearning-rate: 0.001\nbatch_size: 1\nmax_length: 64\n")
    kept_apart = tmp_path / "apart.csv"
    kept_apart.write_text("question,answer\n" + "".join(f"Is {n} even?,It is number {n}.\n" for n in range(10)))
    run = home.json("train", "sample:support-tone", "--config", config, "--max-steps", "2", "--validation", kept_apart)
    shown = home.json("show", run["id"])
    assert home.json("check", shown["dataset"]["validation_dataset"])["rows"] == 10
    assert run["status"] == "finished"
    assert (shown["config"]["max_steps"], shown["config"]["learning_rate"]) == (2, 0.001)


def test_a_model_that_is_not_there_or_can_not_do_it_is_refused(home: Home, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    heard = len(home.network.heard)
    for name in (tmp_path / "empty", "starter-chap", "../../etc"):
        said = home.call("train", "sample:support-tone", "--model", name, status=2)
        assert str(name) in said.err or "starter-chat" in said.err
    del home.network.heard[heard:]  # a name that is none of ours is asked of the Hub
    said = home.call("train", "sample:support-tone", "--model", "starter-classify", status=2)
    assert "starter-classify" in said.err or "can't" in said.err


def test_a_bad_line_is_not_trained_on_until_it_is_left_out(home: Home, model: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"What is {n}?", "answer": f"It is {n}."}) for n in range(1, 25)]
    lines[7] = '{"question": '
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    flags = ("--model", model, "--max-steps", "1", "--max-length", "64", "--eval-rows", "2")
    said = home.call("train", path, *flags, status=2)
    assert "8" in said.err
    as_asked = ("--leave-out", "bad-line", "--map", "question=reply", "--map", "answer=prompt")
    made = home.json("train", path, *flags, *as_asked)
    assert made["status"] == "finished"
    # its config.yaml, as an older studio would have written it, asks for the same, rows and columns too
    config = tmp_path / "config.yaml"
    kept = (home.root / "workspaces" / "default" / "runs" / made["id"] / "config.yaml").read_text()
    config.write_text(kept.replace("config:\n", "config:\n  rate_of_old: 3\n", 1))
    said = home.call("train", path, "--config", config)
    assert "rate_of_old" in said.err
    one, two = (home.json("show", run) for run in (made["id"], said.out.split()[-1]))
    alike = ("roles", "left_out")
    assert [two["dataset"][name] for name in alike] == [one["dataset"][name] for name in alike]
    assert two["dataset"]["roles"] == {"question": "reply", "answer": "prompt"} and two["dataset"]["left_out"]
    assert two["config"] == {**one["config"], "name": two["config"]["name"]}


# --- a run from its start to its end ---


def test_train_ends_with_the_id_of_the_run(home: Home, chat_run: str) -> None:
    assert re.fullmatch(r"\S{10,}", chat_run)
    row = next(each for each in home.json("runs") if each["id"] == chat_run)
    assert set(row) >= {"id", "name", "status", "task", "model", "method", "created", "seconds", "metrics"}
    assert (row["name"], row["status"], row["task"], row["method"]) == ("tone", "finished", "chat", "lora")
    assert chat_run in home.call("runs").out


def test_show_tells_all_that_happened(home: Home, chat_run: str) -> None:
    shown = home.json("show", chat_run)
    assert set(shown) >= {"config", "dataset", "events", "checkpoints", "advice", "metrics"}
    events = shown["events"]
    assert [each["id"] for each in events] == sorted({each["id"] for each in events})
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", each["time"]) for each in events)
    of = {kind: [each for each in events if each["kind"] == kind] for kind in {each["kind"] for each in events}}
    assert [each["step"] for each in of["step"]] == [1, 2, 3, 4, 5, 6]
    wanted = {"step", "loss", "learning_rate", "grad_norm", "rows_per_second", "memory_bytes"}
    assert all(wanted <= set(each) for each in of["step"])
    assert of["step"][0]["memory_bytes"] > 0
    assert {0, 6} <= {each["step"] for each in of["evaluation"]} <= set(range(7))
    assert all("eval_loss" in each for each in of["evaluation"])
    assert of["state"][0]["status"] == "queued"
    assert of["state"][-1]["status"] == "finished"
    replies = {(each["who"], each["prompt"]) for each in of["reply"]}
    assert replies == {("base", "Where is my refund?"), ("tuned", "Where is my refund?")}
    assert "finished" in home.call("show", "last" if home.json("runs")[0]["id"] == chat_run else chat_run).out


def test_the_log_of_a_run_is_printed(home: Home, chat_run: str) -> None:
    assert home.json("log", chat_run)["id"] == chat_run
    assert home.call("log", chat_run).out == home.json("log", chat_run)["log"]


def test_chat_answers_side_by_side(home: Home, chat_run: str) -> None:
    flags = ("--max-new-tokens", "8")
    said = home.json("chat", chat_run, "Where is my refund?", *flags)
    assert set(said) == {"prompt", "base", "tuned"}
    assert {"text", "tokens", "seconds"} <= set(said["base"]) & set(said["tuned"])
    assert 0 < said["tuned"]["tokens"] <= 8
    for flag in (("--temperature", "9"), ("--top-p", "0"), ("--max-new-tokens", "0")):
        home.call("chat", chat_run, "x", *flag, status=2)


def test_chat_without_a_prompt_asks_for_them(home: Home, chat_run: str) -> None:
    done = subprocess.run(
        [*STUDIO, "chat", chat_run, "--max-new-tokens", "4"],
        env=home.environment,
        input="Hello\nAgain\n\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Fine-tuned model") == 2


def test_chat_on_a_terminal_shows_both_replies_side_by_side_while_they_are_written(home: Home, chat_run: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*STUDIO, "chat", chat_run, "Hello", "--max-new-tokens", "40", "--temperature", "1"],
        env={**home.environment, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal's end, when the command has ended
            while piece := os.read(ours, 10_000):
                shown += piece
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    drawn = re.findall(r"Base model +Fine-tuned model", text)
    assert process.returncode == 0 and "Traceback" not in text, text
    assert len(drawn) > 1, "drawn again while they are written"
    assert text.rindex(drawn[-1]) < text.index("tokens in") and text.count("tokens in") == 2


def test_a_classifier_answers_with_labels_and_probabilities(home: Home, label_run: str) -> None:
    said = home.json("chat", label_run, "It broke after two days.")
    for who in ("base", "tuned"):
        assert sum(each["probability"] for each in said[who]["labels"]) == pytest.approx(1, abs=0.01)
        assert "how" in said[who]
    assert said["base"]["how"]


def test_predict_writes_every_column_and_the_prediction(home: Home, label_run: str, tmp_path: Path) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "out.csv"
    rows = [{"nr": str(n), "text": f"The lamp number {n} is {'fine' if n % 2 else 'broken'}."} for n in range(1, 6)]
    with source.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["nr", "text"])
        writer.writeheader()
        writer.writerows(rows)
    column = next(iter(home.json("show", label_run)["dataset"]["roles"]))
    source.write_text(source.read_text().replace("nr,text", f"nr,{column}", 1))
    assert home.json("predict", label_run, source, "--out", out)["rows"] == 5
    with out.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [each["nr"] for each in written] == [each["nr"] for each in rows]
    assert set(written[0]) == {"nr", column, "prediction", "confidence"}
    assert all(0 <= float(each["confidence"]) <= 1 for each in written)
    assert home.json("predict", label_run, source, "--out", out, "--base")["rows"] == 5
    assert "missing" in home.call("predict", label_run, source, "--out", tmp_path / "missing" / "x.csv", status=2).err
    assert ".docx" in home.call("predict", label_run, source, "--out", tmp_path / "x.docx", status=2).err


def test_evaluate_compares_base_and_tuned_on_rows_kept_apart(home: Home, label_run: str) -> None:
    report = home.json("evaluate", label_run)
    assert set(report) >= {
        "rows",
        "metrics",
        "verdict",
        "per_label",
        "best_rows",
        "worst_rows",
        "forgetting",
        "robustness",
    }
    assert report["rows"] > 0
    assert all({"base", "tuned", "low", "high"} <= set(metric) for metric in report["metrics"].values())
    assert report["verdict"]


def test_export_writes_a_folder_that_was_loaded_again(home: Home, chat_run: str, tmp_path: Path) -> None:
    for form in ("adapter", "merged"):
        result = home.json("export", chat_run, "--format", form, "--to", tmp_path / form)
        assert result["format"] == form
        assert list((tmp_path / form).rglob("*.safetensors"))
        assert result["tested"]
    said = home.call("export", chat_run, "--format", "mergd", "--to", tmp_path / "x", status=2)
    assert "merged" in said.err


def test_an_export_does_not_write_over_what_is_there(home: Home, chat_run: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("stays")
    (tmp_path / "file").write_text("stays")
    for place in ("full", "file"):
        said = home.call("export", chat_run, "--format", "adapter", "--to", tmp_path / place, status=2)
        assert place in said.err
    assert (tmp_path / "full" / "mine.txt").read_text() == "stays"


def test_what_was_never_exported_can_not_be_downloaded(home: Home, chat_run: str) -> None:
    assert refused(lambda studio: studio.exports.zip_path(chat_run, "adapter"), home).code == "format-unavailable"


def test_a_method_that_a_model_can_not_use_is_refused_with_the_reason(home: Home) -> None:
    def start(studio: Studio) -> object:
        return studio.runs.start(
            RunRequest(dataset=studio.datasets.open("sample:review-mood").id, model="starter-classify", method="qlora")
        )

    error = refused(start, home)
    assert error.code == "method-unavailable"
    assert error.field == "method"


def test_a_run_that_needs_more_memory_than_there_is_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDIO_CACHE")  # the starter itself
    flags = {
        "batch_size": 200,
        "gradient_accumulation": 1,
        "max_length": 512,
        "system_prompt": "word " * 520,
        "gradient_checkpointing": False,
    }

    def start(studio: Studio) -> object:
        return studio.runs.start(
            RunRequest(
                dataset=studio.datasets.open("sample:support-tone").id,
                model="starter-chat",
                method="full",
                settings=flags,
            )
        )

    error = refused(start, home)
    assert error.code == "does-not-fit"
    assert "GB" in str(error.given)


def test_a_run_whose_files_were_removed_says_so(home: Home, model: Path) -> None:
    flags = ("--max-steps", "1", "--max-length", "64", "--eval-rows", "2")
    run = home.json("train", "sample:support-tone", "--model", model, *flags)["id"]
    adapter = home.root / "workspaces" / "default" / "runs" / run / "adapter"
    for file in adapter.glob("*.safetensors"):
        file.write_bytes(b"cut off")
    assert refused(lambda studio: list(studio.chat.stream(run, HELLO, ChatSettings())), home).code == "damaged-run"
    # Something that nobody foresaw: the details go to a log, not to a person.
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "peft_type": "NO_SUCH_METHOD"}))
    assert refused(lambda studio: list(studio.chat.stream(run, HELLO, ChatSettings())), home).code == "unexpected"
    assert "NO_SUCH_METHOD" in (home.root / "logs" / "host.log").read_text()


def test_a_model_host_that_is_killed_is_said_and_the_next_question_is_answered(home: Home, chat_run: str) -> None:
    studio = Studio(home.root)
    try:
        long = studio.chat.stream(chat_run, HELLO, ChatSettings(max_new_tokens=4000))
        next(iter(long))
        lines = {each: each.info["cmdline"] or () for each in psutil.process_iter(["cmdline"])}
        mine = ("studio.host", str(home.root))
        hosts = [each for each, line in lines.items() if all(word in " ".join(line) for word in mine)]
        assert len(hosts) == 1
        hosts[0].kill()
        with pytest.raises(StudioError) as caught:
            list(long)
        assert caught.value.code == "host-gone"
        answers = list(studio.chat.stream(chat_run, HELLO, ChatSettings(max_new_tokens=4)))
        assert any(each.answer for each in answers)
    finally:
        studio.close()


# --- stopping, killing, going on ---


def test_a_run_can_be_stopped_resumed_and_deleted(home: Home, model: Path) -> None:
    run = home.json("train", *at_length(model), "--detach")["id"]
    home.wait(run, saved_a_checkpoint)
    assert home.json("stop", run)["status"] in ("stopping", "stopped")
    home.wait(run, ended)
    assert home.json("show", run)["status"] == "stopped"
    said = home.call("stop", run, status=2)
    assert "is not running" in said.err
    home.call("resume", run, "--detach")
    home.wait(run, lambda shown: shown["status"] == "training")
    home.call("delete", run, status=2)
    home.call("stop", run, "--discard")
    home.wait(run, ended)
    home.call("delete", run)
    home.call("show", run, status=2)


def test_a_killed_worker_is_noticed_and_the_run_goes_on_from_its_checkpoint(home: Home, model: Path) -> None:
    """No server is at work: whoever looks next sets the status right, a command that waits among them."""
    waiting = subprocess.Popen(
        [*STUDIO, "train", *at_length(model)],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = newest(home)
    home.wait(run, saved_a_checkpoint)
    worker_of(run).send_signal(signal.SIGKILL)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert out.strip().splitlines()[-1] == run
    assert "Resume" in err
    assert "Traceback" not in err
    shown = home.json("show", run)
    assert shown["status"] == "interrupted"
    safe = max(each["step"] for each in shown["checkpoints"])
    before = max(each["id"] for each in shown["events"])
    home.call("resume", run, "--detach")
    again = home.wait(run, lambda now: any(each["kind"] == "step" and each["id"] > before for each in now["events"]))
    assert next(each["step"] for each in again["events"] if each["kind"] == "step" and each["id"] > before) == safe + 1
    home.call("stop", run, "--discard")
    home.wait(run, ended)


def test_ctrl_c_leaves_the_run_going(home: Home, model: Path) -> None:
    waiting = subprocess.Popen(
        [*STUDIO, "train", *at_length(model)],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    run = newest(home)
    home.wait(run, lambda shown: any(each["kind"] == "step" for each in shown["events"]))
    os.killpg(waiting.pid, signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert out.strip().splitlines()[-1] == run
    assert "The run continues." in err
    assert home.json("show", run)["status"] == "training"
    home.call("stop", run, "--discard")
    assert home.wait(run, ended)["status"] == "stopped"


def newest(home: Home, seconds: float = 60) -> str:
    """The run that was just asked for, which is not yet at its end."""
    studio = Studio(home.root)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            found = [each.id for each in studio.runs.all() if each.status in ACTIVE]
            if found:
                return found[0]
            time.sleep(0.2)
    finally:
        studio.close()
    raise AssertionError("no run was started")


# --- the network: this one stands last, since it is about all of the above ---


def test_nothing_of_all_this_asked_the_network_for_anything(home: Home, chat_run: str, label_run: str) -> None:
    assert home.network.heard == []
    subprocess.run([sys.executable, "-c", ASKS], env=home.environment, capture_output=True)
    assert home.network.heard, "the listener hears who asks"
