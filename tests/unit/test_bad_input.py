"""Bad input of every kind, at both doors: `studio` on the command line and `Studio` in Python.

Each is refused in one plain message with status 2, before a run is made, and what was brought in before stays as it
was. What only shows on the page is in tests/browser/test_bad_input_page.py, what takes long in
tests/real/test_bad_input_real.py.
"""

import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO
from studio.schema.requests import RunRequest
from tests.hubserver import tiny_folder
from tests.said import Call, Said, caller

GOOD = "question,answer\n" + "".join(f"How is number {n}?,It is fine as number {n}.\n" for n in range(30))
LABELS = "text,label\n" + "".join(f"This is text number {n},{('good', 'bad')[n % 2]}\n" for n in range(40))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model's folder, whole."""
    return tiny_folder(tmp_path / "tiny")


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio with one good dataset, which nothing here may harm; and no Hub."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = Studio(tmp_path / "home")
    kept = made.datasets.add_text(GOOD, "kept rows")
    before = made.datasets.rows(kept.id, 1, 50).rows
    yield made
    assert made.datasets.rows(kept.id, 1, 50).rows == before and made.versions.all(kept.id) == [kept]
    assert made.runs.all() == [], "no run was made of what was refused"
    assert made.home.queue.entries() == []
    made.close()


@pytest.fixture
def call(studio: Studio, capfd: pytest.CaptureFixture[str]) -> Call:
    """The command line in this process."""
    return caller(capfd)


def plain(said: Said, *words: str, status: int = 2) -> None:
    """One plain message on stderr: what, and what was given or would be right, and a hint; no traceback, no answer."""
    assert said.status == status, said
    for word in words:
        assert word in said.err, said.err
    assert "  Hint: " in said.err
    assert said.err[0].isalnum(), said.err
    for never in ("Traceback", 'File "', "Error:", "Exception", "None", "<class"):
        assert never not in said.err + said.out, said
    assert len(said.err.strip().splitlines()) <= 8, said.err


def workbook(rows: list[list[Any]], path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def jsonl_with_a_bad_line_731() -> str:
    lines = [json.dumps({"prompt": f"What is {n}?", "response": f"It is {n} indeed."}) for n in range(1, 1001)]
    lines[730] = '{"prompt": "What is 731?", "response": '
    return "\n".join(lines)


@dataclass(frozen=True)
class Bad:
    """A file that can't be trained on, and the words with which it is refused."""

    name: str
    content: str | bytes | list[list[Any]]
    code: str
    words: tuple[str, ...]
    task: str | None = None

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, list):
            workbook(self.content, path)
        else:
            path.write_bytes(self.content.encode() if isinstance(self.content, str) else self.content)
        return path


