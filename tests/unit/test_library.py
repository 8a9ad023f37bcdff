"""The data library: what is known of each dataset; rename, duplicate, export, delete, and files that come again."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.data.text_lines import LINES
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.limits import MB, Limits
from studio.schema.requests import RunRequest
from studio.schema.runs import RunRecord, RunSpec
from studio.ui import run_drafts, selected
from studio.ui.http.uploads import Uploads
from studio.ui.tabs.data import import_data, library, rows
from studio.ui.tabs.method import tab as method_tab
from studio.ui.tabs.runs import new_run
from studio.ui.visitors.session import Visit

Visiting = Callable[..., Visit]
TEXTS = "text\n" + "".join(f"This is comment number {n}.\n" for n in range(20))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "comments.csv"
    path.write_text(TEXTS, encoding="utf-8")
    return path


def labeled(studio: Studio, file: Path) -> str:
    """A dataset of which ten rows are labeled, and a label is undone."""
    dataset = studio.datasets.add_file(file).id
    studio.labels.set_names(dataset, ["good", "bad"])
    for row in range(1, 12):
        studio.labels.give(dataset, row, "good" if row % 2 else "bad", "Ann")
    studio.labels.undo(dataset, "Ann")
    return dataset


def made_run(studio: Studio, dataset: str, status: Any = "queued", **more: Any) -> RunRecord:
    spec = RunSpec(
        config=TrainingConfig(task="classification", model="starter-classify", name="mood"),
        dataset=dataset,
        dataset_version=1,
        data=DatasetSpec(task="classification", roles={"text": "text", "label": "label"}),
        splits=SplitSpec(),
        **more,
    )
    runs = studio.context.workspace.runs
    run = runs.create(spec)
    runs.set_status(run.id, status)
    return runs.get(run.id)


def test_the_library_names_task_labels_versions_runs_and_size(studio: Studio, file: Path) -> None:
    dataset = labeled(studio, file)
    made_run(studio, dataset, "finished")
    chat = studio.datasets.add_text("question,answer\n" + "Where is it?,It is here.\n" * 9, "faq.csv")
    first, second = studio.library.entries()
    assert (first.id, first.task, first.labeled, first.runs) == (chat.id, "chat", None, ())
    assert (second.name, second.labeled, second.versions, second.runs) == ("comments.csv", 10, 1, ("mood",))
    studio.labels.apply(dataset)
    (second,) = studio.library.entries([studio.datasets.get(dataset)])
    assert (second.version, second.versions, second.labeled, second.task) == (2, 2, 10, "classification")
    assert second.disk_bytes > second.bytes


def test_a_dataset_is_renamed_in_all_versions_and_keeps_its_name_when_the_database_is_lost(
    studio: Studio, file: Path
) -> None:
    dataset = labeled(studio, file)
    studio.labels.apply(dataset)
    studio.library.rename(dataset, "  Comments of May ")
    names = {each.name for each in studio.versions.all(dataset)}
    records = studio.context.workspace.datasets.root.glob("*/v*/record.json")
    assert names == {"Comments of May"} == {json.loads(path.read_text())["name"] for path in records}
    assert studio.datasets.find("Comments of May").id == dataset
    for wrong in ("", " \n", "x" * 121):
        with pytest.raises(StudioError, match="this length") as refused:
            studio.library.rename(dataset, wrong)
        assert refused.value.field == "name"


def test_a_copy_has_the_versions_roles_and_labels_and_leaves_the_original_alone(studio: Studio, file: Path) -> None:
    dataset = labeled(studio, file)
    studio.labels.apply(dataset)
    studio.labels.give(dataset, 19, "bad", "Bob")
    copy = studio.library.duplicate(dataset)
    assert copy.name == "comments.csv (copy)" and copy.version == 2 and copy.spec == studio.datasets.get(dataset).spec
    assert studio.labels.state(copy.id).counts == studio.labels.state(dataset).counts == {"good": 5, "bad": 6}
    assert {each.name: each.rows for each in studio.labels.state(copy.id).labellers} == {"Ann": 10, "Bob": 1}
    studio.labels.undo(copy.id, "Bob")
    studio.versions.restore(copy.id, 1)
    assert studio.labels.state(dataset).done == 11 and studio.datasets.get(dataset).version == 2
    studio.datasets.delete(dataset)
    assert studio.datasets.table(copy.id).row(3) == {"text": "This is comment number 2."}


def test_a_copy_of_a_sample_does_not_become_the_sample(studio: Studio) -> None:
    sample = studio.datasets.add_sample("support-tone")
    assert studio.library.duplicate(sample.id, "mine").name == "mine"
    assert studio.datasets.add_sample("support-tone").id == sample.id


def test_copies_count_toward_the_disk_space_of_a_visitor(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "home", demo=True)
    studio.home.keep_demo_limits(Limits(workspace_mb=1))
    mine = studio.visitor(studio.home.visitor_workspace(studio.home.new_secret()) or "")
    lines = "".join(f"{n} {'abcdefgh' * 20}{n * 7919}\n" for n in range(1_500))
    dataset = mine.datasets.add_text("text\n" + lines).id
    made = 0
    with pytest.raises(StudioError) as refused:
        for _ in range(10):
            mine.library.duplicate(dataset)
            made += 1
    assert refused.value.code == "limit-reached" and len(mine.datasets.all()) == made + 1 < 10
    assert mine.library.entries()[0].disk_bytes * (made + 1) < MB
    other = studio.visitor(studio.home.visitor_workspace(studio.home.new_secret()) or "")
    assert other.library.entries() == []
    for act in (other.library.duplicate, lambda data: other.library.rename(data, "x"), other.library.lines):
        with pytest.raises(StudioError) as refused:
            act(dataset)
        assert refused.value.code == "no-such-dataset"
    with pytest.raises(StudioError) as refused:
        mine.library.export_file(dataset, tmp_path / "rows.csv")
    assert refused.value.code == "not-allowed" and not (tmp_path / "rows.csv").exists()
    studio.close()


def test_the_current_version_is_exported_as_csv_and_jsonl(studio: Studio, tmp_path: Path) -> None:
    given = [{"text": "=1+1", "tags": ["a", "b"], "n": 1}, {"text": "two\nlines", "tags": [], "n": None}]
    dataset = studio.datasets.add_text("\n".join(map(json.dumps, given))).id
    studio.editing.edit(dataset, 2, {"text": "three"})
    assert studio.library.export_file(dataset, tmp_path / "rows.jsonl") == 2
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert written == [given[0], {**given[1], "text": "three"}]
    lines = "".join(studio.library.lines(dataset, "csv", 1))
    assert lines == 'text,tags,n\r\n\'=1+1,"[""a"", ""b""]",1\r\n"two\nlines",[],\r\n'
    for wrong in ("rows.xlsx", "csv.txt"):
        with pytest.raises(StudioError) as refused:
            studio.library.export_file(dataset, tmp_path / wrong)
        assert refused.value.code == "unknown-format" and "jsonl" in str(refused.value.valid)


@pytest.mark.parametrize("status", ["queued", "training", "stopping"])
def test_a_dataset_is_not_deleted_while_a_run_uses_it(studio: Studio, file: Path, status: str) -> None:
    dataset, other = studio.datasets.add_file(file).id, studio.datasets.add_text(TEXTS).id
    run = made_run(studio, dataset, status, validation_dataset=other)
    for each in (dataset, other):
        with pytest.raises(StudioError, match="in use") as refused:
            studio.datasets.delete(each)
        assert refused.value.code == "wrong-state" and refused.value.given == "the run “mood”"
    assert {each.used_by for each in studio.library.entries()} == {"mood"}
    assert {each.kept_by for each in studio.storage.view().things if each.kind == "dataset"} == {
        "the run “mood” uses it"
    }
    studio.context.workspace.runs.set_status(run.id, "paused")
    studio.datasets.delete(dataset)
    studio.datasets.delete(other)
    assert not studio.library.entries()


def test_a_file_with_the_same_content_is_found_whatever_its_name(studio: Studio, file: Path, tmp_path: Path) -> None:
    assert studio.library.find_same([file]) is None
    dataset = labeled(studio, file)
    newer = studio.datasets.add_file(file).id
    renamed = tmp_path / "other name.txt"
    renamed.write_bytes(file.read_bytes())
    found = studio.library.find_same([renamed])
    assert found is not None and found.id == dataset, "the labeled one comes first"
    studio.datasets.delete(dataset)
    assert studio.library.find_same([renamed]).id == newer  # type: ignore[union-attr]
    renamed.write_bytes(file.read_bytes().replace(b"number 3", b"number 4"))
    assert studio.library.find_same([renamed]) is None
    assert studio.library.find_same([file, renamed]) is None
    both = studio.datasets.add_files({"a.csv": file, "b.csv": renamed}).id
    assert studio.library.find_same([renamed, file]).id == both  # type: ignore[union-attr]


def test_the_commands_rename_duplicate_export_and_list(call: Callable[..., Any], file: Path, tmp_path: Path) -> None:
    _, record, _ = call("data", "add", file)
    assert call("data", "rename", "last", "May")[1]["name"] == "May"
    status, copy, _ = call("data", "duplicate", "May", "--name", "June")
    assert status == 0 and copy["name"] == "June" and copy["id"] != record["id"]
    status, answer, _ = call("data", "export", "June", "--to", tmp_path / "june.csv")
    assert (status, answer["rows"]) == (0, 20) and (tmp_path / "june.csv").read_text() == TEXTS
    listed = call("data", "list")[1]
    assert [(each["name"], each["runs"], each["labeled"]) for each in listed] == [("June", [], None), ("May", [], None)]
    assert call("data", "export", "June", "--to", tmp_path / "june.xlsx")[0] == 2


# --- the page ---


@pytest.fixture
def files(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


def send(files: Uploads, name: str, text: str) -> str:
    """A file as the page sends it: its ticket."""

    async def chunks() -> Any:
        yield text.encode()

    return asyncio.run(files.keep("default", name, chunks()))


def shown(visit: Visiting) -> str:
    """The Data tab, without the marks of content that is not translated."""
    return re.sub("</?bdi[^>]*>", "", "".join(map(str, rows.drawn(visit()))))


def test_the_data_tab_leads_to_all_datasets_from_each_state(visit: Visiting, file: Path) -> None:
    assert 'data-act="library"' in shown(visit), "nothing is open"
    library.show(visit())
    empty = shown(visit)
    assert "No datasets yet" in empty and 'data-act="bring"' in empty
    dataset = labeled(visit().studio, file)
    library.open_(visit(dataset=dataset))
    for view in ("rows", "tokens", "label", "more", "versions"):
        visit().choose(view=view)
        assert 'data-act="library"' in shown(visit) and "Dataset of your next run, version 1" in shown(visit), view
    visit().choose(task="")
    assert 'data-act="library"' in shown(visit), "the task is asked for"


def test_the_library_shows_what_each_dataset_has_and_says_what_a_deletion_loses(visit: Visiting, file: Path) -> None:
    studio = visit().studio
    dataset = labeled(studio, file)
    studio.labels.apply(dataset)
    made_run(studio, dataset, "finished")
    library.show(visit())
    page = shown(visit)
    for words in ("comments.csv", "20 rows", "10 of 20 labeled", "2 versions", "<span>1 run</span>: mood", "just now"):
        assert words in page, words
    question = "You lose all 2 versions. You lose the labels of 10 rows. 1 run that was trained on it stays"
    assert f"Delete “comments.csv”? You lose 20 rows. {question}" in page
    made_run(studio, dataset, "training")
    page = shown(visit)
    assert "The run “mood” uses it" in page and "delete-data" not in page
    with pytest.raises(StudioError, match="in use"):
        library.delete(visit(dataset=dataset))
    library.start_renaming(visit(dataset=dataset))
    assert 'data-act="rename-data"' in shown(visit)
    library.rename(visit(dataset=dataset, value="May <b>"))
    assert "May &lt;b&gt;" in shown(visit) and 'data-act="rename-data"' not in shown(visit)
    library.duplicate(visit(dataset=dataset))
    assert "May &lt;b&gt; (copy)" in shown(visit) and len(studio.datasets.all()) == 2


def test_many_datasets_come_in_pages(visit: Visiting) -> None:
    for number in range(library.PAGE + 2):
        visit().studio.datasets.add_text(f"text\nrow {number}\n", f"set {number:02}")
    library.show(visit())
    assert "Datasets 1 to 20 of 22" in shown(visit) and "set 01" not in shown(visit)
    library.show(visit(value="21"))
    assert "Datasets 21 to 22 of 22" in shown(visit) and "set 01" in shown(visit)
    library.show(visit(value="999"))
    assert "Datasets 21 to 22 of 22" in shown(visit)
    for record in visit().studio.datasets.all()[library.PAGE :]:
        visit().studio.datasets.delete(record.id)
    assert "20 datasets" in shown(visit) and shown(visit).count('data-act="reopen"') == library.PAGE


def test_rows_without_a_file_are_not_the_same_as_no_file(studio: Studio) -> None:
    studio.datasets.add_sample("support-tone")
    assert studio.library.find_same([]) is None


def test_rows_are_read_in_one_pass(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass unpacks a block of 10,000 rows."""
    table = studio.datasets.table(studio.datasets.add_text("text\n" + "".join(f"row {n}\n" for n in range(1_000))).id)
    passes: list[int] = []
    values = table.source.values

    def counted(start: int) -> Any:
        passes.append(start)
        return values(start)

    monkeypatch.setattr(table.source, "values", counted)
    for write in LINES.values():
        assert "".join(write(table)).count("row ") == 1_000
    assert passes == [1, 1]


