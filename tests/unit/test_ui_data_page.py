"""The Data tab, drawn for a visit: how a file was read, several files, long reading, splits, versions, the Hub."""

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.ui.components.rows import PAGE
from studio.ui.http.uploads import Uploads
from studio.ui.tabs.data import check_progress, import_data, import_options, rows, splits, versions
from studio.ui.tabs.data import tab as data_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import HubServer

LINES = [f"text {n};{'ab'[n % 2]};c{n % 9};2024-01-{1 + n % 28:02d}" for n in [*range(60), 3, 4]]
TABLE = "text;label;customer;day\n" + "\n".join(LINES)
EVIL = "<img src=x onerror=alert(1)>"
Visiting = Callable[..., Visit]


@pytest.fixture
def files(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


def send(files: Uploads, *sent: tuple[str, bytes]) -> str:
    """Files as the page sends them: their tickets."""
    import asyncio

    async def keep(name: str, content: bytes) -> str:
        async def chunks() -> Any:
            yield content

        return await files.keep("default", name, chunks())

    return " ".join(asyncio.run(keep(name, content)) for name, content in sent)


def opened(visit: Visiting, text: str = TABLE) -> Visit:
    made = visit()
    made.choose(task="classification", model="")
    import_data.open_dataset(made, made.studio.datasets.add_text(text))
    return made


def page(visit: Visiting) -> str:
    """The tab, without the marks of content that is not translated."""
    return re.sub("</?bdi[^>]*>", "", str(rows.drawn(visit())[0]))


def wait_for(visit: Visiting, seconds: float = 60) -> None:
    """As the page does: ask until it is there."""
    until = time.monotonic() + seconds
    while import_options.running_job(visit()) is not None:
        assert time.monotonic() < until
        import_data.open_when_read(visit())
        time.sleep(0.05)


# --- what the rows are for ---

MUSEUM = "visitor wrote,desk answered\n" + "".join(
    f"Where is hall {n}?,Hall {n} is upstairs to the left.\n" for n in range(30)
)


def test_rows_whose_columns_say_nothing_are_asked_what_they_are_for_and_the_last_column_falls_into_place(
    visit: Visiting,
) -> None:
    made = visit()
    import_data.open_dataset(made, made.studio.datasets.add_text(MUSEUM))
    assert made.choices.dataset and not made.choices.task
    body, bar = map(str, rows.drawn(visit()))
    assert "What should the model learn from these rows?" in body and "visitor wrote, desk answered" in body
    assert 'value="chat" data-act="task"' in body and "Where is hall 3?" in body
    assert "Role of the column" not in body and 'role="alert"' not in body and "disabled" in bar
    data_tab.pick_task(visit(value="chat"))
    body, bar = map(str, rows.drawn(visit()))
    assert "not clear which column is the prompt and reply" in body and "--map" not in body and "disabled" in bar
    data_tab.map_column(visit(column="desk answered", value="reply"))
    spec = made.studio.datasets.spec(made.choices.dataset)
    assert (spec.task, spec.roles) == ("chat", {"desk answered": "reply", "visitor wrote": "prompt"})
    body, bar = map(str, rows.drawn(visit()))
    assert "30 of 30 rows can be used" in body and "disabled" not in bar


def test_columns_can_be_mapped_one_by_one_where_nothing_falls_into_place(visit: Visiting) -> None:
    made = visit()
    table = "a,b,c\n" + "".join(
        f"text of hall {n} here,more text on {n} there,{n} is a third text\n" for n in range(30)
    )
    import_data.open_dataset(made, made.studio.datasets.add_text(table))
    data_tab.pick_task(visit(value="preference"))
    data_tab.map_column(visit(column="a", value="prompt"))
    assert "not clear which column is the chosen and rejected" in page(visit)
    data_tab.map_column(visit(column="b", value="rejected"))
    data_tab.map_column(visit(column="c", value="chosen"))
    assert made.studio.datasets.spec(made.choices.dataset).roles == {"a": "prompt", "b": "rejected", "c": "chosen"}


# --- how the file was read ---


def test_the_page_says_how_a_file_was_read_and_reads_it_another_way(visit: Visiting) -> None:
    made = opened(visit)
    drawn = page(visit)
    assert "How the file was read" in drawn and "semicolon, utf-8, column names in the first line" in drawn
    import_data.reread(visit(name="header", value="no"))
    record = made.studio.datasets.get(made.choices.dataset)
    assert record.version == 2 and record.rows == 63 and "no column names in the first line" in page(visit)
    import_data.reread(visit(name="header", value=""))
    assert made.studio.datasets.get(record.id).rows == 62, "left to the studio again"
    with pytest.raises(StudioError) as caught:
        import_data.reread(visit(name="delimiter", value=";;"))
    assert caught.value.field == "delimiter" and made.studio.datasets.get(record.id).version == 3


def test_a_workbook_with_several_sheets_is_asked_about_until_one_is_named(
    visit: Visiting, files: Uploads, tmp_path: Path
) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title in ("Orders", f"Letters {EVIL[:9]}"):
        sheet = book.create_sheet(title.replace("/", ""))
        for line in TABLE.splitlines():
            sheet.append(line.split(";"))
    book.save(tmp_path / "book.xlsx")
    made = visit(tickets=send(files, ("book.xlsx", (tmp_path / "book.xlsx").read_bytes())))
    made.choose(task="classification", model="")
    import_data.take_files(made, files)
    drawn = page(visit)
    assert "Which one do you want?" in drawn and "Read the sheet Letters &lt;img" in drawn and "<img" not in drawn
    import_data.reread(visit(name="sheet", value="Orders"))
    assert "Which one do you want?" not in page(visit) and visit().studio.datasets.all()[0].asked.sheet == "Orders"


# --- several files, and long reading ---


def test_several_files_at_once_become_one_dataset_with_their_parts(visit: Visiting, files: Uploads) -> None:
    content = TABLE.encode()
    made = visit(tickets=send(files, ("train.csv", content), ("test.csv", content), ("test.csv", content)))
    made.choose(task="classification", model="")
    import_data.take_files(made, files)
    record = made.studio.datasets.get(made.choices.dataset)
    assert record.files == ("train.csv", "test.csv", "test (2).csv") and record.split_column == "split"
    assert record.rows == 186 and not list(files.root.rglob("*.csv")), "nothing is left of what was sent"


def large(rows_: int = 60_000) -> bytes:
    return ("text,label\n" + "".join(f"This is text number {n} of many,{'ab'[n % 2]}\n" for n in range(rows_))).encode()


@pytest.mark.slow
def test_a_large_file_is_read_in_the_background_with_progress(visit: Visiting, files: Uploads) -> None:
    made = visit(tickets=send(files, ("large.csv", large())))
    made.choose(task="classification", model="")
    start = time.monotonic()
    import_data.take_files(made, files)
    assert time.monotonic() - start < 1, "the page is not kept waiting"
    drawn = page(visit)
    assert "Reading large.csv" in drawn and "Cancel" in drawn and "data-poll" in drawn
    with pytest.raises(StudioError):
        import_data.take_files(visit(tickets=send(files, ("other.csv", large()))), files)
    wait_for(visit)
    assert made.studio.datasets.get(made.choices.dataset).rows == 60_000
    assert "Checking 60,000 rows" in page(visit)
    until = time.monotonic() + 60
    while "rows can be used" not in page(visit):
        check_progress.check(visit())
        assert time.monotonic() < until
        time.sleep(0.1)
    assert made.studio.checks.is_cached(made.choices.dataset, "classification")


def test_reading_that_is_cancelled_leaves_nothing(visit: Visiting, files: Uploads, tmp_path: Path) -> None:
    made = visit(tickets=send(files, ("large.csv", large(400_000))))
    made.choose(task="classification", model="")
    import_data.take_files(made, files)
    time.sleep(0.3)
    import_options.stop(visit())
    assert import_options.running_job(visit()) is None and "Drop files here" in page(visit)
    until = time.monotonic() + 20
    while list(files.root.rglob("large.csv")) and time.monotonic() < until:
        time.sleep(0.1)
    assert not list(files.root.rglob("large.csv")) and made.studio.datasets.all() == []
    assert not list((tmp_path / "home").rglob("*.parquet"))


def test_a_large_file_that_can_not_be_read_says_why(visit: Visiting, files: Uploads) -> None:
    made = visit(tickets=send(files, ("large.json", b"[" + b'{"text": "a"},' * 200_000)))
    made.choose(task="chat", model="")
    import_data.take_files(made, files)
    with pytest.raises(StudioError) as caught:
        wait_for(visit)
    assert caught.value.code == "unreadable-file" and "large.json" in caught.value.what
    assert import_options.running_job(visit()) is None


def test_many_rows_are_mended_in_the_background(visit: Visiting) -> None:
    from studio.ui.tabs.data import tab as data_tab

    made = opened(visit, large(20_500).decode() + "This is text number 3 of many,b\n")
    data_tab.fix(visit(finding="duplicate"))
    assert "Fixing pasted rows" in page(visit)
    wait_for(visit)
    record = made.studio.datasets.get(made.choices.dataset)
    assert record.version == 2 and record.rows == 20_500 and record.note.startswith("1 row removed")
    assert "Checking 20,500 rows" in page(visit)


def test_looking_can_be_stopped_and_taken_up_again(visit: Visiting, files: Uploads) -> None:
    made = opened(visit, large(30_000).decode())
    check_progress.check(visit())
    check_progress.stop(visit())
    drawn = page(visit)
    assert "These rows have not been checked yet" in drawn and "Check the rows" in drawn
    assert 'data-act="check"' not in drawn and "Next: method" in str(rows.drawn(visit())[1])
    check_progress.again(visit())
    assert "Checking 30,000 rows" in page(visit)
    check_progress.stop(visit())
    assert not made.studio.checks.is_cached(made.choices.dataset, "classification")


# --- splits ---


def test_rows_are_divided_by_a_column_and_that_is_kept_with_the_dataset(visit: Visiting) -> None:
    made = opened(visit)
    splits.change(visit())
    assert "At random; equal texts stay together" in page(visit)
    splits.set_way(visit(value="group_column"))
    assert "Choose a column" in page(visit)
    splits.set_column(visit(name="group_column", value="customer"))
    splits.set_share(visit(name="validation_share", value="30 %"))
    splits.set_stable(visit(value=True))
    assert "same customer stay together: 9 groups" in page(visit)
    said = {"group_column": "customer", "validation_share": 0.3, "stable_splits": True}
    assert visit().choices.settings == said
    spec = made.studio.datasets.get(made.choices.dataset).spec
    assert spec and spec.splits == SplitSpec(**said)
    import_data.open_dataset(visit(), made.studio.datasets.add_text(TABLE, "another"))
    assert visit().choices.settings == {}, "another dataset is divided in its own way"
    import_data.open_dataset(visit(), made.studio.datasets.all()[-1])
    assert visit().choices.settings == said, "and this one as before"


def test_a_way_that_can_not_be_is_refused_and_nothing_changes(visit: Visiting) -> None:
    opened(visit)
    for act, event, field in (
        (splits.set_column, {"name": "time_column", "value": "text"}, "time_column"),
        (splits.set_column, {"name": "split_column", "value": "label"}, "split_column"),
        (splits.set_share, {"name": "test_share", "value": "much"}, "test_share"),
        (splits.set_share, {"name": "test_share", "value": "90"}, "test_share"),
    ):
        with pytest.raises(StudioError) as caught:
            act(visit(**event))
        assert caught.value.field == field
    assert visit().choices.settings == {}
    splits.set_column(visit(name="time_column", value="day"))
    assert "By time in day" in page(visit)


# --- versions ---


def test_versions_say_what_they_changed_and_two_are_compared(visit: Visiting) -> None:
    made = opened(visit, f"{TABLE}\n{EVIL};a;c1;2024-01-01")
    made.studio.checks.fix(made.choices.dataset, "duplicate")
    visit().choose(view="versions")
    drawn = page(visit)
    assert "Version 2" in drawn and "2 rows removed" in drawn and "Use version 1" in drawn
    assert "2 removed" in drawn and ">removed<" in drawn and "61 rows the same" in drawn
    versions.compare(visit(name="only", value="added"))
    assert "No row differs" in page(visit)
    made.studio.datasets.reread(made.choices.dataset, delimiter=",")
    versions.compare(visit(name="after", value="3"))
    assert "New columns" in page(visit) and "<img" not in page(visit)


def test_changed_cells_show_what_was_and_what_is(visit: Visiting) -> None:
    words = TABLE.replace(";a;", ";good;").replace(";b;", ";bad;")
    odd = words.replace("text 5;bad", "text 5;Bad").replace("text 7;bad", "text 7;Bad")
    made = opened(visit, odd)
    made.studio.checks.fix(made.choices.dataset, "rare-label")
    visit().choose(view="versions")
    assert page(visit).count('<td class="changed"><del>Bad</del> <ins>bad</ins></td>') == 2


# --- the Hub ---


@pytest.mark.slow
def test_a_hub_dataset_is_looked_at_chosen_and_fetched(visit: Visiting, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HubServer() as hub:
        for name, value in (("ENDPOINT", hub.url), ("HF_HUB_OFFLINE", False)):
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        rows_ = "\n".join(line.replace(";", ",") for line in TABLE.splitlines()).encode()
        card = {"configs": [{"config_name": name, "data_files": f"{name}/*"} for name in ("en", "de")]}
        sent = {f"{config}/{split}.csv": rows_ for config in ("en", "de") for split in ("train", "test")}
        hub.add_dataset("someone/mood", sent, card=card)
        made = visit(value="someone/mood")
        made.choose(task="classification", model="", view="bring")
        import_options.hub_inspect(made)
        drawn = page(visit)
        assert "Download these rows" in drawn and "license apache-2.0" in drawn and "2 configs" in drawn
        import_options.hub_choose(visit(name="hub_config", value="de"))
        import_options.hub_choose(visit(name="hub_split", value="test"))
        import_options.hub_choose(visit(name="row_limit", value="50"))
        with pytest.raises(StudioError):
            import_options.hub_choose(visit(name="row_limit", value="many"))
        import_options.hub_fetch(visit())
        assert "Downloading someone/mood from the Hub" in page(visit)
        wait_for(visit)
    record = made.studio.datasets.get(visit().choices.dataset)
    assert record.rows == 50 and record.source == "hf:someone/mood" and "config de, split test" in record.note
    assert "Maximum rows per split" in page(visit)


def test_without_a_network_the_page_says_so(visit: Visiting, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    made = visit(value="someone/mood")
    made.choose(view="bring")
    with pytest.raises(StudioError) as caught:
        import_options.hub_inspect(made)
    assert caught.value.code == "no-network"
    assert "Hub dataset" in page(visit) and 'value="someone/mood"' in page(visit), "what was typed is still there"


def test_a_process_that_is_ended_from_outside_is_said_and_leaves_nothing(
    visit: Visiting, files: Uploads, tmp_path: Path, afresh: None
) -> None:
    import psutil

    made = visit(tickets=send(files, ("large.csv", large(400_000))))
    made.choose(task="classification", model="")
    earlier = set(psutil.Process().children())  # a process of an earlier test may still be ending
    import_data.take_files(made, files)
    until = time.monotonic() + 20

    def reads(process: psutil.Process) -> bool:
        with suppress(psutil.ZombieProcess):  # one of an earlier test, that nobody has asked after yet
            return "studio.services.datasets.subprocess_jobs:run_job" in process.cmdline()
        return False

    while not (children := [each for each in {*psutil.Process().children()} - earlier if reads(each)]):
        assert time.monotonic() < until
        time.sleep(0.02)
    children[0].kill()
    with pytest.raises(StudioError) as caught:
        wait_for(visit)
    assert caught.value.code == "out-of-memory" and caught.value.hint
    assert made.studio.datasets.all() == []


def test_versions_of_many_rows_are_compared_in_the_background_and_that_can_be_stopped(visit: Visiting) -> None:
    made = opened(visit, "text,label\n" + "\n".join(f"text number {n},{'ab'[n % 2]}" for n in range(12_000)))
    dataset = made.choices.dataset
    made.studio.datasets.with_values(dataset, {7: {"text": "another text"}}, "One cell.")
    made.choose(view="versions")
    assert "Comparing" in page(visit) and 'data-act="compare-look"' in page(visit)
    versions.update(visit())
    versions.stop(visit())
    assert "These versions have not been compared." in page(visit)
    versions.update(visit())
    assert "These versions have not been compared." in page(visit), "nobody asked for it again"
    versions.again(visit())
    until = time.monotonic() + 60
    while "Comparing" in page(visit):
        assert time.monotonic() < until
        versions.update(visit())
        time.sleep(0.05)
    drawn = page(visit)
    assert "11,999 rows the same" in drawn and "another text" in drawn and "text number 6" in drawn
    found = made.studio.versions.compare(dataset, 1, 2)
    assert (found.changed, found.rows[0].before, found.rows[0].after) == (1, 7, 7)


def test_rows_of_which_no_column_is_clear_are_shown_with_what_is_missing_and_with_the_ways_on(visit: Visiting) -> None:
    made = visit()
    made.choose(task="chat", model="")
    import_data.open_dataset(
        made, made.studio.datasets.add_text("question\n" + "".join(f"How is {n}?\n" for n in range(30)))
    )
    for shown in (page(visit), str(rows.drawn(visit(tab="data"))[0])):
        assert "not clear which column is the reply" in shown
        assert "Replace file" in shown and "How is 3?" in shown


def test_after_a_fix_the_checks_say_what_it_changed(visit: Visiting) -> None:
    opened(visit, "text;label\n" + "".join(f"message {n // 2};{'ab'[n // 2 % 2]}\n" for n in range(60)))
    assert "Changed:" not in page(visit)
    data_tab.fix(visit(finding="duplicate"))
    checks = page(visit).partition('aria-labelledby="doc"')[2]
    assert "<b>Changed:</b> <span>30 rows removed" in checks
    assert "stay as they are" not in checks.partition("</section>")[0]


def test_rows_that_are_too_long_for_the_model_are_left_out_of_many_rows_too(
    visit: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_options, "MANY_ROWS", 10)
    made = visit()
    made.choose(task="chat", model="starter-chat", settings={"max_length": 128})
    lines = [f"Where is hall {n}?,Hall {n} is upstairs." for n in range(29)]
    table = "\n".join(["question,answer", *lines, f"Tell me all.,{'It is a long way. ' * 60}"])
    import_data.open_dataset(made, made.studio.datasets.add_text(table))
    visit().choose(settings={"max_length": 128})
    assert import_options.fix(visit(), "too-long", False) is None, "it takes a while"
    wait_for(visit)
    assert made.studio.datasets.get(made.choices.dataset).rows == 29


def test_saved_splits_are_shown_and_kept_after_the_settings_of_the_page_were_reset(visit: Visiting) -> None:
    """A run gets them too, so that rows of one customer are never in two splits by mistake."""
    made = opened(visit)
    splits.set_column(visit(name="group_column", value="customer"))
    visit().choose(settings={})  # "Reset to defaults", or another task
    splits.change(visit())
    assert re.search('value="customer"[^>]* selected', str(rows.drawn(visit())[0]))
    splits.set_share(visit(name="test_share", value="20"))
    spec = made.studio.datasets.get(made.choices.dataset).spec
    assert spec and spec.splits and (spec.splits.group_column, spec.splits.test_share) == ("customer", 0.2)
    splits.set_way(visit(value=""))
    spec = made.studio.datasets.get(made.choices.dataset).spec
    assert spec and spec.splits and spec.splits.group_column == ""


def test_a_row_opens_by_a_click_on_its_text_and_show_leads_to_the_table(visit: Visiting) -> None:
    opened(visit)
    drawn = page(visit)
    assert drawn.count('data-opens=".idx button"') == PAGE and "Click a row to edit it" in drawn
    assert 'data-key="rows"' in drawn and 'data-shows="rows"' in drawn


def test_rows_are_shown_when_the_folder_of_the_chosen_model_was_deleted(visit: Visiting, tmp_path: Path) -> None:
    opened(visit)
    visit().choose(model=str(tmp_path / "deleted"))
    assert 'data-key="rows"' in page(visit)


def test_a_conversation_is_shown_without_its_system_prompt_and_not_as_json(visit: Visiting) -> None:
    turns = [("system", "You sell plants."), ("user", "Is moss a plant?"), ("assistant", "It is.")]
    messages = [{"role": role, "content": content} for role, content in turns]
    made = visit()
    made.choose(task="chat", model="")
    import_data.open_dataset(made, made.studio.datasets.add_text("\n".join([json.dumps({"messages": messages})] * 3)))
    drawn = page(visit)
    assert "user: Is moss a plant?  assistant: It is." in drawn and "You sell plants" not in drawn
    assert "1 column ·" in drawn


@pytest.mark.parametrize(("task", "first"), [("classification", "text\tlabel\nArrived late"), ("chat", "\nWhere is")])
def test_the_example_of_pasted_rows_is_one_of_the_chosen_task(visit: Visiting, task: str, first: str) -> None:
    made = visit()
    made.choose(task=task, view="bring", dataset="", model="")
    placeholder = page(visit).partition('placeholder="')[2].partition('"')[0]
    assert first in placeholder
