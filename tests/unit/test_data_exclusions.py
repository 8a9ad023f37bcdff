"""Rows that are left out on purpose: gone from training, plan and counts alike, and brought back by going back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.data.checks import check, find_rows_left_out, usable_rows
from studio.data.formats import read_text
from studio.data.splits import Splitter
from studio.data.table import Row, Table
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.label_quality import Suspect
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.runs import RunSpec
from studio.schema.settings_check import config_from
from studio.schema.spans import is_in, numbers_in, some_in, spans_of, total_of
from studio.schema.views import Page
from studio.services.datasets.check_options import CheckOptions
from studio.tasks import task_named
from studio.worker.rows import rows_of_run

CHAT, SORT = task_named("chat"), task_named("classification")
PAIR, LABELLED = {"question": "prompt", "answer": "reply"}, {"text": "text", "label": "label"}


def lines(rows: list[Row]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def table(rows: list[Row]) -> Table:
    return read_text(lines(rows))


def pairs(count: int = 60) -> list[Row]:
    places = ("Rome", "Oslo", "Lima", "Cairo", "Quito", "Perth", "Kyoto")
    return [
        {"question": f"How far is it to {places[n % 7]} by way {n}?", "answer": f"{n} hours, and {n * 7} miles."}
        for n in range(count)
    ]


def labelled(count: int = 60) -> list[Row]:
    return [{"text": f"Text number {n}", "label": ["good", "bad", "so-so"][n % 3]} for n in range(1, count + 1)]


KNOWN: dict[str, tuple[list[Row], Any, dict[str, str], dict[str, Any]]] = {
    "too-long": (
        pairs(),
        CHAT,
        PAIR,
        {"lengths": {n: 900 if n in (3, 41) else 10 for n in range(1, 61)}, "max_length": 100},
    ),
    "leakage": (pairs(), CHAT, PAIR, {"validation": table([pairs()[2], pairs()[40]])}),
    "label-error": (
        labelled(),
        SORT,
        LABELLED,
        {"suspects": {n: Suspect(label="good", likelier="bad", chance=0.9) for n in (3, 41)}},
    ),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_rows_of_kinds_that_need_more_than_the_rows_are_left_out_everywhere(kind: str) -> None:
    rows, task, roles, about = KNOWN[kind]
    gone = find_rows_left_out(table(rows), task, roles, [kind], **about)
    assert gone == ((3, 3), (41, 41))
    report = check(table(rows), task, roles, left_out=[kind], **about)
    assert report.usable == 58 and [(each.kind, each.severity) for each in report.problems] == [(kind, "note")]
    assert check(table(rows), task, roles, left_out=[kind], rows_left_out=gone, **about).usable == 58
    how: dict[str, Any] = {"left_out": [kind], "rows_left_out": gone}
    assert not {3, 41} & {number for number, _ in usable_rows(table(rows), task, roles, **how)}
    counts = Splitter(table(rows), task, roles).assign(**how).counts
    assert counts.train + counts.validation + counts.test == 58


def test_a_kind_whose_rows_nobody_can_know_yet_is_refused_with_what_is_missing() -> None:
    for kind, missing in (("too-long", "--model"), ("leakage", "--validation"), ("label-error", "--label-errors")):
        rows, task, roles, _ = KNOWN[kind]
        with pytest.raises(StudioError) as caught:
            find_rows_left_out(table(rows), task, roles, [kind])
        assert missing in caught.value.hint and caught.value.given == kind
    assert find_rows_left_out(table(pairs()), CHAT, PAIR, ["label-error"]) == (), "chat has no labels to be wrong"


def test_a_run_learns_from_no_row_that_was_left_out(studio: Studio) -> None:
    rows = [*pairs(), pairs()[7]]
    data, judged_by = (
        studio.datasets.add_text(lines(rows)),
        studio.datasets.add_text(lines([pairs()[2], pairs()[40], *pairs(70)[60:]])),
    )
    spec = studio.datasets.spec(data.id)
    info = ModelInfo.model_construct(name="none", context=512)
    request = RunRequest(dataset=data.id, leave_out=("duplicate", "leakage"), validation=judged_by.id)
    settled = studio.planning._with_rows_left_out(request, info, spec)
    assert settled.rows_left_out == ((3, 3), (41, 41), (61, 61)) and settled.left_out == ("duplicate", "leakage")
    counts = studio.datasets.count_splits(data.id, SplitSpec(), spec=settled, validation_file=True)
    run = RunSpec(
        config=config_from({"task": "chat", "model": "none"}),
        dataset=data.id,
        dataset_version=1,
        data=settled,
        splits=SplitSpec(),
        validation_dataset=judged_by.id,
    )
    kept = RunSpec.model_validate_json(run.model_dump_json())
    learned = rows_of_run(studio.context.workspace.datasets, kept)
    assert not {3, 41, 61} & {number for part in ("train", "validation", "test") for number in learned.splits[part]}
    assert len(learned.train) == counts.train == 58 and len(learned.validation) == 12
    report = studio.checks.check(
        data.id, options=CheckOptions(leave_out=["duplicate", "leakage"], validation=judged_by.id)
    )
    assert report.usable == 58


def test_leaving_out_on_the_page_makes_a_version_and_going_back_undoes_it(tmp_path: Path) -> None:
    from studio.ui.tabs.data import rows
    from studio.ui.tabs.data import tab as data_tab
    from studio.ui.visitors.session import Sessions

    sessions = Sessions(tmp_path / "home")
    visit = sessions.visit({}, "page", {})
    broken = [*map(json.dumps, pairs(30)), '{"question": ']
    record = visit.studio.datasets.add_text("\n".join(broken))
    visit.choose(dataset=record.id, task="chat", model="", view="rows")
    shown = str(rows.drawn(visit)[0])
    assert "Leave out" in shown and visit.studio.checks.check(record.id).blocked
    data_tab.fix(sessions.visit({}, "page", {"finding": "bad-line"}))
    after = visit.studio.datasets.get(record.id)
    assert (after.version, after.rows, after.note) == (2, 30, "1 row removed: bad line.")
    assert not visit.studio.checks.check(record.id).blocked and "Back to version 1" in str(rows.drawn(visit)[0])
    data_tab.go_back(sessions.visit({}, "page", {"version": 1}))
    assert visit.studio.datasets.get(record.id).version == 1 and visit.studio.checks.check(record.id).blocked
    sessions.root.close()


def test_the_command_line_leaves_out_as_a_version_and_takes_it_back(
    call: Callable[..., tuple[int, Any, str]], tmp_path: Path
) -> None:
    rows, judged_by = tmp_path / "rows.jsonl", tmp_path / "held.jsonl"
    rows.write_text(lines(pairs()))
    judged_by.write_text(lines([pairs()[2], pairs()[40]]))
    _, record, _ = call("data", "add", rows)
    _, made, _ = call("data", "fix", record["id"], "leakage", "--validation", judged_by)
    assert (made["version"], made["rows"], made["note"]) == (2, 58, "2 rows removed: leakage.")
    assert call("data", "back", record["id"], "1")[1]["rows"] == 60
    status, _, said = call("data", "fix", record["id"], "too-long")
    assert status == 2 and "--model" in said


# --- all rows of a finding ---


@pytest.mark.parametrize("apart", [False, True])
def test_all_rows_of_a_finding_are_shown_page_by_page(studio: Studio, apart: bool) -> None:
    rows = [{"question": f"Ask about thing {n % 20}", "answer": f"It is thing {n % 20}, surely."} for n in range(400)]
    record = studio.datasets.add_text(lines(rows))
    if apart:
        studio.jobs.check(record.id, "chat")
    found = studio.checks.check(record.id, "chat").problems[0]
    assert (found.kind, found.count, len(found.rows)) == ("duplicate", 380, 100)
    last = studio.datasets.checked_rows(record.id, "chat", Page(373), "duplicate")
    assert last.total == 380 and [number for number, _ in last.rows] == list(range(393, 401))
    assert last.marks[400] == (("duplicate", "duplicate"),)
    assert studio.datasets.checked_rows(record.id, "chat", Page(300, 1)).marks == {300: (("duplicate", "duplicate"),)}
    assert "every" not in found.model_dump(), "a printed report names the first hundred"


def test_rows_that_only_a_look_at_all_finds_are_shown_when_all_were_looked_at(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.data.checks import near_duplicate

    rows = [{**row, "answer": f"{row['answer']} and so on for a while, I think"} for row in pairs(60)]
    rows += [{**row, "answer": f"{row['answer']} Yes."} for row in rows]
    monkeypatch.setattr(near_duplicate, "MOST", 30)
    record = studio.datasets.add_text(lines(rows))
    sampled = studio.datasets.checked_rows(record.id, "chat", only="near-duplicate").total
    assert studio.datasets.checked_rows(record.id, "chat", only="near-duplicate", whole=True).total == 60 > sampled


def test_of_many_rows_lengths_are_a_sample_and_that_is_said() -> None:
    rows = pairs(100)
    sampled = {n: 900 if n <= 20 else 10 for n in range(1, 101, 5)}
    about: dict[str, Any] = {"lengths": sampled, "max_length": 100}
    told = check(table(rows), CHAT, PAIR, **about).problems[0]
    assert (told.kind, told.count, told.rows) == ("too-long", 4, (1, 6, 11, 16))
    assert told.message.startswith("In a sample of 20 rows, 4 rows are longer than 100 tokens (20% of them;")
    assert "--all-rows" in told.message
    about["lengths"] = {n: 900 if n <= 20 else 10 for n in range(1, 101)}
    whole = check(table(rows), CHAT, PAIR, **about).problems[0]
    assert whole.count == 20 and whole.message.startswith("20 rows are longer than 100 tokens (20% of the rows;")
    assert "sample" not in whole.message


def test_spans_hold_what_numbers_hold() -> None:
    numbers = [9, 2, 3, 4, 7, 8, 12, 3]
    spans = spans_of(numbers)
    assert spans == ((2, 4), (7, 9), (12, 12)) and list(numbers_in(spans)) == sorted(set(numbers))
    assert total_of(spans) == 7 and some_in(spans, 3, 3) == [4, 7, 8] and some_in(spans, 7, 5) == [12]
    assert [number for number in range(15) if is_in(spans, number)] == sorted(set(numbers))
    assert spans_of([]) == () and not is_in((), 1)
    assert (
        DatasetSpec.model_validate_json(
            DatasetSpec(task="chat", roles={}, rows_left_out=spans).model_dump_json()
        ).rows_left_out
        == spans
    )