def test_a_run_brings_its_dataset_and_task_to_the_data_tab_and_a_draft_is_put_aside(
    visit: Visiting, file: Path
) -> None:
    studio = visit().studio
    dataset = labeled(studio, file)
    studio.labels.apply(dataset)
    run = made_run(studio, dataset, "finished")
    visit().choose(task="chat", model="starter-chat", name="my draft")
    import_data.open_dataset(visit(), studio.datasets.add_text("question,answer\n" + "Where?,Here.\n" * 9, "faq.csv"))
    visit().choose(name="my draft", settings={"epochs": 7.0})
    selected.open_run(visit(), run.id)
    chosen = visit().choices
    assert (chosen.dataset, chosen.task, chosen.model) == (dataset, "classification", "starter-classify")
    assert not chosen.settings and not chosen.name
    page = shown(visit)
    assert "Dataset of the run “mood”, which was trained on version 1. You see version 2." in page
    assert "Use version 1" in page and "comments.csv" in page and ">good<" in page
    (draft,) = run_drafts.drafts(visit())
    panel = str(new_run.panel(visit()))
    assert draft.name == "my draft" and "my draft" in panel and "faq.csv" in panel
    new_run.resume(visit(draft=draft.id))
    assert visit().choices.settings == {"epochs": 7.0} and visit().choices.tab == "method"
    assert "Dataset of your next run" in shown(visit) and not run_drafts.drafts(visit())
    selected.open_run(visit(), run.id)
    new_run.delete(visit(draft=run_drafts.drafts(visit())[0].id))
    assert not run_drafts.drafts(visit()) and len(studio.datasets.all()) == 2


