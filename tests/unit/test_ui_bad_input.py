"""Bad input on the page, without a browser: what the tabs show is what the command line says."""

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.ui.components.basic import alert, without_flags
from studio.ui.http.uploads import Uploads
from studio.ui.tabs.data import check_progress, import_data, rows
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import tiny_folder
from tests.said import Call, caller
from tests.unit.test_bad_input import FILES, Bad

TITLE = re.compile(r"^  (?:Given|Expected|Hint): ")
Visiting = Callable[..., Visit]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line, in a home of its own."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "other home"))
    return caller(capfd)


def read(drawn: object) -> str:
    """What a person reads of a part of the page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", str(drawn))).split())


def said_parts(err: str, name: str = "") -> list[str]:
    """What was said, given, right and advised on stderr, but for flags, the help of a command and notes' file names."""
    lines = (without_flags(TITLE.sub("", line).removeprefix(f"{name}: ")) for line in err.strip().splitlines())
    parts = [" ".join(line.split()).rstrip(".") for line in lines]
    return [part for part in parts if not part.startswith("studio ")]


def send(visit: Visiting, files: Uploads, path: Path) -> str:
    """What the Data tab shows once a file was chosen there, and many rows were looked at."""

    async def chunks() -> AsyncIterator[bytes]:
        yield path.read_bytes()

    told, until = "", time.monotonic() + 60
    try:
        import_data.take_files(visit(tickets=asyncio.run(files.keep("default", path.name, chunks()))), files)
    except StudioError as error:
        told = read(alert(error))
    shown = tab(visit)
    while "Checking" in shown:
        assert time.monotonic() < until
        time.sleep(0.05)
        check_progress.check(visit())
        shown = tab(visit)
    return f"{told} {shown}"


def tab(visit: Visiting) -> str:
    """What is read in the Data tab, its action bar at the end."""
    return " ".join(map(read, rows.drawn(visit())))


@pytest.mark.parametrize("bad", FILES.values(), ids=list(FILES))
@pytest.mark.slow
def test_the_data_tab_says_of_a_bad_file_what_the_command_line_says_and_leads_no_further(
    bad: Bad, visit: Visiting, call: Call, tmp_path: Path
) -> None:
    task, path = bad.task or ("classification" if "label" in str(bad.content)[:40] else "chat"), bad.write(tmp_path)
    said = call("check", path, "--task", task)
    assert said.status == 2
    visit().choose(task=task, model="")
    shown = send(visit, Uploads(tmp_path / "uploads"), path)
    assert not re.search(r"--[a-z]", shown), "flags mean nothing on the page"
    assert [part for part in said_parts(said.err, bad.name) if part not in shown] == []
    assert "disabled>Next: method" in str(rows.drawn(visit())[1])


def test_the_model_tab_says_in_a_sentence_that_a_folder_has_no_weights_and_keeps_the_choice(
    visit: Visiting, call: Call, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "tiny", without=("pytorch_model.bin", "model.safetensors"))
    said = call("estimate", "sample:support-tone", "--model", folder)
    visit().choose(task="chat", model="starter-chat")
    with pytest.raises(StudioError) as refused:
        model_tab.use_folder(visit(value=str(folder)))
    shown = read(alert(refused.value))
    assert shown.startswith("The model folder has no weights.") and len(refused.value.all()) == 1
    assert "model.safetensors" in shown and [part for part in said_parts(said.err) if part not in shown] == []
    assert visit().choices.model == "starter-chat"
    assert str(folder) in drawn_model_tab(visit), "what was typed can be mended"


def test_a_chosen_folder_that_loses_its_weights_is_said_so_where_its_details_stood(
    visit: Visiting, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "tiny")
    visit().choose(task="chat", model="starter-chat")
    model_tab.use_folder(visit(value=str(folder)))
    assert visit().choices.model == str(folder) and "has no weights" not in read(drawn_model_tab(visit))
    (folder / "model.safetensors").unlink()
    shown = drawn_model_tab(visit)
    assert read(shown).count("has no weights") == 1 and "Traceback" not in shown
    assert "disabled>Next: data" in shown


def drawn_model_tab(visit: Visiting) -> str:
    """The Model tab as it is drawn, its action bar at the end."""
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    return "".join(map(str, model_tab._models(visit(), parts).values()))
