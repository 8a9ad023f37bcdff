"""What one view of the page keeps is not lost, or read as something else, because of another view."""

import threading
import time
from collections.abc import Callable

import pytest

from studio.schema.errors import StudioError
from studio.ui.jobs import JOBS, Job
from studio.ui.tabs.data import augmentation, import_data, rows, splits, versions
from studio.ui.tabs.data import tab as data_tab
from studio.ui.tabs.method import plan, search
from studio.ui.tabs.method import tab as method_tab
from studio.ui.tabs.runs import adapter_merge, compare
from studio.ui.visitors.session import Visit

Visiting = Callable[..., Visit]
LABELED = "text,label\n" + "".join(f"A message with the number {n},{'ab'[n % 2]}\n" for n in range(60))
ROWS = "question,answer\n" + "".join(f"Where is number {n}?,Under the blue stone {n}.\n" for n in range(30))


def opened(visit: Visiting, text: str, task: str, model: str = "") -> Visit:
    made = visit()
    made.choose(task=task, model=model)
    import_data.open_dataset(made, made.studio.datasets.add_text(text))
    return made


def until_made(made: Visit) -> Job:
    """The job that makes rows, when it has ended."""
    until = time.monotonic() + 60
    while not (job := JOBS.get((made.workspace, f"make {made.choices.dataset}"))) or not job.ended:
        assert time.monotonic() < until
        time.sleep(0.01)
    return job


def test_rows_are_made_in_the_shown_way_after_the_form_of_the_splits_was_open(visit: Visiting) -> None:
    made = opened(visit, LABELED, "classification")
    splits.change(visit())
    splits.set_way(visit(value="group_column"))
    augmentation.make(visit())
    assert until_made(made).error is None
    assert made.studio.augmentation.proposals(made.choices.dataset).rows


def test_ticked_runs_and_compared_versions_are_two_things(visit: Visiting) -> None:
    made = opened(visit, LABELED, "classification")
    made.studio.editing.edit(made.choices.dataset, 1, {"label": "b"})
    visit().remember(compared=["20260101-00000000"])
    assert "Version 2" in str(versions.drawn(visit()))
    versions.compare(visit(name="only", value="changed"))
    assert compare.ticked(visit()) == ["20260101-00000000"]


def test_what_was_measured_by_real_steps_stays_after_the_rows_were_looked_at(
    visit: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(visit, ROWS, "chat", "starter-chat")
    monkeypatch.setattr(made.studio.planning, "probe", made.studio.planning.plan)
    monkeypatch.setattr(made.studio.runs, "prepare", lambda *_: None)
    plan.measure(visit())
    assert len(plan.kept(visit(), "probed")) == plan.MEASURED
    rows.drawn(visit())
    data_tab.measure(visit())
    assert len(plan.kept(visit(), "probed")) == plan.MEASURED
    assert 'data-act="measure"' not in str(rows.drawn(visit())[0]), "and the rows are not counted again"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("system_prompt", "3 sentences at most, no lists, please.", "3 sentences at most, no lists, please."),
        ("group_column", "2nd column, from the left", "2nd column, from the left"),
        ("max_length", "2,000", 2000),
        ("max_length", "2.000", 2000),
        ("max_length", "2 000", 2000),
        ("max_length", "512", 512),
        ("learning_rate", "0,0003", 0.0003),
        ("learning_rate", "3e-4", 0.0003),
        ("epochs", "2,5", 2.5),
        ("warmup_share", "0,125", 0.125),
    ],
)
def test_a_typed_setting_is_read_as_it_was_meant(name: str, text: str, value: object) -> None:
    assert method_tab.typed(name, text) == value


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("1,024", 1024), ("1.024", 1024), ("1 024 000", 1_024_000), ("1,5", 7), ("x", 7)]
)
def test_a_typed_row_number_may_have_separators_as_the_page_shows_them(visit: Visiting, text: str, number: int) -> None:
    assert visit(value=text).whole("value", 7) == number


def leave_field(visit: Visiting, act: Callable[[Visit], None], **typed: str) -> None:
    """A field whose change is still on its way to the server when the next thing is clicked."""
    under_way = threading.Event()

    def change() -> None:
        with visit(**typed) as earlier:
            under_way.set()
            time.sleep(0.3)
            act(earlier)

    threading.Thread(target=change).start()
    assert under_way.wait(5)


@pytest.mark.parametrize(
    ("field", "typed", "press", "named"),
    [
        (search.ACTS["search-trials"], {"value": "many"}, search.start, "trials"),
        (adapter_merge.weigh, {"name": "weight-20260101-00000000", "value": "much"}, adapter_merge.combine, "weight"),
    ],
)
def test_a_click_waits_for_the_field_that_it_has_left(
    visit: Visiting, field: Callable[[Visit], None], typed: dict[str, str], press: Callable[[Visit], None], named: str
) -> None:
    leave_field(visit, field, **typed)
    with visit() as click, pytest.raises(StudioError) as refused:
        press(click)
    assert (refused.value.field, refused.value.given) == (named, typed["value"])


def test_as_many_rows_are_made_as_was_typed_just_before_the_click(visit: Visiting) -> None:
    made = opened(visit, LABELED, "classification")
    leave_field(visit, augmentation.pick_count, value="3")
    with visit() as click:
        augmentation.make(click)
    until_made(made)
    proposals = made.studio.augmentation.proposals(made.choices.dataset)
    assert len(proposals.rows) + proposals.skipped == 3