def test_a_button_to_the_rows_of_a_run_opens_them_also_after_new_run(visit: Visiting, file: Path) -> None:
    studio = visit().studio
    dataset = labeled(studio, file)
    studio.labels.apply(dataset)
    run = made_run(studio, dataset, "finished")
    new_run.open_empty(visit())
    shown_run = selected.selected(visit())
    assert shown_run and shown_run.id == run.id and not visit().choices.dataset, "the newest run beside no rows"
    for leave in (lambda: None, lambda: library.show(visit()), lambda: import_data.show_ways(visit())):
        leave()
        page = visit(run=run.id)
        selected.open_rows(page)
        assert (page.wanted_tab, page.choices.dataset, page.choices.view) == ("data", dataset, "rows")
    page = visit(run=run.id)
    page.choose(view="label")
    selected.open_rows(page)
    assert page.choices.view == "label"


def test_a_run_whose_dataset_is_gone_leaves_the_rows_and_says_so(visit: Visiting, file: Path) -> None:
    studio = visit().studio
    run = made_run(studio, "data-gone", "finished")
    dataset = labeled(studio, file)
    library.open_(visit(dataset=dataset))
    selected.open_run(visit(), run.id)
    assert visit().choices.dataset == dataset
    assert "The dataset of the run “mood” was deleted. You see the rows of your next run." in shown(visit)