FILES = {
    "empty file": Bad("empty.csv", b"", "empty-data", ("empty.csv is empty", "at least 8 rows")),
    "a header and no row": Bad("head.csv", "question,answer\n", "empty-data", ("head.csv has no rows",)),
    "empty workbook": Bad("empty.xlsx", [[]], "empty-data", ("empty.xlsx",)),
    "empty jsonl": Bad("empty.jsonl", "\n\n\n", "empty-data", ("empty.jsonl",)),
    "wrong columns": Bad(
        "wrong.csv",
        "foo,bar\n" + "".join(f"{n},{n * 2}\n" for n in range(30)),
        "columns-unclear",
        ("the columns foo and bar", "prompt and reply", "--map COLUMN=ROLE"),
    ),
    "a column too few": Bad(
        "half.csv",
        "question\n" + "".join(f"How is {n}?\n" for n in range(30)),
        "columns-unclear",
        ("not clear which column is the reply", "the columns question", "--map COLUMN=reply"),
        task="chat",
    ),
    "one label only": Bad(
        "one.csv",
        "text,label\n" + "".join(f"This is text number {n},good\n" for n in range(30)),
        "too-few-rows",
        ("too few labels", "good", "at least 2 such labels"),
    ),
    "no reply": Bad(
        "silent.csv",
        "question,answer\n" + "".join(f"How is {n}?,\n" for n in range(30)),
        "too-few-rows",
        ("0 of 30 rows can be used", "at least 8 rows", "no value in answer"),
    ),
    "replies of spaces": Bad(
        "spaces.csv",
        "question,answer\n" + "".join(f"How is {n}?,  \t \n" for n in range(30)),
        "too-few-rows",
        ("0 rows can be used", "no value in answer"),
    ),
    "zero usable rows": Bad(
        "zero.jsonl",
        "\n".join(json.dumps({"prompt": "", "response": f"It is {n}."}) for n in range(20)),
        "too-few-rows",
        ("0 of 20 rows can be used", "no value in prompt"),
    ),
    "broken UTF-8": Bad(
        "broken.csv",
        GOOD.encode() + b"caf\xc3(,It holds \xff\xfe here.\n" + "été,à la plage\n".encode() * 3,
        "bad-line",
        ("Line 32", "byte that is not valid", "--leave-out bad-line"),
    ),
    "a bad line 731": Bad(
        "rows.jsonl",
        jsonl_with_a_bad_line_731(),
        "bad-line",
        ("Line 731", "not valid JSON", "--leave-out bad-line"),
    ),
    "formulas without results": Bad(
        "formulas.xlsx",
        [["question", "answer"], *([f"How is {n}?", f'="It is "&{n}'] for n in range(30))],
        "too-few-rows",
        ("0 rows can be used", "formula without a stored result"),
    ),
    "10,000 labels": Bad(
        "labels.csv",
        "text,label\n" + "".join(f"This is text number {n},label {n % 10_000}\n" for n in range(20_000)),
        "too-many-labels",
        ("too many different values", "at most 1,000 labels"),
        task="classification",
    ),
    "a workbook that is none": Bad("rows.xlsx", b"PK\x03\x04 and no more", "unreadable-file", ("rows.xlsx",)),
    "a parquet that is none": Bad("rows.parquet", b"PAR1 and no more", "unreadable-file", ("rows.parquet",)),
    "JSON that ends early": Bad("rows.json", '[\n{"a": 1},\n{"a": ', "unreadable-file", ("line",)),
    "a file of another kind": Bad("rows.exe", b"MZ\x90", "unknown-format", (".exe", "csv, tsv, xlsx")),
    "a picture called csv": Bad("rows.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "", ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("bad", FILES.values(), ids=list(FILES))
def test_a_bad_file_is_refused_in_plain_words_on_the_command_line(
    bad: Bad, call: Callable[..., Said], model: Path, tmp_path: Path
) -> None:
    path = bad.write(tmp_path)
    task = ("--task", bad.task) if bad.task else ()
    plain(call("train", path, "--model", model, "--detach", *task), *bad.words)
    assert call("check", path, *task).status == 2


@pytest.mark.parametrize("bad", FILES.values(), ids=list(FILES))
def test_a_bad_file_is_refused_in_plain_words_in_python(bad: Bad, studio: Studio, model: Path, tmp_path: Path) -> None:
    path = bad.write(tmp_path)
    with pytest.raises(StudioError) as caught:
        studio.runs.start(RunRequest(dataset=studio.datasets.open(str(path)).id, model=str(model), task=bad.task))
    error = caught.value
    assert not bad.code or error.code == bad.code
    assert error.hint or error.valid
    for word in bad.words:
        assert word in error.message


# --- what is put right is used; what is left out on purpose is left out ---


def test_what_is_broken_in_a_file_can_be_left_out_on_purpose_and_the_rest_is_used(
    call: Callable[..., Said], tmp_path: Path
) -> None:
    path = FILES["a bad line 731"].write(tmp_path)
    said = call("check", path, "--leave-out", "bad-line", "--json")
    assert said.status == 0
    assert json.loads(said.out)["usable"] == 999


def test_formulas_with_results_are_read_as_their_results(studio: Studio, tmp_path: Path) -> None:
    import re
    from zipfile import ZipFile

    path, saved = tmp_path / "made.xlsx", tmp_path / "saved.xlsx"
    workbook([["question", "answer"], *([f"How is {n}?", f"={n}+1"] for n in range(30))], path)
    with ZipFile(path) as made, ZipFile(saved, "w") as out:  # what a spreadsheet program adds when it saves
        for name in made.namelist():
            sheet = made.read(name).decode()
            out.writestr(name, re.sub(r"<f>(\d+)\+1</f>(<v\s*/>|<v></v>)", r"<f>\1+1</f><v>1000\1</v>", sheet))
    record = studio.datasets.add_file(saved)
    assert [row["answer"] for _, row in studio.datasets.rows(record.id, 1, 2).rows] == ["10000", "10001"]
    assert studio.checks.check(record.id, "chat").usable == 30


def test_two_columns_of_one_name_are_both_there_and_it_is_said(call: Callable[..., Said], tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("question,question,answer\n" + "".join(f"How is {n}?,Why {n}?,It is {n}.\n" for n in range(30)))
    said = call("check", path, "--json")
    assert said.status == 0
    assert json.loads(said.out)["columns"] == {"question": "prompt", "question (2)": None, "answer": "reply"}
    note = "Two columns are called question. The later one is now called question (2)."
    assert note in said.err and json.loads(said.out)["notes"] == [note]


# --- settings ---

SETTINGS = {
    "learning rate 0": ({"learning_rate": 0}, "learning rate", "above 0, at most 0.1"),
    "learning rate 1e9": ({"learning_rate": 1e9}, "learning rate", "above 0, at most 0.1"),
    "learning rate not a number": ({"learning_rate": float("nan")}, "learning rate", "above 0"),
    "max length beyond the model's": (
        {"max_length": 100_000},
        "exceeds the model's context length",
        "up to 512 tokens",
    ),
    "no epochs": ({"epochs": 0}, "epochs", "above 0"),
    "no rows at once": ({"batch_size": 0}, "batch size", "at least 1"),
    "nearly all rows kept back": (
        {"validation_share": 0.5, "test_share": 0.5},
        "take 100% of the rows",
        "The maximum is 80%",
    ),
    "all rows kept back": ({"validation_share": 1.0}, "validation share", "at most 0.5"),
    "seed below 0": ({"seed": -1}, "seed", "at least 0"),
    "more threads than cores": ({"threads": 1000}, "fewer cores", "up to"),
    "a name of a page": ({"name": "x" * 5000}, "name", "at most 120 characters"),
}


@pytest.mark.parametrize(("settings", "what", "valid"), SETTINGS.values(), ids=list(SETTINGS))
def test_a_setting_that_can_not_be_is_refused_at_its_field(
    settings: dict[str, Any], what: str, valid: str, studio: Studio, model: Path, call: Callable[..., Said]
) -> None:
    name = settings.get("name", "")
    values = {key: value for key, value in settings.items() if key != "name"}
    data = studio.datasets.all()[0].id
    with pytest.raises(StudioError) as caught:
        studio.runs.start(RunRequest(dataset=data, model=str(model), task="chat", settings=values, name=name))
    error = caught.value.all()[0]
    assert error.code == "bad-setting"
    assert error.field in settings or what == "of the rows back"
    flags = [text for key, value in settings.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    said = call("train", data, "--model", model, "--task", "chat", "--detach", *flags)
    plain(said, what, valid)
    assert len(said.err) < 1000


def test_all_that_is_wrong_with_the_settings_is_said_at_once(
    studio: Studio, model: Path, call: Callable[..., Said]
) -> None:
    data = studio.datasets.all()[0].id
    said = call(
        "train", data, "--model", model, "--learning-rate", "1e9", "--epochs", "0", "--lora-rank", "0", "--detach"
    )
    assert said.status == 2
    for name in ("learning rate", "epochs", "lora rank"):
        assert name in said.err


def test_what_is_wrong_in_a_file_of_settings_is_said_with_all_else_that_is_wrong(
    tmp_path: Path, studio: Studio, model: Path, call: Callable[..., Said]
) -> None:
    data = studio.datasets.add_sample("support-tone").id
    path = tmp_path / "settings.yaml"
    path.write_text("learning_rat: 0.1\nepochs: 2\nbatch_size: -3\n")
    said = call("train", data, "--model", model, "--config", path, "--zero", "1", "--lora-rank", "4000", "--detach")
    assert said.status == 2 and "Traceback" not in said.err
    for words in (
        "setting learning_rat.",
        "Did you mean learning_rate?",
        "batch size",
        "lora rank",
        "2 processes or more",
    ):
        assert said.err.count(words) == 1
    assert studio.runs.all() == []


# --- models ---


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), ("has no weights", "model.safetensors")),
        (lambda folder: (folder / "config.json").unlink(), ("config.json is missing",)),
        (lambda folder: (folder / "tokenizer.json").unlink(), ("no tokenizer",)),
        (lambda folder: (folder / "config.json").write_text("{"), ("can't be read",)),
        (lambda folder: os.truncate(folder / "model.safetensors", 5000), ("weights are incomplete",)),
        (lambda folder: [each.unlink() for each in folder.iterdir()], ()),
    ],
    ids=["no weights", "no config", "no tokenizer", "a broken config", "cut weights", "an empty folder"],
)
def test_a_model_folder_that_lacks_something_is_refused_with_what_it_lacks(
    harm: Callable[[Path], object], words: tuple[str, ...], studio: Studio, model: Path, call: Callable[..., Said]
) -> None:
    harm(model)
    plain(call("train", studio.datasets.all()[0].id, "--model", model, "--detach"), *words)
    for ask in (studio.models.use_folder, studio.models.get):
        with pytest.raises(StudioError) as caught:
            ask(str(model))
        assert caught.value.code in ("broken-model", "no-such-model")


