"""The command line without a model: what it prints where, how it ends, and how it refuses."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from studio.cli.app import build
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.store import Home
from tests.said import Call, caller

STUDIO = [sys.executable, "-m", "studio"]
GROUP: Any = typer.main.get_command(build())
QUESTIONS = "question,answer\n" + "".join(f"How is number {n}?,It is fine as number {n}.\n" for n in range(1, 31))


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command in this process with a home of its own."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    return caller(capfd)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.csv"
    path.write_text(QUESTIONS)
    return path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- help, flags, homes ---


@pytest.mark.parametrize(
    "name", [[], *([each] for each in GROUP.commands)], ids=lambda each: each[0] if each else "studio"
)
def test_each_command_explains_itself(call: Call, name: list[str]) -> None:
    said = call(*name, "--help")
    assert said.status == 0
    assert "Usage" in said.out
    assert not said.err


def test_the_commands_are_those_of_the_contract_and_those_that_were_added() -> None:
    contract = {
        "serve",
        "hash-password",
        "models",
        "check",
        "preview",
        "estimate",
        "train",
        "runs",
        "show",
        "delete",
        "stop",
        "resume",
        "log",
        "chat",
        "predict",
        "evaluate",
        "export",
        "search",
        "doctor",
    }
    added = {
        "data",
        "label",
        "augment",
        "learning-curve",
        "combine",
        "coach",
        "curve",
        "compare",
        "queue",
        "pause",
        "repeat",
        "extend",
        "note",
        "storage",
        "export-run",
        "import-run",
        "download",
        "token",
        "trust",
        "project",
        "push",
        "serve-api",
        "space",
        "import-adapter",
        "import-config",
    }
    assert set(GROUP.commands) == contract | added


@pytest.mark.parametrize("command", ["train", "estimate"])
@pytest.mark.parametrize("name", settings_of())
def test_each_setting_is_a_flag(command: str, name: str) -> None:
    flags = {flag for parameter in GROUP.commands[command].params for flag in parameter.opts}
    assert f"--{name.replace('_', '-')}" in flags


def commands() -> dict[str, Any]:
    """All that can be called, those of a group by both names."""
    found: dict[str, Any] = {}
    for name, command in GROUP.commands.items():
        within = getattr(command, "commands", None)
        found |= {f"{name} {inner}": each for inner, each in within.items()} if within else {name: command}
    return found


@pytest.mark.parametrize("name", sorted(set(commands()) - {"serve"}))
def test_each_command_can_answer_in_json_and_be_told_its_home(name: str) -> None:
    flags = {flag for parameter in commands()[name].params for flag in parameter.opts}
    assert {"--json", "--home"} <= flags


def test_the_version_is_told(call: Call) -> None:
    from studio import __version__

    assert call("--version").out.strip() == __version__


def test_the_home_may_stand_before_or_after_the_command(call: Call, tmp_path: Path, questions: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert call("--home", before, "check", questions).status == 0
    assert call("check", questions, "--home", after).status == 0
    assert (before / "workspaces").is_dir()
    assert (after / "workspaces").is_dir()
    assert not (tmp_path / "home").exists()


def test_a_home_that_can_not_be_made_is_refused(call: Call, tmp_path: Path) -> None:
    said = call("runs", "--home", write(tmp_path / "file", "x") / "home")
    assert said.status == 2
    assert "data folder" in said.err
    assert "--home" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["check"], "Missing argument"),
        (["check", "x.csv", "--colour", "red"], "--colour"),
        (["preview", "x.csv", "--model", "starter-chat", "--row", "zero"], "zero"),
        (["train", "x.csv", "--model", "starter-chat", "--epochs", "many"], "many"),
        (["train", "x.csv"], "model"),
        (["export", "last", "--to", "x"], "--format"),
    ],
)
def test_a_mistake_in_the_command_is_said_with_a_way_on(call: Call, arguments: list[str], words: str) -> None:
    said = call(*arguments)
    assert said.status == 2
    assert words in said.err
    assert "Hint" in said.err
    assert not said.out


# --- check ---


def test_check_prints_one_document_and_nothing_else(call: Call, questions: Path) -> None:
    said = call("check", questions, "--json")
    assert said.status == 0
    assert said.document["task"] == "chat"
    assert said.document["rows"] == said.document["usable"] == 30
    assert said.document["columns"] == {"question": "prompt", "answer": "reply"}
    assert said.document["problems"] == []


def test_check_names_rows_in_the_order_of_the_file(call: Call, tmp_path: Path) -> None:
    text = QUESTIONS + "How is number 1?,It is fine as number 1.\nWhat of this?,\n"
    problems = call("check", write(tmp_path / "q.csv", text), "--json").document["problems"]
    found = {each["kind"]: each for each in problems}
    assert found["duplicate"]["rows"] == [31]
    assert found["duplicate"]["severity"] == "warning"
    assert found["empty"]["rows"] == [32]
    assert found["empty"]["severity"] == "error"
    assert set(found["empty"]) >= {"kind", "severity", "rows", "count", "message", "fix"}


def test_check_for_people_says_how_many_rows_can_be_used(call: Call, questions: Path) -> None:
    said = call("check", questions)
    assert "30 of 30 rows can be used" in said.out
    assert "Read as" in said.out


def test_columns_that_can_not_be_matched_are_listed(call: Call, tmp_path: Path) -> None:
    text = "aa,bb\n" + "".join(f"{n},{n + 1}\n" for n in range(20))
    said = call("check", write(tmp_path / "x.csv", text), "--json")
    assert said.status == 2
    assert not said.out
    assert "aa" in said.err
    assert "bb" in said.err
    mapped = call("check", tmp_path / "x.csv", "--task", "chat", "--map", "aa=prompt", "--map", "bb=reply", "--json")
    assert mapped.status == 0
    assert mapped.document["columns"] == {"aa": "prompt", "bb": "reply"}


@pytest.mark.parametrize("given", ["question", "question=banana", "=prompt", "missing=prompt"])
def test_a_map_that_makes_no_sense_is_refused(call: Call, questions: Path, given: str) -> None:
    said = call("check", questions, "--map", given)
    assert said.status == 2
    assert given.replace("question=", "").split("=")[0] in said.err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty.csv"),
        ("header.csv", b"question,answer\n", "row"),
        ("picture.png", b"\x89PNG\r\n\x1a\n", "picture.png"),
        ("broken.xlsx", b"PK\x03\x04 not a workbook", "broken.xlsx"),
        ("broken.json", b"{", "line"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_by_name(
    call: Call, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    said = call("check", write(tmp_path / name, content), "--json")
    assert said.status == 2
    assert words in said.err
    assert not said.out


def test_a_file_that_is_not_there_is_said(call: Call) -> None:
    said = call("check", "missing.csv")
    assert said.status == 2
    assert "missing.csv" in said.err


def test_a_bad_line_is_named_and_can_be_left_out_on_purpose(call: Call, tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"q {n}", "answer": f"a {n}"}) for n in range(1, 21)]
    lines[12] = '{"question": "broken'
    path = write(tmp_path / "x.jsonl", "\n".join(lines))
    said = call("check", path, "--json")
    assert said.status == 2
    assert "13" in said.err
    assert "--leave-out bad-line" in said.err
    problem = next(each for each in said.document["problems"] if each["kind"] == "bad-line")
    assert problem["severity"] == "error"
    assert "13" in problem["message"]
    assert said.document["blocked"]
    left_out = call("check", path, "--leave-out", "bad-line", "--json")
    assert left_out.status == 0
    assert left_out.document["usable"] == 19
    assert not left_out.document["blocked"]


def test_too_few_rows_are_said(call: Call, tmp_path: Path) -> None:
    said = call("check", write(tmp_path / "x.csv", "question,answer\na,b\nc,d\n"))
    assert said.status == 2
    assert "8" in said.err
    assert "2 of 2 rows can be used" in said.out


def test_sample_data_is_known_by_name(call: Call) -> None:
    assert call("check", "sample:support-tone", "--json").document["usable"] > 200
    said = call("check", "sample:support-tune")
    assert said.status == 2
    assert "support-tone" in said.err


def test_a_dataset_is_known_by_its_id_afterwards(call: Call, questions: Path, tmp_path: Path) -> None:
    from studio.api import Studio

    call("check", questions)
    studio = Studio(tmp_path / "home")
    dataset = studio.datasets.all()[0].id
    studio.close()
    assert call("check", dataset, "--json").document["rows"] == 30
    assert call("check", "data-0000000000").status == 2


def test_strange_text_is_printed_as_json_and_spared_a_terminal(call: Call, tmp_path: Path) -> None:
    text = "question\x1b[31m,answer\n" + "".join(f"日本 {n} \x1b]0;title\x07?,<b>{n}</b>\n" for n in range(12))
    path = write(tmp_path / "x.csv", text)
    mapping = ["--map", "question\x1b[31m=prompt", "--map", "answer=reply"]
    assert "question\x1b[31m" in call("check", path, *mapping, "--json").document["columns"]
    assert "\x1b[31m" not in call("check", path, *mapping).out


@pytest.mark.slow
def test_check_loads_nothing_heavy(questions: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from studio.cli.main import run; status = run(sys.argv[1:]); "
        "assert not {'torch', 'gradio', 'transformers'} & set(sys.modules); sys.exit(status)"
    )
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code, "check", str(questions)], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


# --- runs that are not there ---


def test_no_runs_is_an_empty_list_and_a_way_on(call: Call) -> None:
    assert call("runs", "--json").document == []
    assert "studio train" in call("runs").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "last"],
        ["show", "20260101-abcdef00"],
        ["log", "nothing"],
        ["stop", "../.."],
        ["resume", "x"],
        ["delete", "x"],
        ["chat", "x", "hello"],
        ["evaluate", "x"],
        ["predict", "x", "a.csv", "--out", "b.csv"],
        ["export", "x", "--format", "adapter", "--to", "y"],
    ],
)
def test_a_run_that_does_not_exist_is_refused(call: Call, arguments: list[str]) -> None:
    said = call(*arguments)
    assert said.status == 2
    assert "There is no run" in said.err
    assert "studio runs" in said.err
    assert not said.out


# --- the machine, models ---


def test_the_doctor_of_the_machine_names_each_check(call: Call) -> None:
    said = call("doctor", "--json")
    assert set(said.document) == {"ok", "checks"}
    assert {"name", "ok", "detail", "fix"} <= set(said.document["checks"][0])
    assert said.status == (0 if said.document["ok"] else 1)


def test_models_are_listed_with_what_the_contract_asks(call: Call) -> None:
    found = call("models", "--json").document
    names = {each["name"] for each in found}
    assert {"starter-chat", "starter-classify"} <= names
    wanted = {"name", "source", "path", "parameters", "bytes", "licence", "context", "tasks", "here", "fits"}
    assert all(wanted <= set(each) for each in found)
    assert "starter-chat" in call("models").out


def test_models_are_asked_for_a_task_that_there_is(call: Call) -> None:
    said = call("models", "--task", "claasification")
    assert said.status == 2
    assert "classification" in said.err


# --- the page ---


def test_an_address_that_others_reach_needs_a_password(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDIO_PASSWORD", raising=False)
    said = call("serve", "--host", "0.0.0.0", "--port", "0", "--no-browser")
    assert said.status == 2
    assert "STUDIO_PASSWORD" in said.err


def test_a_port_that_is_taken_is_said(call: Call) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = call("serve", "--port", port, "--no-browser")
    assert said.status == 2
    assert port in said.err


# --- the unforeseen ---


def test_an_unforeseen_error_is_one_sentence_and_a_log(call: Call, tmp_path: Path) -> None:
    (tmp_path / "home" / "workspaces" / "default" / "studio.db").mkdir(parents=True)
    said = call("runs")
    assert said.status == 1
    assert "An unexpected error occurred" in said.err
    log = next((tmp_path / "home" / "logs").glob("error-*.log"))
    assert log.stem.removeprefix("error-") in said.err
    assert "OperationalError" in log.read_text()


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]], ids=str)
@pytest.mark.slow
def test_a_reader_that_goes_away_hears_nothing_more(tmp_path: Path, arguments: list[str]) -> None:
    environment = {**os.environ, "STUDIO_HOME": str(tmp_path)}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*STUDIO, *arguments], env=environment, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert not done.stderr


def test_show_says_from_where_a_run_goes_on(call: Call, tmp_path: Path) -> None:
    runs = Home(tmp_path / "home").workspace().runs
    data = DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"})
    config = TrainingConfig(task="chat", model="starter-chat")
    run = runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())).id
    runs.set_status(run, "interrupted")
    whole = runs.folder(run).checkpoints / "checkpoint-7"
    whole.mkdir(parents=True)
    for name in ("trainer_state.json", "optimizer.pt", "complete.json"):
        (whole / name).write_text("{}")
    assert f"Resumes from step 7. Resume it with: studio resume {run}" in call("show", run).out
    assert call("show", run, "--json").document["goes_on_from"] == 7
    (whole / "optimizer.pt").unlink()
    assert "is missing or incomplete, so it starts again" in call("show", run).out


def test_rows_kept_as_tokens_are_deleted_when_asked(call: Call, tmp_path: Path) -> None:
    folder = Home(tmp_path / "home").workspace().encoded
    folder.mkdir(parents=True)
    (folder / "key.jsonl").write_bytes(bytes(7000))
    assert "Cached tokens of rows" in call("storage").out
    said = call("storage", "--delete-tokens")
    assert "Freed: 7 KB." in said.err and "tokens" not in said.out