def test_a_labeled_dataset_opens_for_labeling_until_its_labels_are_in_a_version(visit: Visiting, file: Path) -> None:
    dataset = labeled(visit().studio, file)
    visit().choose(task="chat", model="starter-chat")
    library.open_(visit(dataset=dataset))
    assert visit().choices.view == "label" and visit().choices.task == "classification"
    assert "10</b>" in shown(visit)
    visit().studio.labels.apply(dataset)
    library.open_(visit(dataset=dataset))
    assert visit().choices.view == "rows"


def test_the_same_file_again_offers_the_dataset_with_the_labels(visit: Visiting, files: Uploads, file: Path) -> None:
    dataset = labeled(visit().studio, file)
    ticket = send(files, "again.csv", TEXTS)
    import_data.take_files(visit(tickets=ticket), files)
    assert len(visit().studio.datasets.all()) == 1 and not visit().choices.dataset
    page = shown(visit)
    assert "This file is here already: “comments.csv”, version 1" in page
    assert "10 of its 20 rows are labeled." in page and f'data-tickets="{ticket}"' in page
    import_data.take_files(visit(tickets=ticket, copy="yes"), files)
    assert len(visit().studio.datasets.all()) == 2 and visit().choices.dataset != dataset
    assert "here already" not in shown(visit)
    import_data.take_files(visit(tickets=send(files, "again.csv", TEXTS)), files)
    assert "here already" in shown(visit)
    library.open_(visit(dataset=dataset))
    assert "here already" not in shown(visit) and visit().choices.dataset == dataset
    import_data.take_files(visit(tickets=send(files, "other.csv", TEXTS + "One more.\n")), files)
    assert len(visit().studio.datasets.all()) == 3


