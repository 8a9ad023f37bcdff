"""A page that has fallen behind: another tab, another person or a server that began anew has changed what it shows."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_run_management import made
from test_ui_bulk_actions import act, on_two_datasets, shown, tick

from studio.schema.errors import StudioError
from studio.schema.limits import DEMO, Limits
from studio.schema.views import Progress
from studio.ui.components.markup import Html
from studio.ui.http.uploads import OLD, SWEPT_EVERY, Uploads
from studio.ui.selected import selected, target_run
from studio.ui.tabs import train
from studio.ui.tabs.data import import_data, labeling, row_editor, rows, stale_guard
from studio.ui.tabs.data import tab as data_tab
from studio.ui.tabs.runs import bulk_actions, compare, filters
from studio.ui.visitors.session import MOST_ADDED, Sessions, Visit

TEXTS = ["first text", "first text", "second text", "third text", "fourth text", *(f"text {n}" for n in range(20))]
Visiting = Callable[..., Visit]


@pytest.fixture
def visiting(tmp_path: Path) -> Iterator[Visiting]:
    sessions = Sessions(tmp_path / "home")
    yield lambda page="mine", **event: sessions.visit({}, page, event)
    sessions.root.close()


def labelled_rows(visiting: Visiting) -> Visit:
    """Rows without labels, opened in the view Label; the first two are the same."""
    mine = visiting()
    mine.choose(task="classification", model="")
    import_data.open_dataset(mine, mine.studio.datasets.add_text("text\n" + "\n".join(TEXTS)))
    mine.studio.labels.set_names(mine.choices.dataset, ["pos", "neg"])
    mine.choose(view="label")
    return mine


def about(drawn: tuple[Html, Html]) -> str:
    """What a press on a drawn page says of it."""
    return str(re.findall('data-about="([^"]*)"', str(drawn[0]))[0])


def one_row_less(visit: Visit) -> None:
    visit.studio.editing.edit(visit.choices.dataset, 1, {"text": ""})
    visit.studio.checks.fix(visit.choices.dataset, "empty")


def labels(visit: Visit) -> dict[str, str]:
    return {each.text: each.value for each in visit.studio.labels.rows(visit.choices.dataset).rows if each.value}


def test_a_key_pressed_for_a_row_gives_no_label_to_another_that_has_its_number_by_now(visiting: Visiting) -> None:
    mine = labelled_rows(visiting)
    seen = about(rows.drawn(visiting()))
    labeling.put(visiting(row=5, label="pos", about=seen))
    assert labels(mine) == {"fourth text": "pos"}
    one_row_less(mine)
    for late in (
        labeling.put,
        labeling.skip,
        labeling.unsure,
        labeling.keep_reply,
        labeling.type_reply,
        labeling.open_row,
    ):
        with pytest.raises(StudioError, match="This number is another row now"):
            late(visiting(row=4, label="neg", reply="neg", about=seen))
    for late in (labeling.label_many, labeling.take_suggestions):
        with pytest.raises(StudioError, match="This number is another row now"):
            late(visiting(rows="4,5", about=seen, **{"many-label": "neg"}))
    assert "neg" not in labels(mine).values()
    labeling.put(visiting(row=4, label="neg", about=about(rows.drawn(visiting()))))
    assert labels(mine)["fourth text"] == "neg"


def test_a_key_gives_a_label_also_while_another_page_shows_the_rows_to_write_replies(visiting: Visiting) -> None:
    mine = labelled_rows(visiting)
    theirs = visiting("theirs")
    theirs.choose(dataset=mine.choices.dataset, task="chat", view="label")
    assert "Save and next" in str(labeling.drawn(theirs)[1]), "replies are written there"
    labeling.ACTS["label"](visiting(row=5, label="pos"))
    assert mine.studio.labels.state(mine.choices.dataset, task="classification").counts == {"pos": 1, "neg": 0}


def test_a_list_of_the_rows_of_a_label_shows_all_rows_when_the_label_has_another_name(visiting: Visiting) -> None:
    labelled_rows(visiting)
    labeling.put(visiting(row=5, label="pos", about=about(rows.drawn(visiting()))))
    labeling.show_rows(visiting(value="label:pos"))
    assert "1 to 1 of 1 row" in str(labeling.drawn(visiting())[1])
    labeling.rename_label(visiting(label="pos", value="good"))
    shown = str(labeling.drawn(visiting())[1])
    assert "1 to 25 of 25 rows" in shown and "label:pos" not in shown


def test_a_label_is_taken_though_there_is_another_version_when_its_row_is_the_same(visiting: Visiting) -> None:
    mine = labelled_rows(visiting)
    seen = about(rows.drawn(visiting()))
    mine.studio.editing.edit(mine.choices.dataset, 9, {"text": "another text"})
    labeling.put(visiting(row=3, label="neg", about=seen))
    assert labels(mine) == {"second text": "neg"}


@pytest.mark.slow
def test_pasted_labels_are_taken_in_to_the_last_one_however_long_the_text_that_the_page_sends(
    visiting: Visiting,
) -> None:
    mine = labelled_rows(visiting)
    labeling.paste(visiting(**{"pasted-labels": "row,label\n" + "\n" * 3_200_000 + "5,neg\n"}))
    assert labels(mine) == {"fourth text": "neg"}


def test_nothing_is_done_to_a_dataset_that_the_page_does_not_show(visiting: Visiting) -> None:
    mine = labelled_rows(visiting)
    seen, other = about(rows.drawn(visiting())), mine.studio.datasets.add_text("text\n" + "\n".join(TEXTS)).id
    mine.choose(dataset=other)
    for late in (data_tab.fix, labeling.put, row_editor.save_cell, import_data.reread):
        with pytest.raises(StudioError, match="Another dataset was opened"):
            stale_guard.of_this_dataset(late)(visiting(row=3, label="neg", finding="duplicate", about=seen))
    assert mine.studio.datasets.get(other).version == 1 and not labels(mine)


def test_a_cell_is_not_written_over_another_row_that_has_the_number_of_the_opened_one(visiting: Visiting) -> None:
    mine = labelled_rows(visiting)
    mine.choose(view="rows")
    row_editor.open_row(visiting(row=4, about=about(rows.drawn(visiting()))))
    one_row_less(mine)
    before = mine.studio.datasets.get(mine.choices.dataset).version
    with pytest.raises(StudioError, match="changed after this row was opened"):
        row_editor.save_cell(visiting(row=4, column=0, **{"cell-0": "third text, better"}))
    assert mine.studio.datasets.get(mine.choices.dataset).version == before


def test_a_button_of_a_run_is_for_that_run_after_the_server_began_anew(visiting: Visiting, tmp_path: Path) -> None:
    mine, other = visiting("mine"), visiting("other")
    one, two = (made(mine.studio, name, "failed") for name in ("one", "two"))
    mine.choose(run=one)
    drawn = str(train.bar(Progress(record=mine.studio.runs.get(one), share=0.5)))
    assert drawn.count(f'data-run="{one}"') == drawn.count("data-act=") > 0
    other.choose(run=two)
    anew = Sessions(tmp_path / "home")
    pressed = anew.visit({}, "mine", {"act": "delete", "run": one})
    assert selected(pressed).id == two  # type: ignore[union-attr]
    assert target_run(pressed) == one == pressed.choices.run
    anew.root.close()


def test_runs_that_another_tab_has_deleted_keep_no_other_from_being_deleted_or_put_aside(visiting: Visiting) -> None:
    mine = visiting()
    one, two, three, four = (made(mine.studio, name) for name in ("one", "two", "three", "four"))
    tick(mine, one, two, three, four)
    mine.studio.runs.delete(one)
    act(mine, bulk_actions.archive, runs=f"{one} {two}", to="yes")
    assert mine.studio.runs.get(two).archived and compare.ticked(mine) == [three, four]
    act(mine, bulk_actions.delete, runs=f"{one} {three}")
    assert {each.id for each in mine.studio.runs.all()} == {two, four} and compare.ticked(mine) == [four]


def test_the_choice_of_a_dataset_stays_while_one_is_chosen_though_the_others_are_gone(visiting: Visiting) -> None:
    mine = visiting()
    support, shop, third = on_two_datasets(mine)
    act(mine, filters.ACTS["find-dataset"], value=shop)
    mine.studio.datasets.delete(support)
    assert [each.record.id for each in shown(mine)] == [third]
    assert "All datasets" in filters.panel(mine, filters.current(mine))
    act(mine, filters.ACTS["find-dataset"], value="")
    assert len(shown(mine)) == 3


def test_files_that_nobody_took_are_removed_while_the_server_runs_and_one_that_is_being_sent_stays(
    tmp_path: Path,
) -> None:
    files = Uploads(tmp_path / "uploads", DEMO)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a,b"

    left, sent = (asyncio.run(files.keep("default", "a.csv", chunks())) for _ in range(2))
    long_ago = time.time() - OLD - 60
    for ticket in (left, sent):
        os.utime(tmp_path / "uploads" / "default" / ticket, (long_ago, long_ago))
    os.utime(files.take("default", left), (long_ago, long_ago))
    files._swept -= SWEPT_EVERY + 1
    asyncio.run(files.keep("default", "b.csv", chunks()))
    assert files.take("default", sent).name == "a.csv"
    with pytest.raises(StudioError, match="was not received"):
        files.take("default", left)


def test_of_a_visitors_files_so_many_wait_and_no_more(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a,b"

    files = Uploads(tmp_path / "uploads", Limits(waiting_uploads=3))
    tickets = [asyncio.run(files.keep("anna", "a.csv", chunks())) for _ in range(3)]
    with pytest.raises(StudioError, match="at most 3 at a time"):
        asyncio.run(files.keep("anna", "a.csv", chunks()))
    asyncio.run(files.keep("ben", "a.csv", chunks()))
    files.forget(files.take("anna", tickets[0]))
    asyncio.run(files.keep("anna", "a.csv", chunks()))
    own = Uploads(tmp_path / "own")
    assert len({asyncio.run(own.keep("default", "a.csv", chunks())) for _ in range(4)}) == 4


def test_a_row_of_a_run_that_another_tab_has_deleted_is_gone_once_something_is_done_to_it(tmp_path: Path) -> None:
    from studio.ui.app import blocks

    sessions = Sessions(tmp_path / "home")

    async def built() -> Any:  # where a loop is running Gradio makes none of its own
        page = blocks(sessions, Uploads(tmp_path / "uploads"))
        return next(block.act for block in page.blocks.values() if hasattr(block, "act"))

    send = asyncio.run(built())

    def send_action(**said: Any) -> dict[str, str]:
        data = {"page": "mine", "region": "runs-body", "said": said}
        regions: dict[str, str] = asyncio.run(send(data, SimpleNamespace(headers={})))["regions"]
        return regions

    mine = sessions.visit({}, "mine")
    one, two = (made(mine.studio, name) for name in ("one", "two"))
    for pressed in ("delete", "open", "pick"):
        assert f'data-key="{two}"' in send_action(act="look")["runs-body"]
        if pressed == "delete":
            mine.studio.runs.delete(one)
        drawn = send_action(act=pressed, run=one, name=f"pick-{one}", value=True)
        assert "There is no run" in drawn["notice-runs"]
        assert f'data-key="{two}"' in drawn["runs-body"] and f'data-key="{one}"' not in drawn["runs-body"]
    sessions.root.close()


def test_names_that_a_page_invents_do_not_fill_its_draft(visiting: Visiting) -> None:
    mine = visiting()
    for number in range(3 * MOST_ADDED):
        mine.add("export-options", **{f"format option-{number}": "x" * 30})
    kept = list(mine.choices.extra["export-options"])
    assert len(kept) == MOST_ADDED and kept[-1] == f"format option-{3 * MOST_ADDED - 1}"
