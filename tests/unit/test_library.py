"""The data library: what is known of each dataset; rename, duplicate, export, delete, and files that come again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.limits import MB, Limits
from studio.schema.runs import RunRecord, RunSpec

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
    chat = studio.datasets.add_text("prompt,reply\n" + "Where is it?,It is here.\n" * 9, "faq.csv")
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
        with pytest.raises(StudioError, match="1 to 120 characters") as refused:
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
    rows = "".join(f"{n} {'abcdefgh' * 20}{n * 7919}\n" for n in range(1_500))
    dataset = mine.datasets.add_text("text\n" + rows).id
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
    rows = [{"text": "=1+1", "tags": ["a", "b"], "n": 1}, {"text": "two\nlines", "tags": [], "n": None}]
    dataset = studio.datasets.add_text("\n".join(map(json.dumps, rows))).id
    studio.editing.edit(dataset, 2, {"text": "three"})
    assert studio.library.export_file(dataset, tmp_path / "rows.jsonl") == 2
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert written == [rows[0], {**rows[1], "text": "three"}]
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