def test_a_new_run_starts_empty_and_one_like_another_has_its_rows_and_settings(visit: Visiting) -> None:
    studio = visit().studio
    sample = studio.datasets.add_sample("support-tone")
    visit().choose(task="chat", model="starter-chat", dataset=sample.id, settings={"epochs": 7.0}, name="tone")
    visit().remember(finding={"find": "x"}, roles={"of": sample.id})
    new_run.open_empty(visit())
    chosen = visit().choices
    assert (chosen.task, chosen.model, chosen.dataset, chosen.run, chosen.settings, chosen.name) == ("",) * 4 + ({}, "")
    assert chosen.tab == "model" and chosen.extra == {"finding": {"find": "x"}}
    assert "Drop files here" in shown(visit) and [each.name for each in run_drafts.drafts(visit())] == ["tone"]
    request = RunRequest(dataset=sample.id, model="starter-chat", task="chat", settings={"lora_rank": 4, "epochs": 2})
    config = studio.planning.plan(request).plan.config
    other = studio.datasets.add_text("question,answer\n" + "".join(f"Where is {n}?,It is here.\n" for n in range(20)))
    spec = RunSpec(
        config=config.model_copy(update={"name": "tone"}),
        dataset=sample.id,
        dataset_version=1,
        data=studio.datasets.spec(sample.id),
        splits=SplitSpec(validation_share=0.3),
        validation_dataset=other.id,
    )
    run = studio.context.workspace.runs.create(spec)
    new_run.open_like(visit(run=run.id))
    again = studio.planning.plan(visit().choices.run_request()).plan.config
    assert visit().choices.tab == "method" and visit().choices.settings["validation_share"] == 0.3
    same = {"lora_rank", "epochs", "learning_rate", "batch_size", "method", "preset", "max_length"}
    assert again.model_dump(include=same) == config.model_dump(include=same)
    assert visit().choices.run_request().validation == other.id
    assert f"Validation uses the dataset “{other.name}”." in drawn_method(visit)
    studio.context.workspace.runs.set_status(run.id, "finished")
    studio.datasets.delete(other.id)
    assert "The dataset for validation was deleted." in drawn_method(visit)
    method_tab.validate_on_part(visit())
    assert visit().choices.run_request().validation is None and "for validation was" not in drawn_method(visit)
    visit().choose(validation=other.id)
    visit().choose(dataset=studio.datasets.add_sample("review-mood").id)
    assert visit().choices.validation == "", "it was chosen for the other rows"


