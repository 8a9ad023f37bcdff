"""Base models on the command line: looked at, brought here, a token, and code of others; against the small Hub."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.store import Home
from tests.hubserver import HubServer, tiny_folder, tiny_repo
from tests.signals import heed_ctrl_c

Call = Callable[..., tuple[int, Any, str]]
TOKEN = "hf_" + "a" * 30


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """The small Hub as the one that is asked, with an empty cache."""
    with HubServer() as server:
        server.stand_in(monkeypatch, tmp_path / "cache")
        yield server


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def code_of(folder: Path, line: str = "print(1)") -> Path:
    """A folder with a model that brings Python code."""
    tiny_folder(folder)
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_x.py").write_text(line)
    return folder


def test_a_model_of_the_hub_is_looked_at_and_brought_here(hub: HubServer, call: Call) -> None:
    hub.add(tiny_repo(downloads=1234))
    status, (before,), _ = call("models", "someone/tiny")
    assert status == 0 and not before["here"] and before["has_chat_template"] and before["context"] == 512
    assert "chat" in before["tasks"] and before["downloads"] == 1234 and before["licence"] == "apache-2.0"
    status, done, _ = call("download", "someone/tiny")
    assert status == 0 and (Path(done["path"]) / "model.safetensors").is_file()
    assert call("models", "someone/tiny")[1][0]["here"]
    hub.seen.clear()
    assert call("download", "someone/tiny")[0] == 0 and not hub.seen, "what is here is not asked for again"


def test_what_is_known_of_one_model_is_said_in_words(
    hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from studio.cli.main import run

    hub.add(tiny_repo(downloads=1234))
    assert run(["models", "someone/tiny", "--home", str(tmp_path / "home")]) == 0
    said = capfd.readouterr().out
    for words in (
        "512 tokens",
        "Chat template",
        "chat, classification",
        "1,234 a month",
        "apache-2.0",
        "studio download someone/tiny",
    ):
        assert words in said, words
    assert run(["models", "--search", "tiny", "--home", str(tmp_path / "home")]) == 0
    assert "1,234" in capfd.readouterr().out


def test_a_model_that_is_not_here_is_refused_with_the_command_that_brings_it(
    hub: HubServer, call: Call, tmp_path: Path
) -> None:
    hub.add(tiny_repo())
    rows = tmp_path / "rows.csv"
    rows.write_text("prompt,reply\n" + "".join(f"Where is {n}?,There {n}.\n" for n in range(20)))
    status, _, said = call("preview", rows, "--model", "someone/tiny")
    assert status == 2 and "studio download someone/tiny" in said


def test_a_gated_model_is_brought_here_with_a_token_that_is_kept_for_its_owner_only(
    hub: HubServer, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(tiny_repo("company/closed", gated=True))
    hub.token = TOKEN
    status, _, said = call("download", "company/closed")
    assert status == 2 and "accept the terms" in said and "studio token" in said
    type_in(monkeypatch, TOKEN + "\n")
    status, told, said = call("token")
    assert status == 0 and told == {"kept": True} and TOKEN not in said
    file = tmp_path / "home" / "hub-token"
    assert file.read_text() == TOKEN and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert call("download", "company/closed")[0] == 0
    assert call("token", "--remove")[1] == {"kept": False} and not file.exists()
    type_in(monkeypatch, "\n")
    status, _, said = call("token")
    assert status == 2 and "No token was given" in said and "settings/tokens" in said


def test_code_of_others_is_allowed_by_a_person_who_was_told_and_can_be_taken_back(call: Call, tmp_path: Path) -> None:
    folder, home = code_of(tmp_path / "coded"), Home(tmp_path / "home")
    status, _, said = call("trust", folder)
    assert status == 2 and "could run a program on this machine" in said and "read your files" in said
    assert f"studio trust {folder} --yes" in said and not home.trusted_models()
    status, told, _ = call("trust", folder, "--yes")
    assert status == 0 and told["trusted"] and "Python code" in told["why"]
    assert call("models", folder)[1][0]["trusted"]
    assert call("trust", folder, "--take-back")[1]["trusted"] is False and not home.trusted_models()


def test_a_folder_is_listed_among_the_models_once_it_was_named(call: Call, tmp_path: Path) -> None:
    folder = code_of(tmp_path / "coded")
    assert str(folder) not in [each["name"] for each in call("models")[1]]
    assert call("models", "--add", folder)[0] == 0
    assert str(folder) in [each["name"] for each in call("models")[1]]


@pytest.mark.slow
def test_a_download_left_with_ctrl_c_goes_on_where_it_was(hub: HubServer, tmp_path: Path) -> None:
    hub.add(tiny_repo(files={"spm.model": os.urandom(16_000_000)}))
    hub.slow = 0.3
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "studio", "download", "someone/tiny", "--home", str(tmp_path / "home")]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    ) as process:
        until = time.monotonic() + 30
        while not any(part.stat().st_size for part in tmp_path.rglob("*.part")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 1 and said.endswith(
        "The downloaded part is saved. Run the same command to resume.\nStopped.\n"
    )
    part = next(tmp_path.rglob("*.part"))
    assert 0 < (have := part.stat().st_size) < 16_000_000
    hub.slow = 0
    hub.seen.clear()
    assert subprocess.run(command, env=environment, capture_output=True, timeout=60).returncode == 0
    assert f"bytes={have}-" in [headers.get("Range") or headers.get("range") for headers in hub.asked("/resolve/")]
