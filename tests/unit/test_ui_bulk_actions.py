"""Runs in the table: narrowed to one dataset, and several that are ticked deleted or put aside together."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_run_management import made
from test_ui_run_pages import EVIL, a_line

from studio.ui.components.run_table import Line, table
from studio.ui.tabs.runs import bulk_actions, compare, filters
from studio.ui.tabs.runs import tab as runs_tab
from studio.ui.visitors.session import Sessions, Visit


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    sessions = Sessions(tmp_path / "home")
    yield sessions.visit({}, "page", {})
    sessions.root.close()


def act(visit: Visit, what: Any, **event: Any) -> None:
    visit.event = event
    what(visit)


def tick(visit: Visit, *names: str) -> None:
    for run in names:
        act(visit, compare.pick, name=f"pick-{run}", value=True)


def shown(visit: Visit) -> list[Line]:
    return runs_tab.read(visit, filters.current(visit))


def chosen(name: str) -> Line:
    return replace(a_line(name), chosen=True)


def at_work(line: Line) -> Line:
    return replace(line, record=line.record.model_copy(update={"status": "training"}))


def on_two_datasets(visit: Visit) -> tuple[str, str, str]:
    """Two runs on one dataset and one on another; the datasets' ids and the last run's."""
    store = visit.studio.context.workspace.runs
    ids = [
        visit.studio.datasets.add_text(
            "question,answer\n" + "".join(f"How is {n} {name}?,Well {n}.\n" for n in range(12)), name=name
        ).id
        for name in ("support", "shop")
    ]
    found = [made(visit.studio, name) for name in ("one", "two", "three")]
    for run, dataset in zip(found, (ids[0], ids[0], ids[1]), strict=True):
        store.replace_spec(run, store.spec(run).model_copy(update={"dataset": dataset}))
    return ids[0], ids[1], found[-1]


def test_runs_are_narrowed_to_one_dataset_and_the_heading_names_it(visit: Visit) -> None:
    support, shop, third = on_two_datasets(visit)
    drawn = filters.panel(visit, filters.current(visit))
    assert "All datasets" in drawn and f'value="{support}"' in drawn
    assert len(shown(visit)) == 3
    act(visit, filters.ACTS["find-dataset"], value=shop)
    wanted = filters.current(visit)
    assert [each.record.id for each in shown(visit)] == [third]
    assert "1 run on shop." in table(shown(visit), "", "", on=wanted.datasets[wanted.dataset])
    act(visit, filters.ACTS["find-dataset"], value="no such dataset")
    assert len(shown(visit)) == 3


def test_there_is_no_choice_of_a_dataset_where_all_runs_have_one(visit: Visit) -> None:
    made(visit.studio)
    assert "All datasets" not in filters.panel(visit, filters.current(visit))


def test_what_is_ticked_is_ticked_in_the_table_and_compared(visit: Visit) -> None:
    one, two, three = (made(visit.studio, name) for name in ("one", EVIL, "three"))
    for run in (one, two, three):
        visit.studio.context.workspace.runs.update(run, step=5)
    tick(visit, one, two)
    lines = shown(visit)
    assert [each.chosen for each in lines] == [False, True, True]
    drawn = table(lines, "", "")
    assert drawn.count(" checked") == 2 and "Select three" in drawn and "<img" not in drawn
    assert f'data-compare="{two} {one}"' in compare.panel(visit, [each.record for each in lines])
    act(visit, compare.pick, name=f"pick-{two}", value=False)
    assert "Tick two to 8 runs" in compare.panel(visit, [each.record for each in lines])


def test_a_tick_stays_however_many_follow_and_too_many_are_not_drawn(visit: Visit) -> None:
    many = [made(visit.studio, f"run {number}") for number in range(9)]
    for run in many:
        visit.studio.context.workspace.runs.update(run, step=5)
    tick(visit, *many)
    assert compare.ticked(visit) == many
    assert "data-compare" not in compare.panel(visit, [each.record for each in shown(visit)])


def test_the_bar_says_how_many_runs_go_with_how_many_bytes_and_that_those_at_work_stay() -> None:
    lines = [chosen("one"), chosen("two"), at_work(chosen("three"))]
    drawn = bulk_actions.bar(lines, archived=False)
    assert "<b>3 runs</b> selected. 1 active run does not change." in drawn
    question = (
        "Delete 2 runs with their curves, logs, checkpoints and fine-tuned models, 10 bytes? "
        "1 active run does not change. This can&#39;t be undone."
    )
    assert f'data-confirm="{question}"' in drawn and 'data-runs="id-one id-two"' in drawn and "Archive 2 runs" in drawn
    assert "Unarchive 1 run" in bulk_actions.bar([chosen("one")], archived=True)


def test_the_bar_has_nothing_to_delete_where_none_is_chosen_or_all_are_at_work() -> None:
    assert "delete-several" not in bulk_actions.bar([], archived=False)
    drawn = bulk_actions.bar([at_work(chosen("one")), at_work(chosen("two")), a_line("three")], archived=False)
    assert "2 active runs do not change." in drawn and "delete-several" not in drawn and "New run" in drawn


def test_all_that_are_shown_are_chosen_by_one_press_and_none_by_another(visit: Visit) -> None:
    one, two, hidden = (made(visit.studio, name) for name in ("one", "two", "hidden"))
    visit.studio.saved.annotate(hidden, archived=True)
    tick(visit, one)
    drawn = bulk_actions.bar(shown(visit), archived=False)
    assert "Select all 2" in drawn and f'data-runs="{two} {one}"' in drawn and "Select none" in drawn
    act(visit, bulk_actions.choose, runs=f"{two} {one} gone-since")
    assert compare.ticked(visit) == [two, one]
    assert "Select all" not in bulk_actions.bar(shown(visit), archived=False)
    act(visit, bulk_actions.choose, runs="")
    assert compare.ticked(visit) == [] and "Select" not in bulk_actions.bar(shown(visit), archived=False)


def test_several_runs_are_deleted_together_and_one_that_has_begun_to_work_meanwhile_stays(visit: Visit) -> None:
    one, two, three, other = (made(visit.studio, name) for name in ("one", "two", "three", "other"))
    tick(visit, one, two, three)
    visit.choose(run=one)
    visit.studio.context.workspace.runs.set_status(two, "paused")
    visit.studio.context.home.queue.enqueue("default", two)
    visit.studio.context.workspace.runs.set_status(two, "queued")
    act(visit, bulk_actions.delete, runs=f"{one} {two} {three}")
    assert {each.id for each in visit.studio.runs.all()} == {two, other}
    assert compare.ticked(visit) == [two] and visit.choices.run == ""


def test_several_runs_are_put_aside_together_and_back(visit: Visit) -> None:
    one, two, other = (made(visit.studio, name) for name in ("one", "two", "other"))
    tick(visit, one, two)
    act(visit, bulk_actions.archive, runs=f"{one} {two}", to="yes")
    assert [each.record.id for each in shown(visit)] == [other] and compare.ticked(visit) == []
    act(visit, bulk_actions.archive, runs=f"{one} {two}", to="")
    assert len(shown(visit)) == 3