def drawn_method(visit: Visiting) -> str:
    """The Method tab, without the marks of content that is not translated."""
    return re.sub("</?bdi[^>]*>", "", "".join(map(str, method_tab.drawn(visit()))))


def test_settings_that_were_changed_after_a_run_become_a_draft_when_another_run_is_opened(
    visit: Visiting, file: Path
) -> None:
    studio = visit().studio
    dataset, other = labeled(studio, file), studio.datasets.add_text("text,label\n" + "Good.,good\nBad.,bad\n" * 9).id
    run, elsewhere = (made_run(studio, each, "finished") for each in (dataset, other))
    selected.open_run(visit(), run.id)
    selected.open_run(visit(), elsewhere.id)
    assert not run_drafts.drafts(visit()), "nothing was changed"
    selected.open_run(visit(), run.id)
    for changes in (
        {"settings": {"learning_rate": 0.5}},
        {"settings": {}, "prompts": ("Is it good?", "", "")},
        {"prompts": None, "preset": "quick"},
        {"preset": "balanced", "method": "full"},
    ):
        visit().choose(**changes)
        selected.open_run(visit(), elsewhere.id)
        (draft,) = run_drafts.drafts(visit())
        assert all(getattr(draft.choices, name) == value for name, value in changes.items())
        new_run.resume(visit(draft=draft.id))
    visit().choose(method="", settings={"validation_share": 0.2})
    selected.open_run(visit(), elsewhere.id)
    assert not run_drafts.drafts(visit()), "splits are saved with the rows"


def test_a_browser_that_was_never_here_begins_empty_unless_there_is_a_draft(visit: Visiting, file: Path) -> None:
    studio = visit().studio
    dataset = labeled(studio, file)
    visit().choose(task="classification", model="starter-classify", dataset=dataset, tab="data")
    run_drafts.begin(visit(), fresh=True)
    assert visit().choices.dataset == dataset, "a draft"
    visit().choose(task="preference")
    run_drafts.begin(visit(), fresh=True)
    assert not visit().choices.dataset and not visit().choices.task, "the rows can't be used for this task"
    run_drafts.begin(visit())
    assert visit().choices.task == "preference", "a reload loses nothing"
    visit().choose(task="classification")
    run = made_run(studio, dataset, "training")
    run_drafts.begin(visit(), fresh=True)
    assert visit().choices.dataset == dataset, "a run to watch"
    studio.context.workspace.runs.set_status(run.id, "finished")
    run_drafts.begin(visit(), fresh=True)
    assert not visit().choices.dataset and visit().choices.tab == "model"
    run_drafts.begin(visit(), run=run.id, fresh=True)
    assert visit().choices.dataset == dataset and visit().choices.run == run.id
    studio.datasets.delete(dataset)
    run_drafts.begin(visit(), fresh=True)
    assert not visit().choices.task, "the rows were deleted"