def test_without_a_network_a_model_of_the_hub_is_refused_and_what_is_here_goes_on(
    studio: Studio, call: Callable[..., Said], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants  # read once a process, by whichever test comes first

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for arguments in (
        ("train", studio.datasets.all()[0].id, "--model", "some/model", "--detach"),
        ("models", "--search", "llama"),
    ):
        plain(call(*arguments), "The Hub can't be reached", "Starter models", status=1)
    assert call("models", "--json").status == 0
    assert studio.models.get(str(model)).info.here


# --- places ---

ELSEWHERE = [
    "/etc/passwd",
    "/etc",
    "../../etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "~",
    "data-../../x",
    "hf:x/y",
]


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.slow
def test_a_path_of_another_place_is_no_data_and_no_model(
    place: str, studio: Studio, model: Path, call: Callable[..., Said]
) -> None:
    said = call("check", place)
    assert said.status in (1, 2) and "root:" not in said.err + said.out and "Traceback" not in said.err
    assert "  Hint: " in said.err
    said = call("train", studio.datasets.all()[0].id, "--model", place, "--detach")
    assert said.status in (1, 2) and "Traceback" not in said.err
    with pytest.raises(StudioError):
        studio.datasets.add_file(place)


def test_a_demo_reads_no_path_writes_to_no_path_and_takes_no_model_by_path(studio: Studio, model: Path) -> None:
    guest = Studio(studio.home, "guest", demo=True)
    try:
        for ask in (
            lambda: guest.datasets.open("/etc/passwd"),
            lambda: guest.datasets.open(str(model)),
            lambda: guest.models.use_folder("/etc"),
            lambda: guest.models.get(str(model)),
            lambda: guest.models.get("some/model"),
            lambda: guest.models.search("llama"),
            lambda: guest.models.start_download("some/model"),
            lambda: guest.models.cancel_download("some/model"),
            lambda: guest.models.trust(str(model)),
            lambda: guest.models.set_hub_token("hf_secret"),
        ):
            with pytest.raises(StudioError) as caught:
                ask()
            assert caught.value.code == "not-allowed", caught.value
        assert not guest.models.has_hub_token()
    finally:
        guest.close()


def test_a_visitor_of_a_demo_has_so_much_disk_space_for_all_and_gets_it_back(studio: Studio) -> None:
    studio.home.keep_demo_limits(DEMO.model_copy(update={"workspace_mb": 1}))
    guest = Studio(studio.home, f"visitor-{'0' * 32}", demo=True)
    chance = random.Random(1)
    text = "text,label\n" + "".join(f"{chance.randbytes(600).hex()},{number % 2}\n" for number in range(200))
    try:
        made = []
        with pytest.raises(StudioError) as caught:
            for _ in range(9):
                made.append(guest.datasets.add_text(text))
        assert made and caught.value.code == "limit-reached" and "Runs tab, Storage" in caught.value.message
        assert "up to 1 MB" in str(caught.value.valid)
        with pytest.raises(StudioError, match="more disk space than a visitor has"):
            for number in range(20):
                guest.editing.edit(made[0].id, 1, {"text": f"another {number}"})
        assert studio.datasets.add_text(text), "the owner has no such limit"
        for record in made:
            guest.datasets.delete(record.id)
        assert guest.datasets.add_text(text)
    finally:
        guest.close()


def test_a_port_that_is_taken_is_refused_with_the_next_one_as_a_hint(call: Callable[..., Said]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        plain(call("serve", "--port", str(port), "--no-browser"), str(port), f"--port {port + 1}")


def test_a_home_that_is_a_file_is_refused(call: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    plain(call("runs", "--home", tmp_path / "file"), "data folder can't be created", "--home")


# --- HTML and scripts are text ---

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_html_in_rows_labels_and_names_comes_back_as_the_text_it_is(
    studio: Studio, call: Callable[..., Said], tmp_path: Path
) -> None:
    path = tmp_path / "<img src=x onerror=alert(3)>.csv"
    rows = "".join(f'"{EVIL} {n}","{("<b>good</b>", "<i>bad</i>")[n % 2]}"\n' for n in range(40))
    path.write_text(f'"<u>text</u>","label"\n{rows}')
    record = studio.datasets.add_file(path)
    assert record.name == path.name and record.columns == ("<u>text</u>", "label")
    assert studio.datasets.rows(record.id, 1, 1).rows[0][1]["<u>text</u>"] == f"{EVIL} 0"
    said = call("check", path, "--json")
    assert said.status == 0 and json.loads(said.out)["columns"]["<u>text</u>"] == "text"


def test_control_characters_of_a_file_can_not_steer_the_terminal(call: Callable[..., Said], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\x1b[31m,label\n" + "".join(f"\x1b]0;evil\x07 number {n},{n % 2}\x1b[2J\n" for n in range(40)))
    for arguments in (("check", path), ("check", path, "--map", "nothing\x1b[2J=text")):
        said = call(*arguments)
        assert "\x1b" not in said.out + said.err and "\x07" not in said.out + said.err
